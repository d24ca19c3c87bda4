//! CSV and JSON lines: every value exactly, in memory that is bounded whatever the files contain.
//!
//! ```text
//!  files ─▶ survey: one pass over all rows ─▶ columns, types, rows, chunks
//!                                                      │
//!                                  chunks, by any threads ─▶ batches of the columns that are needed
//! ```
//! Columns are matched by name: from a file's own header, or an object's keys. A column has the type that holds all its
//! values in all files, or the one in the contract; a value that does not fit is reported with file, line and column. A
//! column that a file lacks is null there.
//!
//! Not for: anything of the query engine.

mod chunks;
mod column;
mod csv;
mod csv_survey;
mod decompress;
mod expected;
mod json;
mod json_survey;
mod json_type;
mod keys;
mod number;
mod place;
mod read;
mod schema;
mod single_column;
mod survey;
#[cfg(test)]
mod tests;
mod text_error;
mod timestamp;
mod values;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::input::Input;
use crate::job::{CsvForm, Format};

pub(super) use decompress::Packing;
pub(crate) use read::{Batches, Part};
pub(crate) use survey::Chunk;

use chunks::{PIECE, Shape};
use survey::Plan;

/// Delimiters that are guessed, the most common first.
pub(super) const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Bytes searched for the end of a file's first line.
pub(super) const FIRST_LINE: usize = 64 << 10;

/// The result of one pass over all rows of an input's files.
#[derive(Debug)]
pub struct Survey {
    /// What is odd about the files, phrased to follow the name of the input.
    warning: Option<String>,
    schema: SchemaRef,
    shape: Shape,
    files: Vec<Surveyed>,
}

/// Whether bytes are valid rows of a file, according to a survey of it: for fuzzers.
pub(crate) fn can_be_read(bytes: &[u8], format: Format) -> bool {
    let Ok(text) = chunks::text_of(bytes.to_vec(), 1) else { return false };
    let mut piece = chunks::Piece { text, start: 0, line: 1 };
    let expected = expected::Expectations::new();
    match format {
        Format::Csv => survey::one(&csv_survey::OfCsv::new(&CsvForm::default(), None, &expected), &mut piece).is_some(),
        _ => survey::one(&json_survey::OfJson { expected: &expected }, &mut piece).is_some(),
    }
}

/// Guesses the delimiter of CSV files: the candidate that occurs most in the first line.
///
/// # Errors
/// As for reading the first file.
pub fn guess_delimiter(input: &Input) -> Result<char> {
    let mut cutter = chunks::Cutter::open(&input.files[0], Shape::Json, FIRST_LINE, 1)?;
    let first = cutter.next()?.unwrap_or_default().text;
    let line = first.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // Ignores delimiters in quotes.
    let outside: String = line.split('"').step_by(2).collect();
    let most = DELIMITERS.iter().rev().max_by_key(|letter| outside.matches(**letter).count());
    Ok(most.copied().unwrap_or(DELIMITERS[0]))
}

/// The survey of one file.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// For CSV: the column of the schema for each of its fields.
    columns: Arc<[usize]>,
    /// Its rows, in chunks that can be read separately; one chunk if it is compressed.
    pub(crate) chunks: Vec<Chunk>,
}

impl Surveyed {
    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }
}

impl Survey {
    /// Reads all files of an input with `threads` threads; `None` for formats that are not text.
    ///
    /// # Errors
    /// `Input` if their rows do not form a table or break the contract, naming file and line; `Unavailable` if they
    /// cannot be read; `Stopped` if shutdown was requested.
    pub(crate) fn make(input: &Input, threads: usize) -> Result<Option<Self>> {
        Self::by(input, Plan { threads, piece: PIECE })
    }

    fn by(input: &Input, plan: Plan) -> Result<Option<Self>> {
        match input.format {
            Format::Csv => schema::of_csv(input, plan).map(Some),
            Format::Json => schema::of_json(input, plan).map(Some),
            Format::Parquet | Format::Avro => Ok(None),
        }
    }

    /// What is odd about the files, phrased to follow the name of the input.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The columns, without those in directory names.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(Surveyed::rows).sum()
    }

    /// Bytes of text in all files, decompressed.
    pub fn bytes(&self) -> u64 {
        self.chunks().map(Chunk::bytes).sum()
    }

    /// The files, in the order of the input.
    pub(crate) fn files(&self) -> &[Surveyed] {
        &self.files
    }

    /// The chunks of all files.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.files.iter().flat_map(|file| &file.chunks)
    }
}
