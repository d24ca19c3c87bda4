//! Compares one column's profile with the one before.
//!
//! Some columns change every day as expected: dates, times, counters, and values that occur once. They are recognized
//! by types, patterns and ranges, and by how many of a column's values were new the time before.
//!
//! Not for: which columns are compared (see `compare`).

use super::change::{Measure, Of, ProfileChange, of_larger};
use super::display::{count, number, percent};
use super::{distinct, pattern};
use crate::format::ColumnProfile;

/// Numbers of distinct values that are few and all known, so that they are expected to recur.
const FEW: std::ops::Range<u64> = 4..distinct::KEPT as u64;
/// Below this number of distinct values, one more or less means nothing.
const MIN_DISTINCT: u64 = 3;
/// The least share of values that must have been known before for a decrease of it to be significant.
const MIN_USUAL: f64 = 0.3;
/// If the smaller number of distinct values is a smaller share of the larger one, a sample cannot show their overlap.
const MIN_RATIO: f64 = 0.05;
/// The least scale of a change of the mean, as a fraction of the mean, however small the standard deviation is.
const PART_OF_MEAN: f64 = 0.1;
/// Overlaps that are remembered. The least of them is the usual one, so a single day that repeats another changes
/// nothing.
const REMEMBERED: usize = 5;
/// With fewer of them a change of the overlap does not stop a publish.
const ENOUGH: usize = 2;
/// From this ratio of distinct values to rows on, a column may be a counter.
const COUNTERS: f64 = 0.2;

/// The row counts of both sides.
pub(super) struct Rows {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Rows of the earlier side that were sampled.
    pub(super) looked_at: u64,
    /// Whether both sides were sampled at the same rate.
    pub(super) alike: bool,
}

/// All changes of a column. The overlap of its values is recorded in `now`.
pub(super) fn changes(of: &Of, rows: &Rows, before: &ColumnProfile, now: &mut ColumnProfile) -> Vec<ProfileChange> {
    let mut found = vec![nulls(rows, before, now)];
    now.overlaps = usual(before);
    if rows.alike {
        now.overlap = common(before, now);
        found.push(distinct(before, now));
        found.push(overlap(before, now));
        // Rows of the same time say nothing of how values change with time.
        if !of.same_time {
            now.overlaps.extend(now.overlap);
            now.overlaps.drain(..now.overlaps.len().saturating_sub(REMEMBERED));
        }
    }
    found.push(mean(rows, before, now));
    found.push(patterns(before, now));
    found.push(values(before, now));
    let learnt = usual(before).len() >= ENOUGH;
    let change = |(measure, amount, from, to): Found| {
        let mut change = of.change(Some(&now.name), measure, amount, from, to);
        change.provisional |= measure == Measure::Overlap && !learnt;
        change
    };
    found.into_iter().flatten().map(change).collect()
}

/// The overlaps of the last comparisons; a version of before they were remembered has one.
pub(super) fn usual(before: &ColumnProfile) -> Vec<f64> {
    match before.overlaps.is_empty() {
        true => before.overlap.into_iter().collect(),
        false => before.overlaps.clone(),
    }
}

type Found = (Measure, f64, String, String);

fn nulls(rows: &Rows, before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let (from, to) = (before.nulls as f64 / rows.from as f64, now.nulls as f64 / rows.to as f64);
    Some((Measure::Nulls, (from - to).abs(), percent(from), percent(to)))
}

fn distinct(before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let (from, to) = before.distinct.zip(now.distinct).filter(|(from, to)| *from.max(to) >= MIN_DISTINCT)?;
    let shown = |distinct| {
        if distinct < distinct::KEPT as u64 { count(distinct) } else { format!("about {}", count(distinct)) }
    };
    Some((Measure::Distinct, of_larger(from as f64, to as f64), shown(from), shown(to)))
}

/// The share of values that were there before.
fn common(before: &ColumnProfile, now: &ColumnProfile) -> Option<f64> {
    let (of_before, of_now) = before.distinct.zip(now.distinct)?;
    let alike = of_larger(of_before as f64, of_now as f64) <= 1.0 - MIN_RATIO;
    let all_known = of_before.max(of_now) < distinct::KEPT as u64;
    if !(alike || all_known) || moves_on(before, now) {
        return None;
    }
    distinct::overlap(before.hashes.as_slice(), now.hashes.as_slice(), of_before, of_now)
}

