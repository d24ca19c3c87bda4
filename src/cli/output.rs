//! Standard output: lines of text, or one JSON document.
//!
//! Whoever reads the output may go away before its end (`cutover scan … | head`). That is an error here, so that work
//! stops, but one that nobody needs to be told about: [`is_output_closed`].
//!
//! Not for: progress, logs and errors, which go to standard error.

use std::fmt::Display;
use std::io::{BufWriter, ErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::shown::escaped_lines;

/// Where results go.
pub(super) struct Output {
    json: bool,
    to: Box<dyn Write>,
}

impl Output {
    /// Standard output, buffered.
    pub(super) fn stdout(json: bool) -> Self {
        Self { json, to: Box::new(BufWriter::new(std::io::stdout())) }
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line, or several, without control characters: what is shown may be somebody else's words.
    pub(super) fn line(&mut self, text: impl Display) -> Result<()> {
        self.raw_line(escaped_lines(&text.to_string()))
    }

    /// Writes a line as it is: stored values, paths and JSON, which programs read.
    pub(super) fn raw_line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.to, "{text}").map_err(failed)
    }

    /// Writes one JSON document of several, on a line of its own.
    pub(super) fn json_line(&mut self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(document);
        self.raw_line(text.map_err(|error| Error::internal("cannot write JSON").because(error))?)
    }

    /// Writes the JSON document of this command.
    pub(super) fn document(&mut self, document: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(document);
        self.raw_line(text.map_err(|error| Error::internal("cannot write JSON").because(error))?)
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
        let closed = Output { json: false, to: Box::new(Closed) }.line("x").unwrap_err();
        assert!(is_output_closed(&closed));
        assert!(is_output_closed(&closed.during("scan")));
        assert!(!is_output_closed(&failed(ErrorKind::StorageFull.into())));
    }
}
