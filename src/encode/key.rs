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

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::literals::Unit;
use super::{listing, tuple};
use crate::error::{Error, Result};
use crate::input::contract::type_name;

/// The most digits of a decimal.
const MAX_PRECISION: u8 = arrow::datatypes::DECIMAL256_MAX_PRECISION;

/// The key's columns and encoding, as recorded in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    /// The key's columns, most significant first.
    pub columns: Vec<KeyColumn>,
    /// How the columns become bytes.
    pub encoding: KeyEncoding,
    /// Whether a sequence number follows the columns: from 0, over the entries with the same columns.
    pub numbered: bool,
}

/// One column of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// The column's name.
    pub name: String,
    /// The column's type, for display.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How the column's values are written, read and shown.
    pub kind: KeyKind,
}

/// How a key becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// The bytes of the only column, unchanged.
    Bytes,
    /// The FoundationDB tuple encoding.
    Tuple,
}

/// What a key column's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// True or false.
    Bool,
    /// An integer.
    Int {
        /// Its width: 8, 16, 32 or 64.
        bits: u8,
        /// Whether it can be negative.
        signed: bool,
    },
    /// A floating-point number of 32 bits.
    Float32,
    /// A floating-point number of 64 bits.
    Float64,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Binary,
    /// Days since 1970-01-01.
    Date,
    /// Time since midnight.
    Time(Unit),
    /// Time since 1970-01-01T00:00:00, in UTC when the type has a time zone.
    Timestamp {
        /// The unit.
        unit: Unit,
        /// Whether the type has a time zone.
        utc: bool,
    },
    /// A span of time.
    Duration(Unit),
    /// A number of `precision` digits, `scale` of them after the point.
    Decimal {
        /// Total number of digits.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
}

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

    /// Whether a key of only this column is its bytes.
    pub(super) fn is_bytes(self) -> bool {
        matches!(self, KeyKind::String | KeyKind::Binary)
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

    /// The first contradiction in a schema that was read from a manifest or an announcement.
    pub fn contradiction(&self) -> Option<String> {
        let wrong = |column: &&KeyColumn| match column.kind {
            KeyKind::Int { bits, .. } => ![8, 16, 32, 64].contains(&bits),
            KeyKind::Decimal { precision, scale } => {
                !(1..=MAX_PRECISION).contains(&precision) || scale.unsigned_abs() > MAX_PRECISION
            }
            _ => false,
        };
        if let Some(column) = self.columns.iter().find(wrong) {
            return Some(format!("key column {:?} cannot be {:?}", column.name, column.kind));
        }
        let bytes = matches!(self.columns.as_slice(), [one] if one.kind.is_bytes() && !self.numbered);
        let fits = !self.columns.is_empty() && (bytes || self.encoding == KeyEncoding::Tuple);
        (!fits).then(|| "its key has no column, or more than its encoding can hold".to_owned())
    }

    /// The differences to the key schema of a published version; empty when readers' keys still work.
    pub fn changes(&self, published: &KeySchema) -> Vec<String> {
        let mut changes = Vec::new();
        let describe = |schema: &KeySchema| {
            let columns: Vec<_> =
                schema.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect();
            listing(columns.iter().map(String::as_str))
        };
        if self.columns != published.columns {
            changes.push(format!("the key changed from ({}) to ({})", describe(published), describe(self)));
        }
        if self.numbered != published.numbered {
            let verb = if self.numbered { "now" } else { "no longer" };
            changes.push(format!("the key {verb} ends in a number"));
        }
        changes
    }
}

/// Appends the number of an entry to its key, as the last element of the tuple.
pub fn append_number(key: &mut Vec<u8>, n: u64) {
    tuple::write_u64(key, n);
}
