//! Verifies a stored version: files against the manifest, entries against the digest.
//!
//! | depth | reads | finds |
//! |---|---|---|
//! | sizes | the manifest, the small files | missing, truncated and replaced files |
//! | checksums | every byte | any change of a file, and in which block of a table |
//! | full | every entry too, through RocksDB | faults of a build: lost, added or misplaced entries |
//!
//! It reads through the page cache and drops no pages from it, as serving programs may use them; pages that the kernel
//! holds in memory are therefore not read from the disk.
//!
//! Not for: the checks before a publish (`check`).

use rayon::prelude::*;
use rocksdb::{Cache, DB};

use super::{Store, db_options, version};
use crate::catalog::{FileDepth, Finding, Layout};
use crate::codec::ShardRouter;
use crate::error::{Error, Kind, Result};
use crate::format::{Digester, Manifest, ShardEntry, hex};

/// File extension of tables.
const TABLE: &str = ".sst";

/// How thoroughly a version is verified.
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

/// What was read and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The version.
    pub version: u64,
    /// Every difference from the manifest; empty when the version is intact.
    pub findings: Vec<Finding>,
    /// Files in the manifest.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were read; 0 unless the depth is full.
    pub entries: u64,
}

/// Verifies a version of the store. Damage is in the report, not an error.
///
/// ```no_run
/// use cutover::serve::{Depth, Store, verify};
///
/// # fn main() -> cutover::error::Result<()> {
/// let report = verify(&Store::open("stores/planes")?, 1, Depth::Full)?;
/// assert!(report.findings.is_empty(), "{} entries were read", report.entries);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Invalid` when there is no such version; `Unavailable` when the store cannot be read; else as `Catalog::read`.
pub fn verify(store: &Store, version: u64, depth: Depth) -> Result<Report> {
    let mut report = Report { version, findings: Vec::new(), files: 0, bytes: 0, entries: 0 };
    let (catalog, current) = (store.catalog(), store.versions()?);
    let manifest = match catalog.manifest(&current, version) {
        Err(error) if error.kind() == Kind::Corrupt => {
            report.findings.push(Finding { shard: None, file: Some("manifest.json".into()), problem: text(&error) });
            return Ok(report);
        }
        manifest => manifest?,
    };
    report.files = manifest.files().count() as u64;
    report.bytes = manifest.disk_bytes();
    let file_depth = if depth == Depth::Sizes { FileDepth::SmallFiles } else { FileDepth::AllFiles };
    report.findings = catalog.inspect(&manifest, file_depth)?;
    match depth {
        Depth::Sizes => {}
        // Blocks are named, and entries read, in a local copy; one of damaged objects is not made.
        _ if catalog.remote().is_some() && (depth == Depth::Checksums || !report.findings.is_empty()) => {}
        Depth::Checksums => find_blocks(catalog.layout(), &manifest, &mut report.findings),
        Depth::Full => {
            catalog.checked_copy(&current, version, FileDepth::AllFiles)?;
            read_entries(catalog.layout(), &manifest, &mut report);
        }
    }
    Ok(report)
}

/// Reads the tables that were found damaged, to name the damaged block.
fn find_blocks(layout: &Layout, manifest: &Manifest, findings: &mut [Finding]) {
    for shard in &manifest.shards {
        let of_shard = |finding: &&mut Finding| finding.shard == Some(shard.shard);
        let is_table = |file: &String| file.ends_with(TABLE);
        let mut damaged: Vec<_> =
            findings.iter_mut().filter(|it| of_shard(it) && it.file.as_ref().is_some_and(is_table)).collect();
        if damaged.is_empty() {
            continue;
        }
        let Ok((db, tables)) = open(layout, manifest, shard) else { continue };
        for finding in &mut damaged {
            let table = tables.iter().find(|table| finding.file.as_ref() == Some(&table.path));
            if let Some(Err(error)) = table.map(|table| table.read(&db, |_, _| ())) {
                finding.problem = format!("{}; {}", finding.problem, text(&error));
            }
        }
    }
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
        let problems = match open(layout, manifest, shard) {
            Ok((db, tables)) => found.read(&db, &tables, manifest, &sharding, shard),
            Err(error) => vec![(None, text(&error))],
        };
        (shard.shard, found.rows, problems)
    };
    let shards: Vec<_> = manifest.shards.par_iter().map(read).collect();
    for (shard, rows, problems) in shards {
        report.entries += rows;
        let finding = |(file, problem)| Finding { shard: Some(shard), file, problem };
        report.findings.extend(problems.into_iter().map(finding));
    }
}

