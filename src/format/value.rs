//! What a value is made of, as recorded in the manifest.
//!
//! ```text
//! stored value = header ‖ body        body = one record, or with `list` several records
//! ```
//! Its serialized names are a format: add, never rename. Not for: reading or writing values (`codec`, `encode`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::hex;
use super::settings::Encoding;

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
    pub(crate) header: Vec<u8>,
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

impl ValueSchema {
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
    serializer.serialize_str(&hex(header))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let digits = String::deserialize(deserializer)?;
    hex::undigits(&digits).ok_or_else(|| serde::de::Error::custom("the value's header is not hex"))
}
