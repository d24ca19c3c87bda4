//! RocksDB's options for tables, for a version's database, and for reading one.
//!
//! Every client from RocksDB 8.6 on can open the result: format version 6 at most, no custom comparator, LZ4, zstd or
//! nothing. RocksDB's own log goes to `tracing`, so that no LOG file appears in a version's directory.
//!
//! Not for: options a user may set, which are `crate::format::Tables`.

use crate::format::{Compression, Tables};
use rocksdb::{BlockBasedOptions, ChecksumType, DBCompressionType, InfoLogger, LogLevel, Options};

/// Bytes after which the pages of a table that is being written are flushed, so that the last sync is short.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// Bytes of disk that are preallocated for RocksDB's MANIFEST, the list of tables.
const MANIFEST_BYTES: usize = 64 << 10;

/// Files that RocksDB may keep open per database, ten of which are not tables; it accepts no smaller number. An open
/// table has its filter and its index in memory, so keeping all tables of a large version open would exceed the memory
/// budget.
const OPEN_FILES: i32 = 20;

/// Options under which tables are written and a version's database is made.
pub(super) fn write_options(tables: &Tables) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_format_version(tables.format_version as i32);
    blocks.set_block_size(tables.block_size as usize);
    blocks.set_checksum_type(ChecksumType::XXH3);
    blocks.disable_cache();
    if tables.bloom_bits > 0.0 {
        blocks.set_bloom_filter(tables.bloom_bits, false);
    }
    let mut options = Options::default();
    silent(&mut options);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(match tables.compression {
        Compression::Lz4 => DBCompressionType::Lz4,
        Compression::Zstd => DBCompressionType::Zstd,
        Compression::None => DBCompressionType::None,
    });
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    // RocksDB's default preallocates 4 MiB of disk for the MANIFEST, for every shard at once.
    options.set_manifest_preallocation_size(MANIFEST_BYTES);
    options.create_if_missing(true);
    options.set_error_if_exists(true);
    options.set_disable_auto_compactions(true);
    few_open_tables(&mut options);
    options
}

/// Options for reading back a new database within the memory of a build.
pub fn read_options() -> Options {
    let mut options = Options::default();
    silent(&mut options);
    few_open_tables(&mut options);
    options
}

/// By default RocksDB's cache of open tables has 64 shards, each with at least one table.
fn few_open_tables(options: &mut Options) {
    options.set_max_open_files(OPEN_FILES);
    options.set_table_cache_num_shard_bits(0);
}

/// Sends RocksDB's own log to `tracing` instead of a LOG file.
pub fn silent(options: &mut Options) {
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |_, line| {
        tracing::debug!(target: "rocksdb", "{}", line.trim_end());
    }));
    options.set_stats_dump_period_sec(0);
}
