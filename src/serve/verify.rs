//! Looks for damage in a stored version: files against the manifest, entries against the digest.
//!
//! | depth | reads | finds |
//! |---|---|---|
//! | sizes | the manifest, the small files | missing, cut and replaced files |
//! | checksums | every byte | any change of a file |
//! | full | every entry too, through RocksDB | what a wrong build would have: lost, added or misplaced entries |
//!
//! It reads through the page cache, so that it takes nothing from programs that serve the version meanwhile; what the
//! kernel still holds in memory is not read from the disk.
//!
//! Not for: the checks before a publish (`check`).

use std::path::Path;

use rayon::prelude::*;
use rocksdb::Cache;

use super::{Store, options, version};
use crate::catalog::{Digester, FileDepth, Finding, Layout, Manifest, ShardEntry, hex, inspect};
use crate::encode::Sharding;
use crate::error::{Error, Kind, Result};

/// How thoroughly a version is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Sizes of all files and checksums of those that are not tables.
    Sizes,
    /// Checksums of all files.
    #[default]
    Checksums,
    /// Checksums of all files, and every entry: its checksum, its shard, and the digest of all.
    Full,
}

/// What was looked at and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The version.
    pub version: u64,
    /// Everything that is not as it was built; empty when all is well.
    pub findings: Vec<Finding>,
    /// Files in the manifest.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were read; 0 unless the depth is full.
    pub entries: u64,
}

/// Looks for damage in a version of the store. Damage is in the report, not an error.
///
/// # Errors
/// `Invalid` when there is no such version; `Unavailable` when the disk does not answer; else as `Catalog::read`.
pub fn verify(store: &Store, version: u64, depth: Depth) -> Result<Report> {
    let mut report = Report { version, findings: Vec::new(), files: 0, bytes: 0, entries: 0 };
    let layout = store.catalog().layout();
    let manifest = match store.catalog().manifest(&store.versions()?, version) {
        Err(error) if error.kind() == Kind::Corrupt => {
            report.findings.push(Finding { shard: None, file: Some("manifest.json".into()), problem: text(&error) });
            return Ok(report);
        }
        manifest => manifest?,
    };
    let files = || manifest.shards.iter().flat_map(|shard| &shard.files);
    report.files = files().count() as u64;
    report.bytes = files().map(|file| file.bytes).sum();
    let file_depth = if depth == Depth::Sizes { FileDepth::SmallFiles } else { FileDepth::AllFiles };
    report.findings = inspect(&layout.version_dir(version), &manifest, file_depth);
    if depth == Depth::Full {
        read_entries(layout, &manifest, &mut report);
    }
    Ok(report)
}

/// Reads every entry of every shard.
pub(super) fn read_entries(layout: &Layout, manifest: &Manifest, report: &mut Report) {
    let sharding = match version::sharding(manifest) {
        Ok(sharding) => sharding,
        Err(error) => {
            return report.findings.push(Finding { shard: None, file: None, problem: text(&error) });
        }
    };
    let read = |shard: &ShardEntry| {
        let mut found = Found::default();
        let outcome = found.read(&layout.shard_dir(manifest.version, shard.shard), shard, manifest, &sharding);
        let problems = match outcome {
            Ok(()) => found.compare(shard),
            Err(error) => vec![text(&error)],
        };
        (shard.shard, found.rows, problems)
    };
    let shards: Vec<_> = manifest.shards.par_iter().map(read).collect();
    for (shard, rows, problems) in shards {
        report.entries += rows;
        let finding = |problem| Finding { shard: Some(shard), file: None, problem };
        report.findings.extend(problems.into_iter().map(finding));
    }
}

/// What the entries of one shard are.
#[derive(Default)]
struct Found {
    rows: u64,
    bytes: u64,
    digester: Digester,
    first: Option<String>,
    last: Option<String>,
    misplaced: u64,
}

impl Found {
    fn read(&mut self, folder: &Path, shard: &ShardEntry, manifest: &Manifest, sharding: &Sharding) -> Result<()> {
        let db = options::open(folder, &Cache::new_lru_cache(0))?;
        let mut entries = db.raw_iterator_opt(options::one_pass());
        let mut last = Vec::new();
        entries.seek_to_first();
        while let (Some(key), Some(value)) = (entries.key(), entries.value()) {
            if self.rows == 0 {
                self.first = Some(hex(key));
            }
            last.clear();
            last.extend_from_slice(key);
            self.rows += 1;
            self.bytes += (key.len() + value.len()) as u64;
            self.digester.add(key, value);
            let belongs = sharding.of_key(key, &manifest.key).is_ok_and(|belongs| belongs == shard.shard);
            self.misplaced += u64::from(!belongs);
            entries.next();
        }
        self.last = self.first.is_some().then(|| hex(&last));
        let what = format!("cannot read on after {} entries", self.rows);
        entries.status().map_err(|error| options::failed(error, &what))
    }

    /// What differs from the manifest.
    fn compare(&self, shard: &ShardEntry) -> Vec<String> {
        let differs = |what: &str, found: String, said: String| {
            (found != said).then(|| format!("has {what} {found}, the manifest says {said}"))
        };
        let key = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
        let mut problems: Vec<String> = [
            differs("the number of entries", self.rows.to_string(), shard.rows.to_string()),
            differs("the number of bytes", self.bytes.to_string(), shard.bytes.to_string()),
            differs("the digest", self.digester.digest().to_string(), shard.digest.to_string()),
            differs("the first key", key(&self.first), key(&shard.first_key)),
            differs("the last key", key(&self.last), key(&shard.last_key)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.misplaced > 0 {
            problems.push(format!("has {} entries whose keys belong to another shard", self.misplaced));
        }
        problems
    }
}

fn text(error: &Error) -> String {
    error.chain().join(": ")
}
