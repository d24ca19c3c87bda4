//! Values as the bytes of one string or binary column: for readers that already have their own format.
//!
//! The bytes are stored unchanged, so a null could not be distinguished from an empty value: nulls are refused.

use arrow::array::{Array, ArrayRef};

use crate::encode::entry_batch::Column;
use crate::encode::key_columns::{KeyCells, prepare};
use crate::error::{Error, Result};

/// Appends the bytes of each row.
///
/// # Errors
/// `Input` when a row is null.
pub(super) fn encode(name: &str, column: &ArrayRef, out: &mut Column) -> Result<()> {
    let array = prepare(name, column)?;
    let nulls = array.logical_null_count();
    if nulls > 0 {
        return Err(Error::input(format!(
            "value column '{name}' is null in {nulls} of {} rows of a batch, and raw values cannot be null: leave such \
             rows out or give them a value (COALESCE) in the query",
            array.len()
        ))
        .with("column", name));
    }
    let cells = KeyCells::new(&array)?;
    for row in 0..array.len() {
        out.push(cells.bytes(row));
    }
    Ok(())
}
