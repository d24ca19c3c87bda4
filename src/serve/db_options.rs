//! RocksDB options for reading a version's databases, and the mapping of RocksDB's errors to ours.
//!
//! All tables are opened at once and stay open, so an open version remains readable after its directory is deleted.
//! Indexes and filters are in memory as long as the version is open: with the default of 10 bits, 1.25 bytes per entry
//! and about one index entry per block. All versions of one [`super::Store`] share one cache for data blocks.
//!
//! A database that is opened read-only writes no LOG and takes no lock.
//!
//! Not for: writing (`build`).

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, ErrorKind, Options, ReadOptions};

use crate::error::{Error, Result};

/// Bytes of uncompressed data blocks that one [`super::Store`] keeps.
pub(super) const BLOCK_CACHE: usize = 256 << 20;
/// Read-ahead of a full pass over a database, in bytes.
const READ_AHEAD: usize = 2 << 20;
/// Any number makes RocksDB use the filters in the tables; their real size is in the tables.
const ANY_BLOOM_BITS: f64 = 10.0;

/// Opens the database in `directory`.
pub(super) fn open(directory: &Path, cache: &Cache) -> Result<DB> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(ANY_BLOOM_BITS, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_max_open_files(-1);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    DB::open_for_read_only(&options, directory, false)
        .map_err(|error| failed(error, &format!("cannot open the database in {}", directory.display())))
}

/// Options for one full pass, which should not fill the block cache.
pub(super) fn one_pass() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options.set_readahead_size(READ_AHEAD);
    options
}

/// Maps one of RocksDB's errors, with the message `what`.
pub(super) fn failed(error: rocksdb::Error, what: &str) -> Error {
    let ours = match error.kind() {
        ErrorKind::IOError | ErrorKind::Busy | ErrorKind::TimedOut | ErrorKind::TryAgain | ErrorKind::Aborted => {
            Error::unavailable(what)
        }
        _ => Error::corrupt(what),
    };
    ours.because(error)
}
