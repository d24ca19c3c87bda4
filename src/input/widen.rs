//! Finds the type that holds the values of two others exactly.
//!
//! ```text
//! int8 < int16 < int32 < int64      uint8 < uint16 < uint32 < uint64      uint8 < int16, uint16 < int32, uint32 < int64
//! float16 < float32 < float64       8- and 16-bit integers < float32      32-bit integers < float64
//! s < ms < us < ns, for times, instants and local timestamps      date < date64      null < everything
//! decimals, and integers with them: as many digits before and after the point as either has, 38 at most
//! lists, maps, and structs by field names, recursively; maps whose values differ in a struct do not widen
//! ```
//! 64-bit integers with floats are allowed by [`Widening::Exact`]: they fit if none is beyond 2^53.
//!
//! Both types are in the canonical layout (`layout`). Not for: converting values; the query's reader casts them.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit};

/// Whether 64-bit integers may become floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Widening {
    /// No.
    Always,
    /// Yes: the caller checks their values.
    Exact,
}

/// The type that holds the values of both.
pub(super) fn widen(one: &DataType, other: &DataType, widening: Widening) -> Option<DataType> {
    use DataType::{Date32, Date64, Decimal128, Duration, List, Map, Null, Struct, Time32, Time64, Timestamp};
    Some(match (one, other) {
        (List(one), List(other)) => List(widen_field(one, other)?),
        (Map(one, sorted), Map(other, other_sorted)) => Map(widen_entries(one, other)?, *sorted && *other_sorted),
        (Struct(one), Struct(other)) => Struct(widen_fields(one, other)?),
        (same, other) if same == other => same.clone(),
        (Null, kind) | (kind, Null) => kind.clone(),
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Timestamp(one, zone), Timestamp(other, same)) if zone == same => {
            Timestamp(*one.max_by_fineness(other), zone.clone())
        }
        (Duration(one), Duration(other)) => Duration(*one.max_by_fineness(other)),
        (Time32(one) | Time64(one), Time32(other) | Time64(other)) => match *one.max_by_fineness(other) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
            unit => Time64(unit),
        },
        (Decimal128(one, scale), Decimal128(other, other_scale)) => {
            widen_decimals((*one, *scale), (*other, *other_scale))?
        }
        (Decimal128(precision, scale), integer) | (integer, Decimal128(precision, scale)) => {
            widen_decimals((*precision, *scale), (digits(integer)?, 0))?
        }
        _ => widen_numbers(Number::of(one)?, Number::of(other)?, widening)?,
    })
}

/// Orders units by precision.
trait Fineness: Sized {
    fn max_by_fineness<'a>(&'a self, other: &'a Self) -> &'a Self;
}

impl Fineness for TimeUnit {
    fn max_by_fineness<'a>(&'a self, other: &'a Self) -> &'a Self {
        let fineness = |unit: &Self| match unit {
            Self::Second => 0,
            Self::Millisecond => 1,
            Self::Microsecond => 2,
            Self::Nanosecond => 3,
        };
        if fineness(self) < fineness(other) { other } else { self }
    }
}

/// A number's kind and width in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Signed(u8),
    Unsigned(u8),
    Float(u8),
}

impl Number {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::Signed(8),
            DataType::Int16 => Self::Signed(16),
            DataType::Int32 => Self::Signed(32),
            DataType::Int64 => Self::Signed(64),
            DataType::UInt8 => Self::Unsigned(8),
            DataType::UInt16 => Self::Unsigned(16),
            DataType::UInt32 => Self::Unsigned(32),
            DataType::UInt64 => Self::Unsigned(64),
            DataType::Float16 => Self::Float(16),
            DataType::Float32 => Self::Float(32),
            DataType::Float64 => Self::Float(64),
            _ => return None,
        })
    }

    fn data_type(self) -> Option<DataType> {
        Some(match self {
            Self::Signed(8) => DataType::Int8,
            Self::Signed(16) => DataType::Int16,
            Self::Signed(32) => DataType::Int32,
            Self::Signed(64) => DataType::Int64,
            Self::Unsigned(8) => DataType::UInt8,
            Self::Unsigned(16) => DataType::UInt16,
            Self::Unsigned(32) => DataType::UInt32,
            Self::Unsigned(64) => DataType::UInt64,
            Self::Float(16) => DataType::Float16,
            Self::Float(32) => DataType::Float32,
            Self::Float(64) => DataType::Float64,
            _ => return None,
        })
    }
}

