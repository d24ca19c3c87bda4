//! Bytes as lower-case hexadecimal text, the way the store's JSON files hold keys.
//!
//! Not for: how keys are shown to people; `encode::KeySchema` decodes them.

use std::fmt::Write;

/// Two digits per byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_lower_case_and_padded() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