fn overlap(before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let few = before.distinct.is_some_and(|distinct| FEW.contains(&distinct));
    let least = usual(before).into_iter().reduce(f64::min);
    let usual = least.or(few.then_some(1.0)).filter(|usual| *usual >= MIN_USUAL)?;
    let found = now.overlap?;
    let from = format!("{} of its values known", percent(usual));
    Some((Measure::Overlap, (1.0 - found / usual).max(0.0), from, percent(found)))
}

fn mean(rows: &Rows, before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let ((from, of_from), (to, of_to)) = before.mean.zip(before.deviation).zip(now.mean.zip(now.deviation))?;
    let own = before.distinct.unwrap_or(0) as f64 / rows.looked_at.max(1) as f64;
    if is_integer(before) && own >= COUNTERS && grows(before, now) {
        return None;
    }
    // If a column has one value in each version, such as a load number, its mean says nothing.
    if of_from == 0.0 && of_to == 0.0 {
        return None;
    }
    let scale = |mean: f64, deviation: f64| deviation.max(mean.abs() * PART_OF_MEAN);
    let scale = [scale(from, of_from), scale(to, of_to)].into_iter().find(|scale| *scale > 0.0).unwrap_or(1.0);
    let what = if before.patterns.is_empty() { "" } else { " letters" };
    let shown = |mean| format!("about {}{what}", number(mean));
    Some((Measure::Mean, (from - to).abs() / scale, shown(from), shown(to)))
}

fn patterns(before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let (from, to) = (&before.patterns, &now.patterns);
    if from.is_empty() || to.is_empty() {
        return None;
    }
    let first = |shares: &[(String, f64)]| -> String {
        shares.first().map_or(String::new(), |(pattern, share)| format!("{pattern:?} in {}", percent(*share)))
    };
    Some((Measure::Pattern, distance(from, to), first(from), first(to)))
}

fn values(before: &ColumnProfile, now: &ColumnProfile) -> Option<Found> {
    let (from, to) = (&before.frequent, &now.frequent);
    if from.is_empty() || to.is_empty() || moves_on(before, now) || from.len().max(to.len()) < 2 {
        return None;
    }
    let changed = distance(from, to);
    Some((
        Measure::Values,
        changed,
        "the usual shares of its values".to_owned(),
        format!("other values in {} of the rows", percent(changed)),
    ))
}

/// The total variation distance between two lists of shares. A value that one list does not name may be as frequent
/// there as the rarest that it names.
fn distance(from: &[(String, f64)], to: &[(String, f64)]) -> f64 {
    let more = |one: &[(String, f64)], other: &[(String, f64)]| -> f64 {
        let named: f64 = other.iter().map(|(_, share)| share).sum();
        let least = other.last().map_or(0.0, |(_, share)| *share).min((1.0 - named).max(0.0));
        let share = |of: &String| other.iter().find(|(name, _)| name == of).map_or(least, |(_, share)| *share);
        one.iter().map(|(name, of_one)| (of_one - share(name)).max(0.0)).sum()
    };
    more(from, to).max(more(to, from))
}

fn is_integer(column: &ColumnProfile) -> bool {
    column.type_name.contains("Int")
}

/// Whether a column's values are expected to be new every time: dates, times, counters and measurements.
fn moves_on(before: &ColumnProfile, now: &ColumnProfile) -> bool {
    let measured = ["Float", "Decimal", "Date", "Time", "Duration"];
    let dates = |column: &ColumnProfile| column.patterns.first().is_some_and(|(first, _)| pattern::is_date(first));
    measured.iter().any(|measured| before.type_name.starts_with(measured))
        || (dates(before) && dates(now))
        || (is_integer(before) && grows_past(before, now))
}

fn bounds(column: &ColumnProfile) -> Option<(f64, f64)> {
    column.min.as_ref()?.as_f64().zip(column.max.as_ref()?.as_f64())
}

/// Whether both ends of a column's range have increased.
fn grows(before: &ColumnProfile, now: &ColumnProfile) -> bool {
    bounds(before).zip(bounds(now)).is_some_and(|(before, now)| now.0 > before.0 && now.1 > before.1)
}

/// Whether all values are greater than all those before.
fn grows_past(before: &ColumnProfile, now: &ColumnProfile) -> bool {
    bounds(before).zip(bounds(now)).is_some_and(|(before, now)| now.0 > before.1)
}