fn widen_numbers(one: Number, other: Number, widening: Widening) -> Option<DataType> {
    use Number::{Float, Signed, Unsigned};
    let wide = match (one, other) {
        (Signed(one), Signed(other)) => Signed(one.max(other)),
        (Unsigned(one), Unsigned(other)) => Unsigned(one.max(other)),
        (Float(one), Float(other)) => Float(one.max(other)),
        (Signed(signed), Unsigned(unsigned)) | (Unsigned(unsigned), Signed(signed)) => {
            Signed(signed.max(unsigned.checked_mul(2).filter(|bits| *bits <= 64)?))
        }
        (Signed(64) | Unsigned(64), Float(_)) | (Float(_), Signed(64) | Unsigned(64)) => match widening {
            Widening::Exact => Float(64),
            Widening::Always => return None,
        },
        (Signed(bits) | Unsigned(bits), Float(float)) | (Float(float), Signed(bits) | Unsigned(bits)) => {
            Float(float.max(2 * bits).max(32))
        }
    };
    wide.data_type()
}

fn widen_decimals(one: (u8, i8), other: (u8, i8)) -> Option<DataType> {
    let whole = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    let scale = one.1.max(other.1);
    let precision = u8::try_from(whole(one).max(whole(other)) + i16::from(scale)).ok()?;
    (precision <= DECIMAL128_MAX_PRECISION).then_some(DataType::Decimal128(precision, scale))
}

/// The most digits of an integer type's values.
fn digits(integer: &DataType) -> Option<u8> {
    Some(match Number::of(integer)? {
        Number::Signed(8) | Number::Unsigned(8) => 3,
        Number::Signed(16) | Number::Unsigned(16) => 5,
        Number::Signed(32) | Number::Unsigned(32) => 10,
        Number::Signed(64) => 19,
        Number::Unsigned(64) => 20,
        _ => return None,
    })
}

/// One field for both, with the name of `one`.
fn widen_field(one: &FieldRef, other: &FieldRef) -> Option<FieldRef> {
    let data_type = widen(one.data_type(), other.data_type(), Widening::Always)?;
    let nullable = one.is_nullable() || other.is_nullable();
    Some(Arc::new(one.as_ref().clone().with_data_type(data_type).with_nullable(nullable)))
}

/// All fields of both, in the order of their first occurrence; those of only one become nullable. Structs without a
/// common field are not merged.
fn widen_fields(one: &Fields, other: &Fields) -> Option<Fields> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(one.len());
    let mut common = 0;
    for field in one {
        match other.iter().find(|other| other.name() == field.name()) {
            Some(other) => {
                fields.push(widen_field(field, other)?);
                common += 1;
            }
            None => fields.push(nullable(field)),
        }
    }
    fields.extend(other.iter().filter(|other| !one.iter().any(|field| field.name() == other.name())).map(nullable));
    (common > 0 || one.is_empty() && other.is_empty()).then(|| fields.into())
}

fn nullable(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_nullable(true))
}

/// Keys and values of maps, whatever their fields are named. The query's reader cannot add fields to structs in maps.
fn widen_entries(one: &FieldRef, other: &FieldRef) -> Option<FieldRef> {
    let (DataType::Struct(pair), DataType::Struct(others)) = (one.data_type(), other.data_type()) else { return None };
    let pairs = pair.iter().zip(others).map(|(one, other)| widen_field(one, other)).collect::<Option<Vec<_>>>()?;
    let same = |(one, wide): (&FieldRef, &FieldRef)| one.data_type() == wide.data_type() || !holds_struct(wide);
    if !pair.iter().zip(&pairs).all(same) || !others.iter().zip(&pairs).all(same) {
        return None;
    }
    let entries = Field::new(one.name(), DataType::Struct(pairs.into()), one.is_nullable());
    (pair.len() == others.len()).then(|| Arc::new(entries.with_metadata(one.metadata().clone())))
}

