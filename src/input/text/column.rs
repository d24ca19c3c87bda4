//! Builds Arrow columns from text: every value exactly, or not at all.
//!
//! A [`Column`] takes the values of CSV fields or JSON values and becomes an Arrow array. A value that its type cannot
//! represent to the last digit is rejected with the reason; the caller adds line and column.
//!
//! Not for: choosing types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, GenericListArray, NullArray, PrimitiveArray, PrimitiveBuilder,
    StringBuilder, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::json::{Kind, Reader};
use super::keys::Keys;
use super::number::{Number, short_whole};
use super::timestamp::{Moment, date};
use super::values::is_bool;
use crate::input::contract::zone_name;

/// Why a type cannot represent a value; empty if that is obvious.
pub(super) type Reason = String;

/// A column under construction.
#[derive(Debug)]
pub(super) struct Column {
    data_type: DataType,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Null(usize),
    Bool(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Date(PrimitiveBuilder<Date32Type>),
    /// Values in the unit, and the time zone.
    Moment(PrimitiveBuilder<Int64Type>, TimeUnit, Option<Arc<str>>),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    List {
        offsets: Vec<i32>,
        valid: Vec<bool>,
        field: FieldRef,
        items: Box<Column>,
    },
    Object {
        valid: Vec<bool>,
        fields: Fields,
        keys: Keys,
        columns: Vec<Column>,
    },
}

/// Does the same for every integer type.
macro_rules! whole_numbers {
    ($cells:expr, $builder:ident => $do:expr, else $other:pat => $rest:expr) => {
        match $cells {
            Cells::Int8($builder) => $do,
            Cells::Int16($builder) => $do,
            Cells::Int32($builder) => $do,
            Cells::Int64($builder) => $do,
            Cells::UInt8($builder) => $do,
            Cells::UInt16($builder) => $do,
            Cells::UInt32($builder) => $do,
            Cells::UInt64($builder) => $do,
            $other => $rest,
        }
    };
}

impl Column {
    /// A column of a type; none if text cannot represent it. It allocates nothing before it has rows, as tables may be
    /// wide.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        let cells = match data_type {
            DataType::Null => Cells::Null(0),
            DataType::Boolean => Cells::Bool(BooleanBuilder::with_capacity(0)),
            DataType::Int8 => Cells::Int8(PrimitiveBuilder::with_capacity(0)),
            DataType::Int16 => Cells::Int16(PrimitiveBuilder::with_capacity(0)),
            DataType::Int32 => Cells::Int32(PrimitiveBuilder::with_capacity(0)),
            DataType::Int64 => Cells::Int64(PrimitiveBuilder::with_capacity(0)),
            DataType::UInt8 => Cells::UInt8(PrimitiveBuilder::with_capacity(0)),
            DataType::UInt16 => Cells::UInt16(PrimitiveBuilder::with_capacity(0)),
            DataType::UInt32 => Cells::UInt32(PrimitiveBuilder::with_capacity(0)),
            DataType::UInt64 => Cells::UInt64(PrimitiveBuilder::with_capacity(0)),
            DataType::Float32 => Cells::Float32(PrimitiveBuilder::with_capacity(0)),
            DataType::Float64 => Cells::Float64(PrimitiveBuilder::with_capacity(0)),
            DataType::Date32 => Cells::Date(PrimitiveBuilder::with_capacity(0)),
            DataType::Timestamp(unit, zone) => Cells::Moment(PrimitiveBuilder::with_capacity(0), *unit, zone.clone()),
            DataType::Decimal128(precision, scale) => Cells::Decimal(
                Decimal128Builder::with_capacity(0).with_precision_and_scale(*precision, *scale).ok()?,
                *precision,
                *scale,
            ),
            DataType::Utf8 => Cells::Text(StringBuilder::with_capacity(0, 0)),
            DataType::List(field) => Cells::List {
                offsets: vec![0],
                valid: Vec::new(),
                field: Arc::clone(field),
                items: Box::new(Self::new(field.data_type())?),
            },
            DataType::Struct(fields) => Cells::Object {
                valid: Vec::new(),
                fields: fields.clone(),
                keys: Keys::new(fields.iter().map(|field| field.name().as_str())),
                columns: fields.iter().map(|field| Self::new(field.data_type())).collect::<Option<_>>()?,
            },
            _ => return None,
        };
        Some(Self { data_type: data_type.clone(), cells })
    }

    /// Its type.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Appends a null.
    pub(super) fn push_null(&mut self) {
        whole_numbers!(&mut self.cells, builder => builder.append_null(), else other => match other {
            Cells::Null(rows) => *rows += 1,
            Cells::Bool(builder) => builder.append_null(),
            Cells::Float32(builder) => builder.append_null(),
            Cells::Float64(builder) => builder.append_null(),
            Cells::Date(builder) => builder.append_null(),
            Cells::Moment(builder, ..) => builder.append_null(),
            Cells::Decimal(builder, ..) => builder.append_null(),
            Cells::Text(builder) => builder.append_null(),
            Cells::List { offsets, valid, items, .. } => {
                offsets.push(items.len() as i32);
                valid.push(false);
            }
            Cells::Object { valid, columns, .. } => {
                columns.iter_mut().for_each(Self::push_null);
                valid.push(false);
            }
            _ => {}
        });
    }

    /// Appends a CSV field; an empty one is null, except a quoted one in a string column.
    ///
    /// # Errors
    /// Why the type cannot represent it.
    #[inline]
    pub(super) fn push_field(&mut self, text: &str, quoted: bool) -> Result<(), Reason> {
        match &mut self.cells {
            Cells::Text(builder) if quoted || !text.is_empty() => builder.append_value(text),
            _ if text.is_empty() => self.push_null(),
            _ => self.push_text(text)?,
        }
        Ok(())
    }

    /// Appends a JSON value.
    ///
    /// # Errors
    /// Why the type cannot represent it.
    pub(super) fn push_json(&mut self, reader: &mut Reader<'_>) -> Result<(), Reason> {
        let kind = reader.peek()?;
        match (&mut self.cells, kind) {
            (_, Kind::Null) => {
                reader.null()?;
                self.push_null();
            }
            (Cells::Text(builder), Kind::Text) => builder.append_value(reader.text()?),
            (Cells::Text(builder), Kind::Number | Kind::Bool) => builder.append_value(reader.raw()?),
            (Cells::Bool(builder), Kind::Bool) => builder.append_value(reader.bool()?),
            (Cells::List { offsets, valid, items, .. }, Kind::List) => {
                reader.open()?;
                let mut first = true;
                while reader.item(first)? {
                    items.push_json(reader)?;
                    first = false;
                }
                offsets.push(items.len() as i32);
                valid.push(true);
            }
            (Cells::Object { valid, keys, columns, .. }, Kind::Object) => {
                reader.open()?;
                push_members(reader, keys, columns)?;
                valid.push(true);
            }
            (Cells::Date(_) | Cells::Moment(..), Kind::Text) => self.push_text(&reader.text()?)?,
            (cells, Kind::Number | Kind::Text) if cells.are_numbers() => {
                let text = if kind == Kind::Number { reader.number()?.into() } else { reader.text()? };
                if kind == Kind::Text && Number::parse(&text).is_none() {
                    return Err(Reason::new());
                }
                self.push_text(&text)?;
            }
            _ => return Err(Reason::new()),
        }
        Ok(())
    }

    /// Appends a value from its text.
    fn push_text(&mut self, text: &str) -> Result<(), Reason> {
        whole_numbers!(&mut self.cells, builder => push_whole(builder, text), else other => match other {
            Cells::Bool(builder) => {
                builder.append_value(is_bool(text).ok_or_else(Reason::new)?);
                Ok(())
            }
            Cells::Float32(builder) => push_float(builder, text, f32::is_finite),
            Cells::Float64(builder) => push_float(builder, text, f64::is_finite),
            Cells::Date(builder) => {
                builder.append_value(date(text).ok_or_else(Reason::new)?);
                Ok(())
            }
            Cells::Moment(builder, unit, zone) => {
                builder.append_value(moment(text, *unit, zone.as_deref())?);
                Ok(())
            }
            Cells::Decimal(builder, precision, scale) => {
                let number = Number::parse(text).ok_or_else(Reason::new)?;
                let units = number.unscaled(i32::from(*scale)).filter(|units| {
                    units.unsigned_abs().checked_ilog10().is_none_or(|log| log < u32::from(*precision))
                });
                builder.append_value(units.ok_or("its digits do not fit")?);
                Ok(())
            }
            _ => Err(Reason::new()),
        })
    }

    /// Number of rows so far.
    pub(super) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        whole_numbers!(&self.cells, builder => builder.len(), else other => match other {
            Cells::Null(rows) => *rows,
            Cells::Bool(builder) => builder.len(),
            Cells::Float32(builder) => builder.len(),
            Cells::Float64(builder) => builder.len(),
            Cells::Date(builder) => builder.len(),
            Cells::Moment(builder, ..) => builder.len(),
            Cells::Decimal(builder, ..) => builder.len(),
            Cells::Text(builder) => builder.len(),
            Cells::List { valid, .. } | Cells::Object { valid, .. } => valid.len(),
            _ => 0,
        })
    }

    /// The rows so far as an array; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        whole_numbers!(&mut self.cells, builder => Arc::new(builder.finish()), else other => match other {
            Cells::Null(rows) => Arc::new(NullArray::new(std::mem::take(rows))),
            Cells::Bool(builder) => Arc::new(builder.finish()),
            Cells::Float32(builder) => Arc::new(builder.finish()),
            Cells::Float64(builder) => Arc::new(builder.finish()),
            Cells::Date(builder) => Arc::new(builder.finish()),
            Cells::Decimal(builder, ..) => Arc::new(builder.finish()),
            Cells::Text(builder) => Arc::new(builder.finish()),
            Cells::Moment(builder, unit, zone) => in_unit(&builder.finish(), *unit, zone.clone()),
            Cells::List { offsets, valid, field, items } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(GenericListArray::new(Arc::clone(field), offsets, items.finish(), nulls(valid)))
            }
            Cells::Object { valid, fields, columns, .. } => {
                let rows = valid.len();
                let nulls = nulls(valid);
                if columns.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(rows, nulls));
                }
                Arc::new(StructArray::new(fields.clone(), columns.iter_mut().map(Self::finish).collect(), nulls))
            }
            _ => Arc::new(NullArray::new(0)),
        })
    }
}

