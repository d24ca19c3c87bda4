//! Faults in text files, with their lines, in the one form that all text readers use.
//!
//! Readers know lines, not files; the caller adds the file. Values are shortened and control characters escaped, so
//! that no file can write to a terminal or fill a log.

use crate::error::Error;
use crate::input::source::Source;

/// Characters of a value that a message shows.
pub(super) const SHOWN: usize = 60;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, counted from 1; 0 for the file as a whole.
    pub(crate) line: u64,
    /// What is wrong and what to do about it.
    pub(crate) what: String,
}

impl Fault {
    /// A fault in a line.
    pub(super) fn at(line: u64, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }

    /// A fault of the whole file.
    pub(super) fn of_file(what: impl Into<String>) -> Self {
        Self::at(0, what)
    }

    /// Converts it to an error that names the file.
    pub(crate) fn in_file(self, file: &Source) -> Error {
        let Self { line, what } = self;
        Error::input(if line == 0 { format!("{file}: {what}") } else { format!("{file}, line {line}: {what}") })
    }
}

/// A value as messages show it.
pub(super) fn shown(value: &str) -> String {
    let start: String = value.chars().take(SHOWN).collect();
    let more = if start.len() < value.len() { "…" } else { "" };
    format!("{:?}{more}", start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_shortened_and_escaped() {
        assert_eq!(shown("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(shown(&"é".repeat(61)), format!("\"{}\"…", "é".repeat(60)));
        let error = Fault::at(3, "is wrong").in_file(&Source::Local("a.csv".into()));
        assert_eq!(error.message(), "a.csv, line 3: is wrong");
    }
}
