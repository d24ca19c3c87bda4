//! Pull parser for JSON: RFC 8259, strictly, with every number as it is written.
//!
//! Half of a surrogate pair, a control character in a string and a number with a leading zero are rejected, as the RFC
//! says. Values nest at most [`DEEPEST`] levels, so recursion is bounded.
//!
//! Not for: the meaning of values, and repeated keys, which the reader of an object checks.

use std::borrow::Cow;

/// Maximum nesting depth of objects and lists.
pub(super) const DEEPEST: usize = 64;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Object,
    List,
}

impl Kind {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Object => "an object",
            Self::List => "a list",
        }
    }
}

/// Why a text is not valid JSON.
pub(super) type Wrong = String;

/// A text being parsed.
#[derive(Clone, Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Number of bytes read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The kind of the next value.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Kind, Wrong> {
        match self.next_byte() {
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::List),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.wrong("a value is expected")),
        }
    }

    /// Reads null.
    pub(super) fn null(&mut self) -> Result<(), Wrong> {
        self.word("null")
    }

    /// Reads true or false.
    pub(super) fn bool(&mut self) -> Result<bool, Wrong> {
        let value = self.next_byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads a number, as it is written.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'t str, Wrong> {
        self.next_byte();
        let start = self.at;
        self.eat(b'-');
        let zero = self.byte() == Some(b'0');
        let whole = self.digits();
        let mut valid = whole == 1 || (whole > 1 && !zero);
        if self.eat(b'.') {
            valid &= self.digits() > 0;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            let _ = self.eat(b'+') || self.eat(b'-');
            valid &= self.digits() > 0;
        }
        if valid { Ok(self.text.get(start..self.at).unwrap_or_default()) } else { Err(self.wrong("not a JSON number")) }
    }

    /// Reads a string.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'t, str>, Wrong> {
        self.next_byte();
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped(start).map(Cow::Owned),
                0..0x20 => return Err(self.wrong("a control character in a string, which has to be escaped")),
                _ => self.at += 1,
            }
        }
        Err(self.wrong("a string that is not closed"))
    }

    /// Reads the rest of a string that has escapes.
    fn escaped(&mut self, start: usize) -> Result<String, Wrong> {
        let mut text = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.find(|letter: char| matches!(letter, '"' | '\\' | '\0'..'\x20'));
            let Some(plain) = plain else { return Err(self.wrong("a string that is not closed")) };
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(self.wrong("a control character in a string, which has to be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Wrong> {
        self.at += 1;
        let letter = self.byte();
        self.at += 1;
        Ok(match letter {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'u') => {
                let first = self.unit()?;
                let second = match first {
                    0xd800..0xdc00 if self.eat(b'\\') && self.eat(b'u') => Some(self.unit()?),
                    _ => None,
                };
                let mut read = char::decode_utf16([first].into_iter().chain(second));
                match read.next() {
                    Some(Ok(letter)) => letter,
                    _ => return Err(self.wrong("half of a surrogate pair, which is not a character")),
                }
            }
            _ => return Err(self.wrong("an escape that JSON does not have")),
        })
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, Wrong> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("an escape without four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }

    /// Opens an object or a list.
    pub(super) fn open(&mut self) -> Result<(), Wrong> {
        self.next_byte();
        self.at += 1;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(&format!("nested deeper than {DEEPEST} levels")));
        }
        Ok(())
    }

    /// Reads the key of an object's next member, if there is one; `first` if no member has been read yet.
    #[inline]
    pub(super) fn key(&mut self, first: bool) -> Result<Option<Cow<'t, str>>, Wrong> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        if self.next_byte() != Some(b'"') {
            return Err(self.wrong("a key in quotes is expected"));
        }
        let key = self.text()?;
        if self.next_byte() != Some(b':') {
            return Err(self.wrong("a colon is expected"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether a list has another item; `first` if no item has been read yet.
    pub(super) fn item(&mut self, first: bool) -> Result<bool, Wrong> {
        self.more(first, b']')
    }

    fn more(&mut self, first: bool, end: u8) -> Result<bool, Wrong> {
        match self.next_byte() {
            Some(byte) if byte == end => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.wrong(if end == b'}' { "a comma or } is expected" } else { "a comma or ] is expected" })),
        }
    }

    /// Skips a value.
    pub(super) fn skip(&mut self) -> Result<(), Wrong> {
        let mut first = true;
        match self.peek()? {
            Kind::Null => self.null()?,
            Kind::Bool => drop(self.bool()?),
            Kind::Number => drop(self.number()?),
            Kind::Text => drop(self.text()?),
            Kind::Object => {
                self.open()?;
                while self.key(first)?.is_some() {
                    self.skip()?;
                    first = false;
                }
            }
            Kind::List => {
                self.open()?;
                while self.item(first)? {
                    self.skip()?;
                    first = false;
                }
            }
        }
        Ok(())
    }

    /// Skips a value and returns its text.
    pub(super) fn raw(&mut self) -> Result<&'t str, Wrong> {
        self.next_byte();
        let start = self.at;
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        match self.next_byte() {
            None => Ok(()),
            Some(b'{') => Err(self.wrong("a second object")),
            Some(_) => Err(self.wrong("more text after the object")),
        }
    }

    /// Describes an error at the current position, with the text there.
    pub(super) fn wrong(&self, what: &str) -> Wrong {
        let before = self.text.get(..self.at).map_or(self.at, |before| before.chars().count());
        match self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            Some(rest) => format!("{what} at character {}, found {}", before + 1, super::text_error::shown(rest)),
            None => format!("{what}, but the line ends"),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        self.next_byte();
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(word.as_bytes()) || rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric) {
            return Err(self.wrong("a value is expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the next byte.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Result<(), Wrong> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn invalid_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "nullx",
            "\"",
            "\"\\x\"",
            "\"\t\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "{} {}",
            "[1 2]",
            "{\"a\" 1}",
            "NaN",
            "'a'",
        ] {
            assert!(whole(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text} is JSON after all");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(whole(&deep(DEEPEST)).is_ok() && whole(&deep(DEEPEST + 1)).unwrap_err().contains("deeper"));
        assert!(whole(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn strings_and_numbers_are_read_as_written() {
        let text = |text: &str| Reader::new(text).text().map(Cow::into_owned);
        assert_eq!(text(r#" "a\n\u00e9\ud83d\ude00\/é" "#).as_deref(), Ok("a\né😀/é"));
        assert_eq!(Reader::new(" -0.10E+05,").number(), Ok("-0.10E+05"));
        assert_eq!(Reader::new(r#" {"a": [1]} x"#).raw(), Ok(r#"{"a": [1]}"#));
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde(text in r#"[\[\]{}:,"\\a0-9u d8ce.+-]{0,12}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Their parser rejects numbers beyond a double.
            let too_large = theirs.as_ref().err().is_some_and(|error| error.to_string().contains("out of range"));
            prop_assert!(whole(&text).is_ok() == theirs.is_ok() || too_large, "{text}: {:?}, {theirs:?}", whole(&text));
        }

        #[test]
        fn strings_are_read_as_serde_writes_them(text: String) {
            let written = serde_json::to_string(&text).unwrap();
            let read = Reader::new(&written).text().unwrap().into_owned();
            prop_assert_eq!(read, text);
        }
    }
}
