//! Profiles of a version's rows: measured while rows pass, kept in the manifest, compared with the version before.
//!
//! ```text
//!  scans of inputs ─┐
//!                   ├─▶ TableSketch, one per thread ─▶ TableProfile ─▶ manifest ─▶ compare: what changed, by how much
//!  query's result ──┘     distinct, sample, extremes
//! ```
//! The same rows give the same profile, whatever the threads, the memory and the order of rows. Row counts, nulls and
//! smallest and largest values are exact; the rest are estimates, from a sample if there are many rows.
//!
//! Values may be personal data. A profile has hashes of values, keyed with the dataset's name, and the patterns and
//! lengths of strings; smallest and largest values only of numbers, dates and times. Hashes are pseudonyms: anyone who
//! knows the dataset's name can find out whether a guessed value occurs.
//!
//! Not for: which change is too large (`check`), and how inputs are read (`query`).

mod cells;
mod change;
mod column;
mod compare;
mod display;
mod distinct;
mod extremes;
mod pattern;
mod portable;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use change::ProfileChange;
pub use compare::{Comparison, compare};
pub use portable::PortableSketch;
pub use table::{Seed, TableSketch};

use crate::format::{ColumnProfile, ColumnStats, Hashes, Profile};

/// Approximate maximum of a profile's hashes as JSON, in bytes.
const MAX_HASH_BYTES: usize = 64 << 10;
/// Columns of a table that are measured; of those behind them in a result, nulls are counted.
const MAX_COLUMNS: usize = 1024;
/// Partitions whose rows a profile names: the newest.
const MAX_PARTITIONS: usize = 100;

impl Profile {
    /// Brings the profile to a bounded size: fewer hashes where there are many columns, not all columns of inputs, and
    /// only the newest partitions.
    pub fn trim(&mut self) {
        for input in &mut self.inputs {
            input.partitions.drain(..input.partitions.len().saturating_sub(MAX_PARTITIONS));
            input.tables.iter_mut().for_each(|part| part.table.columns.truncate(MAX_COLUMNS));
        }
        let tables = self.inputs.iter_mut().flat_map(|input| &mut input.tables).map(|part| &mut part.table);
        let mut columns: Vec<_> = tables.chain([&mut self.result]).flat_map(|table| &mut table.columns).collect();
        let kept = MAX_HASH_BYTES / (Hashes::DIGITS * columns.len().max(1));
        columns.iter_mut().for_each(|column| column.hashes.truncate(kept));
    }
}

/// Column statistics of the query's result, for the manifest.
pub fn column_stats(profile: &Profile) -> Vec<ColumnStats> {
    let stats = |column: &ColumnProfile| ColumnStats {
        name: column.name.clone(),
        nulls: column.nulls,
        min: column.min.clone(),
        max: column.max.clone(),
    };
    profile.result.columns.iter().map(stats).collect()
}
