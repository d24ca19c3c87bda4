//! Stored values as clients get them: their text, and the fields of a record.
//!
//! JSON is passed on as it is stored, with all its digits; Avro becomes JSON; raw values are their bytes.
//!
//! Not for: the encodings (`codec`).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::format::{Encoding, ValueSchema};

/// A value as `cutover get` prints it, but raw bytes as they are.
///
/// # Errors
/// `Corrupt` when the bytes are not a value of this schema.
pub fn text<'v>(schema: &ValueSchema, value: &'v [u8]) -> Result<Cow<'v, [u8]>> {
    match schema.encoding {
        Encoding::Json | Encoding::Raw => value
            .strip_prefix(schema.header())
            .map(Cow::from)
            .ok_or_else(|| Error::corrupt("a stored value does not begin with its schema's header")),
        Encoding::Avro { .. } => Ok(schema.to_text(value)?.into_bytes().into()),
    }
}

/// A value as JSON: a raw one as a string.
///
/// # Errors
/// As [`text`].
pub fn json<'v>(schema: &ValueSchema, value: &'v [u8]) -> Result<Cow<'v, [u8]>> {
    match schema.encoding {
        Encoding::Json | Encoding::Avro { .. } => text(schema, value),
        Encoding::Raw => Ok(schema.to_json(value)?.to_string().into_bytes().into()),
    }
}

/// The fields of a record in the order in which they are stored, each as [`Field`]; none when a value has no fields.
pub fn fields(text: &[u8]) -> Option<Vec<(Cow<'_, str>, Field<'_>)>> {
    let mut entries = Vec::new();
    serde_json::from_slice::<Entries<'_>>(text).ok()?.0.into_iter().try_for_each(|(name, value)| {
        entries.push((name, Field::of(value)?));
        Some(())
    })?;
    Some(entries)
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub enum Field<'v> {
    /// Null.
    Null,
    /// A string without quotes, or the JSON text of anything else.
    Text(Cow<'v, str>),
}

impl<'v> Field<'v> {
    fn of(value: &'v RawValue) -> Option<Self> {
        Some(match value.get() {
            "null" => Self::Null,
            text if text.starts_with('"') => Self::Text(unquoted(text)?),
            text => Self::Text(text.into()),
        })
    }
}

fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(text).ok().map(Cow::Owned) } else { Some(inner.into()) }
}

/// The entries of a JSON object in their order.
struct Entries<'v>(Vec<(Cow<'v, str>, &'v RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push((Cow::Owned(entry.0), entry.1));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_digits() {
        let text = |text: &'static str| Field::Text(text.into());
        let found = fields(br#"{"z":12345678901234567890.10,"a":"x\ny","n":null,"l":[1, 2]}"#).unwrap();
        let expected =
            [("z", text("12345678901234567890.10")), ("a", text("x\ny")), ("n", Field::Null), ("l", text("[1, 2]"))];
        assert!(found.iter().map(|(name, field)| (name.as_ref(), field)).eq(expected.iter().map(|(n, f)| (*n, f))));
        assert_eq!(fields(b"[1]"), None);
        assert_eq!(fields(b"not json"), None);
    }
}