impl Cells {
    fn are_numbers(&self) -> bool {
        let other = matches!(self, Self::Float32(_) | Self::Float64(_) | Self::Decimal(..));
        whole_numbers!(self, _builder => true, else _ => other)
    }
}

/// Appends the members of an opened object, each to its column, and null to columns without one.
fn push_members(reader: &mut Reader<'_>, keys: &mut Keys, columns: &mut [Column]) -> Result<(), Reason> {
    keys.begin();
    let mut first = true;
    while let Some(key) = reader.key(first)? {
        first = false;
        match keys.take(&key) {
            Some((place, false)) => columns[place].push_json(reader).map_err(|reason| {
                format!("in its field {key:?}{}{reason}", if reason.is_empty() { "" } else { ": " })
            })?,
            Some((_, true)) => return Err(format!("an object has the key {key:?} more than once")),
            None => return Err(format!("its field {key:?} is not in the type")),
        }
    }
    keys.missing().for_each(|place| columns[place].push_null());
    Ok(())
}

fn nulls(valid: &mut Vec<bool>) -> Option<NullBuffer> {
    let valid = std::mem::take(valid);
    valid.contains(&false).then(|| NullBuffer::new(BooleanBuffer::from(valid)))
}

fn push_whole<T>(builder: &mut PrimitiveBuilder<T>, text: &str) -> Result<(), Reason>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let whole = match short_whole(text) {
        Some(whole) => Some(i128::from(whole)),
        None => Number::parse(text).ok_or_else(Reason::new)?.unscaled(0),
    };
    let whole = whole.ok_or("it is not whole, or too large")?;
    builder.append_value(T::Native::try_from(whole).map_err(|_| "it is too large or too small")?);
    Ok(())
}

