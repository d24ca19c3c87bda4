//! A store, open for reading: lists its versions and opens them.
//!
//! Holds the block cache, which all versions opened through it share.
//!
//! Not for: following the store as it changes (`reader`).

use std::path::PathBuf;

use rocksdb::Cache;

use super::db_options::BLOCK_CACHE;
use super::version::Version;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::Current;

/// Attempts to open the current version while other versions keep replacing it.
const ATTEMPTS: usize = 8;

/// A store, open for reading.
///
/// ```no_run
/// # fn main() -> cutover::error::Result<()> {
/// let store = cutover::serve::Store::open("stores/planes")?;
/// for (number, entry) in &store.versions()?.versions {
///     println!("{number} {}", entry.state.as_str());
/// }
/// if let Some(version) = store.current()? {
///     println!("readers see version {}", version.number());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    catalog: Catalog,
    cache: Cache,
}

impl Store {
    /// Opens the store at `path`, with a cache of 256 MiB for data blocks.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::with_cache(path, BLOCK_CACHE)
    }

    /// Opens the store at `path`, with a cache of `cache_bytes` for data blocks.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub fn with_cache(path: impl Into<PathBuf>, cache_bytes: usize) -> Result<Self> {
        Ok(Self { catalog: Catalog::open(path)?, cache: Cache::new_lru_cache(cache_bytes) })
    }

    /// A store whose catalog is open already.
    pub(crate) fn of(catalog: Catalog) -> Self {
        Self { catalog, cache: Cache::new_lru_cache(BLOCK_CACHE) }
    }

    /// A store whose catalog is open already, with a cache that it shares with others.
    pub(crate) fn sharing(catalog: Catalog, cache: Cache) -> Self {
        Self { catalog, cache }
    }

    /// The catalog behind it.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every version with its state, and which one readers see.
    ///
    /// # Errors
    /// As [`Catalog::read`].
    pub fn versions(&self) -> Result<Current> {
        self.catalog.read()
    }

    /// Opens the version that readers see; `None` when nothing is published yet.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged; `Unavailable` when it cannot be read; else as [`Catalog::read`].
    pub fn current(&self) -> Result<Option<Version>> {
        let mut current = self.catalog.read()?;
        for attempt in 1.. {
            let Some(number) = current.current else { return Ok(None) };
            match self.open_version(&current, number) {
                Ok(version) => return Ok(Some(version)),
                Err(error) => {
                    let latest = self.catalog.read()?;
                    if latest.current == Some(number) || attempt == ATTEMPTS {
                        return Err(error);
                    }
                    current = latest;
                }
            }
        }
        Ok(None)
    }

    /// Opens one version, whatever its state.
    ///
    /// # Errors
    /// `Invalid` when there is no such version; else as [`Store::current`].
    pub fn version(&self, number: u64) -> Result<Version> {
        self.open_version(&self.catalog.read()?, number)
    }

    fn open_version(&self, current: &Current, number: u64) -> Result<Version> {
        Version::open(&self.catalog, current, number, &self.cache)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("place", &self.catalog.place()).finish_non_exhaustive()
    }
}
