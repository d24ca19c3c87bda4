//! One version, open for reading: point reads and scans over all of its shards.
//!
//! Opening compares the sizes of all files and the checksums of the small ones (CURRENT, MANIFEST, OPTIONS) with the
//! manifest; RocksDB verifies every block when it reads it. A version that differs is `Corrupt` and is not opened.
//!
//! A version never changes; it can be read from any number of threads, even after retention deleted its directory.
//!
//! Not for: choosing the version to read (`store`, `reader`).

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rocksdb::{Cache, DB, ReadOptions};

use super::db_options;
use super::scan::{Range, Scan};
use crate::catalog::{Catalog, FileDepth, inspect};
use crate::codec::ShardRouter;
use crate::error::{Error, Kind, Result};
use crate::format::{Current, KeyEncoding, KeySchema, Manifest, ValueSchema};

/// One version, open for reading.
///
/// Keys and values are bytes; its schemas turn them into JSON and back:
///
/// ```no_run
/// # fn main() -> cutover::error::Result<()> {
/// let reader = cutover::serve::Reader::open("stores/planes")?;
/// let version = reader.snapshot();
/// let keys = [version.key_schema().parse("N10156")?, version.key_schema().parse("N102UW")?];
/// for value in version.multi_get(&[&keys[0], &keys[1]])? {
///     match value {
///         Some(value) => println!("{}", version.value_schema().to_text(&value)?),
///         None => println!("no such key"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Version {
    directory: PathBuf,
    manifest: Manifest,
    sharding: ShardRouter,
    shards: Vec<DB>,
    point_read: ReadOptions,
}

impl Version {
    /// Opens a version that `current` lists.
    pub(super) fn open(catalog: &Catalog, current: &Current, version: u64, cache: &Cache) -> Result<Self> {
        let manifest = catalog.manifest(current, version)?;
        let directory = catalog.local_copy(current, version)?;
        if let Some(finding) = inspect(&directory, &manifest, FileDepth::SmallFiles).first() {
            return Err(Error::corrupt(format!(
                "version {version} is damaged: {finding}; `cutover verify STORE {version}` shows more"
            )));
        }
        let sharding = sharding(&manifest)?;
        let open = |shard| db_options::open(&catalog.layout().shard_dir(version, shard), cache);
        let shards = (0..manifest.shard_count).into_par_iter().map(open).collect::<Result<_>>()?;
        Ok(Self { directory, manifest, sharding, shards, point_read: ReadOptions::default() })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.manifest.version
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How its keys are encoded.
    pub fn key_schema(&self) -> &KeySchema {
        &self.manifest.key
    }

    /// How its values are encoded.
    pub fn value_schema(&self) -> &ValueSchema {
        &self.manifest.value
    }

    /// Its directory, which exists as long as retention keeps it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The value of a key; `None` when the version does not have it.
    ///
    /// # Errors
    /// `Corrupt` when RocksDB finds damage; `Unavailable` when a read fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(shard) = self.shard_of(key)? else { return Ok(None) };
        self.shards[shard].get_opt(key, &self.point_read).map_err(|error| self.failed(error, shard))
    }

    /// Passes the value of a key to `take` where it is in the block cache, without copying it.
    ///
    /// # Errors
    /// As [`Version::get`].
    pub(crate) fn get_with<T>(&self, key: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let Some(shard) = self.shard_of(key)? else { return Ok(None) };
        let found = self.shards[shard].get_pinned_opt(key, &self.point_read);
        Ok(found.map_err(|error| self.failed(error, shard))?.map(|value| take(&value)))
    }

    /// The values of many keys, in the order of the keys; faster than one [`Version::get`] each.
    ///
    /// # Errors
    /// As [`Version::get`]; the first one.
    pub fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut asked: Vec<Vec<usize>> = vec![Vec::new(); self.shards.len()];
        for (at, key) in keys.iter().enumerate() {
            if let Some(shard) = self.shard_of(key)? {
                asked[shard].push(at);
            }
        }
        let mut values = vec![None; keys.len()];
        for (shard, places) in asked.iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let found = self.shards[shard].multi_get(places.iter().map(|&at| keys[at]));
            for (&at, value) in places.iter().zip(found) {
                values[at] = value.map_err(|error| self.failed(error, shard))?;
            }
        }
        Ok(values)
    }

    /// The keys that begin with `prefix`, as [`KeySchema::parse_prefix`] reads it: with these complete first columns, or,
    /// where the key is one string or binary column, with these bytes.
    ///
    /// # Errors
    /// As [`KeySchema::parse_prefix`].
    pub fn prefix_range(&self, prefix: &str) -> Result<Range> {
        let start = self.key_schema().parse_prefix(prefix)?;
        Ok(match self.key_schema().encoding {
            KeyEncoding::Bytes => Range::prefix(&start),
            KeyEncoding::Tuple => Range::columns(&start),
        })
    }

    /// All entries in a range of keys, in key order across all shards.
    ///
    /// # Errors
    /// An item may be an error, as [`Version::get`]; it is the last item.
    pub fn scan(&self, range: &Range) -> Scan<'_> {
        Scan::new(&self.shards, range, self.number())
    }

    /// Passes every entry of one shard to `visit`, in key order, without filling the block cache.
    ///
    /// # Errors
    /// The first error of `visit`; `Invalid` when there is no such shard; else as [`Version::get`].
    pub fn for_each_in_shard(&self, shard: u32, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let Some(db) = self.shards.get(shard as usize) else {
            return Err(Error::invalid(format!("version {} has no shard {shard}", self.number())));
        };
        let mut entries = db.raw_iterator_opt(db_options::one_pass());
        entries.seek_to_first();
        while let (Some(key), Some(value)) = (entries.key(), entries.value()) {
            visit(key, value)?;
            entries.next();
        }
        entries.status().map_err(|error| self.failed(error, shard as usize))
    }

    /// Bytes of memory that its filters and indexes take.
    ///
    /// # Errors
    /// `Unavailable` when RocksDB does not say.
    pub(crate) fn table_memory(&self) -> Result<usize> {
        let bytes = self.shards.iter().enumerate().map(|(shard, db)| {
            let found = db.property_int_value("rocksdb.estimate-table-readers-mem");
            Ok(found.map_err(|error| self.failed(error, shard))?.unwrap_or(0))
        });
        Ok(usize::try_from(bytes.sum::<Result<u64>>()?).unwrap_or(usize::MAX))
    }

    /// The shard to which a key belongs; `None` when it is not a valid key of this version.
    fn shard_of(&self, key: &[u8]) -> Result<Option<usize>> {
        match self.sharding.of_key(key, &self.manifest.key) {
            Ok(shard) => Ok(Some(shard as usize)),
            Err(error) if error.kind() == Kind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, error: rocksdb::Error, shard: usize) -> Error {
        db_options::failed(error, &format!("cannot read shard {shard} of version {}", self.number()))
    }
}

/// The mapping from keys to shards that a version was built with.
pub(super) fn sharding(manifest: &Manifest) -> Result<ShardRouter> {
    ShardRouter::new(&manifest.key, &manifest.shard_by, manifest.partitioner, manifest.shard_count).map_err(|error| {
        Error::corrupt(format!("the manifest of version {} has no usable sharding", manifest.version)).because(error)
    })
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version")
            .field("number", &self.number())
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}
