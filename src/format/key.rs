//! What a key is made of: its columns, their kinds, and how they become bytes, as recorded in the manifest.
//!
//! ```text
//! one string or binary column, fold other than `number`     its bytes as they are            KeyEncoding::Bytes
//! anything else                                             FoundationDB tuple of columns    KeyEncoding::Tuple
//! fold `number`                                             … and the number as last element
//! ```
//!
//! Not for: the bytes themselves (`codec`), or which Arrow types can be keys (`encode`).

use serde::{Deserialize, Serialize};

/// The most digits of a decimal.
const MAX_PRECISION: u8 = 76;

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

/// The unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Whole seconds.
    Second,
    /// Thousandths of a second.
    Millisecond,
    /// Millionths of a second.
    Microsecond,
    /// Billionths of a second.
    Nanosecond,
}

impl KeyKind {
    /// Whether a key of only this column is its bytes.
    pub(crate) fn is_bytes(self) -> bool {
        matches!(self, KeyKind::String | KeyKind::Binary)
    }
}

impl KeySchema {
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
            columns.join(", ")
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
