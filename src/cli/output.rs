//! Standard output: lines of text, or the fields of the one JSON document, which `outcome` prints.
//!
//! The reader of the output may close it early (`cutover scan … | head`). That is an error here, so that work stops,
//! but one that is not reported: [`is_output_closed`].
//!
//! Not for: progress, logs and errors, which go to standard error.

use std::fmt::Display;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::command_report::CommandReport;
use super::text_table;
use crate::error::{Error, Result};
use crate::escape::escaped_lines;

/// Where results go.
pub(super) struct Output {
    json: bool,
    verbose: bool,
    to: Box<dyn Write>,
    command_report: Arc<Mutex<CommandReport>>,
}

impl Output {
    /// Standard output, buffered; what the command reports about itself goes to `command_report`.
    pub(super) fn stdout(json: bool, verbose: bool, command_report: Arc<Mutex<CommandReport>>) -> Self {
        Self { json, verbose, to: Box::new(BufWriter::new(std::io::stdout())), command_report }
    }

    fn command_report(&self) -> MutexGuard<'_, CommandReport> {
        self.command_report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records which dataset and store the command is about, if its arguments do not name them.
    pub(super) fn about(&mut self, dataset: &str, store: &Path) {
        self.command_report().about(dataset, store);
    }

    /// Records the outcome of the command: one word for programs.
    pub(super) fn ended(&mut self, outcome: &'static str) {
        self.command_report().ended(outcome);
    }

    /// Records a useful next command.
    pub(super) fn next(&mut self, command: String) {
        self.command_report().next(command);
    }

    /// Records that the command prints its own documents, one per line, for as long as it succeeds.
    pub(super) fn stream(&mut self) {
        self.command_report().streams = true;
    }

    /// Whether JSON was requested.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether verbose output was requested.
    pub(super) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Writes one or more lines, with control characters escaped: the content may come from other users or from data.
    pub(super) fn line(&mut self, text: impl Display) -> Result<()> {
        self.raw_line(escaped_lines(&text.to_string()))
    }

    /// Writes a line unchanged: stored values, paths and JSON, which programs read.
    pub(super) fn raw_line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.to, "{text}").map_err(failed)
    }

    /// Writes one or more lines of prose: on a terminal they are wrapped between words.
    pub(super) fn say(&mut self, text: impl Display) -> Result<()> {
        self.line(text_table::wrapped(&text.to_string(), text_table::width()))
    }

    /// Writes one JSON document of several, on a line of its own.
    pub(super) fn json_line(&mut self, document: &impl Serialize) -> Result<()> {
        self.stream();
        let text = serde_json::to_string(document);
        self.raw_line(text.map_err(|error| Error::internal("cannot write JSON").because(error))?)
    }

    /// Adds the fields of an object to this command's JSON document, which is printed when the command ends.
    pub(super) fn document(&mut self, document: &impl Serialize) -> Result<()> {
        self.command_report().add(document)
    }

    /// Adds a field whose value is already serialized as JSON.
    pub(super) fn document_text(&mut self, name: &str, json: String) {
        self.command_report().add_text(name, json);
    }

    /// Flushes everything written so far.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(failed)
    }
}

pub(super) fn failed(error: std::io::Error) -> Error {
    Error::unavailable("cannot write to standard output").because(error)
}

/// Whether an error only says that the reader of standard output closed it.
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
    fn a_closed_pipe_is_distinguished_from_a_full_disk() {
        let closed = Output { json: false, verbose: false, to: Box::new(Closed), command_report: Arc::default() }
            .line("x")
            .unwrap_err();
        assert!(is_output_closed(&closed));
        assert!(is_output_closed(&closed.during("scan")));
        assert!(!is_output_closed(&failed(ErrorKind::StorageFull.into())));
    }
}