/// Whole numbers of fewer digits are numbers of every floating-point type.
const EXACT_DIGITS: usize = 8;

/// Adds the nearest number of the type. A whole number that is not one of the type's is refused: it is an identifier or
/// a count, not a measurement. So is a number that would become 0.
fn push_float<T>(builder: &mut PrimitiveBuilder<T>, text: &str, is_finite: fn(T::Native) -> bool) -> Result<(), Reason>
where
    T: ArrowPrimitiveType,
    T::Native: std::str::FromStr + std::fmt::Display,
{
    let value: T::Native = text.parse().map_err(|_| Reason::new())?;
    // Infinities may be written by name; large numbers do not become infinite.
    if !is_finite(value) && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err("it is too large".to_owned());
    }
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let is_whole = digits.len() >= EXACT_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole && format!("{value:.0}").trim_start_matches('-') != digits {
        return Err(format!("it would be rounded to {value:.0}; an integer or decimal type holds it"));
    }
    let of_mantissa = |byte: &u8| !matches!(byte, b'e' | b'E');
    let is_zero = value == T::Native::default();
    if is_zero && text.bytes().take_while(|byte| of_mantissa(byte)).any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err("it would become 0".to_owned());
    }
    builder.append_value(value);
    Ok(())
}

/// Parses a timestamp in the unit of its column.
fn moment(text: &str, unit: TimeUnit, zone: Option<&str>) -> Result<i64, Reason> {
    let moment = Moment::parse(text).ok_or_else(Reason::new)?;
    let is_utc = zone.is_some_and(|zone| zone_name(zone) == "UTC");
    match (moment.zoned, zone) {
        (true, None) => return Err("it has a zone, but its column has none".to_owned()),
        (false, Some(zone)) if !is_utc => return Err(format!("it has no zone, so it is ambiguous in {zone}")),
        _ => {}
    }
    moment.in_unit(unit).ok_or_else(|| "it has parts smaller than the unit, or is out of range".to_owned())
}

