//! What a value is made of, as recorded in the manifest, and how to show one.
//!
//! ```text
//! stored value = header ‖ body        body = one record, or with `list` the records that `join_values` put together
//! ```
//!
//! Made by the plan, read back by readers and by the checks that compare a version with the published one. Its
//! serialized names are a format: add, never rename. Not for: writing values.

use serde_json::Value;

use super::{avro_decode, literals};
use crate::error::{Error, Result};
use crate::format::{Encoding, ValueSchema};

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
