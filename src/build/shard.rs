//! One shard, from its ranges of entries to its database on disk and its manifest entry.
//!
//! Not for: reading back the entries of the result (`check`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use rayon::prelude::*;
use rocksdb::{DB, IngestExternalFileOptions, Options};

use super::file_checksums::{FileChecksums, ReadBack};
use super::options::write_options;
use super::portable;
use super::range_journal::RangeJournal;
use super::read_back_sample::{Sample, Sampler};
use super::retry::retrying;
use super::sst_writer::TableWriter;
use super::table::Table;
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::format::{FileEntry, LargestEntry, ShardEntry, Tables, hex};
use crate::progress::Stage;
use crate::shuffle::duplicates::{Deduplicator, DuplicatePolicy, Record};
use crate::shuffle::{Range, Shard};
use crate::shutdown;

/// Records between two steps of the progress bar.
const PROGRESS_EVERY: u64 = 4096;

/// Paths and settings for building a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardPaths<'a> {
    /// The version's directory; file paths in the manifest start here.
    pub version_dir: &'a Path,
    /// The shard's own directory in it, which does not exist yet.
    pub shard_dir: &'a Path,
    /// Directory for finished tables, on the same file system. They stay there after they are ingested.
    pub tables_dir: &'a Path,
    /// Directory for the hard links that are ingested, on the same file system.
    pub ingest_dir: &'a Path,
    /// The journal of finished ranges, for a later attempt that drains the same ranges; none if the shuffle cannot be
    /// drained again.
    pub journal: Option<&'a Path>,
    /// Format and size of tables.
    pub tables: &'a Tables,
    /// Entries per table, at most, so that its filter and its index fit into memory.
    pub max_rows_per_table: u64,
    /// Bytes of memory for entries that are sampled for the read-back.
    pub sample_bytes: usize,
}

/// A shard as it was built.
#[derive(Debug)]
pub struct BuiltShard {
    /// Its manifest entry.
    pub entry: ShardEntry,
    /// Entries to look up in the read-back.
    pub samples: Vec<Sample>,
    /// Its largest entry.
    pub largest: Option<LargestEntry>,
}

/// How many ranges a shard was built from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeCounts {
    /// All of them.
    pub all: usize,
    /// Those that an earlier attempt had finished.
    pub resumed: usize,
}

impl std::iter::Sum for RangeCounts {
    fn sum<I: Iterator<Item = Self>>(ranges: I) -> Self {
        ranges.fold(Self::default(), |sum, more| Self { all: sum.all + more.all, resumed: sum.resumed + more.resumed })
    }
}

/// The tables of one range.
struct BuiltRange {
    /// Its position among the ranges of the shard.
    number: usize,
    tables: Vec<Table>,
    /// Whether an earlier attempt finished them.
    resumed: bool,
}

/// Builds one shard: deduplicates and writes its ranges in parallel, except those that an earlier attempt finished;
/// ingests all tables at once into a new database; syncs and hashes every file of it. `progress` counts the records
/// written.
///
/// # Errors
/// `Input` when the entries violate the duplicate policy or a limit; `Unavailable` when the disk is full or keeps
/// failing.
pub fn build_shard(
    shard: Shard,
    target: &ShardPaths<'_>,
    folding: &DuplicatePolicy,
    progress: &Stage,
) -> Result<(BuiltShard, RangeCounts)> {
    durable_file::create_dir_durable(target.tables_dir)?;
    let material = ShardBuildContext::new(target.tables, target.sample_bytes);
    let ledger = RangeJournal::open(target.tables_dir, target.journal)?;
    let build = |(number, range): (usize, Range), sender: &Sender<BuiltRange>| {
        let built = match ledger.resumed_tables(number) {
            Some((tables, samples)) => {
                material.sampler.seed(samples);
                progress.skip(tables.iter().map(|table| table.rows).sum());
                BuiltRange { number, tables, resumed: true }
            }
            None => {
                let tables = retrying(&format!("range {number} of shard {}", shard.number), || {
                    write_range(&range, material.writer(target, number), folding, progress)
                })?;
                BuiltRange { number, tables, resumed: false }
            }
        };
        sender.send(built).map_err(|_| Error::internal("the checksum thread stopped; see the error above"))
    };
    // Only tables that were read back are recorded for a later attempt.
    let finish = |built: &BuiltRange, hashed: &mut FileChecksums| {
        let read = built.tables.iter().map(|table| hashed.add(&target.tables_dir.join(&table.name)));
        let read: Vec<ReadBack> = read.collect::<Result<_>>()?;
        if !built.resumed {
            ledger.note(built.number, &built.tables, &read, || material.sampler.samples_between(&built.tables))?;
            failpoint::reach("range.finished")?;
        }
        Ok(())
    };
    let mut ranges: Vec<(usize, Range)> = shard.ranges.into_iter().enumerate().collect();
    // The range of a very frequent key comes first, sorted by all threads: as the last one, it would leave all but one
    // thread idle.
    ranges.sort_by_cached_key(|(_, range)| !range.presort_hot_key());
    let (mut built, hashed) = FileChecksums::hash_concurrently(
        |sender| ranges.into_par_iter().try_for_each(|range| build(range, sender)),
        finish,
    )?;
    built.sort_unstable_by_key(|range| range.number);
    let counted = RangeCounts { all: built.len(), resumed: built.iter().filter(|range| range.resumed).count() };
    let tables: Vec<Table> = built.into_iter().flat_map(|range| range.tables).collect();
    Ok((database_of(shard.number, &tables, material, target, &hashed)?, counted))
}

