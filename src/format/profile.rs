//! What a version's rows looked like on their way, as recorded in the manifest.
//!
//! Values may be personal: a profile holds hashes of values, patterns and lengths of strings, and smallest and largest
//! values only of numbers, dates and times. Not for: measuring rows or comparing profiles (`profile`).

use serde::{Deserialize, Serialize};

use super::hashes::Hashes;

/// The profile of a version: of its inputs and of its result.
///
/// ```
/// use cutover::format::Manifest;
///
/// /// Rows that a version's query read of an input.
/// fn rows_read(manifest: &Manifest, input: &str) -> Option<u64> {
///     manifest.profile.as_ref()?.inputs.iter().find(|profile| profile.name == input)?.read
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Hash of the SQL: another query is expected to have other results.
    pub query: String,
    /// The inputs, as they were read.
    pub inputs: Vec<InputProfile>,
    /// The query's result, before the fold.
    pub result: TableProfile,
    /// Bytes of the keys of these rows.
    pub key_bytes: u64,
    /// Bytes of the values of these rows.
    pub value_bytes: u64,
    /// Entries of the version, after rows with one key are combined.
    #[serde(default)]
    pub entries: u64,
    /// Bytes of the entries' keys and values.
    #[serde(default)]
    pub entry_bytes: u64,
}

/// The profile of one input, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputProfile {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, if known from the files.
    pub rows: Option<u64>,
    /// Rows that the query read; none if it did not read to the end.
    pub read: Option<u64>,
    /// Rows of the files that the query read from, if known: also those that it could skip, as its filter keeps none.
    #[serde(default)]
    pub listed: Option<u64>,
    /// Rows per date partition, the newest 100: those of its files, or those read where the files do not record it.
    pub partitions: Vec<(String, u64)>,
    /// Profiles of the columns in use: of the newest date partitions, in order, if there are any; otherwise of all
    /// rows.
    pub tables: Vec<PartProfile>,
}

/// The profile of one partition, or of all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartProfile {
    /// The partition; none for all.
    pub partition: Option<String>,
    /// Rows of its files, if known, including those that the query could skip.
    #[serde(default)]
    pub listed: Option<u64>,
    /// The profile of the rows that were read.
    #[serde(flatten)]
    pub table: TableProfile,
}

/// The profile of some rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableProfile {
    /// How many.
    pub rows: u64,
    /// Sampling rate: one in `one_in` rows was sampled.
    pub one_in: u64,
    /// Their columns.
    pub columns: Vec<ColumnProfile>,
}

/// The profile of one column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Number of nulls.
    pub nulls: u64,
    /// The smallest value, of numbers, dates and times.
    pub min: Option<serde_json::Value>,
    /// The largest value.
    pub max: Option<serde_json::Value>,
    /// Estimated number of distinct values in the sampled rows.
    pub distinct: Option<u64>,
    /// The smallest hashes of its values.
    pub hashes: Hashes,
    /// The most frequent values, as hashes in hexadecimal digits with their shares, if there are few distinct values.
    pub frequent: Vec<(String, f64)>,
    /// The mean of numbers, or of string lengths.
    pub mean: Option<f64>,
    /// Their standard deviation.
    pub deviation: Option<f64>,
    /// Patterns of strings and their shares, the most frequent first.
    pub patterns: Vec<(String, f64)>,
    /// The share of its values that were in the version before, or in the partition before.
    pub overlap: Option<f64>,
    /// The same of the last comparisons with data of another time, the newest last: what is usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<f64>,
}

impl PartProfile {
    /// The fraction of its rows that was read, if known.
    pub fn fraction_read(&self) -> Option<f64> {
        self.listed.map(|listed| self.table.rows as f64 / listed.max(1) as f64)
    }

    /// Rows of its files, or those read where the files do not record it.
    pub fn rows(&self) -> u64 {
        self.listed.unwrap_or(self.table.rows)
    }
}
