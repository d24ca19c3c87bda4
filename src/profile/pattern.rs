//! The pattern of a string: which classes of characters it consists of, without the characters.
//!
//! ```text
//!  item-00017                            x is letters and digits, mixed
//!  a-9          a ─ lower case, A ─ upper case, Aa ─ the first letter is, w ─ any other mix, 9 ─ digits
//! ```
//! It shows when keys come in another format, and reveals nothing about a person.
//!
//! Not for: which patterns a column has (see `table`).

/// Maximum characters of a pattern.
const LONGEST: usize = 24;
/// Replaces what exceeds the maximum.
const MORE: char = '…';

/// The pattern of a string.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    let mut rest = text.chars().peekable();
    let mut last = None;
    while let Some(letter) = rest.next() {
        if pattern.chars().count() >= LONGEST {
            pattern.push(MORE);
            break;
        }
        if !letter.is_alphanumeric() {
            let shown = if letter.is_whitespace() || letter.is_control() { ' ' } else { letter };
            if last != Some(shown) {
                pattern.push(shown);
            }
            last = Some(shown);
            continue;
        }
        last = None;
        let mut word = Word::default();
        word.take(letter);
        while let Some(letter) = rest.next_if(|letter| letter.is_alphanumeric()) {
            word.take(letter);
        }
        pattern.push_str(word.class());
    }
    pattern
}

/// Whether strings of this pattern look like dates or times, which differ every day.
pub(super) fn is_date(pattern: &str) -> bool {
    ["9-9-", "9/9/"].iter().any(|date| pattern.starts_with(date))
}

/// A run of letters and digits.
#[derive(Default)]
struct Word {
    letters: usize,
    first_is_upper: bool,
    upper: usize,
    digits: usize,
}

impl Word {
    fn take(&mut self, letter: char) {
        self.first_is_upper |= self.letters == 0 && letter.is_uppercase();
        self.letters += 1;
        self.upper += usize::from(letter.is_uppercase());
        self.digits += usize::from(letter.is_numeric());
    }

    fn class(&self) -> &'static str {
        match (self.upper, self.digits) {
            (0, 0) => "a",
            (_, digits) if digits == self.letters => "9",
            (upper, 0) if upper == self.letters => "A",
            (1, 0) if self.first_is_upper => "Aa",
            (0, _) => "x",
            (upper, digits) if upper + digits == self.letters => "X",
            _ => "w",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_show_the_format_and_not_the_value() {
        for (text, expected) in [
            ("item-00017", "a-9"),
            ("ITEM_00017", "A_9"),
            ("view", "a"),
            ("VIEW", "A"),
            ("View", "Aa"),
            ("2026-11-26", "9-9-9"),
            ("https://x.org/a1", "a:/a.a/x"),
            ("d3b07384-d9a0-4c9b", "x-x-x"),
            ("Ab9", "w"),
            ("AB9", "X"),
            ("a  b\tc", "a a a"),
            ("", ""),
            ("ü ß 漢字", "a a a"),
        ] {
            assert_eq!(pattern(text), expected, "{text}");
        }
        assert_eq!(pattern(&"a.".repeat(100)).chars().count(), LONGEST + 1);
        assert_eq!(pattern(&"a".repeat(1 << 20)), "a");
        assert!(is_date(&pattern("2026-11-26T10:00:00Z")) && !is_date(&pattern("10.0.0.1")));
    }
}
