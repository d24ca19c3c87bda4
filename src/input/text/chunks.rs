//! Cuts a text file into pieces of complete records, front to back.
//!
//! ```text
//!  file ─▶ decompressed ─▶ │ records … │ records … │ rest ▶ prepended to the next read
//!                           └── piece ──┘
//! ```
//! In CSV a line end inside quotes does not end a record: a quote opens a field only at the field's beginning, and
//! closes it if no second quote follows. In JSON lines every line end ends a record, as JSON strings cannot contain
//! one. A record longer than [`LONGEST_RECORD`] is refused, which bounds memory for every file.
//!
//! Not for: the content of a record.

use std::io::{BufRead, ErrorKind, Read};

use super::csv::Dialect;
use super::decompress::FileCompression;
use super::text_error::Fault;
use crate::error::{Error, Result};
use crate::input::InputFile;
use crate::input::source::{Opened, Source, changed};

/// Approximate bytes of a piece.
pub(super) const PIECE: usize = 4 << 20;
/// Maximum bytes of a record.
pub(super) const LONGEST_RECORD: usize = 16 << 20;

/// The message for JSON that is one array.
pub(super) const ARRAY: &str = "is a JSON array; one object per line is needed, as `jq -c '.[]'` writes them";

/// The format of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Delimited values, some of them quoted.
    Csv(Dialect),
    /// One JSON object per line.
    Json,
}

/// Complete records of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Their text.
    pub(super) text: String,
    /// Byte offset in the file, or in its decompressed content.
    pub(super) start: u64,
    /// Number of the first line.
    pub(super) line: u64,
}

/// A file being cut into pieces.
pub(super) struct Cutter {
    source: Source,
    compression: FileCompression,
    shape: Shape,
    reader: Box<dyn Read + Send>,
    rest: Vec<u8>,
    start: u64,
    line: u64,
    piece: usize,
}

impl Cutter {
    /// Opens a file, to cut it into pieces of about `piece` bytes; of an object, `depth` parts are read ahead.
    ///
    /// # Errors
    /// `Input` if the file has changed, or is not UTF-8; `Unavailable` if it cannot be read.
    pub(super) fn open(file: &InputFile, shape: Shape, piece: usize, depth: usize) -> Result<Self> {
        // An empty file is not compressed, whatever its name says.
        let compression = if file.bytes == 0 { FileCompression::None } else { FileCompression::of(file.source.name()) };
        let source = file.source.clone();
        let reader = source.with_source("read", compression.decompress(open_unchanged(file)?.into_reader(depth)))?;
        let mut cutter = Self { source, compression, shape, reader, rest: Vec::new(), start: 0, line: 1, piece };
        cutter.skip_mark()?;
        Ok(cutter)
    }

    /// The next piece; none at the end of the file.
    ///
    /// # Errors
    /// `Input` if a record is too long, the compressed data is damaged or the text is not UTF-8; `Unavailable` if the
    /// file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        let mut wanted = self.piece;
        let end = loop {
            self.fill(wanted)?;
            if self.rest.len() < wanted {
                break self.rest.len();
            }
            match self.last_end() {
                Some(end) => break end,
                None if wanted >= LONGEST_RECORD => return Err(self.too_long()),
                None => wanted = (2 * wanted).min(LONGEST_RECORD),
            }
        };
        if end == 0 {
            return Ok(None);
        }
        let after = self.rest.split_off(end);
        let bytes = std::mem::replace(&mut self.rest, after);
        let (start, line) = (self.start, self.line);
        self.start += end as u64;
        self.line += lines(&bytes);
        let text = text_of(bytes, line).map_err(|fault| fault.in_file(&self.source))?;
        Ok(Some(Piece { text, start, line }))
    }

    /// Reads until `wanted` bytes are buffered, or to the end.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(self.rest.len());
        let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.rest);
        let Err(error) = read else { return Ok(()) };
        let damaged = self.compression != FileCompression::None && error.raw_os_error().is_none();
        let is_unread = Error::inside(&error).is_some() || !damaged && error.kind() != ErrorKind::InvalidData;
        if is_unread {
            return self.source.with_source("read", Err(error));
        }
        let what = format!("its compressed data ({:?}) is damaged or truncated; write it again", self.compression);
        Err(Fault::of_file(what).in_file(&self.source).because(error))
    }

    /// The end of the last complete record in the buffer.
    fn last_end(&self) -> Option<usize> {
        let last = |text: &[u8]| text.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let Shape::Csv(Dialect { delimiter, quote: Some(quote), escape, comment, .. }) = self.shape else {
            return last(&self.rest);
        };
        let text = &self.rest;
        let (mut at, mut end) = (0, None);
        loop {
            let Some(opens) = find(quote, text, at) else {
                return last(&text[at..]).map(|found| at + found).or(end);
            };
            end = last(&text[at..opens]).map(|found| at + found).or(end);
            at = opens + 1;
            // Quotes in a comment do not open a field.
            if comment.is_some() && text.get(end.unwrap_or(0)).copied() == comment {
                let Some(over) = find(b'\n', text, at) else { return end };
                (at, end) = (over + 1, Some(over + 1));
                continue;
            }
            if opens > 0 && text[opens - 1] != delimiter && text[opens - 1] != b'\n' {
                continue;
            }
            let Some(closes) = closing(text, at, quote, escape) else { return end };
            at = closes + 1;
        }
    }

    fn too_long(&self) -> Error {
        let what = match self.shape {
            Shape::Csv(_) => "a row with more than 16 MiB begins here; is a quote not closed?",
            Shape::Json if self.rest.trim_ascii_start().starts_with(b"[") => ARRAY,
            Shape::Json => "has more than 16 MiB; one JSON object per line is needed",
        };
        Fault::at(self.line, what).in_file(&self.source)
    }

    /// Skips a UTF-8 byte order mark, and refuses other encodings.
    fn skip_mark(&mut self) -> Result<()> {
        self.fill(8)?;
        let refused = |what: String| Err(Fault::of_file(what).in_file(&self.source));
        if self.rest.starts_with(b"\xef\xbb\xbf") {
            self.rest.drain(..3);
            self.start = 3;
        } else if self.rest.starts_with(b"\xff\xfe") || self.rest.starts_with(b"\xfe\xff") {
            return refused("is text in UTF-16; write it as UTF-8".to_owned());
        } else if let Some(ending) = FileCompression::ending_for(&self.rest) {
            return refused(format!("is compressed, but its name does not say so; end it in .{ending}"));
        }
        Ok(())
    }
}

