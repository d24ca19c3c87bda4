//! Builds one shard: from ranges of sorted entries to a complete RocksDB database and its manifest entry.
//!
//! ```text
//!  range ─▶ deduplicate ─▶ table ─┐
//!  range ─▶ deduplicate ─▶ table ─┼▶ one ingest ─▶ database ─▶ sync and hash its other files ─▶ ShardEntry
//!  range ─▶ deduplicate ─▶ table ─┘   (hard links)
//!                            └▶ sync, hash and journal, while other ranges are built
//! ```
//! A range that fails with a transient error is retried ([`retry`]). A range that is built and read back is recorded in
//! a journal, if the caller wants one, and reused by the next attempt ([`range_journal`]).
//!
//! [`build_shard`] does not depend on its caller: it writes to the directories it is given and returns what it wrote.
//! Tables do not overlap, so all of them go to the last level and nothing is ever compacted.
//!
//! A consumer gets its records from Kafka in key order already: it writes tables with [`ShardWriter`] and makes the
//! same database of them with [`assemble`].
//!
//! Not for: choosing a version number or deciding whether the result may be served.

mod file_checksums;
mod options;
mod portable;
pub(crate) mod range_journal;
mod read_back_sample;
mod retry;
mod shard;
mod sst_writer;
mod table;
mod verify_blocks;

pub use options::{read_options, silent};
pub use range_journal::StoredTable;
pub use shard::{BuiltShard, RangeCounts, ShardBuildContext, ShardPaths, ShardWriter, assemble, build_shard};
pub use sst_writer::FILTER_BYTES_PER_ROW;
pub use table::Table;
pub use verify_blocks::verify_checksums;
