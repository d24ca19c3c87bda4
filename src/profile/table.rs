//! Sketches the rows of a table while they pass: one sketch per thread, merged at the end.
//!
//! ```text
//!  batch ─▶ row count, nulls, smallest, largest: of all rows
//!        └▶ hash of a few columns ─▶ one row in 4^n ─▶ hashes of all columns ─▶ distinct values, sample of rows
//! ```
//! Hashing every cell would cost too much, so rows of large tables are sampled by a hash of their content: the same
//! rows are sampled whatever their order, the threads or the memory. The rate depends on the number of rows alone:
//! sketches of one row in 1, 4, 16 … are built at once, and the densest are dropped as rows become too many.
//!
//! Not for: comparing tables (see `compare`).

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::MAX_COLUMNS;
use super::cells::{Cells, is_hashed, is_text, mix, spread};
use super::distinct::{self, Distinct};
use super::extremes::Extremes;
use super::sample::{Cell, Sample};
use crate::format::{ColumnProfile, TableProfile};

/// Rows of which all are looked at closely.
const ALL_ROWS: u64 = 1 << 14;
/// Of larger tables it is one row in a power of this.
const STEP: u64 = 4;
/// Number of levels.
pub(super) const LEVELS: usize = 7;
/// Columns whose cells are hashed at most: each takes some 40 KiB in every sketch.
const MAX_HASHED: usize = 128;
/// Columns that choose rows. Where there are no more, every row is looked at.
const CHOOSING: usize = 3;
/// Maximum number of patterns and frequent values that a profile lists.
const NAMED: usize = 12;
/// Minimum share of those that are listed.
const MIN_SHARE: f64 = 0.002;

/// The seed of a dataset's hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed of a dataset, derived from its name.
    pub fn new(dataset: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(dataset.as_bytes()))
    }
}

/// The sketch of a table's rows so far.
#[derive(Clone, Debug)]
pub struct TableSketch {
    seed: u64,
    pub(super) schema: SchemaRef,
    /// The densest level that is not dropped.
    pub(super) level: usize,
    /// Columns whose cells are hashed.
    hashed: Vec<usize>,
    /// Those of them whose hash selects rows; empty if all rows are sampled.
    choosing: Vec<usize>,
    pub(super) rows: u64,
    pub(super) columns: Vec<Column>,
    pub(super) sample: Sample,
    /// Sampled rows of a batch, with their levels.
    chosen: Vec<Chosen>,
    hashes: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Chosen {
    row: u32,
    /// The last level that includes it.
    level: usize,
    /// Its sampling hash.
    order: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) nulls: u64,
    pub(super) extremes: Extremes,
    /// Sketches of the hashed columns, for every level.
    pub(super) distinct: Vec<Distinct>,
}

impl TableSketch {
    /// An empty sketch of these columns.
    pub fn new(schema: SchemaRef, seed: Seed) -> Self {
        let type_of = |column: &usize| schema.field(*column).data_type();
        let mut hashed: Vec<usize> = (0..schema.fields().len()).filter(|column| is_hashed(type_of(column))).collect();
        hashed.truncate(MAX_HASHED);
        let mut choosing = Vec::new();
        if hashed.len() > CHOOSING {
            choosing = hashed.clone();
            choosing.sort_by_key(|column| choice(type_of(column)));
            choosing.truncate(CHOOSING);
        }
        let mut columns = vec![Column::default(); schema.fields().len()];
        let levels = if choosing.is_empty() { 1 } else { LEVELS };
        hashed.iter().for_each(|column| columns[*column].distinct = vec![Distinct::default(); levels]);
        let sample = Sample::new(hashed.len());
        let (chosen, hashes) = (Vec::new(), Vec::new());
        Self { seed: seed.0, schema, level: 0, hashed, choosing, rows: 0, columns, sample, chosen, hashes }
    }

