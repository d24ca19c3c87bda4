//! What has changed between two profiles, and how much: the newest day of each input with the newest one before, and
//! the query's result with the result before.
//!
//! A change is a number: 0 where all is as before, and 1 where nothing is (a mean's is in standard deviations). Where
//! there is no version to compare with, the newest partition of an input is held against the one before it.
//!
//! Not for: which change is too much (`check`).

use std::collections::HashMap;

use serde::Serialize;

use super::column;
use super::display::count;
use super::{ColumnProfile, InputProfile, MOST_COLUMNS, Profile, TableProfile};

/// Rows below which a comparison says little.
const LEAST_ROWS: u64 = 1000;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Rows, as a share of the larger number.
    Rows,
    /// The share of nulls.
    Nulls,
    /// Distinct values, as a share of the larger number.
    Distinct,
    /// Values that are no longer among those seen before, as a share of what is usual.
    Overlap,
    /// The mean of numbers or of lengths of texts, in standard deviations.
    Mean,
    /// The share of texts that have another pattern.
    Pattern,
    /// The share of rows that have other values, of columns with few values.
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

/// One measure that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Of which input; none: of the query's result.
    pub input: Option<String>,
    /// Of which of its partitions; none: of all its rows.
    pub partition: Option<String>,
    /// Of which column; none: of whole rows.
    pub column: Option<String>,
    /// What was compared.
    pub measure: Measure,
    /// How much it has changed.
    pub amount: f64,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Whether it was compared with another partition of the same run, for want of a version.
    pub within: bool,
}

impl Change {
    /// What the change is of: `events/date=2026-11-26 action pattern`.
    pub fn title(&self) -> String {
        let input = self.input.as_deref().unwrap_or("result");
        let partition = self.partition.iter().map(|partition| format!("/{partition}")).collect::<String>();
        let column = self.column.iter().map(|column| format!(" {column}")).collect::<String>();
        format!("{input}{partition}{column} {}", self.measure.name())
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Every measure that was compared.
    pub changes: Vec<Change>,
    /// What was not compared, and why: sentences.
    pub left_out: Vec<String>,
}

/// Compares what a run has measured with the profile of the version before. What their columns have in common is noted
/// in `now`: the next version is held against it.
pub fn compare(before: Option<&Profile>, now: &mut Profile) -> Comparison {
    let mut comparison = Comparison::default();
    for input in &mut now.inputs {
        match before.map(|before| before.inputs.iter().find(|before| before.name == input.name)) {
            Some(Some(before)) => comparison.input(before, input),
            Some(None) => comparison.left_out(format!("input {} was not there before", input.name)),
            None => comparison.within(input),
        }
    }
    let Some(before) = before else { return comparison };
    if before.query != now.query {
        comparison.left_out("the query is another one, so its result is not compared".to_owned());
        return comparison;
    }
    let of = Of { input: None, partition: None, within: false };
    comparison.table(&of, &before.result, &mut now.result);
    let rows = |of: &Profile| (of.key_bytes + of.value_bytes, of.result.rows);
    let entries = |of: &Profile| (of.entry_bytes, of.entries);
    comparison.changes.extend(of.size(Measure::Size, rows(before), rows(now)));
    comparison.changes.extend(of.size(Measure::Entry, entries(before), entries(now)));
    comparison
}

/// What measures are of.
pub(super) struct Of {
    input: Option<String>,
    partition: Option<String>,
    within: bool,
}

impl Of {
    pub(super) fn change(
        &self,
        column: Option<&str>,
        measure: Measure,
        amount: f64,
        from: String,
        to: String,
    ) -> Change {
        Change {
            input: self.input.clone(),
            partition: self.partition.clone(),
            column: column.map(str::to_owned),
            measure,
            amount,
            from,
            to,
            within: self.within,
        }
    }