/// The position of the closing quote of a field that begins at `from`.
fn closing(text: &[u8], from: usize, quote: u8, escape: Option<u8>) -> Option<usize> {
    let mut at = from;
    match escape {
        None => loop {
            at = find(quote, text, at)?;
            if text.get(at + 1) != Some(&quote) {
                return Some(at);
            }
            at += 2;
        },
        Some(escape) => loop {
            match *text.get(at)? {
                byte if byte == escape => at += 2,
                byte if byte == quote => return Some(at),
                _ => at += 1,
            }
        },
    }
}

/// Opens a file and checks that it has not changed since it was found; an object is checked with each read.
///
/// # Errors
/// `Input` if it has changed; `Unavailable` if it cannot be opened.
pub(super) fn open_unchanged(file: &InputFile) -> Result<Opened> {
    let opened = file.source.open()?;
    if let Opened::Local(local) = &opened {
        let metadata = file.source.with_source("stat", local.metadata())?;
        let modified = metadata.modified().ok().and_then(|modified| jiff::Timestamp::try_from(modified).ok());
        if (metadata.len(), modified) != (file.bytes, Some(file.modified)) {
            return Err(changed(&file.source));
        }
    }
    Ok(opened)
}

/// Converts bytes to text.
///
/// # Errors
/// Names the line that is not text.
pub(super) fn text_of(bytes: Vec<u8>, line: u64) -> Result<String, Fault> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        Fault::at(line + lines(before), "holds bytes that are not UTF-8; write the file as UTF-8")
    })?;
    match find(0, text.as_bytes(), 0) {
        None => Ok(text),
        Some(at) => {
            let what = "holds a zero byte, which text never has; is the file damaged, or not written as UTF-8?";
            Err(Fault::at(line + lines(&text.as_bytes()[..at]), what))
        }
    }
}

/// Number of line ends in a text.
pub(super) fn lines(text: &[u8]) -> u64 {
    // Summed in blocks whose sum fits into a byte, so that the loop is vectorized.
    let of_block = |block: &[u8]| block.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    text.chunks(255).map(|block| u64::from(of_block(block))).sum()
}

/// Finds a byte, at `from` or later.
pub(super) fn find(byte: u8, text: &[u8], from: usize) -> Option<usize> {
    let mut rest = text.get(from..)?;
    // The standard library's fast byte search.
    let end = from + rest.skip_until(byte).ok()?;
    (end > from && text[end - 1] == byte).then(|| end - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file with this text, cut into pieces of about `piece` bytes.
    fn cut(text: &str, shape: Shape, piece: usize) -> Vec<Piece> {
        let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut cutter = Cutter {
            source: Source::Local("a.csv".into()),
            compression: FileCompression::None,
            shape,
            reader,
            rest: Vec::new(),
            start: 0,
            line: 1,
            piece,
        };
        std::iter::from_fn(|| cutter.next().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_file_and_end_between_records(text in "[ab,\"\n]{0,80}", piece in 1_usize..40) {
            let pieces = cut(&text, Shape::Csv((&crate::job::CsvForm::default()).into()), piece);
            prop_assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text.as_str());
            let ends = record_ends(&text);
            for piece in &pieces {
                prop_assert!(ends.contains(&piece.start), "{:?} in {:?}", piece, ends);
                prop_assert_eq!(piece.line, 1 + lines(&text.as_bytes()[..piece.start as usize]));
            }
        }
    }

    /// Ends of records, found character by character.
    fn record_ends(text: &str) -> Vec<u64> {
        let mut ends = vec![0];
        let mut state = "start";
        for (at, byte) in text.bytes().enumerate() {
            state = match (state, byte) {
                ("quoted", b'"') => "quote",
                ("start" | "quote", b'"') | ("quoted", _) => "quoted",
                (_, b',') => "start",
                (_, b'\n') => {
                    ends.push(at as u64 + 1);
                    "start"
                }
                _ => "plain",
            };
        }
        ends.push(text.len() as u64);
        ends
    }

    #[test]
    fn invalid_text_is_refused_with_its_line() {
        let fault = |bytes: &[u8]| text_of(bytes.to_vec(), 7).unwrap_err();
        assert_eq!(fault(b"a\nb\xff").line, 8);
        assert!(fault(b"\0").what.contains("zero byte"));
        assert_eq!(lines(&b"\n".repeat(1000)), 1000);
        assert_eq!((find(b'x', b"axbx", 2), find(b'x', b"ab", 0), find(b'x', b"", 0)), (Some(3), None, None));
    }
}
