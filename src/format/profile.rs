//! What a version's rows looked like on their way, as recorded in the manifest.
//!
//! Values may be personal: a profile holds hashes of values, patterns and lengths of strings, and smallest and largest
//! values only of numbers, dates and times. Not for: measuring rows or comparing profiles (`profile`).

use serde::{Deserialize, Serialize};

use super::hashes::Hashes;

/// What the rows of a version looked like on their way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Hash of the SQL: of another query, other results are to be expected.
    pub query: String,
    /// The inputs, as they were read.
    pub inputs: Vec<InputProfile>,
    /// The query's result, before the fold.
    pub result: TableProfile,
    /// Bytes of the keys of these rows.
    pub key_bytes: u64,
    /// Bytes of the values of these rows.
    pub value_bytes: u64,
}

/// One input, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputProfile {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, where files tell.
    pub rows: Option<u64>,
    /// Rows that the query read; none where it did not read to the end.
    pub read: Option<u64>,
    /// Rows read of each partition by date, the newest 100.
    pub partitions: Vec<(String, u64)>,
    /// The columns in use: of the newest partitions, in order, where there are partitions by date; else of all rows.
    pub tables: Vec<PartProfile>,
}

/// The rows of one partition, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartProfile {
    /// Which partition; none for all.
    pub partition: Option<String>,
    /// Its rows.
    #[serde(flatten)]
    pub table: TableProfile,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableProfile {
    /// How many.
    pub rows: u64,
    /// One in so many was looked at closely.
    pub one_in: u64,
    /// Their columns.
    pub columns: Vec<ColumnProfile>,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its type, in Arrow's words.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Nulls in it.
    pub nulls: u64,
    /// The smallest value of a number, date or time.
    pub min: Option<serde_json::Value>,
    /// The largest one.
    pub max: Option<serde_json::Value>,
    /// Distinct values among the rows that were looked at closely, about.
    pub distinct: Option<u64>,
    /// The smallest hashes of its values.
    pub hashes: Hashes,
    /// Hashes, in hexadecimal digits, and shares of the most frequent values, where there are few.
    pub frequent: Vec<(String, f64)>,
    /// The mean of numbers, or of the lengths of texts.
    pub mean: Option<f64>,
    /// Their standard deviation.
    pub deviation: Option<f64>,
    /// Patterns of texts and their shares, the most frequent first.
    pub patterns: Vec<(String, f64)>,
    /// Which share of its values was there before too: in the version before, or in the partition before.
    pub overlap: Option<f64>,
}