/// A table of an open database.
struct Table {
    /// Its path, as in the manifest.
    path: String,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
}

/// Opens a shard's database, and lists its tables in key order.
fn open(layout: &Layout, manifest: &Manifest, shard: &ShardEntry) -> Result<(DB, Vec<Table>)> {
    let directory = layout.shard_dir(manifest.version, shard.shard);
    let db = db_options::open(&directory, &Cache::new_lru_cache(0))?;
    let live = db.live_files().map_err(|error| db_options::failed(error, "cannot list the tables"))?;
    let within = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut tables: Vec<Table> = live
        .into_iter()
        .map(|file| Table {
            path: format!("{within}/{}", file.name.trim_start_matches('/')),
            first_key: file.start_key.unwrap_or_default(),
            last_key: file.end_key.unwrap_or_default(),
        })
        .collect();
    tables.sort_unstable_by(|one, other| one.first_key.cmp(&other.first_key));
    Ok((db, tables))
}

impl Table {
    /// Passes every entry to `take`.
    ///
    /// # Errors
    /// `Corrupt` with RocksDB's message, which names the block; `Unavailable` when a read fails.
    fn read(&self, db: &DB, mut take: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let mut entries = db.raw_iterator_opt(db_options::one_pass());
        let mut read = 0;
        entries.seek(&self.first_key);
        while let (Some(key), Some(value)) = (entries.key(), entries.value()) {
            take(key, value);
            read += 1;
            // One more step would enter the next table, whose damage must not be reported for this one.
            if key >= self.last_key.as_slice() {
                return Ok(());
            }
            entries.next();
        }
        let what = format!("cannot read further after {read} entries");
        entries.status().map_err(|error| db_options::failed(error, &what))?;
        Err(Error::corrupt(format!("ends after {read} entries, before its last key")))
    }
}

/// Totals of the entries that were read from one shard.
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
    /// Reads a shard, and returns its problems, each with the table it is in; none for the shard as a whole.
    fn read(
        &mut self,
        db: &DB,
        tables: &[Table],
        manifest: &Manifest,
        sharding: &ShardRouter,
        shard: &ShardEntry,
    ) -> Vec<(Option<String>, String)> {
        let mut last = Vec::new();
        let mut take = |key: &[u8], value: &[u8]| {
            self.first.get_or_insert_with(|| hex(key));
            last.clear();
            last.extend_from_slice(key);
            self.rows += 1;
            self.bytes += (key.len() + value.len()) as u64;
            self.digester.add(key, value);
            let belongs = sharding.of_key(key, &manifest.key).is_ok_and(|belongs| belongs == shard.shard);
            self.misplaced += u64::from(!belongs);
        };
        let damaged = tables.iter().filter_map(|table| {
            let error = table.read(db, &mut take).err()?;
            Some((Some(table.path.clone()), text(&error)))
        });
        let damaged: Vec<_> = damaged.collect();
        self.last = self.first.is_some().then(|| hex(&last));
        // If entries could not be read, totals and digest differ for that reason alone.
        let differing = if damaged.is_empty() { self.compare(shard) } else { Vec::new() };
        damaged.into_iter().chain(differing.into_iter().map(|problem| (None, problem))).collect()
    }

    /// Differences from the manifest.
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
