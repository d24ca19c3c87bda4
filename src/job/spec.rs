//! A job's settings as plain types, which every later stage reads.
//!
//! The parser makes a [`Job`](super::Job) of them after checking every rule that can be checked without data. Most of
//! them are also written into a version's manifest, so their serialized names are a format: add, never rename.
//!
//! Not for: reading TOML (`parse.rs`), nor for anything that touches files or data.
//! Invariant: every default is a constant here, and the field's doc names it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Changes, Partitions};

/// Default number of shards of a version.
pub const DEFAULT_SHARDS: u32 = 1;
/// Most shards a version can have.
pub const MAX_SHARDS: u32 = 4096;
/// Most rows that `{ top = N }` can keep of one key.
pub const MAX_TOP: u32 = 1_000_000;
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
/// Default change of the row count that causes a warning.
pub const DEFAULT_WARN_CHANGE: f64 = 0.2;
/// Default change of the row count that stops a publish.
pub const DEFAULT_MAX_CHANGE: f64 = 0.5;
/// Default number of versions kept.
pub const DEFAULT_KEEP: u32 = 3;

/// One `[inputs.NAME]`: files that the query sees as the table `NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Name of the table in SQL.
    pub name: String,
    /// File, directory or glob, with every `${k}` filled in.
    pub path: String,
    /// Format of the files; none: by each file's extension.
    pub format: Option<Format>,
    /// Format of CSV files.
    #[serde(default)]
    pub csv: CsvForm,
    /// Data contract that the files must meet.
    pub schema: Option<PathBuf>,
    /// File inside the input's directory without which the job does not start, with every `${k}` filled in.
    pub require: Option<String>,
    /// File inside each partition's directory without which the job does not start; a pattern.
    pub require_each: Option<String>,
    /// The partitions that are read; none: all.
    pub partitions: Option<Partitions>,
    /// Line of the job file where the input begins, for messages.
    pub line: usize,
}

/// Format of CSV files; every character is one byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvForm {
    /// Separates values.
    pub delimiter: char,
    /// Encloses values that contain delimiters or line ends; none: values are never quoted.
    pub quote: Option<char>,
    /// Escapes the next character of a quoted value; none: quotes in it are doubled.
    pub escape: Option<char>,
    /// Whether the first line has the names of the columns.
    pub header: bool,
    /// Unquoted values that mean null, in addition to the empty one.
    pub null: Vec<String>,
    /// First character of lines that are comments.
    pub comment: Option<char>,
}

impl Default for CsvForm {
    fn default() -> Self {
        Self { delimiter: ',', quote: Some('"'), escape: None, header: true, null: Vec::new(), comment: None }
    }
}

/// Format of input files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, as [`CsvForm`] describes.
    Csv,
    /// One JSON object per line.
    Json,
    /// Avro object container files.
    Avro,
}

/// `[output]`: how rows become entries, and where they go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Columns of the serving key, in key order; at least one, none twice.
    pub key: Vec<String>,
    /// Key columns whose hash chooses the shard; empty: all of them.
    pub shard_by: Vec<String>,
    /// Order of the rows of one key.
    pub order_by: Vec<OrderBy>,
    /// How several rows of one key are folded.
    pub duplicates: Fold,
    /// Columns and encoding of the value.
    pub value: ValueSpec,
    /// Number of shards, 1 to [`MAX_SHARDS`]; default [`DEFAULT_SHARDS`].
    pub shards: u32,
    /// Hash that chooses the shard.
    pub partitioner: Partitioner,
}

/// One column of `order_by`, written `"ts desc nulls first"`; ascending and nulls last unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBy {
    /// Column of the query's result.
    pub column: String,
    /// Largest first.
    pub descending: bool,
    /// Nulls before every value, in either direction.
    pub nulls_first: bool,
}

/// How several rows with the same key, in `order_by` order, become entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// They stop the job.
    #[default]
    Error,
    /// The first one is kept.
    First,
    /// The last one is kept.
    Last,
    /// All are kept: a sequence number from 0 is appended to the key.
    Number,
    /// All become one value, a list.
    List,
    /// The first N become one value, a list.
    Top(u32),
}

/// `value = { … }`: columns and encoding of an entry's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSpec {
    /// Encoding of the value.
    pub encoding: Encoding,
    /// Columns of the value, in order; none: every column that is not a key column.
    pub columns: Option<Vec<String>>,
}

/// Encoding of a value.
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

/// `[checks]`: what a version must pass before readers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// Fewest rows allowed; none: 1.
    pub rows_min: Option<u64>,
    /// Most rows allowed.
    pub rows_max: Option<u64>,
    /// Change of the row count since the last published version that causes a warning, as a fraction; default
    /// [`DEFAULT_WARN_CHANGE`], or `max_change` if that is smaller.
    pub warn_change: f64,
    /// Change of the row count since the last published version that stops the publish; default [`DEFAULT_MAX_CHANGE`].
    pub max_change: f64,
    /// Columns of the query's result that must not contain nulls.
    pub not_null: Vec<String>,
    /// Columns of the query's result whose values must be distinct.
    pub unique: Vec<String>,
    /// How much the measures of the profile may change.
    pub change: Changes,
    /// How much of the built version is read back.
    pub verify: Verify,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            rows_min: None,
            rows_max: None,
            warn_change: DEFAULT_WARN_CHANGE,
            max_change: DEFAULT_MAX_CHANGE,
            not_null: Vec::new(),
            unique: Vec::new(),
            change: Changes::default(),
            verify: Verify::default(),
        }
    }
}

/// How much of a built version is read back before it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Some entries of every shard, and the checksums of every table.
    #[default]
    Sample,
    /// Every entry, compared by digest.
    Full,
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
