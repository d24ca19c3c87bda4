//! Accessors of the key columns of one batch, with types resolved once per batch instead of once per row.
//!
//! ```text
//! RecordBatch ─▶ prepare: dictionaries by value, float16 → float32, date64 → days ─▶ KeyCells: a slice per column
//! ```
//!
//! Nulls and NaN are refused here, before any row is written, with a count and an example ([`refuse_unordered`]), so
//! writing a row cannot fail.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::codec::tuple;
use crate::error::{Error, Result};
use crate::escape::{escaped, shortened};
use crate::input::contract::type_name;

const DAY_MILLIS: i64 = 86_400_000;
/// Most key columns that a message about a bad row shows.
const SAMPLE_COLUMNS: usize = 4;
/// Most bytes of a key column's value that are shown whole.
const LONGEST_SHOWN: usize = 100;

/// Typed access to one key column.
pub(super) enum KeyCells<'a> {
    Bool(&'a BooleanArray),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    I128(&'a [i128]),
    I256(&'a [i256]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
}

impl<'a> KeyCells<'a> {
    /// Access to a column that [`prepare`] returned.
    pub(super) fn new(array: &'a ArrayRef) -> Result<Self> {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        macro_rules! slice {
            ($cells:ident, $type:ty) => {
                KeyCells::$cells(array.as_primitive::<$type>().values())
            };
        }
        Ok(match array.data_type() {
            DataType::Boolean => KeyCells::Bool(array.as_boolean()),
            DataType::Int8 => slice!(I8, Int8Type),
            DataType::Int16 => slice!(I16, Int16Type),
            DataType::Int32 => slice!(I32, Int32Type),
            DataType::Int64 => slice!(I64, Int64Type),
            DataType::UInt8 => slice!(U8, UInt8Type),
            DataType::UInt16 => slice!(U16, UInt16Type),
            DataType::UInt32 => slice!(U32, UInt32Type),
            DataType::UInt64 => slice!(U64, UInt64Type),
            DataType::Float32 => slice!(F32, Float32Type),
            DataType::Float64 => slice!(F64, Float64Type),
            DataType::Date32 => slice!(I32, Date32Type),
            DataType::Time32(Second) => slice!(I32, Time32SecondType),
            DataType::Time32(Millisecond) => slice!(I32, Time32MillisecondType),
            DataType::Time64(Microsecond) => slice!(I64, Time64MicrosecondType),
            DataType::Time64(Nanosecond) => slice!(I64, Time64NanosecondType),
            DataType::Timestamp(Second, _) => slice!(I64, TimestampSecondType),
            DataType::Timestamp(Millisecond, _) => slice!(I64, TimestampMillisecondType),
            DataType::Timestamp(Microsecond, _) => slice!(I64, TimestampMicrosecondType),
            DataType::Timestamp(Nanosecond, _) => slice!(I64, TimestampNanosecondType),
            DataType::Duration(Second) => slice!(I64, DurationSecondType),
            DataType::Duration(Millisecond) => slice!(I64, DurationMillisecondType),
            DataType::Duration(Microsecond) => slice!(I64, DurationMicrosecondType),
            DataType::Duration(Nanosecond) => slice!(I64, DurationNanosecondType),
            DataType::Decimal32(_, _) => slice!(I32, Decimal32Type),
            DataType::Decimal64(_, _) => slice!(I64, Decimal64Type),
            DataType::Decimal128(_, _) => slice!(I128, Decimal128Type),
            DataType::Decimal256(_, _) => slice!(I256, Decimal256Type),
            DataType::Utf8 => KeyCells::Utf8(array.as_string()),
            DataType::LargeUtf8 => KeyCells::LargeUtf8(array.as_string()),
            DataType::Utf8View => KeyCells::Utf8View(array.as_string_view()),
            DataType::Binary => KeyCells::Binary(array.as_binary()),
            DataType::LargeBinary => KeyCells::LargeBinary(array.as_binary()),
            DataType::BinaryView => KeyCells::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => KeyCells::FixedBinary(array.as_fixed_size_binary()),
            other => return Err(Error::internal(format!("a key column has the unexpected type {}", type_name(other)))),
        })
    }

    /// Appends the value of row `row` as an element of a tuple.
    #[inline]
    pub(super) fn write_tuple(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            KeyCells::Utf8(array) => tuple::write_str(out, array.value(row)),
            KeyCells::LargeUtf8(array) => tuple::write_str(out, array.value(row)),
            KeyCells::Utf8View(array) => tuple::write_str(out, array.value(row)),
            KeyCells::I64(values) => tuple::write_i64(out, values[row]),
            KeyCells::I32(values) => tuple::write_i64(out, values[row].into()),
            KeyCells::I16(values) => tuple::write_i64(out, values[row].into()),
            KeyCells::I8(values) => tuple::write_i64(out, values[row].into()),
            KeyCells::U64(values) => tuple::write_u64(out, values[row]),
            KeyCells::U32(values) => tuple::write_u64(out, values[row].into()),
            KeyCells::U16(values) => tuple::write_u64(out, values[row].into()),
            KeyCells::U8(values) => tuple::write_u64(out, values[row].into()),
            KeyCells::I128(values) => tuple::write_i128(out, values[row]),
            KeyCells::I256(values) => tuple::write_i256(out, values[row]),
            KeyCells::F32(values) => tuple::write_f32(out, values[row]),
            KeyCells::F64(values) => tuple::write_f64(out, values[row]),
            KeyCells::Bool(array) => tuple::write_bool(out, array.value(row)),
            KeyCells::Binary(_) | KeyCells::LargeBinary(_) | KeyCells::BinaryView(_) | KeyCells::FixedBinary(_) => {
                tuple::write_bytes(out, self.bytes(row));
            }
        }
    }

    /// The bytes of row `row` of a string or binary column; empty for other columns.
    #[inline]
    pub(super) fn bytes(&self, row: usize) -> &'a [u8] {
        match self {
            KeyCells::Utf8(array) => array.value(row).as_bytes(),
            KeyCells::LargeUtf8(array) => array.value(row).as_bytes(),
            KeyCells::Utf8View(array) => array.value(row).as_bytes(),
            KeyCells::Binary(array) => array.value(row),
            KeyCells::LargeBinary(array) => array.value(row),
            KeyCells::BinaryView(array) => array.value(row),
            KeyCells::FixedBinary(array) => array.value(row),
            _ => &[],
        }
    }
}

