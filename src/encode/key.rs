//! The schema of keys: their columns, the columns' kinds, and the encoding.
//!
//! ```text
//! one string or binary column, fold other than `number`     its bytes, unchanged             KeyEncoding::Bytes
//! anything else                                             FoundationDB tuple of columns    KeyEncoding::Tuple
//! fold `number`                                             … and the number as last element
//! ```
//!
//! In both encodings, bytes sort as the columns do. Dates are days; times, timestamps and durations are integers in
//! their recorded unit; decimals are unscaled integers at the recorded scale; -0.0 is 0.0; dictionaries are encoded by
//! value. Types without such an order, or of no use as a key (lists, structs, maps, unions, intervals), are refused by
//! name.
//!
//! [`KeySchema`] is stored in the manifest, so that a reader can make and show keys without the job file; literals are
//! in `key_literals.rs`. Not for: reading columns of a batch (`key_columns.rs`).

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::error::{Error, Result};
use crate::format::{KeyColumn, KeyEncoding, KeyKind, KeySchema, Unit};
use crate::input::contract::type_name;

impl KeyKind {
    /// The kind of a column of this type; `None` when such a column cannot be a key.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        let int = |bits, signed| KeyKind::Int { bits, signed };
        Some(match data_type {
            DataType::Boolean => KeyKind::Bool,
            DataType::Int8 => int(8, true),
            DataType::Int16 => int(16, true),
            DataType::Int32 => int(32, true),
            DataType::Int64 => int(64, true),
            DataType::UInt8 => int(8, false),
            DataType::UInt16 => int(16, false),
            DataType::UInt32 => int(32, false),
            DataType::UInt64 => int(64, false),
            DataType::Float16 | DataType::Float32 => KeyKind::Float32,
            DataType::Float64 => KeyKind::Float64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => KeyKind::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                KeyKind::Binary
            }
            DataType::Date32 | DataType::Date64 => KeyKind::Date,
            DataType::Time32(unit) | DataType::Time64(unit) => KeyKind::Time((*unit).into()),
            DataType::Timestamp(unit, zone) => KeyKind::Timestamp { unit: (*unit).into(), utc: zone.is_some() },
            DataType::Duration(unit) => KeyKind::Duration((*unit).into()),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => KeyKind::Decimal { precision: *precision, scale: *scale },
            DataType::Dictionary(_, values) => Self::of(values)?,
            DataType::RunEndEncoded(_, values) => Self::of(values.data_type())?,
            DataType::Null
            | DataType::Interval(_)
            | DataType::List(_)
            | DataType::ListView(_)
            | DataType::FixedSizeList(_, _)
            | DataType::LargeList(_)
            | DataType::LargeListView(_)
            | DataType::Struct(_)
            | DataType::Union(_, _)
            | DataType::Map(_, _) => return None,
        })
    }
}

impl KeySchema {
    /// The schema of keys made of `fields`.
    ///
    /// # Errors
    /// `Invalid` when there is no column or one has a type that cannot be a key.
    pub(super) fn new(fields: &[&Field], numbered: bool) -> Result<Self> {
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let Some(kind) = KeyKind::of(field.data_type()) else {
                return Err(Error::invalid(format!(
                    "key column '{}' has type {}, which cannot be part of a key: cast it in the SELECT to text, a \
                     number or a date, or leave it out of the key",
                    field.name(),
                    type_name(field.data_type())
                )));
            };
            columns.push(KeyColumn { name: field.name().clone(), type_name: type_name(field.data_type()), kind });
        }
        let encoding = match columns.as_slice() {
            [] => return Err(Error::invalid("the output has no key: name at least one column in `key`")),
            [one] if one.kind.is_bytes() && !numbered => KeyEncoding::Bytes,
            _ => KeyEncoding::Tuple,
        };
        Ok(Self { columns, encoding, numbered })
    }
}

impl From<TimeUnit> for Unit {
    fn from(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Unit::Second,
            TimeUnit::Millisecond => Unit::Millisecond,
            TimeUnit::Microsecond => Unit::Microsecond,
            TimeUnit::Nanosecond => Unit::Nanosecond,
        }
    }
}
