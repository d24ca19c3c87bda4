//! What a version's rows look like: measured while they pass, kept in the manifest, compared with the version before.
//!
//! ```text
//!  scans of inputs ─┐
//!                   ├─▶ TableSketch, one per thread ─▶ TableProfile ─▶ manifest ─▶ compare: what has changed how much
//!  query's result ──┘     distinct, sample, extremes
//! ```
//! The same rows give the same profile, whatever the threads, the memory and the order of rows. Rows, nulls and
//! smallest and largest values are exact; the rest are estimates, from some of the rows where there are many.
//!
//! Values may be personal. A profile holds hashes of values, keyed with the dataset's name, the patterns of texts and
//! their lengths; smallest and largest only of numbers, dates and times. Hashes are pseudonyms: who knows the dataset's
//! name can find out whether a value that they guess is there.
//!
//! Not for: what is too much of a change (`check`), and how inputs are read (`query`).

mod cells;
mod column;
mod compare;
mod display;
mod distinct;
mod extremes;
mod hashes;
mod pattern;
mod sample;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use compare::{Change, Comparison, Measure, compare};
pub use hashes::Hashes;
pub use table::{Seed, TableSketch};

/// Bytes of hashes that a profile may have as JSON, about.
const MOST_HASH_BYTES: usize = 64 << 10;
/// Columns of a table that are measured; of those behind them in a result, nulls are counted.
const MOST_COLUMNS: usize = 1024;
/// Partitions whose rows a profile names: the newest.
const MOST_PARTITIONS: usize = 100;

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
    /// Entries that are left of them, once rows with one key are combined.
    #[serde(default)]
    pub entries: u64,
    /// Bytes of their keys and values.
    #[serde(default)]
    pub entry_bytes: u64,
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

impl Profile {
    /// Brings the profile to a bounded size: fewer hashes where there are many columns, not all columns of inputs, and
    /// only the newest partitions.
    pub fn trim(&mut self) {
        for input in &mut self.inputs {
            input.partitions.drain(..input.partitions.len().saturating_sub(MOST_PARTITIONS));
        }
        let parts = self.inputs.iter_mut().flat_map(|input| &mut input.tables);
        let tables = parts.map(|part| &mut part.table).map(|table| {
            table.columns.truncate(MOST_COLUMNS);
            table
        });
        let mut columns: Vec<_> = tables.chain([&mut self.result]).flat_map(|table| &mut table.columns).collect();
        let kept = MOST_HASH_BYTES / (Hashes::DIGITS * columns.len().max(1));
        columns.iter_mut().for_each(|column| column.hashes.truncate(kept));
    }
}