    /// The names of its columns.
    pub fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Adds the rows of a batch; columns after the sketch's own are ignored.
    pub fn take(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.logical_null_count() as u64;
        }
        for (column, array) in self.columns.iter_mut().zip(batch.columns()).take(MAX_COLUMNS) {
            column.extremes.take(array);
        }
        let cells: Vec<Option<Cells<'_>>> =
            self.hashed.iter().map(|column| batch.columns().get(*column).and_then(Cells::of)).collect();
        self.choose(batch);
        let (seed, chosen, closest) = (self.seed, &self.chosen, self.level);
        self.hashes.clear();
        self.hashes.resize(chosen.len(), seed);
        for (column, cells) in self.hashed.iter().zip(&cells) {
            let (Some(cells), distinct) = (cells, &mut self.columns[*column].distinct) else { continue };
            let mut rows = self.hashes.iter_mut().zip(chosen);
            cells.hashes(chosen.iter().map(|chosen| chosen.row as usize), seed, |row, hash| {
                let Some((of_row, chosen)) = rows.next() else { return };
                if !cells.is_null(row) {
                    distinct[closest..=chosen.level].iter_mut().for_each(|distinct| distinct.add(hash));
                }
                *of_row = (of_row.rotate_left(7) ^ hash).wrapping_mul(0x9fb2_1c65_1e98_df25);
            });
        }
        for (chosen, hash) in chosen.iter().zip(&self.hashes) {
            let row = chosen.row as usize;
            let made = || cells.iter().map(|cells| cell(cells.as_ref(), row)).collect();
            self.sample.add((chosen.order, mix(*hash, 0)), made);
        }
        self.give_up();
    }

    /// Selects the rows of a batch that are sampled.
    fn choose(&mut self, batch: &RecordBatch) {
        self.chosen.clear();
        if self.choosing.is_empty() {
            let all = 0..batch.num_rows();
            return self.chosen.extend(all.map(|row| Chosen { row: row as u32, level: 0, order: 0 }));
        }
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), self.seed);
        for column in &self.choosing {
            let Some(cells) = batch.columns().get(*column).and_then(Cells::of) else { continue };
            cells.fold_into(&mut self.hashes, self.seed);
        }
        let limit = limit(self.level);
        for (row, hash) in self.hashes.iter().enumerate() {
            let order = spread(*hash);
            if order <= limit {
                let level = (self.level + 1..LEVELS).take_while(|level| order <= self::limit(*level)).last();
                self.chosen.push(Chosen { row: row as u32, level: level.unwrap_or(self.level), order });
            }
        }
    }

    /// Drops levels that have more rows than they need.
    fn give_up(&mut self) {
        while !self.choosing.is_empty() && self.level + 1 < LEVELS && self.rows > ALL_ROWS * one_in(self.level) {
            self.columns.iter_mut().filter_map(|column| column.distinct.get_mut(self.level)).for_each(Distinct::clear);
            self.level += 1;
        }
    }

    /// Adds another sketch of the same table.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.nulls += more.nulls;
            column.extremes.merge(&more.extremes);
            column.distinct.iter_mut().zip(more.distinct).for_each(|(distinct, more)| distinct.merge(more));
        }
        self.sample.merge(other.sample);
        self.level = self.level.max(other.level);
        self.give_up();
    }

    /// The profile of the table.
    pub fn profile(self) -> TableProfile {
        let Self { schema, level, hashed, rows, columns, mut sample, .. } = self;
        let one_in = one_in(level);
        // Removes rows that were added before a level was dropped.
        sample.keep(limit(level));
        let profile = |(place, column): (usize, Column)| {
            let field = schema.field(place);
            let (min, max) = column.extremes.shown();
            let smallest = column.distinct.into_iter().nth(level).map(Distinct::hashes);
            let in_sample = hashed.iter().position(|hashed| *hashed == place);
            let (mean, deviation) = in_sample
                .filter(|_| has_mean(field.data_type()))
                .and_then(|column| sample.mean(column))
                .map_or((None, None), |(mean, deviation)| (Some(rounded(mean)), Some(rounded(deviation))));
            let patterns = in_sample.map(|column| sample.patterns(column)).unwrap_or_default();
            ColumnProfile {
                name: field.name().clone(),
                type_name: field.data_type().to_string(),
                nulls: column.nulls,
                min,
                max,
                // An estimate of many is not more than there are rows.
                distinct: smallest.as_ref().map(|smallest| distinct::estimate(smallest).min(rows - column.nulls)),
                frequent: smallest.as_ref().map(|smallest| frequent(smallest)).unwrap_or_default(),
                hashes: smallest.unwrap_or_default().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>().into(),
                mean,
                deviation,
                patterns: named(patterns),
                overlap: None,
                overlaps: Vec::new(),
            }
        };
        TableProfile { rows, one_in, columns: columns.into_iter().enumerate().map(profile).collect() }
    }
}

/// The sampling rate of a level: one row in this many.
fn one_in(level: usize) -> u64 {
    STEP.pow(level as u32)
}

/// The largest sampling hash of a level.
fn limit(level: usize) -> u64 {
    u64::MAX / one_in(level)
}

/// Ranks columns for selecting rows: those likely to have the most distinct values first.
fn choice(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Int64 | DataType::UInt64 | DataType::Timestamp(..) | DataType::Float64 => 0,
        DataType::Int32 | DataType::UInt32 | DataType::Decimal128(..) => 1,
        _ if is_text(data_type) => 2,
        _ => 3,
    }
}

/// Numbers have a mean, and strings that of their lengths; dates and times change every day.
fn has_mean(data_type: &DataType) -> bool {
    data_type.is_numeric() || is_text(data_type)
}

fn cell(cells: Option<&Cells<'_>>, row: usize) -> Cell {
    match cells.filter(|cells| !cells.is_null(row)) {
        Some(cells) => Cell { number: cells.number(row), pattern: cells.pattern(row) },
        None => Cell { number: f64::NAN, pattern: None },
    }
}

/// The shares of the most frequent values, if all distinct values are known.
fn frequent(smallest: &[(u64, u64)]) -> Vec<(String, f64)> {
    let all: u64 = smallest.iter().map(|(_, times)| times).sum();
    if smallest.len() >= distinct::KEPT {
        return Vec::new();
    }
    let share = |(hash, times): &(u64, u64)| (format!("{hash:016x}"), *times as f64 / all.max(1) as f64);
    let mut shares: Vec<(String, f64)> = smallest.iter().map(share).collect();
    shares.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    named(shares)
}

fn named<T>(shares: Vec<(T, f64)>) -> Vec<(T, f64)> {
    shares
        .into_iter()
        .take(NAMED)
        .filter(|(_, share)| *share >= MIN_SHARE)
        .map(|(of, share)| (of, rounded(share)))
        .collect()
}

/// Rounds to six significant digits.
fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}
