//! Standard output: lines of text, or the fields of the one JSON document, which `ending` prints.
//!
//! Whoever reads the output may go away before its end (`cutover scan … | head`). That is an error here, so that work
//! stops, but one that nobody needs to be told about: [`is_output_closed`].
//!
//! Not for: progress, logs and errors, which go to standard error.

use std::fmt::Display;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::outcome::Told;
use super::text_table;
use crate::error::{Error, Result};
use crate::escape::escaped_lines;

/// Where results go.
pub(super) struct Output {
    json: bool,
    verbose: bool,
    to: Box<dyn Write>,
    told: Arc<Mutex<Told>>,
}

impl Output {
    /// Standard output, buffered; what the command tells of itself goes to `told`.
    pub(super) fn stdout(json: bool, verbose: bool, told: Arc<Mutex<Told>>) -> Self {
        Self { json, verbose, to: Box::new(BufWriter::new(std::io::stdout())), told }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which dataset and store the command is about, where its arguments do not.
    pub(super) fn about(&mut self, dataset: &str, store: &Path) {
        self.told().about(dataset, store);
    }

    /// Says what came of the command, in the one word that programs look at.
    pub(super) fn ended(&mut self, outcome: &'static str) {
        self.told().ended(outcome);
    }

    /// Says which command may come next.
    pub(super) fn next(&mut self, command: String) {
        self.told().next(command);
    }

    /// Says that the command prints documents of its own, a line each, for as long as it goes well.
    pub(super) fn stream(&mut self) {
        self.told().streams = true;
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether more is asked for.
    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Writes a line, or several, without control characters: what is shown may be somebody else's words.
    pub(super) fn line(&mut self, text: impl Display) -> Result<()> {
        self.raw_line(escaped_lines(&text.to_string()))
    }

    /// Writes a line as it is: stored values, paths and JSON, which programs read.
    pub(super) fn raw_line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.to, "{text}").map_err(failed)
    }

    /// Writes a sentence, or several lines of them: on a terminal they are wrapped between words.
    pub(super) fn say(&mut self, text: impl Display) -> Result<()> {
        self.line(text_table::wrapped(&text.to_string(), text_table::width()))
    }

    /// Writes one JSON document of several, on a line of its own.
    pub(super) fn json_line(&mut self, document: &impl Serialize) -> Result<()> {
        self.stream();
        let text = serde_json::to_string(document);
        self.raw_line(text.map_err(|error| Error::internal("cannot write JSON").because(error))?)
    }

    /// Takes the fields of this command's JSON document, an object; it is printed when the command has ended.
    pub(super) fn document(&mut self, document: &impl Serialize) -> Result<()> {
        self.told().add(document)
    }

    /// Takes a field of the document that is JSON text already.
    pub(super) fn document_text(&mut self, name: &str, json: String) {
        self.told().add_text(name, json);
    }

    /// Brings everything written so far to whoever reads it.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(failed)
    }
}

pub(super) fn failed(error: std::io::Error) -> Error {
    Error::unavailable("cannot write to standard output").because(error)
}

/// Whether an error only says that nobody reads standard output any more.
pub fn is_output_closed(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let closed =
            Output { json: false, verbose: false, to: Box::new(Closed), told: Arc::default() }.line("x").unwrap_err();
        assert!(is_output_closed(&closed));
        assert!(is_output_closed(&closed.during("scan")));
        assert!(!is_output_closed(&failed(ErrorKind::StorageFull.into())));
    }
}
