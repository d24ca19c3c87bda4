//! Settings of a job that are recorded with each version, or in `current.json`: how shards, tables and values are made,
//! what is kept, and where versions are streamed to.
//!
//! Their serialized names are a format: add, never rename. Every default is a constant here, and the field's doc names
//! it. Not for: settings that only the job file has (`job::spec`).

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most shards a version can have.
pub const MAX_SHARDS: u32 = 4096;
/// Default size of a table's block, in uncompressed bytes.
pub const DEFAULT_BLOCK_SIZE: u64 = 16 << 10;
/// Default bits of bloom filter per key: about 1 % of absent keys cost a read.
pub const DEFAULT_BLOOM_BITS: f64 = 10.0;
/// Default bytes after which a new table file begins.
pub const DEFAULT_FILE_SIZE: u64 = 64 << 20;
/// Default format of the table files: RocksDB 8.6 and later read it.
pub const DEFAULT_FORMAT_VERSION: u32 = 6;
/// Sizes a block can have, in bytes.
pub const BLOCK_SIZES: RangeInclusive<u64> = 1 << 10..=16 << 20;
/// Sizes after which a table file can end, in bytes.
pub const FILE_SIZES: RangeInclusive<u64> = 64 << 10..=4 << 30;
/// Bits of bloom filter a key can have; more would have no noticeable effect.
pub const BLOOM_BITS: RangeInclusive<f64> = 0.0..=32.0;
/// Formats that can be chosen: RocksDB reads 5 since 6.6 and 6 since 8.6.
pub const FORMAT_VERSIONS: RangeInclusive<u32> = 5..=6;
/// Numbers of versions that retention can keep.
pub const KEEP: RangeInclusive<u32> = 1..=10_000;
/// Default number of versions kept.
pub const DEFAULT_KEEP: u32 = 3;
/// Longest name of a dataset.
pub const LONGEST_DATASET: usize = 100;

/// Encoding of a value.
///
/// ```
/// use cutover::format::Encoding;
///
/// assert_eq!(serde_json::to_string(&Encoding::Json)?, "\"json\"");
/// assert_eq!(serde_json::to_string(&Encoding::Avro { single_object: true })?, r#"{"avro":{"single_object":true}}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A JSON object.
    #[default]
    Json,
    /// An Avro record.
    Avro {
        /// Whether each value begins with Avro's single-object header (marker and schema fingerprint).
        single_object: bool,
    },
    /// The bytes of the only value column, unchanged.
    Raw,
}

/// Hash that chooses a row's shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// XXH3-64.
    #[default]
    Xxh3,
    /// Murmur2, as Kafka's Java client routes keys.
    Murmur2,
}

/// `[tables]`: how the table files (SSTs) are written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tables {
    /// Compression of blocks.
    pub compression: Compression,
    /// Uncompressed bytes of a block; default [`DEFAULT_BLOCK_SIZE`].
    pub block_size: u64,
    /// Bits of bloom filter for each key, 0 for no filter; default [`DEFAULT_BLOOM_BITS`].
    pub bloom_bits: f64,
    /// Bytes after which a new file begins; default [`DEFAULT_FILE_SIZE`].
    pub file_size: u64,
    /// Format of the files; default [`DEFAULT_FORMAT_VERSION`].
    pub format_version: u32,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            block_size: DEFAULT_BLOCK_SIZE,
            bloom_bits: DEFAULT_BLOOM_BITS,
            file_size: DEFAULT_FILE_SIZE,
            format_version: DEFAULT_FORMAT_VERSION,
        }
    }
}

impl Tables {
    /// The first setting that no job can have. RocksDB accepts any value, and some abort the process.
    pub fn problem(&self) -> Option<String> {
        let wrong = [
            ("block_size", BLOCK_SIZES.contains(&self.block_size), self.block_size.to_string()),
            ("file_size", FILE_SIZES.contains(&self.file_size), self.file_size.to_string()),
            ("bloom_bits", BLOOM_BITS.contains(&self.bloom_bits), self.bloom_bits.to_string()),
            ("format_version", FORMAT_VERSIONS.contains(&self.format_version), self.format_version.to_string()),
            ("block_size", self.block_size <= self.file_size, "larger than file_size".to_owned()),
        ];
        let (name, _, value) = wrong.into_iter().find(|(_, good, _)| !good)?;
        Some(format!("{name} cannot be {value}"))
    }
}

/// Compression of table blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// LZ4: the fastest to read.
    #[default]
    Lz4,
    /// Zstandard: smaller, slower to read.
    Zstd,
    /// No compression: for values that are already compressed.
    None,
}

/// `[kafka]`: the topic that versions are streamed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kafka {
    /// Bootstrap servers of the cluster: `host:port`, or several separated by commas.
    pub brokers: String,
    /// Prefix of the names of all topics of this dataset.
    pub topic: String,
    /// Replication factor; none: the cluster's default.
    pub replication: Option<u32>,
    /// Compression of record batches.
    pub compression: Compression,
    /// File of client settings such as credentials, which are stored nowhere else.
    pub properties: Option<PathBuf>,
}

/// `[retention]`: which old versions are kept: those that either rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Number of good versions kept; default [`DEFAULT_KEEP`].
    pub keep: u32,
    /// Age up to which every good version is kept.
    pub keep_for: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: DEFAULT_KEEP, keep_for: None }
    }
}

/// Whether a dataset can have this name.
pub fn is_dataset(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.len() <= LONGEST_DATASET
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}