    /// Compares the mean size of so many bytes in so many rows.
    fn size(&self, measure: Measure, from: (u64, u64), to: (u64, u64)) -> Option<Change> {
        if from.1.min(to.1) < LEAST_ROWS {
            return None;
        }
        let mean = |(bytes, rows): (u64, u64)| bytes as f64 / rows as f64;
        let (from, to) = (mean(from), mean(to));
        let shown = |size: f64| format!("{size:.1} bytes");
        Some(self.change(None, measure, column::of_larger(from, to), shown(from), shown(to)))
    }

    fn rows(&self, from: u64, to: u64) -> Change {
        self.change(None, Measure::Rows, column::of_larger(from as f64, to as f64), count(from), count(to))
    }
}

impl Comparison {
    /// The changes, the largest first, as so many times what `bound` allows.
    pub fn largest(&self, bound: impl Fn(&Change) -> f64) -> Vec<&Change> {
        let mut changes: Vec<&Change> = self.changes.iter().filter(|change| change.amount > 0.0).collect();
        changes.sort_by(|one, other| (other.amount / bound(other)).total_cmp(&(one.amount / bound(one))));
        changes
    }

    fn left_out(&mut self, why: String) {
        self.left_out.push(why);
    }

    fn input(&mut self, before: &InputProfile, now: &mut InputProfile) {
        let of = |partition: Option<&String>| Of {
            input: Some(now.name.clone()),
            partition: partition.cloned(),
            within: false,
        };
        let whole = [(before.read, now.read), (before.rows, now.rows)].into_iter().find_map(|(from, to)| from.zip(to));
        if let Some((from, to)) = whole.filter(|(from, _)| *from >= LEAST_ROWS) {
            self.changes.push(of(None).rows(from, to));
        }
        let newest = now.tables.last().and_then(|part| part.partition.clone());
        for (partition, from) in &before.partitions {
            let same = now.partitions.iter().find(|(now, _)| now == partition && newest.as_ref() != Some(now));
            if let Some((_, to)) = same.filter(|_| *from >= LEAST_ROWS) {
                self.changes.push(of(Some(partition)).rows(*from, *to));
            }
        }
        let of_newest = of(newest.as_ref());
        match (before.tables.last(), now.tables.last_mut()) {
            (Some(from), Some(to)) if from.partition.is_some() == to.partition.is_some() => {
                self.table(&of_newest, &from.table, &mut to.table);
            }
            (Some(_), Some(_)) => self.left_out(format!("the partitions of {} came or went", now.name)),
            _ => self.left_out(format!("{} was not read to its end, so its columns were not measured", now.name)),
        }
    }

    /// The newest partition against the one before it.
    fn within(&mut self, input: &mut InputProfile) {
        if let [.., before, newest] = input.tables.as_mut_slice() {
            let of = Of { input: Some(input.name.clone()), partition: newest.partition.clone(), within: true };
            self.table(&of, &before.table, &mut newest.table);
        }
    }

    fn table(&mut self, of: &Of, from: &TableProfile, to: &mut TableProfile) {
        if from.rows < LEAST_ROWS {
            return;
        }
        // The rows of a whole input are compared as what was read of it.
        if of.partition.is_some() || of.input.is_none() {
            self.changes.push(of.rows(from.rows, to.rows));
        }
        if to.rows == 0 {
            return;
        }
        let alike = from.one_in == to.one_in;
        let known: HashMap<&str, &ColumnProfile> =
            from.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        for now in to.columns.iter_mut().take(MOST_COLUMNS) {
            let Some(before) = known.get(now.name.as_str()).copied() else { continue };
            if before.type_name != now.type_name {
                let (name, old, new) = (&now.name, &before.type_name, &now.type_name);
                self.left_out.push(format!("column {name} was {old} and is {new}"));
                continue;
            }
            let looked_at = from.rows / from.one_in.max(1);
            let rows = column::Rows { from: from.rows, to: to.rows, looked_at, alike };
            self.changes.extend(column::changes(of, &rows, before, now));
        }
    }
}
