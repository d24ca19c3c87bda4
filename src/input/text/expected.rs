//! What a contract expects of the columns of text files.
//!
//! A column whose type text can represent is built in that type, every value strictly; for other types the type names
//! are compared, as for every format.
//!
//! Not for: reading contracts.

use std::collections::HashMap;

use arrow::datatypes::DataType;

use super::column::{Column, Reason};
use super::text_error::{Fault, shown};
use crate::input::Input;
use crate::input::contract::type_name;
use crate::input::type_parser::nested_from_name;

/// A column of a contract whose type text can represent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its type.
    pub(super) data_type: DataType,
    /// Whether it may have nulls.
    pub(super) nullable: bool,
}

/// The columns of a contract, by name.
pub(super) type Expectations = HashMap<String, Expected>;

/// The expectations of an input's contract, for types that text can represent.
pub(super) fn of(input: &Input) -> Expectations {
    let columns = input.contract.iter().flat_map(|contract| &contract.columns);
    columns
        .filter(|column| !input.partition_columns.contains(&column.name))
        .filter_map(|column| {
            let data_type = nested_from_name(&column.type_name)?;
            Column::new(&data_type)?;
            Some((column.name.clone(), Expected { data_type, nullable: column.nullable }))
        })
        .collect()
}

/// The fault of a value that its column's type cannot represent.
pub(super) fn unfit(line: u64, column: &str, data_type: &DataType, value: &str, reason: &Reason) -> Fault {
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let what = format!(
        "column {} holds {}, which is not a valid {}{reason}; correct the value, or the type in the contract",
        shown(column),
        shown(value),
        type_name(data_type)
    );
    Fault::at(line, what)
}

/// The fault of a missing value if the contract allows no nulls.
pub(super) fn unwanted_null(line: u64, column: &str) -> Fault {
    Fault::at(line, format!("column {} has no value, but its contract allows no nulls", shown(column)))
}
