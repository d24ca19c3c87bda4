//! The rules a version must pass, as pure functions from expected and found values to a [`CheckResult`].
//!
//! Not for: counting (`profile`).

use super::result;
use crate::format::{CheckOutcome, CheckResult, ColumnStats, KeySchema, Manifest, ValueSchema};
use crate::job::Checks;

/// Rows a version must have if the job sets no minimum: an empty result is far more often a mistake than intended.
const DEFAULT_MIN_ROWS: u64 = 1;

/// The published version, to compare with.
#[derive(Clone, Debug)]
pub struct Previous {
    /// Its manifest.
    pub manifest: Manifest,
}

/// Nulls in `not_null` columns.
pub fn columns(checks: &Checks, counted: &[ColumnStats]) -> Vec<CheckResult> {
    let check = |column: &String| {
        let nulls = counted.iter().find(|stats| stats.name == *column).map_or(0, |stats| stats.nulls);
        let outcome = if nulls == 0 { CheckOutcome::Passed } else { CheckOutcome::Failed };
        result(&format!("not_null: {column}"), outcome, "no null", plural(nulls, "null"))
    };
    checks.not_null.iter().map(check).collect()
}

/// The number of rows, in itself and compared with the published version.
pub fn rows(checks: &Checks, rows: u64, previous: Option<&Previous>) -> Vec<CheckResult> {
    let mut results = Vec::new();
    let found = plural(rows, "row");
    let min = checks.rows_min.unwrap_or(DEFAULT_MIN_ROWS);
    let outcome = if rows >= min { CheckOutcome::Passed } else { CheckOutcome::Failed };
    let hint = if checks.rows_min.is_none() { " (rows = { min = 0 } allows an empty version)" } else { "" };
    results.push(result("rows.min", outcome, format!("at least {}{hint}", plural(min, "row")), found.clone()));
    if let Some(max) = checks.rows_max {
        let outcome = if rows <= max { CheckOutcome::Passed } else { CheckOutcome::Failed };
        results.push(result("rows.max", outcome, format!("at most {}", plural(max, "row")), found.clone()));
    }
    if let Some(Previous { manifest }) = previous.filter(|previous| previous.manifest.rows > 0) {
        let change = (rows as f64 - manifest.rows as f64) / manifest.rows as f64;
        let outcome = match change.abs() {
            change if change > checks.max_change => CheckOutcome::Failed,
            change if change > checks.warn_change => CheckOutcome::Warned,
            _ => CheckOutcome::Passed,
        };
        let limit = checks.max_change * 100.0;
        let expected = format!("within {limit:.0} % of the {} rows of version {}", manifest.rows, manifest.version);
        results.push(result("rows.max_change", outcome, expected, format!("{found}, {:+.1} %", change * 100.0)));
    }
    results
}

fn plural(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Key and value schema compared with the published version, so that its readers can read the new one.
pub fn compatibility(key: &KeySchema, value: &ValueSchema, previous: Option<&Previous>) -> Vec<CheckResult> {
    let Some(Previous { manifest }) = previous else { return Vec::new() };
    let judge = |rule: &str, problems: Vec<String>, hint: &str| {
        let expected = format!("that of version {}{hint}", manifest.version);
        match problems.is_empty() {
            true => result(rule, CheckOutcome::Passed, expected, "the same"),
            false => result(rule, CheckOutcome::Failed, expected, problems.join(", ")),
        }
    };
    vec![
        judge("key schema", key.changes(&manifest.key), ""),
        judge("value schema", value.compatible(&manifest.value), " or one its readers can read"),
    ]
}
