//! Compares two profiles: the newest date partition of each input with the one that was newest before, and the query's
//! result with the result before.
//!
//! A change is a number from 0 (unchanged) to 1 (entirely different); for means it is in standard deviations. If there
//! is no version to compare with, the newest partition of an input is compared with the one before it.
//!
//! How many rows an input has is known from its files, whatever the query's filter let the scan skip. Columns are
//! compared only if about the same fraction of the rows was read both times: what is skipped depends on how the rows
//! lie in the files, and the same rows may come in other files.
//!
//! Not for: which change is too large (`check`).

use std::collections::HashMap;

use serde::Serialize;

use super::change::{MIN_ROWS, Measure, Of, ProfileChange};
use super::display::percent;
use super::{MAX_COLUMNS, column};
use crate::format::{ColumnProfile, InputProfile, PartProfile, Profile, TableProfile};

/// Fractions of rows read that differ by more than this are of files with another layout.
const SAME_FRACTION: f64 = 0.1;

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// All measures that were compared.
    pub changes: Vec<ProfileChange>,
    /// What was not compared, and why, as sentences.
    pub left_out: Vec<String>,
}

/// Compares the profile of a run with that of the version before. The overlap of column values is recorded in `now`, as
/// the reference for the next version; unless `same_time`, if both represent the same time, such as a day that was
/// built again: that says nothing of what is usual from one day to the next.
pub fn compare(before: Option<&Profile>, now: &mut Profile, same_time: bool) -> Comparison {
    let mut comparison = Comparison::default();
    for input in &mut now.inputs {
        match before.map(|before| before.inputs.iter().find(|before| before.name == input.name)) {
            Some(Some(before)) => comparison.input(before, input, same_time),
            Some(None) => comparison.left_out(format!("input {} is new", input.name)),
            None => comparison.within(input),
        }
    }
    let Some(before) = before else { return comparison };
    if before.query != now.query {
        comparison.left_out("the query has changed, so its result is not compared".to_owned());
        return comparison;
    }
    let of = Of { input: None, partition: None, within: false, same_time };
    if before.result.rows >= MIN_ROWS {
        comparison.changes.push(of.rows(before.result.rows, now.result.rows));
    }
    comparison.table(&of, &before.result, &mut now.result);
    let rows = |of: &Profile| (of.key_bytes + of.value_bytes, of.result.rows);
    let entries = |of: &Profile| (of.entry_bytes, of.entries);
    comparison.changes.extend(of.size(Measure::Size, rows(before), rows(now)));
    comparison.changes.extend(of.size(Measure::Entry, entries(before), entries(now)));
    comparison
}

impl Comparison {
    /// The changes, the largest first, each relative to what `bound` allows.
    pub fn largest(&self, bound: impl Fn(&ProfileChange) -> f64) -> Vec<&ProfileChange> {
        let mut changes: Vec<&ProfileChange> = self.changes.iter().filter(|change| change.amount > 0.0).collect();
        changes.sort_by(|one, other| (other.amount / bound(other)).total_cmp(&(one.amount / bound(one))));
        changes
    }

    fn left_out(&mut self, why: String) {
        self.left_out.push(why);
    }

    fn input(&mut self, before: &InputProfile, now: &mut InputProfile, same_time: bool) {
        let partition_before = before.tables.last().and_then(|part| part.partition.as_ref());
        let of = |partition: Option<&String>| Of {
            input: Some(now.name.clone()),
            partition: partition.cloned(),
            within: false,
            same_time: partition.map_or(same_time, |partition| Some(partition) == partition_before),
        };
        let whole = [(before.listed, now.listed), (before.read, now.read), (before.rows, now.rows)];
        let whole = whole.into_iter().find_map(|(from, to)| from.zip(to));
        if let Some((from, to)) = whole.filter(|(from, _)| *from >= MIN_ROWS) {
            self.changes.push(of(None).rows(from, to));
        }
        let newest = now.tables.last().and_then(|part| part.partition.clone());
        for (partition, from) in &before.partitions {
            let same = now.partitions.iter().find(|(now, _)| now == partition && newest.as_ref() != Some(now));
            if let Some((_, to)) = same.filter(|_| *from >= MIN_ROWS) {
                self.changes.push(of(Some(partition)).rows(*from, *to));
            }
        }
        let of_newest = of(newest.as_ref());
        match (before.tables.last(), now.tables.last_mut()) {
            (Some(from), Some(to)) if from.partition.is_some() == to.partition.is_some() => {
                self.part(&of_newest, from, to);
            }
            (Some(_), Some(_)) => {
                self.left_out(format!("{} has date partitions in only one of the two versions", now.name))
            }
            _ => self.left_out(format!("{} was not read to its end, so its columns were not measured", now.name)),
        }
    }

    /// Compares the newest partition with the one before it.
    fn within(&mut self, input: &mut InputProfile) {
        if let [.., before, newest] = input.tables.as_mut_slice() {
            let partition = newest.partition.clone();
            let of = Of { input: Some(input.name.clone()), partition, within: true, same_time: false };
            self.part(&of, before, newest);
        }
    }

    /// Compares two partitions, or two whole inputs, whose row count is compared as a measure of its own.
    fn part(&mut self, of: &Of, from: &PartProfile, to: &mut PartProfile) {
        if of.partition.is_some() && from.rows() >= MIN_ROWS {
            self.changes.push(of.rows(from.rows(), to.rows()));
        }
        let fractions = from.fraction_read().zip(to.fraction_read());
        if let Some((before, now)) = fractions.filter(|(before, now)| (before - now).abs() > SAME_FRACTION) {
            self.left_out(format!(
                "of {}, {} of the rows were read and {} before, as the query's filter let the rest be skipped, so its \
                 columns are not compared",
                of.input.as_deref().unwrap_or("the result"),
                percent(now),
                percent(before),
            ));
            // What was usual is still so.
            let known = columns(&from.table);
            for now in &mut to.table.columns {
                now.overlaps = known.get(now.name.as_str()).map(|before| column::usual(before)).unwrap_or_default();
            }
            return;
        }
        self.table(of, &from.table, &mut to.table);
    }

    fn table(&mut self, of: &Of, from: &TableProfile, to: &mut TableProfile) {
        if from.rows < MIN_ROWS {
            return;
        }
        if to.rows == 0 {
            return;
        }
        let alike = from.one_in == to.one_in;
        let of = &Of { same_time: of.same_time || same_rows(from, to), ..of.clone() };
        let known = columns(from);
        for now in to.columns.iter_mut().take(MAX_COLUMNS) {
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

/// Whether both seem to be of the same rows.
fn same_rows(one: &TableProfile, other: &TableProfile) -> bool {
    let same = |(one, other): (&ColumnProfile, &ColumnProfile)| {
        (&one.hashes, &one.nulls, &one.min, &one.max) == (&other.hashes, &other.nulls, &other.min, &other.max)
    };
    one.rows == other.rows && one.columns.iter().zip(&other.columns).all(same)
}

fn columns(table: &TableProfile) -> HashMap<&str, &ColumnProfile> {
    table.columns.iter().map(|column| (column.name.as_str(), column)).collect()
}
