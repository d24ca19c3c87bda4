//! Encodes values: the columns that are not the key (by default), as one byte string per entry, in three encodings.
//!
//! ```text
//! columns ─▶ ValueEncoder: json │ avro │ raw ─▶ one record per row ─▶ fold ─▶ header ‖ record     the stored value
//!                                                               list, top:   header ‖ join_values(records)
//! ```
//!
//! [`ValueSchema`] goes into the manifest and is all a reader needs. Every Arrow type is either encoded or refused with
//! its column when the plan is made: each column is tried, empty and null, before any work.
//!
//! Not for: which rows make one value (the fold, in shuffle), or how large a value may be.

mod avro;
mod avro_schema;
mod avro_write;
mod cast;
mod json;
mod map_keys;
mod raw;

use arrow::array::{ArrayRef, new_empty_array, new_null_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use self::avro::{AvroEncoder, single_object_header};
use self::json::JsonEncoder;
use super::entry_batch::Column;
use crate::codec::listing;
use crate::error::{Error, Kind, Result};
use crate::format::{Encoding, KeyKind, ValueColumn, ValueSchema};
use crate::input::contract::type_name;

/// A column of the query that is part of the value.
#[derive(Clone, Debug)]
pub(super) struct ValueField {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

/// Writes the values of batches.
pub(super) enum ValueEncoder {
    Json(JsonEncoder),
    Avro(AvroEncoder),
    Raw(String),
}

impl ValueEncoder {
    /// # Errors
    /// `Invalid` naming the column that this encoding cannot hold.
    pub(super) fn new(encoding: Encoding, dataset: &str, columns: &[ValueField], list: bool) -> Result<Self> {
        Ok(match encoding {
            Encoding::Json => Self::Json(JsonEncoder::new(columns)),
            Encoding::Avro { .. } => {
                let record = avro_schema::record(&record_name(dataset, list), columns)?;
                let names = columns.iter().map(|column| column.name.clone()).collect();
                Self::Avro(AvroEncoder::new(names, record.fields))
            }
            Encoding::Raw => match columns {
                [one] if KeyKind::of(&one.data_type).is_some_and(KeyKind::is_bytes) => Self::Raw(one.name.clone()),
                [one] => {
                    return Err(Error::invalid(format!(
                        "value column '{}' has type {}, but a raw value is one string or binary column: cast it in the \
                         SELECT, or use another value encoding",
                        one.name,
                        type_name(&one.data_type)
                    )));
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "a raw value is one string or binary column, but the value has {} columns ({}): name the one in \
                         value.columns",
                        columns.len(),
                        listing(columns.iter().map(|column| column.name.as_str()))
                    )));
                }
            },
        })
    }

    /// Appends one record per row. `columns` are those that the encoder was made for, in order.
    ///
    /// # Errors
    /// `Input` naming the column when a value cannot be written.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Column) -> Result<()> {
        match self {
            Self::Json(json) => json.encode(columns, rows, out),
            Self::Avro(avro) => avro.encode(columns, rows, out),
            Self::Raw(name) => columns.iter().try_for_each(|column| raw::encode(name, column, out)),
        }
    }
}

/// Makes the schema of values and tries every column, so that no type is refused only at the first row.
///
/// # Errors
/// `Invalid` naming the column that this encoding cannot hold.
pub(super) fn plan(encoding: Encoding, dataset: &str, columns: &[ValueField], list: bool) -> Result<ValueSchema> {
    if list && encoding == Encoding::Raw {
        return Err(Error::invalid(
            "duplicates = list or top makes one value of several, which raw values cannot hold: use value = { encoding \
             = \"json\" } or another fold",
        ));
    }
    ValueEncoder::new(encoding, dataset, columns, list)?;
    if encoding != Encoding::Raw {
        columns.iter().try_for_each(|column| try_out(encoding, dataset, column))?;
    }
    let avro = match encoding {
        Encoding::Avro { .. } => {
            let record = avro_schema::record(&record_name(dataset, list), columns)?.schema;
            Some(if list { avro_schema::list_of(dataset, &record) } else { record })
        }
        _ => None,
    };
    let header = match (&avro, encoding) {
        (Some(schema), Encoding::Avro { single_object: true }) => single_object_header(schema)?,
        _ => Vec::new(),
    };
    Ok(ValueSchema { encoding, columns: columns.iter().map(ValueColumn::of).collect(), avro, list, header })
}

fn record_name(dataset: &str, list: bool) -> String {
    if list { avro_schema::entry_name(dataset) } else { dataset.to_owned() }
}

/// Encodes no row and one null row of a column.
fn try_out(encoding: Encoding, dataset: &str, column: &ValueField) -> Result<()> {
    let refused = |cause: Error| match cause.kind() {
        Kind::Invalid => cause,
        _ => Error::invalid(format!(
            "column '{}' has type {}, which this value encoding cannot hold: cast it in the SELECT to text or a number",
            column.name,
            type_name(&column.data_type)
        ))
        .because(cause),
    };
    if holds_union(&column.data_type) {
        return Err(Error::invalid(format!(
            "column '{}' has type {}, values of several types, which cannot be encoded as one: take each in the SELECT \
             with union_extract(column, 'TYPE')",
            column.name,
            type_name(&column.data_type)
        )));
    }
    let nullable = [ValueField { nullable: true, ..column.clone() }];
    let encoder = ValueEncoder::new(encoding, dataset, &nullable, false).map_err(refused)?;
    let mut out = Column::default();
    encoder.encode(&[new_empty_array(&column.data_type)], 0, &mut out).map_err(refused)?;
    encoder.encode(&[new_null_array(&column.data_type, 1)], 1, &mut out).map_err(refused)
}

fn holds_union(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(_, _) => true,
        DataType::Dictionary(_, values) => holds_union(values),
        DataType::RunEndEncoded(_, field)
        | DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => holds_union(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_union(field.data_type())),
        _ => false,
    }
}

/// The error for a value of this column that cannot be written.
fn cannot(how: &str, column: &str, cause: ArrowError) -> Error {
    Error::input(format!("cannot write the column '{column}' {how}")).because(cause)
}

/// Appends the value of the folds `list` and `top`: a JSON array, or an Avro record whose only field is an array.
///
/// Raw records have no list form: the plan refuses them, and here they would be concatenated.
pub fn join_values(encoding: Encoding, values: &[&[u8]], out: &mut Vec<u8>) {
    match encoding {
        Encoding::Json => {
            out.push(b'[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(value);
            }
            out.push(b']');
        }
        Encoding::Avro { .. } => {
            if !values.is_empty() {
                avro_write::write_long(out, values.len() as i64);
            }
            values.iter().for_each(|value| out.extend_from_slice(value));
            out.push(0);
        }
        Encoding::Raw => values.iter().for_each(|value| out.extend_from_slice(value)),
    }
}

impl ValueColumn {
    pub(super) fn of(field: &ValueField) -> Self {
        let type_name = type_name(&field.data_type);
        Self { name: field.name.clone(), type_name, nullable: field.nullable }
    }
}
