//! What must hold before readers see a version.
//!
//! | when | check |
//! |---|---|
//! | after the query | nulls in columns that must have none; values that must be unique |
//! | after the query | what was measured of inputs and result, against the published version |
//! | after the build | number of rows, alone and against the published version; key and value schema against it |
//! | after the build | read-back: remembered entries, table checksums, entry counts; or every entry by digest |
//!
//! Every check gives a [`CheckResult`] for the manifest: passed, warned or failed, with what was expected and found.
//! A failed rule leaves the version rejected. A failed read-back is not a rule: what was built cannot be trusted, so it
//! is a `Corrupt` error and nothing is installed.
//!
//! Not for: what happens to a rejected version (`catalog`, `publish`).

mod change;
mod read_back;
mod rules;

pub use change::{changes, moved};
pub use read_back::read_back;
pub use rules::{Previous, columns as check_columns, compatibility, rows};

use crate::catalog::{CheckResult, Outcome};

fn result(rule: &str, outcome: Outcome, expected: impl Into<String>, found: impl Into<String>) -> CheckResult {
    CheckResult { rule: rule.to_owned(), outcome, expected: expected.into(), found: found.into(), compared: None }
}
