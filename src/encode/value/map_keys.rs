//! Refuses maps that have a key twice: an object with a member twice is read in as many ways as there are readers.
//!
//! Parquet, Avro and Arrow have lists of entries underneath, which may repeat a key; SQL and JSON do not say which of
//! its values counts.
//!
//! Not for: maps whose keys are not strings, which no encoding has.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, MapArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::cannot;
use super::cast::in_use;
use crate::error::{Error, Result};

/// Checks the maps of a column, at any depth.
///
/// # Errors
/// `Input` naming the column and the key.
pub(super) fn refuse_repeated(name: &str, array: &ArrayRef) -> Result<()> {
    match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            refuse_repeated(name, &in_use(lists.values(), lists.offsets()))
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            refuse_repeated(name, &in_use(lists.values(), lists.offsets()))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().try_for_each(|field| refuse_repeated(name, field)),
        DataType::Map(_, _) => {
            let map = array.as_map();
            of_map(name, map)?;
            refuse_repeated(name, &in_use(map.values(), map.offsets()))
        }
        _ => Ok(()),
    }
}

fn of_map(name: &str, map: &MapArray) -> Result<()> {
    let keys = cast(map.keys(), &DataType::LargeUtf8).map_err(|error| cannot("as a map", name, error))?;
    let keys = keys.as_string::<i64>();
    let mut seen = HashSet::new();
    for row in (0..map.len()).filter(|row| map.is_valid(*row)) {
        let ends = [row, row + 1].map(|at| usize::try_from(map.value_offsets()[at]).unwrap_or(0));
        seen.clear();
        if let Some(repeated) = (ends[0]..ends[1]).map(|at| keys.value(at)).find(|key| !seen.insert(*key)) {
            return Err(Error::input(format!(
                "column '{name}' holds a map that has the key \"{repeated}\" twice, and nothing says which of its values \
                 counts: take one in the query, such as map_extract(\"{name}\", '{repeated}')[1]"
            )));
        }
    }
    Ok(())
}