fn holds_struct(field: &FieldRef) -> bool {
    match field.data_type() {
        DataType::Struct(_) => true,
        DataType::List(item) | DataType::Map(item, _) => holds_struct(item),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::contract::type_name;

    fn field(name: &str, data_type: DataType) -> FieldRef {
        Arc::new(Field::new(name, data_type, false))
    }

    #[track_caller]
    fn check(one: &DataType, other: &DataType, expected: Option<&str>) {
        for (one, other) in [(one, other), (other, one)] {
            let found = widen(one, other, Widening::Always).map(|found| type_name(&found));
            assert_eq!(found.as_deref(), expected, "{one} and {other}");
        }
    }

    #[test]
    fn numbers_widen_where_no_value_is_lost() {
        use DataType::{
            Boolean, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Null, UInt8, UInt32, UInt64, Utf8,
        };
        for (one, other, expected) in [
            (Int8, Int32, Some("int32")),
            (UInt8, UInt64, Some("uint64")),
            (UInt8, Int8, Some("int16")),
            (UInt32, Int8, Some("int64")),
            (UInt64, Int64, None),
            (Int16, Float32, Some("float32")),
            (Int8, Float16, Some("float32")),
            (Int32, Float32, Some("float64")),
            (UInt32, Float64, Some("float64")),
            (Int64, Float64, None),
            (Float16, Float64, Some("float64")),
            (Null, Utf8, Some("string")),
            (Boolean, Int8, None),
            (Utf8, Int8, None),
        ] {
            check(&one, &other, expected);
        }
        assert_eq!(widen(&Int64, &Float32, Widening::Exact), Some(Float64));
    }

    #[test]
    fn times_and_decimals_widen_to_the_finer() {
        use DataType::{Date32, Date64, Decimal128, Int32, Int64, Time32, Time64, Timestamp, UInt64};
        let utc = || Some("UTC".into());
        for (one, other, expected) in [
            (Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Nanosecond, None), Some("timestamp[ns]")),
            (Timestamp(TimeUnit::Second, utc()), Timestamp(TimeUnit::Millisecond, utc()), Some("timestamp[ms, UTC]")),
            (Timestamp(TimeUnit::Second, utc()), Timestamp(TimeUnit::Second, None), None),
            (Int32, Decimal128(25, 2), Some("decimal(25, 2)")),
            (Int64, Decimal128(5, 1), Some("decimal(20, 1)")),
            (UInt64, Decimal128(38, 20), None),
            (Time32(TimeUnit::Millisecond), Time64(TimeUnit::Microsecond), Some("time[us]")),
            (Date32, Date64, Some("date64")),
            (Decimal128(10, 2), Decimal128(9, 4), Some("decimal(12, 4)")),
            (Decimal128(38, 0), Decimal128(38, 2), None),
            (Decimal128(5, -2), Decimal128(3, 1), Some("decimal(8, 1)")),
        ] {
            check(&one, &other, expected);
        }
    }

    #[test]
    fn lists_structs_and_maps_widen_within() {
        let list = |name: &str, of| DataType::List(field(name, of));
        check(&list("item", DataType::Int8), &list("element", DataType::Int64), Some("list<int64>"));
        let structure = |fields: Vec<FieldRef>| DataType::Struct(fields.into());
        let (a, b) = (field("a", DataType::Int8), field("b", DataType::Utf8));
        let wide_a = field("a", DataType::Int16);
        let both = widen(&structure(vec![Arc::clone(&a), Arc::clone(&b)]), &structure(vec![wide_a]), Widening::Always);
        let expected = [Field::new("a", DataType::Int16, false), Field::new("b", DataType::Utf8, true)];
        assert_eq!(both, Some(structure(expected.into_iter().map(Arc::new).collect())));
        check(&structure(vec![Arc::clone(&a)]), &structure(vec![b]), None);
        let map = |key: &str, value| {
            let pair = vec![field(key, DataType::Utf8), field("value", value)];
            DataType::Map(field("entries", DataType::Struct(pair.into())), false)
        };
        check(&map("key", DataType::Int8), &map("keys", DataType::Int16), Some("map<string, int16>"));
        let more = structure(vec![Arc::clone(&a), field("c", DataType::Int8)]);
        check(&map("key", structure(vec![a])), &map("key", more), None);
    }
}
