//! What must hold before readers see a version.
//!
//! | when | check |
//! |---|---|
//! | after the query | nulls in `not_null` columns; repeated values in `unique` columns |
//! | after the query | measures of inputs and result, compared with the published version |
//! | after the build | number of rows, in itself and compared with the published version; key and value schema |
//! | after the build | read-back: sampled entries, block checksums, entry counts; or every entry by digest |
//!
//! Every check gives a [`CheckResult`] for the manifest: passed, warned or failed, with what was expected and found. A
//! failed rule makes the version rejected. A failed read-back is not a rule: what was built cannot be trusted, so it is
//! a `Corrupt` error and nothing is installed.
//!
//! Not for: what happens to a rejected version (`catalog`, `publish`).

use crate::format::{CheckOutcome, CheckResult};

mod change;
mod read_back;
mod rules;

pub use change::{changes, moved};
pub use read_back::read_back;
pub use rules::{Previous, columns as check_columns, compatibility, rows};

fn result(rule: &str, outcome: CheckOutcome, expected: impl Into<String>, found: impl Into<String>) -> CheckResult {
    CheckResult { rule: rule.to_owned(), outcome, expected: expected.into(), found: found.into(), compared: None }
}
