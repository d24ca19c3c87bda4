//! Values as JSON: one object per record, columns in order, nulls included. Every client can read it.
//!
//! arrow-json writes each row directly to the value column, so no output has to be split into rows:
//!
//! ```text
//! integers       all digits; readers that parse numbers as doubles lose digits beyond 2^53
//! decimals       a number with all its digits, scale kept: 12.50
//! floats         shortest form that reads back; NaN and infinities, which JSON does not have, are refused
//! strings        escaped only where JSON requires it
//! binary         a string of hex digits: "cafe"
//! date, time     "2026-11-22", "10:00:00.500"
//! timestamps     "2026-11-22T10:00:00.500", with "Z" or the zone's offset when the type has a time zone
//! durations, intervals     ISO 8601 "PT1.5S"; "1 mons 2 days 3.5 secs"
//! lists, structs, maps     [..], {..}, {..} with string keys; dictionaries and runs by value
//! ```
//!
//! Refused by name: unions, and maps whose keys are not strings. NaN and infinities are Input errors, as null would be
//! a different value. A date or timestamp beyond the years that the formatter supports (about ±260,000) is an Input
//! error, since arrow-json would write an error message instead of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StructArray};
use arrow::compute::{max, min};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field, FieldRef, Fields, Float16Type, Float32Type, Float64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::cast::{conform, in_use, plain};
use super::map_keys::refuse_repeated;
use super::{ValueField, cannot};
use crate::encode::entry_batch::Column;
use crate::error::{Error, Result};

/// Most days before and after 1970 that can be written as a date.
const DATE_LIMIT: i64 = 95_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Writes records as JSON objects.
pub(in crate::encode) struct JsonEncoder {
    names: Vec<String>,
    fields: Fields,
    record: FieldRef,
    options: EncoderOptions,
}

impl JsonEncoder {
    pub(super) fn new(columns: &[ValueField]) -> Self {
        let fields: Fields = columns
            .iter()
            .map(|column| Field::new(&column.name, plain(&column.data_type, &DataType::clone), true))
            .collect();
        let record = Arc::new(Field::new_struct("record", fields.clone(), false));
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Self { names, fields, record, options: EncoderOptions::default().with_explicit_nulls(true) }
    }

    /// Appends one object per row.
    ///
    /// # Errors
    /// `Input` naming the column when a value cannot be written.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Column) -> Result<()> {
        let mut arrays = Vec::with_capacity(columns.len());
        for ((name, field), column) in self.names.iter().zip(&self.fields).zip(columns) {
            let array = conform(column, field.data_type()).map_err(|error| cannot("as JSON", name, error))?;
            refuse_unprintable(name, &array)?;
            refuse_repeated(name, &array)?;
            arrays.push(array);
        }
        let internal = |error: ArrowError| Error::input("cannot write values as JSON").because(error);
        let records = StructArray::try_new_with_length(self.fields.clone(), arrays, None, rows).map_err(internal)?;
        let mut encoder = make_encoder(&self.record, &records, &self.options).map_err(internal)?;
        for row in 0..rows {
            encoder.encode(row, &mut out.data);
            out.end_row();
        }
        Ok(())
    }
}

/// Refuses values that cannot be written, at any depth: NaN, infinities, dates and timestamps far from 1970.
fn refuse_unprintable(name: &str, array: &ArrayRef) -> Result<()> {
    let seconds = DATE_LIMIT * DAY_SECONDS;
    let printable = match array.data_type() {
        DataType::Float16 => return refuse_infinite::<Float16Type>(name, array),
        DataType::Float32 => return refuse_infinite::<Float32Type>(name, array),
        DataType::Float64 => return refuse_infinite::<Float64Type>(name, array),
        DataType::Date32 => within::<Date32Type>(array, DATE_LIMIT),
        DataType::Date64 => within::<Date64Type>(array, seconds * 1_000),
        DataType::Timestamp(TimeUnit::Second, _) => within::<TimestampSecondType>(array, seconds),
        DataType::Timestamp(TimeUnit::Millisecond, _) => within::<TimestampMillisecondType>(array, seconds * 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => within::<TimestampMicrosecondType>(array, seconds * 1_000_000),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            return refuse_unprintable(name, &in_use(lists.values(), lists.offsets()));
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            return refuse_unprintable(name, &in_use(lists.values(), lists.offsets()));
        }
        DataType::FixedSizeList(_, _) => return refuse_unprintable(name, array.as_fixed_size_list().values()),
        DataType::Struct(_) => {
            return array.as_struct().columns().iter().try_for_each(|column| refuse_unprintable(name, column));
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            return refuse_unprintable(name, &in_use(maps.values(), maps.offsets()));
        }
        _ => true,
    };
    if printable {
        return Ok(());
    }
    Err(Error::input(format!(
        "column '{name}' holds a date or timestamp more than {DATE_LIMIT} days from 1970, which cannot be written as \
         JSON: check its unit, or cast it to an integer in the query"
    )))
}

fn refuse_infinite<T: ArrowPrimitiveType>(name: &str, array: &ArrayRef) -> Result<()>
where
    T::Native: Into<f64>,
{
    let values = array.as_primitive::<T>();
    // First all values, without a branch; null slots may hold anything, so a hit is checked again.
    let suspicious = values.values().iter().fold(false, |any, value| any | !(*value).into().is_finite());
    let found = suspicious.then(|| values.iter().flatten().map(Into::into).find(|value| !value.is_finite())).flatten();
    match found {
        None => Ok(()),
        Some(value) => Err(Error::input(format!(
            "column '{name}' holds {value}, which JSON has no number for: make it null in the query (CASE WHEN \
             isnan(x) THEN NULL ELSE x END), or use the value encoding avro"
        ))),
    }
}

fn within<T: ArrowPrimitiveType>(array: &ArrayRef, limit: i64) -> bool
where
    T::Native: Into<i64>,
{
    let values = array.as_primitive::<T>();
    [min(values), max(values)].into_iter().flatten().all(|value| (-limit..=limit).contains(&value.into()))
}
