//! A sample of a table's distinct rows: those with the smallest hashes, each with its count.
//!
//! Means and patterns are computed from it. It does not depend on the order of the rows nor on how they are distributed
//! to threads, and neither do floating-point sums over it, which are added in the order of the hashes.

use std::collections::BTreeMap;

/// Rows of a sample, if the table has few columns.
const MAX_ROWS: usize = 1024;
/// Rows of a sample, however many columns there are.
const MIN_ROWS: usize = 64;
/// Approximate number of cells of a sample.
const CELLS: usize = 16 << 10;

/// A sampled cell; the number is NaN for null.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) number: f64,
    pub(super) pattern: Option<Box<str>>,
}

/// The rank of a row: by the hash that samples rows, then by the hash of all its cells.
type Place = (u64, u64);

const END: Place = (u64::MAX, u64::MAX);

/// The rows with the smallest hashes.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    most: usize,
    limit: Place,
    pub(super) rows: BTreeMap<Place, (u64, Box<[Cell]>)>,
}

impl Sample {
    /// An empty sample of rows with this many columns.
    pub(super) fn new(columns: usize) -> Self {
        let most = (CELLS / columns.max(1)).clamp(MIN_ROWS, MAX_ROWS);
        Self { most, limit: END, rows: BTreeMap::new() }
    }

    /// Adds a row at its place.
    pub(super) fn add(&mut self, place: Place, cells: impl FnOnce() -> Box<[Cell]>) {
        self.count(place, 1, cells);
    }

    pub(super) fn count(&mut self, place: Place, times: u64, cells: impl FnOnce() -> Box<[Cell]>) {
        if place > self.limit {
            return;
        }
        self.rows.entry(place).or_insert_with(|| (0, cells())).0 += times;
        if self.rows.len() > self.most {
            self.rows.pop_last();
            self.limit = self.rows.last_key_value().map_or(END, |(last, _)| *last);
        }
    }

    /// Adds the rows of another sample.
    pub(super) fn merge(&mut self, other: Self) {
        for (place, (times, cells)) in other.rows {
            self.count(place, times, || cells);
        }
    }

    /// Keeps the rows whose sampling hash is at most `last`.
    pub(super) fn keep(&mut self, last: u64) {
        self.rows.retain(|(of_row, _), _| *of_row <= last);
    }

    /// The non-null cells of a column, each with its row's count.
    fn column(&self, column: usize) -> impl Iterator<Item = (f64, &Cell)> {
        let cells = self.rows.values().filter_map(move |(times, cells)| Some((*times as f64, cells.get(column)?)));
        cells.filter(|(_, cell)| cell.number.is_finite())
    }

    /// Mean and standard deviation of a column's numbers.
    pub(super) fn mean(&self, column: usize) -> Option<(f64, f64)> {
        let times: f64 = self.column(column).map(|(times, _)| times).sum();
        let sum: f64 = self.column(column).map(|(times, cell)| times * cell.number).sum();
        let mean = sum / times;
        let squares: f64 = self.column(column).map(|(times, cell)| times * (cell.number - mean).powi(2)).sum();
        let deviation = (squares / times).sqrt();
        (times > 0.0 && mean.is_finite() && deviation.is_finite()).then_some((mean, deviation))
    }

    /// The share of each pattern among a column's strings, the most frequent first.
    pub(super) fn patterns(&self, column: usize) -> Vec<(String, f64)> {
        let mut times: BTreeMap<&str, f64> = BTreeMap::new();
        for (of_row, cell) in self.column(column) {
            if let Some(pattern) = &cell.pattern {
                *times.entry(pattern).or_default() += of_row;
            }
        }
        let all: f64 = times.values().sum();
        let mut shares: Vec<_> = times.into_iter().map(|(pattern, of)| (pattern.to_owned(), of / all)).collect();
        shares.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        shares
    }
}