/// What all writers of one shard share.
pub struct ShardBuildContext {
    options: Options,
    sampler: Sampler,
}

impl ShardBuildContext {
    /// A context for tables of this format, with `sample_bytes` of memory for sampled entries.
    pub fn new(tables: &Tables, sample_bytes: usize) -> Self {
        Self { options: write_options(tables), sampler: Sampler::new(sample_bytes) }
    }

    fn writer<'a>(&'a self, target: &ShardPaths<'a>, range: usize) -> TableWriter<'a> {
        let ShardPaths { tables, tables_dir, max_rows_per_table, .. } = *target;
        TableWriter::new(&self.options, &self.sampler, tables_dir, range, tables.file_size, max_rows_per_table)
    }
}

/// Writes the tables of one shard whose records arrive in key order, one by one; [`assemble`] makes its database of
/// them.
pub struct ShardWriter<'a> {
    writer: TableWriter<'a>,
}

impl<'a> ShardWriter<'a> {
    /// Continues after the tables that an earlier attempt finished, which are in the target's directory for tables.
    ///
    /// # Errors
    /// `Unavailable` when the directory for tables cannot be created.
    pub fn new(material: &'a ShardBuildContext, target: &ShardPaths<'a>, earlier: Vec<Table>) -> Result<Self> {
        fs::create_dir_all(target.tables_dir).io("create directory", target.tables_dir)?;
        Ok(Self { writer: material.writer(target, 0).after(earlier) })
    }

    /// Writes a record, whose key must be greater than the last one's.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub fn push(&mut self, record: Record<'_>) -> Result<()> {
        self.writer.push(record)
    }

    /// Tables that are finished and synced, in key order.
    pub fn finished(&self) -> &[Table] {
        self.writer.finished()
    }

    /// Finishes the table that is being written.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub fn end_table(&mut self) -> Result<()> {
        self.writer.end_table()
    }
}

fn write_range(
    range: &Range,
    mut writer: TableWriter<'_>,
    folding: &DuplicatePolicy,
    progress: &Stage,
) -> Result<Vec<Table>> {
    let mut deduplicator = Deduplicator::new(folding);
    let mut rows = 0;
    let mut emit = |record: Record<'_>| {
        rows += 1;
        if rows % PROGRESS_EVERY == 0 {
            progress.advance(PROGRESS_EVERY);
            shutdown::check()?;
        }
        writer.push(record)
    };
    let written =
        range.for_each(|entry| deduplicator.push(entry, &mut emit)).and_then(|()| deduplicator.finish(&mut emit));
    let tables = written.and_then(|()| failpoint::reach("range.written")).and_then(|()| writer.finish());
    let last = rows % PROGRESS_EVERY;
    match tables {
        Ok(_) => progress.advance(last),
        // The next attempt writes and counts all of them again.
        Err(_) => progress.retract(rows - last),
    }
    tables
}

/// Makes the database of a shard from all of its tables, in key order.
///
/// # Errors
/// `Unavailable` when the disk is full or fails; `Corrupt` when the new database does not open.
pub fn assemble(
    shard: u32,
    tables: &[Table],
    material: ShardBuildContext,
    target: &ShardPaths<'_>,
) -> Result<BuiltShard> {
    database_of(shard, tables, material, target, &FileChecksums::default())
}

