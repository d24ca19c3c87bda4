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
mod pattern;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use compare::{Change, Comparison, Measure, compare};
pub use table::{Seed, TableSketch};

use crate::format::{Hashes, Profile};

/// Bytes of hashes that a profile may have as JSON, about.
const MOST_HASH_BYTES: usize = 64 << 10;
/// Partitions whose rows a profile names: the newest.
const MOST_PARTITIONS: usize = 100;

impl Profile {
    /// Brings the profile to a bounded size: fewer hashes where there are many columns, and only the newest partitions.
    pub fn trim(&mut self) {
        for input in &mut self.inputs {
            input.partitions.drain(..input.partitions.len().saturating_sub(MOST_PARTITIONS));
        }
        let tables = self.inputs.iter_mut().flat_map(|input| &mut input.tables).map(|part| &mut part.table);
        let mut columns: Vec<_> = tables.chain([&mut self.result]).flat_map(|table| &mut table.columns).collect();
        let kept = MOST_HASH_BYTES / (Hashes::DIGITS * columns.len().max(1));
        columns.iter_mut().for_each(|column| column.hashes.truncate(kept));
    }
}
