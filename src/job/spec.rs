//! A job's settings as plain types, which every later stage reads.
//!
//! The parser makes a [`Job`](super::Job) of them after checking every rule that can be checked without data. Most of
//! them are also written into a version's manifest, so their serialized names are a format: add, never rename.
//!
//! Not for: reading TOML (`parse.rs`), nor for anything that touches files or data.
//! Invariant: every default is a constant here, and the field's doc names it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Changes, Partitions};
use crate::format::{Encoding, Partitioner};

/// Default number of shards of a version.
pub const DEFAULT_SHARDS: u32 = 1;
/// Most entries `{ top = N }` can keep of one key.
pub const MAX_TOP: u32 = 1_000_000;
/// Change of the row count that is worth a warning when the job does not say.
pub const DEFAULT_WARN_CHANGE: f64 = 0.2;
/// Default change of the row count that stops a publish.
pub const DEFAULT_MAX_CHANGE: f64 = 0.5;
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
    /// Number of shards, 1 to `MAX_SHARDS`; default `DEFAULT_SHARDS`.
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
