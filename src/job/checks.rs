//! `[checks]` and `[retention]`: what must hold before a flip, and which versions are kept after it.
//!
//! Not for: the checks themselves (`check`), or applying the retention (`catalog`).

use super::change;
use super::spec::{Checks, DEFAULT_MAX_CHANGE, DEFAULT_WARN_CHANGE, Verify};
use super::toml_section::Item;
use super::units::parse_duration;
use crate::format::{KEEP, Retention};

/// Largest row count that a check can name.
const MAX_ROWS: u64 = i64::MAX as u64;

/// Largest change that can be allowed, as a fraction: a thousandfold.
const MAX_CHANGE: f64 = 1000.0;

/// Reads `[checks]`.
pub(super) fn read(item: &Item<'_>) -> Option<Checks> {
    let section = item.section("[checks]", &["rows", "not_null", "unique", "change", "verify"])?;
    let mut checks = Checks::default();
    if let Some(item) = section.item("rows") {
        read_rows(&item, &mut checks);
    }
    if let Some(item) = section.item("not_null") {
        checks.not_null = item.columns().unwrap_or_default();
    }
    if let Some(item) = section.item("unique") {
        checks.unique = item.columns().unwrap_or_default();
    }
    if let Some(item) = section.item("change") {
        checks.change = change::read(&item).unwrap_or_default();
    }
    if let Some(item) = section.item("verify") {
        checks.verify = item.choice(&[("sample", Verify::Sample), ("full", Verify::Full)]).unwrap_or_default();
    }
    Some(checks)
}

fn read_rows(item: &Item<'_>, checks: &mut Checks) -> Option<()> {
    let section = item.section("rows", &["min", "max", "warn_change", "max_change"])?;
    checks.rows_min = section.item("min").and_then(|item| item.integer(0..=MAX_ROWS));
    checks.rows_max = section.item("max").and_then(|item| item.integer(0..=MAX_ROWS));
    if let (Some(min), Some(max)) = (checks.rows_min, checks.rows_max)
        && min > max
    {
        section.problem(format!("no row count passes rows: min is {min} and max is {max}"));
    }
    let change = |key: &str| section.item(key).and_then(|item| item.number(0.0..=MAX_CHANGE));
    checks.max_change = change("max_change").unwrap_or(DEFAULT_MAX_CHANGE);
    checks.warn_change = change("warn_change").unwrap_or(DEFAULT_WARN_CHANGE.min(checks.max_change));
    if checks.warn_change > checks.max_change {
        section.problem(format!(
            "warn_change ({}) is above max_change ({}) in rows: the publish would stop before it warns",
            checks.warn_change, checks.max_change
        ));
    }
    Some(())
}

/// Reads `[retention]`.
pub(super) fn read_retention(item: &Item<'_>) -> Option<Retention> {
    let section = item.section("[retention]", &["keep", "keep_for"])?;
    let mut retention = Retention::default();
    if let Some(item) = section.item("keep") {
        retention.keep = item.small(KEEP).unwrap_or(retention.keep);
    }
    retention.keep_for = section.item("keep_for").and_then(|item| item.parsed(parse_duration));
    Some(retention)
}
