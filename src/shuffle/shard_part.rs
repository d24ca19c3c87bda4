//! A shard's part of a run that several machines read.
//!
//! Not for: making or merging them (`exchange`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One shard's part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPart {
    /// The shard.
    pub shard: u32,
    /// Where its blocks begin.
    pub from: u64,
    /// Where they end.
    pub to: u64,
    /// Its entries.
    pub entries: u64,
    /// Bytes of keys, orders and values.
    pub bytes: u64,
}

/// A file with one shard's part of a run.
#[derive(Clone, Debug)]
pub struct PartFile {
    /// The file, which is left to the caller.
    pub path: PathBuf,
    /// Bytes of the run's largest block, decompressed.
    pub largest_block: usize,
    /// What it holds.
    pub part: ShardPart,
}
