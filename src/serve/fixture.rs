//! Small real versions for tests: RocksDB databases that are built, installed and published as by a job.

use std::path::Path;

use rocksdb::{DB, IngestExternalFileOptions, Options, SstFileWriter};

use crate::catalog::Catalog;
use crate::catalog::fixture::manifest;
use crate::format::{Digester, FileEntry, Manifest, ShardEntry, hex};
use crate::publish::{Built, PublishOptions};

/// Entries of a table, unless a test asks for many tables.
const ROWS_PER_TABLE: usize = 100;

/// Builds a version with these entries, which are in key order, over `shards` shards, and returns its number.
pub(super) fn install(
    catalog: &Catalog,
    entries: &[(Vec<u8>, Vec<u8>)],
    shards: u32,
    change: fn(&mut Manifest),
) -> u64 {
    install_tables(catalog, entries, shards, ROWS_PER_TABLE, change)
}

/// The same with `rows_per_table` entries per table.
pub(super) fn install_tables(
    catalog: &Catalog,
    entries: &[(Vec<u8>, Vec<u8>)],
    shards: u32,
    rows_per_table: usize,
    change: fn(&mut Manifest),
) -> u64 {
    let directory = catalog.layout().staging_dir("build").unwrap();
    let mut built = manifest(0, &[]);
    built.shard_count = shards;
    change(&mut built);
    let sharding = super::version::sharding(&built).unwrap();
    let shard = |shard| {
        let mine = |(key, _): &&(Vec<u8>, Vec<u8>)| sharding.of_key(key, &built.key).unwrap() == shard;
        let mine: Vec<_> = entries.iter().filter(mine).collect();
        build(&directory, shard, &mine, rows_per_table)
    };
    built.shards = (0..shards).map(shard).collect();
    built.rows = built.shards.iter().map(|shard| shard.rows).sum();
    built.bytes = built.shards.iter().map(|shard| shard.bytes).sum();
    built.digest = built.shards.iter().map(|shard| shard.digest).sum();
    let complete = Built::new(directory).install(catalog, |version| Manifest {
        version,
        build_id: format!("build-{version}"),
        as_of: crate::catalog::fixture::at(version as i64),
        ..built
    });
    complete.unwrap().version()
}

/// Builds and publishes a version whose keys `key-000…` all have the value `value`.
pub(super) fn publish(catalog: &Catalog, value: &str, shards: u32) -> u64 {
    let version = install(catalog, &same(value), shards, |_| {});
    crate::publish::publish(catalog, version, &PublishOptions::default()).unwrap();
    version
}

/// A hundred entries with the same value.
pub(super) fn same(value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..100).map(|at| (format!("key-{at:03}").into_bytes(), value.as_bytes().to_vec())).collect()
}

fn build(directory: &Path, shard: u32, entries: &[&(Vec<u8>, Vec<u8>)], rows_per_table: usize) -> ShardEntry {
    let name = format!("shard-{shard:05}");
    let database = directory.join(&name);
    std::fs::create_dir_all(&database).unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, &database).unwrap();
    let mut digester = Digester::new();
    let mut tables = Vec::new();
    for (number, entries) in entries.chunks(rows_per_table).enumerate() {
        let table = directory.join(format!("{number}.sst"));
        let mut writer = SstFileWriter::create(&options);
        writer.open(&table).unwrap();
        for (key, value) in entries {
            writer.put(key, value).unwrap();
            digester.add(key, value);
        }
        writer.finish().unwrap();
        tables.push(table);
    }
    if !tables.is_empty() {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        db.ingest_external_file_opts(&ingest, tables.iter().collect()).unwrap();
    }
    drop(db);
    tables.iter().for_each(|table| std::fs::remove_file(table).unwrap_or_default());
    let files = std::fs::read_dir(&database).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let kept = files.filter(|file| !file.starts_with("LOG") && file != "LOCK");
    let files = kept.map(|file| FileEntry::measure(directory, format!("{name}/{file}")).unwrap()).collect();
    ShardEntry {
        shard,
        rows: entries.len() as u64,
        bytes: entries.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum(),
        digest: digester.digest(),
        first_key: entries.first().map(|(key, _)| hex(key)),
        last_key: entries.last().map(|(key, _)| hex(key)),
        files,
        attempt: None,
    }
}
