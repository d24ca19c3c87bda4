//! CSV and JSON lines: every value exactly, in memory that is bounded whatever the files are.
//!
//! ```text
//!  files ─▶ survey: one pass over all rows ─▶ columns, types, rows, where pieces begin
//!                                                      │
//!                                  pieces, by any threads ─▶ batches of the columns that are needed
//! ```
//! Columns go by their names: a file's own header, or an object's keys. A column has the type that holds all its values
//! in all files, or the one that the contract says; a value that does not fit is told with file, line and column. A
//! column that a file lacks is null there.
//!
//! Not for: anything of the query engine's.

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
mod read;
mod schema;
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

/// Letters that delimit values, the most usual first.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Bytes in which the first line of a file is looked for.
const FIRST_LINE: usize = 64 << 10;

/// What one pass over all rows of an input's files tells.
#[derive(Debug)]
pub struct Survey {
    schema: SchemaRef,
    shape: Shape,
    files: Vec<Surveyed>,
}

/// Whether bytes are rows of such a file, as a survey of this one file says: for fuzzers.
pub(crate) fn can_be_read(bytes: &[u8], format: Format) -> bool {
    let Ok(text) = chunks::text_of(bytes.to_vec(), 1) else { return false };
    let mut piece = chunks::Piece { text, start: 0, line: 1 };
    let expected = expected::Expectations::new();
    match format {
        Format::Csv => survey::one(&csv_survey::OfCsv::new(&CsvForm::default(), None, &expected), &mut piece).is_some(),
        _ => survey::one(&json_survey::OfJson { expected: &expected }, &mut piece).is_some(),
    }
}

/// The letter that most likely delimits the values of CSV files: the one that their first line has most.
///
/// # Errors
/// As reading the first file.
pub fn guess_delimiter(input: &Input) -> Result<char> {
    let mut cutter = chunks::Cutter::open(&input.files[0], Shape::Json, FIRST_LINE)?;
    let first = cutter.next()?.unwrap_or_default().text;
    let line = first.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // What is in quotes delimits nothing.
    let outside: String = line.split('"').step_by(2).collect();
    let most = DELIMITERS.iter().rev().max_by_key(|letter| outside.matches(**letter).count());
    Ok(most.copied().unwrap_or(DELIMITERS[0]))
}

/// What it tells of one file.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// Of CSV: the columns of the schema that its fields are, in their order.
    columns: Arc<[usize]>,
    /// Its rows, in pieces that can be read by themselves; of a packed file they are one.
    pub(crate) chunks: Vec<Chunk>,
}

impl Surveyed {
    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }
}

impl Survey {
    /// Reads all files of an input with so many threads; `None` for formats that are no text.
    ///
    /// # Errors
    /// `Input` when what they hold makes no table or breaks the contract, naming file and line; `Unavailable` when they
    /// cannot be read; `Stopped` when that is asked for.
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

    /// The columns, those in directory names excepted.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(Surveyed::rows).sum()
    }

    /// Bytes of text in all files, unpacked.
    pub fn bytes(&self) -> u64 {
        self.chunks().map(Chunk::bytes).sum()
    }

    /// The files, in the order of the input's.
    pub(crate) fn files(&self) -> &[Surveyed] {
        &self.files
    }

    /// The pieces of all files.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.files.iter().flat_map(|file| &file.chunks)
    }
}
