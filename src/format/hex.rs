//! Bytes as lower-case hexadecimal strings, the form of keys in the store's JSON files.
//!
//! Not for: how keys are shown to people; `crate::format::KeySchema` decodes them.

use std::fmt::Write;

/// Two digits per byte.
///
/// ```
/// use cutover::format::{hex, hex_checksum, undigits};
///
/// assert_eq!(hex(b"\x00\xff"), "00ff");
/// assert_eq!(undigits("00ff"), Some(vec![0, 255]));
/// assert_eq!(hex_checksum(255), "00000000000000ff");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// The bytes of two digits per byte.
pub fn undigits(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

/// A checksum as files hold it: 16 lower-case hexadecimal digits.
pub fn hex_checksum(sum: u64) -> String {
    format!("{sum:016x}")
}

/// Keys as strings in JSON, for `#[serde(with = "…")]`: as lists of numbers they would take twice the space.
pub mod as_text {
    use super::undigits;
    use std::fmt::{self, Display, Formatter};

    use serde::{Deserialize, Deserializer, Serializer, de};

    struct Digits<'a>(&'a [u8]);

    impl Display for Digits<'_> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }

    /// Two digits per byte.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Digits(bytes))
    }

    /// The bytes, from two digits each.
    ///
    /// # Errors
    /// The deserializer's, and one for a string that is not pairs of digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        undigits(&text).ok_or_else(|| de::Error::custom("a key is not pairs of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_in_json_and_come_back() {
        let read = |json: &str| as_text::deserialize(&mut serde_json::Deserializer::from_str(json)).ok();
        let mut json = Vec::new();
        as_text::serialize(&[0, 255, 16], &mut serde_json::Serializer::new(&mut json)).unwrap();
        assert_eq!(json, b"\"00ff10\"");
        assert_eq!(read("\"00ff10\""), Some(vec![0, 255, 16]));
        assert_eq!([read("\"0\""), read("\"0g\""), read("[0]")], [None, None, None]);
    }

    #[test]
    fn digits_are_lower_case_and_padded() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
