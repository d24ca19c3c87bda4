//! One measure of two profiles, compared: of what, how much it has changed, and how a person reads that.
//!
//! Not for: what is compared with what (`compare`, `column`).

use serde::Serialize;

use super::display::count;

/// Below this number of rows nothing is compared.
pub(super) const MIN_ROWS: u64 = 1000;

/// A measure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Number of rows, as a share of the larger number.
    Rows,
    /// The share of nulls.
    Nulls,
    /// Number of distinct values, as a share of the larger number.
    Distinct,
    /// The share of known values (those that were there before), compared with its usual size.
    Overlap,
    /// The mean of numbers or of string lengths, in standard deviations.
    Mean,
    /// The share of strings with another pattern.
    Pattern,
    /// The share of rows with other values, for columns with few distinct values.
    Values,
    /// Bytes of a row's key and value, as a share of the larger number.
    Size,
    /// The same of an entry, once rows with one key are combined.
    Entry,
}

impl Measure {
    /// Every measure, by the name that job files and messages use.
    pub const ALL: [(&'static str, Self); 9] = [
        ("rows", Self::Rows),
        ("nulls", Self::Nulls),
        ("distinct", Self::Distinct),
        ("overlap", Self::Overlap),
        ("mean", Self::Mean),
        ("pattern", Self::Pattern),
        ("values", Self::Values),
        ("size", Self::Size),
        ("entry", Self::Entry),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, measure)| *measure == self).map_or("", |(name, _)| name)
    }
}

/// A compared measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileChange {
    /// The input; none for the query's result.
    pub input: Option<String>,
    /// The partition; none for all rows.
    pub partition: Option<String>,
    /// The column; none for whole rows.
    pub column: Option<String>,
    /// The measure that was compared.
    pub measure: Measure,
    /// How much it has changed.
    pub amount: f64,
    /// The earlier value.
    pub from: String,
    /// The new value.
    pub to: String,
    /// Whether it was compared with another partition of the same run, as there is no earlier version.
    pub within: bool,
    /// Whether too little is known of what is usual for the change to stop a publish.
    #[serde(skip)]
    pub provisional: bool,
}

impl ProfileChange {
    /// What changed: `events/date=2026-11-26 action pattern`.
    pub fn title(&self) -> String {
        let input = self.input.as_deref().unwrap_or("result");
        let partition = self.partition.iter().map(|partition| format!("/{partition}")).collect::<String>();
        let column = self.column.iter().map(|column| format!(" {column}")).collect::<String>();
        format!("{input}{partition}{column} {}", self.measure.name())
    }
}

/// The input, partition and column that measures belong to.
#[derive(Clone)]
pub(super) struct Of {
    pub(super) input: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) within: bool,
    /// Whether both sides represent the same time, such as a day that was built again.
    pub(super) same_time: bool,
}

impl Of {
    pub(super) fn change(
        &self,
        column: Option<&str>,
        measure: Measure,
        amount: f64,
        from: String,
        to: String,
    ) -> ProfileChange {
        ProfileChange {
            input: self.input.clone(),
            partition: self.partition.clone(),
            column: column.map(str::to_owned),
            measure,
            amount,
            from,
            to,
            within: self.within,
            provisional: self.within,
        }
    }

    /// Compares the mean size of N bytes in N rows with that of other ones.
    pub(super) fn size(&self, measure: Measure, from: (u64, u64), to: (u64, u64)) -> Option<ProfileChange> {
        if from.1.min(to.1) < MIN_ROWS {
            return None;
        }
        let mean = |(bytes, rows): (u64, u64)| bytes as f64 / rows as f64;
        let (from, to) = (mean(from), mean(to));
        let shown = |size: f64| format!("{size:.1} bytes");
        Some(self.change(None, measure, of_larger(from, to), shown(from), shown(to)))
    }

    pub(super) fn rows(&self, from: u64, to: u64) -> ProfileChange {
        self.change(None, Measure::Rows, of_larger(from as f64, to as f64), count(from), count(to))
    }
}

/// A difference as a share of the larger of two numbers.
pub(super) fn of_larger(from: f64, to: f64) -> f64 {
    let larger = from.max(to);
    if larger > 0.0 { (from - to).abs() / larger } else { 0.0 }
}