fn database_of(
    shard: u32,
    tables: &[Table],
    material: ShardBuildContext,
    target: &ShardPaths<'_>,
    hashed: &FileChecksums,
) -> Result<BuiltShard> {
    ingest(tables, &material.options, target)?;
    let largest = tables
        .iter()
        .max_by_key(|table| table.largest_bytes)
        .map(|table| LargestEntry { key_hex: hex(&table.largest_key), bytes: table.largest_bytes });
    let entry = ShardEntry {
        shard,
        rows: tables.iter().map(|table| table.rows).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        digest: tables.iter().map(|table| table.digest).sum(),
        first_key: tables.first().map(|table| hex(&table.first_key)),
        last_key: tables.last().map(|table| hex(&table.last_key)),
        files: describe_files(tables, target, hashed)?,
        attempt: None,
    };
    Ok(BuiltShard { entry, samples: material.sampler.into_samples(), largest })
}

/// Creates the shard's database and ingests all tables at once.
fn ingest(tables: &[Table], options: &Options, target: &ShardPaths<'_>) -> Result<()> {
    let failed = |error: rocksdb::Error| {
        Error::unavailable(format!("cannot ingest tables into {}", target.shard_dir.display())).because(error)
    };
    let db = DB::open(options, target.shard_dir).map_err(failed)?;
    if !tables.is_empty() {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        db.ingest_external_file_opts(&ingest, link(tables, target)?).map_err(failed)?;
        fs::remove_dir_all(target.ingest_dir).io("remove directory", target.ingest_dir)?;
    }
    db.cancel_all_background_work(true);
    drop(db);
    portable::replace_options(target.shard_dir, target.tables)?;
    durable_file::sync_dir(target.shard_dir)?;
    failpoint::reach("build.ingested")
}

/// Hard-links every table: RocksDB moves the link into its database, and the original stays for a later attempt.
fn link(tables: &[Table], target: &ShardPaths<'_>) -> Result<Vec<PathBuf>> {
    match fs::remove_dir_all(target.ingest_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.io("remove directory", target.ingest_dir)?,
    }
    fs::create_dir_all(target.ingest_dir).io("create directory", target.ingest_dir)?;
    let link = |table: &Table| {
        let (from, to) = (target.tables_dir.join(&table.name), target.ingest_dir.join(&table.name));
        // On a file system without hard links the table itself is moved; a later attempt then builds it again.
        fs::hard_link(&from, &to).or_else(|_| fs::rename(&from, &to)).io("ingest table", &from)?;
        Ok(to)
    };
    tables.iter().map(link).collect()
}

/// Size and checksum of every file of the database, read back from the disk; for tables also rows and key range.
fn describe_files(tables: &[Table], target: &ShardPaths<'_>, hashed: &FileChecksums) -> Result<Vec<FileEntry>> {
    let db = DB::open_for_read_only(&super::read_options(), target.shard_dir, false).map_err(|error| {
        Error::corrupt(format!("the database just built in {} does not open", target.shard_dir.display()))
            .because(error)
    })?;
    let live = db.live_files().map_err(|error| Error::internal("RocksDB cannot list its tables").because(error))?;
    drop(db);
    let mut names: Vec<std::ffi::OsString> = fs::read_dir(target.shard_dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .io("list", target.shard_dir)?;
    names.sort_unstable();
    names
        .into_par_iter()
        .map(|name| {
            let path = target.shard_dir.join(&name);
            let ReadBack { bytes, xxh3 } = hashed.get(&path)?;
            let table = live
                .iter()
                .find(|file| Some(file.name.trim_start_matches('/')) == name.to_str())
                .and_then(|file| tables.iter().find(|table| file.start_key.as_deref() == Some(&table.first_key)));
            let relative = path.strip_prefix(target.version_dir).unwrap_or(&path);
            Ok(FileEntry {
                path: relative.to_string_lossy().into_owned(),
                bytes,
                xxh3: crate::format::hex_checksum(xxh3),
                rows: table.map(|table| table.rows),
                first_key: table.map(|table| hex(&table.first_key)),
                last_key: table.map(|table| hex(&table.last_key)),
            })
        })
        .collect()
}
