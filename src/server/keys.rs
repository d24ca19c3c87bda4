//! Keys as clients write them, and as they are stored.
//!
//! ```text
//! one string column     its bytes
//! one binary column     0x and hex digits, or its bytes
//! anything else         the text that `cutover get` takes, such as ["/home","20-29"], or the stored tuple
//! ```
//! Text and stored tuples are distinguished by the first byte: every element of a tuple begins with a byte below 0x28,
//! with which no text of a key begins.
//!
//! Not for: the encoding (`codec`).

use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::{KeyEncoding, KeyKind, KeySchema};

/// The last byte with which an element of a tuple begins.
const LAST_ELEMENT: u8 = 0x27;

/// The stored bytes of a key; the key itself where it is stored as it is written.
///
/// # Errors
/// `Invalid` with what a key of these columns looks like.
pub fn stored<'k>(schema: &KeySchema, key: &'k [u8]) -> Result<std::borrow::Cow<'k, [u8]>> {
    let text = || std::str::from_utf8(key).ok();
    if schema.encoding == KeyEncoding::Bytes {
        let is_binary = schema.columns.first().is_some_and(|column| column.kind == KeyKind::Binary);
        let hex = text().filter(|text| is_binary && text.starts_with("0x"));
        return Ok(hex.and_then(|text| schema.parse(text).ok()).map_or(key.into(), Into::into));
    }
    if key.first().is_some_and(|first| *first <= LAST_ELEMENT) {
        let refused = |error| Error::invalid("the bytes are not a key of this dataset").because(error);
        return schema.to_json(key).map(|_| key.into()).map_err(refused);
    }
    let text = text().ok_or_else(|| Error::invalid("a key is text, or the stored bytes of a key"))?;
    schema.parse(text).map(Into::into)
}

/// A stored key as clients write it.
///
/// # Errors
/// `Corrupt` when the bytes are not a key.
pub fn shown(schema: &KeySchema, key: &[u8]) -> Result<Vec<u8>> {
    if let (KeyEncoding::Bytes, [column]) = (schema.encoding, schema.columns.as_slice())
        && column.kind == KeyKind::String
    {
        return Ok(key.to_vec());
    }
    Ok(match schema.to_json(key)? {
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::KeyColumn;

    fn schema(kinds: &[KeyKind], encoding: KeyEncoding) -> KeySchema {
        let column = |&kind| KeyColumn { name: "k".into(), type_name: "t".into(), kind };
        KeySchema { columns: kinds.iter().map(column).collect(), encoding, numbered: false }
    }

    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        let text = schema(&[KeyKind::String], KeyEncoding::Bytes);
        assert_eq!(&*stored(&text, b"0xff").unwrap(), b"0xff");
        let binary = schema(&[KeyKind::Binary], KeyEncoding::Bytes);
        for form in [&b"0xff00"[..], &[0xff, 0]] {
            assert_eq!(&*stored(&binary, form).unwrap(), &[0xff, 0]);
        }
        let pair = schema(&[KeyKind::String, KeyKind::Int { bits: 64, signed: true }], KeyEncoding::Tuple);
        let bytes = stored(&pair, br#"["/home", 7]"#).unwrap().into_owned();
        assert_eq!(&*stored(&pair, &bytes).unwrap(), bytes);
        let shown = shown(&pair, &bytes).unwrap();
        assert_eq!(&*stored(&pair, &shown).unwrap(), bytes);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pair = schema(&[KeyKind::String, KeyKind::Bool], KeyEncoding::Tuple);
        for wrong in [&b"/home"[..], b"", b"[\"/home\"]", &[2, b'a', 0], &[0xff, 0xfe], b"!"] {
            assert!(stored(&pair, wrong).is_err(), "{wrong:?}");
        }
    }
}
