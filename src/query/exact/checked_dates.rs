//! Date and time functions that return null for dates out of their range: instead an error that names the function and
//! the value, since null would be a wrong answer. Some are computed here instead (see `truncation`).
//!
//! Not for: null arguments, for which null is right.

use arrow::array::Array;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::prelude::SessionContext;

use super::truncation;
use crate::query::checked_udf::{self, Guard, call_of};

const FUNCTIONS: [&str; 5] = ["date_bin", "date_trunc", "date_part", "to_char", "to_local_time"];

/// Replaces the session's functions that may return null for arguments that are not null.
pub(super) fn register(context: &SessionContext) {
    for name in FUNCTIONS {
        checked_udf::register(context, name, Total);
    }
}

/// A function whose result is null only if an argument is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total;

impl Guard for Total {
    fn instead(&self, name: &str, args: &[ColumnarValue]) -> Result<Option<ColumnarValue>> {
        truncation::computed(name, args)
    }

    fn after(&self, name: &str, given: &[ColumnarValue], rows: usize, result: &ColumnarValue) -> Result<()> {
        let nulls = match result {
            ColumnarValue::Array(array) => array.null_count() > 0,
            ColumnarValue::Scalar(value) => value.is_null(),
        };
        if !nulls {
            return Ok(());
        }
        let rows = if matches!(result, ColumnarValue::Scalar(_)) { 1 } else { rows };
        let values = result.to_array(rows)?;
        let args = given.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let lost = |row: &usize| values.is_null(*row) && args.iter().all(|argument| argument.is_valid(*row));
        match (0..rows).find(lost) {
            Some(row) => exec_err!("{} is out of the range of the function", call_of(name, given, row)?),
            None => Ok(()),
        }
    }
}
