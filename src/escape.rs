//! Escapes foreign strings for display: control characters are escaped, so that no name, reason or record can control a
//! terminal, and long ones are cut.
//!
//! Used wherever a message or a table contains strings from outside: reasons of pins, keys of topics, names in
//! announcements.
//!
//! Not for: stored keys and values, which `get` and `scan` print unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Most characters of a name that are shown.
const SHOWN: usize = 60;

/// A string with its control characters escaped, including those that change the direction of writing.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_control)
}

/// The same for a string of several lines, which stay lines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |letter| is_control(letter) && letter != '\n' && letter != '\t')
}

/// A quoted name, escaped, with its length if it is cut.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("\"{}\"", escaped(text)),
        Some((end, _)) => format!("\"{}…\" ({} bytes)", escaped(&text[..end]), text.len()),
    }
}

fn escape(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            _ if !hides(letter) => shown.push(letter),
            '\n' | '\t' | '\r' => shown.extend(letter.escape_default()),
            // Writing to a string does not fail.
            _ => drop(write!(shown, "\\u{{{:x}}}", u32::from(letter))),
        }
    }
    Cow::Owned(shown)
}

fn is_control(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("plain, ünïcode"), "plain, ünïcode");
        assert_eq!(escaped("a\u{1b}[2Jb\nc\td\u{9b}"), "a\\u{1b}[2Jb\\nc\\td\\u{9b}");
        assert_eq!(escaped("\u{202e}txt"), "\\u{202e}txt");
        assert_eq!(escaped_lines("a\nb\r\u{7}"), "a\nb\\r\\u{7}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("views"), "\"views\"");
        let long = shortened(&"ü".repeat(1000));
        assert!(long.starts_with("\"üü") && long.ends_with("ü…\" (2000 bytes)") && long.len() < 200, "{long}");
    }
}