/// The column, cast to one of the types that [`KeyCells`] reads.
///
/// # Errors
/// `Input` when a value of a date64 column is not a whole number of days.
pub(super) fn prepare(name: &str, array: &ArrayRef) -> Result<ArrayRef> {
    let to = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        DataType::RunEndEncoded(_, values) => values.data_type(),
        DataType::Float16 => &DataType::Float32,
        DataType::Date64 => &DataType::Date32,
        _ => return Ok(array.clone()),
    };
    if let Some(dates) = array.as_primitive_opt::<Date64Type>()
        && let Some(millis) = dates.iter().flatten().find(|millis| millis % DAY_MILLIS != 0)
    {
        return Err(Error::input(format!(
            "key column '{name}' has type date64 and holds {millis} ms, not a whole day: cast it to a timestamp"
        )));
    }
    let plain =
        cast(array, to).map_err(|error| Error::input(format!("cannot read the key column '{name}'")).because(error))?;
    prepare(name, &plain)
}

/// Refuses rows whose key cannot be ordered: null or NaN.
///
/// # Errors
/// `Input` naming the column, the number of such rows in this batch, and the other key columns of one of them.
pub(super) fn refuse_unordered(names: &[&str], keys: &[ArrayRef]) -> Result<()> {
    for (position, (name, array)) in names.iter().zip(keys).enumerate() {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let (what, way_out, rows): (_, _, Vec<usize>) = match (nulls, array.data_type()) {
            (Some(nulls), _) => ("null", "IS NOT NULL", (0..array.len()).filter(|row| nulls.is_null(*row)).collect()),
            (None, DataType::Float32) => {
                ("NaN", "<> 'NaN'", nans(array.as_primitive::<Float32Type>().values(), |v| v.is_nan()))
            }
            (None, DataType::Float64) => {
                ("NaN", "<> 'NaN'", nans(array.as_primitive::<Float64Type>().values(), |v| v.is_nan()))
            }
            _ => continue,
        };
        let Some(first) = rows.first() else { continue };
        let others: Vec<_> = (0..keys.len()).filter(|other| *other != position).collect();
        let sample = match shown(names, keys, &others, *first) {
            others if others.is_empty() => String::new(),
            others => format!(", for example where {others}"),
        };
        return Err(Error::input(format!(
            "key column '{name}' is {what} in {} of {} rows of a batch{sample}: leave such rows out (WHERE {name} \
             {way_out}) or give them a value (COALESCE) in the query",
            rows.len(),
            array.len(),
        ))
        .with("column", *name));
    }
    Ok(())
}

fn nans<T: Copy>(values: &[T], is_nan: impl Fn(T) -> bool) -> Vec<usize> {
    // One pass that the compiler vectorizes; positions are collected only if there is something to report.
    if !values.iter().fold(false, |any, value| any | is_nan(*value)) {
        return Vec::new();
    }
    (0..values.len()).filter(|row| is_nan(values[*row])).collect()
}

/// Some key columns of a row, for a message: `page = /home, day = 2026-11-29`.
fn shown(names: &[&str], keys: &[ArrayRef], which: &[usize], row: usize) -> String {
    let options = FormatOptions::new().with_null("null").with_display_error(true);
    let columns = which.iter().take(SAMPLE_COLUMNS).filter_map(|column| {
        let formatter = ArrayFormatter::try_new(&keys[*column], &options).ok()?;
        let value = formatter.value(row).to_string();
        // Quoted only if it has to be cut.
        let value = if value.len() > LONGEST_SHOWN { shortened(&value) } else { escaped(&value).into_owned() };
        Some(format!("{} = {value}", names[*column]))
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// The key of a row, for a message.
pub(super) fn shown_key(names: &[&str], keys: &[ArrayRef], row: usize) -> String {
    shown(names, keys, &(0..keys.len()).collect::<Vec<_>>(), row)
}

/// The key columns of a batch, prepared.
pub(super) fn key_columns(names: &[&str], columns: &[usize], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let keys: Vec<_> =
        names.iter().zip(columns).map(|(name, column)| prepare(name, batch.column(*column))).collect::<Result<_>>()?;
    refuse_unordered(names, &keys)?;
    Ok(keys)
}
