//! Compares two profiles: the newest date partition of each input with the one that was newest before, and the query's
//! result with the result before.
//!
//! A change is a number from 0 (unchanged) to 1 (entirely different); for means it is in standard deviations. If there
//! is no version to compare with, the newest partition of an input is compared with the one before it.
//!
//! Not for: which change is too large (`check`).

use std::collections::HashMap;

use serde::Serialize;

use super::change::{MIN_ROWS, Measure, Of, ProfileChange};
use super::{MAX_COLUMNS, column};
use crate::format::{ColumnProfile, InputProfile, Profile, TableProfile};

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// All measures that were compared.
    pub changes: Vec<ProfileChange>,
    /// What was not compared, and why, as sentences.
    pub left_out: Vec<String>,
}

/// Compares the profile of a run with that of the version before. The overlap of column values is recorded in `now`, as
/// the reference for the next version.
pub fn compare(before: Option<&Profile>, now: &mut Profile) -> Comparison {
    let mut comparison = Comparison::default();
    for input in &mut now.inputs {
        match before.map(|before| before.inputs.iter().find(|before| before.name == input.name)) {
            Some(Some(before)) => comparison.input(before, input),
            Some(None) => comparison.left_out(format!("input {} is new", input.name)),
            None => comparison.within(input),
        }
    }
    let Some(before) = before else { return comparison };
    if before.query != now.query {
        comparison.left_out("the query has changed, so its result is not compared".to_owned());
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

    fn input(&mut self, before: &InputProfile, now: &mut InputProfile) {
        let of = |partition: Option<&String>| Of {
            input: Some(now.name.clone()),
            partition: partition.cloned(),
            within: false,
        };
        let whole = [(before.read, now.read), (before.rows, now.rows)].into_iter().find_map(|(from, to)| from.zip(to));
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
                self.table(&of_newest, &from.table, &mut to.table);
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
            let of = Of { input: Some(input.name.clone()), partition: newest.partition.clone(), within: true };
            self.table(&of, &before.table, &mut newest.table);
        }
    }

    fn table(&mut self, of: &Of, from: &TableProfile, to: &mut TableProfile) {
        if from.rows < MIN_ROWS {
            return;
        }
        // The row count of a whole input is compared as rows read instead.
        if of.partition.is_some() || of.input.is_none() {
            self.changes.push(of.rows(from.rows, to.rows));
        }
        if to.rows == 0 {
            return;
        }
        let alike = from.one_in == to.one_in;
        let known: HashMap<&str, &ColumnProfile> =
            from.columns.iter().map(|column| (column.name.as_str(), column)).collect();
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
