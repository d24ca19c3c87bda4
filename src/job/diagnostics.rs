//! Collects all problems of one job file, so that they are reported at once.
//!
//! The parser continues after a problem and adds each one here with its line; [`Problems::into_error`] turns them into
//! a single `Invalid` error: a headline, then one line per problem in file order, each `PATH:LINE: what is wrong`.
//!
//! Not for: problems that only the data shows. Invariant: a job is returned only when nothing was added.

use std::cell::RefCell;
use std::path::Path;

use crate::error::Error;

/// Most problems listed: a file that is not a job file would have too many.
const LISTED: usize = 50;

/// The problems of one file so far.
pub(super) struct Problems {
    text: String,
    path: String,
    /// Byte offset of the end of every line.
    ends: Vec<usize>,
    found: RefCell<Vec<(Option<usize>, String)>>,
}

impl Problems {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset).collect();
        Self { text: text.to_owned(), path: path.display().to_string(), ends, found: RefCell::default() }
    }

    /// Line, counted from 1, of a byte offset.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end < offset) + 1
    }

    /// The file's content from a byte offset on.
    pub(super) fn text_from(&self, offset: usize) -> &str {
        self.text.get(offset..).unwrap_or_default()
    }

    pub(super) fn add(&self, line: usize, message: impl Into<String>) {
        self.found.borrow_mut().push((Some(line), message.into()));
    }

    /// A problem of the file as a whole, or of a flag given with it.
    pub(super) fn add_general(&self, message: impl Into<String>) {
        self.found.borrow_mut().push((None, message.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// One error with all problems, in file order.
    pub(super) fn into_error(self) -> Error {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(line, _)| line.unwrap_or(usize::MAX));
        found.dedup();
        let noun = if found.len() == 1 { "problem" } else { "problems" };
        let mut text = format!("{} has {} {noun}", self.path, found.len());
        for (line, message) in found.iter().take(LISTED) {
            match line {
                Some(line) => text.push_str(&format!("\n{}:{line}: {message}", self.path)),
                None => text.push_str(&format!("\n{}: {message}", self.path)),
            }
        }
        if found.len() > LISTED {
            text.push_str(&format!("\nand {} more", found.len() - LISTED));
        }
        Error::invalid(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_listed_in_file_order_under_one_headline() {
        let problems = Problems::new(Path::new("j.toml"), "a\nbb\n\nc");
        assert_eq!([0, 1, 2, 4, 5, 6, 99].map(|offset| problems.line_at(offset)), [1, 1, 2, 2, 3, 4, 4]);
        assert!(problems.is_empty());
        problems.add_general("flag");
        problems.add(3, "later");
        problems.add(1, "sooner");
        let error = problems.into_error();
        assert_eq!(error.message(), "j.toml has 3 problems\nj.toml:1: sooner\nj.toml:3: later\nj.toml: flag");
    }

    #[test]
    fn a_long_list_of_problems_is_cut() {
        let problems = Problems::new(Path::new("j.toml"), "");
        for line in 1..=LISTED + 2 {
            problems.add(line, "wrong");
        }
        let message = problems.into_error().message().to_owned();
        assert!(message.starts_with("j.toml has 52 problems") && message.ends_with("and 2 more"), "{message}");
    }
}