fn in_unit(values: &PrimitiveArray<Int64Type>, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    match unit {
        TimeUnit::Second => Arc::new(values.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone)),
        TimeUnit::Millisecond => {
            Arc::new(values.reinterpret_cast::<TimestampMillisecondType>().with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => Arc::new(values.reinterpret_cast::<TimestampNanosecondType>().with_timezone_opt(zone)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Field};
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn field(data_type: &DataType, text: &str) -> Result<String, Reason> {
        let mut column = Column::new(data_type).unwrap();
        column.push_field(text, false)?;
        Ok(array_value_to_string(&column.finish(), 0).unwrap())
    }

    fn json(data_type: &DataType, text: &str) -> Result<String, Reason> {
        let mut column = Column::new(data_type).unwrap();
        column.push_null();
        column.push_json(&mut Reader::new(text))?;
        let array = column.finish();
        assert!(array.len() == 2 && (array.is_null(0) || *data_type == DataType::Null), "{array:?}");
        Ok(array_value_to_string(&array, 1).unwrap())
    }

    #[test]
    fn fields_are_values_of_their_type_or_refused() {
        let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        for (data_type, text, expected) in [
            (DataType::Int64, "007", Some("7")),
            (DataType::Int64, "1.0", Some("1")),
            (DataType::Int64, "3e2", Some("300")),
            (DataType::Int64, "1.75", None),
            (DataType::Int8, "-128", Some("-128")),
            (DataType::Int8, "128", None),
            (DataType::UInt64, "18446744073709551615", Some("18446744073709551615")),
            (DataType::UInt64, "-1", None),
            (DataType::Float32, "0.1", Some("0.1")),
            (DataType::Float32, "1e39", None),
            (DataType::Float32, "16777216", Some("16777216.0")),
            (DataType::Float32, "16777217", None),
            (DataType::Float32, "1e-60", None),
            (DataType::Float64, "0.000e5", Some("0.0")),
            (DataType::Float64, "-9007199254740992", Some("-9007199254740992.0")),
            (DataType::Float64, "9007199254740993", None),
            (DataType::Float64, "-inf", Some("-inf")),
            (DataType::Float64, "1e309", None),
            (DataType::Decimal128(5, 2), "-123.4500", Some("-123.45")),
            (DataType::Decimal128(5, 2), "1234", None),
            (DataType::Decimal128(5, 2), "0.001", None),
            (
                DataType::Decimal128(38, 0),
                "99999999999999999999999999999999999999",
                Some("99999999999999999999999999999999999999"),
            ),
            (DataType::Decimal128(4, -2), "12300", Some("12300")),
            (DataType::Decimal128(4, -2), "12345", None),
            (DataType::Date32, "2024-02-29", Some("2024-02-29")),
            (DataType::Date32, "2024-02-30", None),
            (utc(TimeUnit::Second), "2024-01-01T00:00:00+01:00", Some("2023-12-31T23:00:00Z")),
            (utc(TimeUnit::Second), "2024-01-01 00:00:00", Some("2024-01-01T00:00:00Z")),
            (utc(TimeUnit::Second), "2024-01-01T00:00:00.5", None),
            (DataType::Timestamp(TimeUnit::Second, None), "2024-01-01T00:00:00Z", None),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), "9999-01-01T00:00:00", None),
            (DataType::Boolean, "TRUE", Some("true")),
            (DataType::Boolean, "1", None),
            (DataType::Utf8, "1.50", Some("1.50")),
            (DataType::Null, "x", None),
        ] {
            assert_eq!(field(&data_type, text).ok().as_deref(), expected, "{text} as {data_type}");
        }
        assert_eq!(Column::new(&DataType::Binary).map(|column| column.len()), None);
    }

    #[test]
    fn json_values_are_values_of_their_type_or_refused() {
        let fields = |data_type| {
            DataType::Struct(vec![Field::new("a", data_type, true), Field::new("b", DataType::Int8, true)].into())
        };
        let list = |data_type| DataType::List(Arc::new(Field::new_list_field(data_type, true)));
        for (data_type, text, expected) in [
            (DataType::Utf8, r#""a\u00e9""#, Some("aé")),
            (DataType::Utf8, "1.50", Some("1.50")),
            (DataType::Utf8, "true", Some("true")),
            (DataType::Utf8, "{}", None),
            (DataType::Int64, "\"12\"", Some("12")),
            (DataType::Int64, "\"x\"", None),
            (DataType::Int64, "\"\"", None),
            (DataType::Int64, "true", None),
            (DataType::Float64, "\"NaN\"", None),
            (DataType::Date32, "\"2024-01-01\"", Some("2024-01-01")),
            (DataType::Date32, "20240101", None),
            (DataType::Boolean, "\"true\"", None),
            (list(DataType::Int8), "[1, null, 2]", Some("[1, , 2]")),
            (list(DataType::Int8), "[]", Some("[]")),
            (list(DataType::Int8), "[1, 300]", None),
            (list(list(DataType::Utf8)), "[[\"a\"], null, []]", Some("[[a], , []]")),
            (fields(DataType::Utf8), r#"{"b": 2}"#, Some("{a: , b: 2}")),
            (fields(DataType::Utf8), r#"{"b": 2, "a": "x"}"#, Some("{a: x, b: 2}")),
            (fields(DataType::Utf8), r#"{"b": 2, "c": 3}"#, None),
            (fields(DataType::Utf8), r#"{"b": 2, "b": 3}"#, None),
            (fields(list(DataType::Int8)), r#"{"a": [1]}"#, Some("{a: [1], b: }")),
            (DataType::Struct(Fields::empty()), "{}", Some("{}")),
        ] {
            assert_eq!(json(&data_type, text).ok().as_deref(), expected, "{text} as {data_type}");
        }
        let message = json(&fields(DataType::Int8), r#"{"a": 1.5}"#).unwrap_err();
        assert!(message.contains("in its field \"a\"") && message.contains("not whole"), "{message}");
    }

    #[test]
    fn a_finished_column_starts_empty_again() {
        let mut column = Column::new(&DataType::Decimal128(10, 1)).unwrap();
        for round in 1..3 {
            column.push_field("1.5", false).unwrap();
            column.push_field("", true).unwrap();
            let array = column.finish();
            assert_eq!(array.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [Some(15), None], "{round}");
            assert_eq!((array.data_type(), column.len()), (&DataType::Decimal128(10, 1), 0));
        }
    }
}
