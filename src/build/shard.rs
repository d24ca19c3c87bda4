//! One shard, from its ranges of entries to its database on disk and its manifest entry.
//!
//! Not for: reading the result back, which `check` does.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use rocksdb::{DB, IngestExternalFileOptions, Options};

use super::options::write_options;
use super::sample::{Sample, Sampler};
use super::table::{Table, TableWriter};
use crate::catalog::{FileEntry, LargestEntry, ShardEntry, hex, hex_checksum};
use crate::error::{Error, IoContext, Result};
use crate::job::Tables;
use crate::progress::Stage;
use crate::shuffle::fold::{Folder, Folding};
use crate::shuffle::{Range, Shard};
use crate::storage;

/// Records between two steps of the progress bar.
const PROGRESS_EVERY: u64 = 4096;

/// Where a shard goes and how.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The version's folder; file paths in the manifest start here.
    pub version_dir: &'a Path,
    /// The shard's own folder in it, which does not exist yet.
    pub shard_dir: &'a Path,
    /// Folder for tables until they are ingested, on the same file system.
    pub tables_dir: &'a Path,
    /// Format and size of tables.
    pub tables: &'a Tables,
    /// Entries a table may hold, so that building its filter fits the memory.
    pub max_rows_per_table: u64,
    /// What becomes of the entries of a key.
    pub folding: &'a Folding,
    /// Counts records as they are written.
    pub progress: &'a Stage,
}

/// A shard as it was built.
#[derive(Debug)]
pub struct BuiltShard {
    /// What the manifest says of it.
    pub entry: ShardEntry,
    /// Entries to look up in it.
    pub samples: Vec<Sample>,
    /// Its largest entry.
    pub largest: Option<LargestEntry>,
}

/// Builds one shard: folds and writes its ranges in parallel, ingests the tables at once into a fresh database, syncs
/// and hashes every file of it.
///
/// # Errors
/// `Input` when the entries break the fold or a limit; `Unavailable` when the disk is full or fails.
pub fn build_shard(shard: Shard, target: &Target<'_>) -> Result<BuiltShard> {
    fs::create_dir_all(target.tables_dir).io("create folder", target.tables_dir)?;
    let options = write_options(target.tables);
    let sampler = Sampler::default();
    let tables: Vec<Vec<Table>> = shard
        .ranges
        .into_par_iter()
        .enumerate()
        .map(|(number, range)| build_range(range, number, &options, &sampler, target))
        .collect::<Result<_>>()?;
    let tables = tables.concat();
    ingest(&tables, &options, target)?;
    fs::remove_dir_all(target.tables_dir).io("remove folder", target.tables_dir)?;
    let largest = tables
        .iter()
        .max_by_key(|table| table.largest.1)
        .map(|table| LargestEntry { key_hex: hex(&table.largest.0), bytes: table.largest.1 });
    let entry = ShardEntry {
        shard: shard.number,
        rows: tables.iter().map(|table| table.rows).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        digest: tables.iter().map(|table| table.digest).sum(),
        first_key: tables.first().map(|table| hex(&table.first_key)),
        last_key: tables.last().map(|table| hex(&table.last_key)),
        files: describe_files(&tables, target)?,
    };
    Ok(BuiltShard { entry, samples: sampler.into_samples(), largest })
}

fn build_range(
    range: Range,
    number: usize,
    options: &Options,
    sampler: &Sampler,
    target: &Target<'_>,
) -> Result<Vec<Table>> {
    let Target { tables, tables_dir, max_rows_per_table, .. } = *target;
    let mut writer = TableWriter::new(options, sampler, tables_dir, number, tables.file_size, max_rows_per_table);
    let mut folder = Folder::new(target.folding);
    let mut rows = 0;
    let mut emit = |record: crate::shuffle::fold::Record<'_>| {
        rows += 1;
        if rows % PROGRESS_EVERY == 0 {
            target.progress.advance(PROGRESS_EVERY);
        }
        writer.push(record)
    };
    range.for_each(|entry| folder.push(entry, &mut emit))?;
    folder.finish(&mut emit)?;
    target.progress.advance(rows % PROGRESS_EVERY);
    writer.finish()
}

/// Makes the shard's database and puts all tables into it at once.
fn ingest(tables: &[Table], options: &Options, target: &Target<'_>) -> Result<()> {
    let failed = |error: rocksdb::Error| {
        Error::unavailable(format!("cannot ingest tables into {}", target.shard_dir.display())).because(error)
    };
    let db = DB::open(options, target.shard_dir).map_err(failed)?;
    if !tables.is_empty() {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        let paths = tables.iter().map(|table| &table.path).collect();
        db.ingest_external_file_opts(&ingest, paths).map_err(failed)?;
    }
    db.cancel_all_background_work(true);
    drop(db);
    storage::sync_dir(target.shard_dir)
}

/// Sizes and checksums of every file of the database, read back from the disk; tables with their rows and keys.
fn describe_files(tables: &[Table], target: &Target<'_>) -> Result<Vec<FileEntry>> {
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
            storage::sync_file(&path)?;
            storage::drop_page_cache(&path)?;
            let (bytes, xxh3) = storage::hash_file(&path)?;
            let table = live
                .iter()
                .find(|file| Some(file.name.trim_start_matches('/')) == name.to_str())
                .and_then(|file| tables.iter().find(|table| file.start_key.as_deref() == Some(&table.first_key)));
            let relative = path.strip_prefix(target.version_dir).unwrap_or(&path);
            Ok(FileEntry {
                path: relative.to_string_lossy().into_owned(),
                bytes,
                xxh3: hex_checksum(xxh3),
                rows: table.map(|table| table.rows),
                first_key: table.map(|table| hex(&table.first_key)),
                last_key: table.map(|table| hex(&table.last_key)),
            })
        })
        .collect()
}
