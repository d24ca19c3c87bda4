//! The schema of values, as recorded in the manifest, and decoding a value for display.
//!
//! ```text
//! stored value = header ‖ body        body = one record, or with `list` the records that `join_values` joined
//! ```
//!
//! Made by the plan, used by readers and by the checks that compare a version with the published one. Its serialized
//! names are a format: add, never rename. Not for: writing values.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{ValueField, avro_decode};
use crate::encode::literals;
use crate::error::{Error, Result};
use crate::input::contract::type_name;
use crate::job::Encoding;

/// The value's columns and encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueSchema {
    /// How a record becomes bytes.
    pub encoding: Encoding,
    /// The columns of a record, in order.
    pub columns: Vec<ValueColumn>,
    /// The Avro schema of a stored value, when the encoding is Avro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avro: Option<Value>,
    /// Whether a value holds a list of records (the folds `list` and `top`) instead of one.
    pub list: bool,
    /// The prefix of every stored value, serialized as hex; empty without an Avro single-object header.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(super) header: Vec<u8>,
}

/// One column of the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueColumn {
    /// The column's name.
    pub name: String,
    /// The column's type, for display and for comparing versions.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
}

impl ValueColumn {
    pub(super) fn of(field: &ValueField) -> Self {
        let type_name = type_name(&field.data_type);
        Self { name: field.name.clone(), type_name, nullable: field.nullable }
    }
}

impl ValueSchema {
    /// The prefix of every stored value: Avro's single-object header if the job asks for it, else empty.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// A stored value for display: JSON parsed, Avro decoded, raw as a string (or `0x…` if it is not UTF-8).
    ///
    /// Numbers with a fraction pass through a double here; [`ValueSchema::to_text`] shows JSON with every digit stored.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a value of this schema.
    pub fn to_json(&self, value: &[u8]) -> Result<Value> {
        let body = self.body(value)?;
        match self.encoding {
            Encoding::Json => serde_json::from_slice(body)
                .map_err(|error| Error::corrupt("a stored value is not JSON").because(error)),
            Encoding::Avro { .. } => self
                .avro
                .as_ref()
                .and_then(|schema| avro_decode::decode(schema, body))
                .ok_or_else(|| Error::corrupt("a stored value does not decode by the Avro schema in its manifest")),
            Encoding::Raw => Ok(Value::from(shown(body))),
        }
    }

    /// A stored value as a string: JSON exactly as stored, Avro as JSON, raw as UTF-8 or `0x…`.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a value of this schema.
    pub fn to_text(&self, value: &[u8]) -> Result<String> {
        let json = self.to_json(value)?;
        match self.encoding {
            Encoding::Json | Encoding::Raw => Ok(shown(self.body(value)?)),
            Encoding::Avro { .. } => Ok(json.to_string()),
        }
    }

    /// Why readers of `published` could not read values of this schema; empty when they can. Columns may be added and
    /// become nullable.
    pub fn compatible(&self, published: &ValueSchema) -> Vec<String> {
        let mut problems = Vec::new();
        if self.encoding != published.encoding {
            let (from, to) = (describe(published.encoding), describe(self.encoding));
            problems.push(format!("the value's encoding changed from {from} to {to}"));
        }
        if self.list != published.list {
            let form = |list| if list { "a list of records" } else { "one record" };
            problems.push(format!("a value changed from {} to {}", form(published.list), form(self.list)));
        }
        for old in &published.columns {
            match self.columns.iter().find(|column| column.name == old.name) {
                None => problems.push(format!("value column '{}' was removed", old.name)),
                Some(new) if new.type_name != old.type_name => problems
                    .push(format!("value column '{}' changed from {} to {}", old.name, old.type_name, new.type_name)),
                Some(_) => {}
            }
        }
        problems
    }

    fn body<'a>(&self, value: &'a [u8]) -> Result<&'a [u8]> {
        value.strip_prefix(self.header.as_slice()).ok_or_else(|| {
            let found = &value[..value.len().min(self.header.len())];
            Error::corrupt(format!(
                "a stored value starts with {} instead of its schema's header {}",
                literals::hex(found),
                literals::hex(&self.header)
            ))
        })
    }
}

fn shown(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| literals::hex(bytes), str::to_owned)
}

fn describe(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "json",
        Encoding::Avro { single_object: false } => "avro",
        Encoding::Avro { single_object: true } => "avro with single-object headers",
        Encoding::Raw => "raw",
    }
}

fn to_hex<S: Serializer>(header: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&literals::digits(header))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let digits = String::deserialize(deserializer)?;
    literals::undigits(&digits).ok_or_else(|| serde::de::Error::custom("the value's header is not hex"))
}
