//! Whether measures changed by more than the job allows.
//!
//! Every change beyond its bound is a result of its own. One more result says what was compared, what changed most and
//! what could not be compared. A change only warns where too little is known to stop: in a comparison with another
//! partition of the same run, and of an overlap of which fewer than two days are known.
//!
//! Not for: the definition of a change (`profile`).

use super::{Previous, result};
use crate::format::{CheckOutcome, CheckResult, Compared};
use crate::job::{Bound, Changes};
use crate::profile::{Comparison, ProfileChange};

/// Changes that are listed one by one.
const MAX_REPORTED: usize = 20;
/// Changes that the summary names.
const MOVED: usize = 5;
/// Replaces a bound of zero, so that changes can be ranked by how far beyond their bounds they are.
const MIN_BOUND: f64 = 1e-3;

/// Judges every change.
pub fn changes(bounds: &Changes, comparison: &Comparison, previous: Option<&Previous>) -> Vec<CheckResult> {
    let with = match previous {
        Some(Previous { manifest }) if manifest.profile.is_some() => format!("version {}", manifest.version),
        _ => "the previous partition".to_owned(),
    };
    let mut results = Vec::new();
    let mut beyond = 0;
    for change in moved(bounds, comparison, usize::MAX) {
        let outcome = outcome(bounds, &change);
        if outcome == CheckOutcome::Passed {
            continue;
        }
        beyond += 1;
        if beyond <= MAX_REPORTED || outcome == CheckOutcome::Failed {
            let rule = format!("change: {}", change.title());
            let measure = change.measure.name();
            let allowed = allowed(of(bounds, &change), outcome, measure);
            let expected = format!("{} as in {with}, {allowed}", change.from);
            let found = match measure {
                "rows" | "distinct" | "size" | "entry" => {
                    format!("{}, changed by {}", change.to, amount(change.amount, measure))
                }
                _ => change.to.clone(),
            };
            results.push(result(&rule, outcome, expected, found));
        }
    }
    results.extend(summary(bounds, comparison, previous, &with, beyond));
    results
}

/// The largest changes, relative to their bounds.
pub fn moved(bounds: &Changes, comparison: &Comparison, most: usize) -> Vec<ProfileChange> {
    let warned = |change: &ProfileChange| {
        let bound = of(bounds, change);
        bound.warn.or(bound.stop).map_or(f64::INFINITY, |bound| bound.max(MIN_BOUND))
    };
    comparison.largest(warned).into_iter().take(most).cloned().collect()
}

fn of(bounds: &Changes, change: &ProfileChange) -> Bound {
    bounds.bound(change.input.as_deref(), change.column.as_deref(), change.measure.name())
}

fn outcome(bounds: &Changes, change: &ProfileChange) -> CheckOutcome {
    let bound = of(bounds, change);
    let beyond = |bound: Option<f64>| bound.is_some_and(|bound| change.amount > bound);
    match (beyond(bound.stop), beyond(bound.warn), change.provisional) {
        (true, _, false) => CheckOutcome::Failed,
        (true, _, true) | (_, true, _) => CheckOutcome::Warned,
        _ => CheckOutcome::Passed,
    }
}

fn allowed(bound: Bound, outcome: CheckOutcome, measure: &str) -> String {
    let bound = if outcome == CheckOutcome::Failed { bound.stop } else { bound.warn.or(bound.stop) };
    bound.map_or(String::new(), |bound| format!("a change of at most {}", amount(bound, measure)))
}

/// `12.5 %`, or for a mean `1.2 standard deviations`.
fn amount(amount: f64, measure: &str) -> String {
    let number = |number: f64| format!("{number:.1}").trim_end_matches(".0").to_owned();
    match measure {
        "mean" => format!("{} standard deviations", number(amount)),
        _ => format!("{} %", number(amount * 100.0)),
    }
}

fn summary(
    bounds: &Changes,
    comparison: &Comparison,
    previous: Option<&Previous>,
    with: &str,
    beyond: usize,
) -> Option<CheckResult> {
    let without_profile = previous.filter(|previous| previous.manifest.profile.is_none());
    let found = match (comparison.changes.len(), without_profile) {
        (0, None) if comparison.left_out.is_empty() => return None,
        (compared, None) => format!("{compared} measures compared, {beyond} beyond"),
        (_, Some(Previous { manifest })) => format!("version {} was not measured", manifest.version),
    };
    let described = |change: &ProfileChange| format!("{} {} -> {}", change.title(), change.from, change.to);
    let moved = moved(bounds, comparison, MOVED).iter().map(described).collect();
    let compared = Some(Compared { left_out: comparison.left_out.clone(), moved });
    Some(CheckResult { compared, ..result("change", CheckOutcome::Passed, format!("as in {with}"), found) })
}
