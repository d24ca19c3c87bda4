//! The values that the names of a file's directories give to its rows, as in `date=2026-11-26/`.
//!
//! Not for: finding them in paths (`input::partitions`).

use arrow::datatypes::Field;
use datafusion::common::ScalarValue;

use crate::error::Error;
use crate::input::{InputFile, contract};

/// The value of a column from a file's directory name.
///
/// # Errors
/// `Input` if it is not of the column's type.
pub(super) fn partition_value(
    value: Option<&str>,
    field: &Field,
    file: &InputFile,
) -> crate::error::Result<ScalarValue> {
    let parsed = match value {
        None => ScalarValue::try_from(field.data_type()),
        Some(value) => ScalarValue::try_from_string(value.to_owned(), field.data_type()),
    };
    parsed.map_err(|error| {
        Error::input(format!(
            "{}: its directory has {} = {:?}, which is not a valid {}",
            file.source,
            field.name(),
            value.unwrap_or("null"),
            contract::type_name(field.data_type())
        ))
        .because(error)
    })
}
