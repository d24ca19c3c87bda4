//! Reads chunks of surveyed files as batches of the columns that are needed.
//!
//! Every file is compared with its survey: its size and modification time when a chunk is opened, its number of rows
//! when it has been read. A difference is an error that says that the file changed.
//!
//! Not for: types, which the survey chose.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::chunks::{Cutter, PIECE, Piece, Shape, open_unchanged, text_of};
use super::column::Column;
use super::csv::{self, Dialect, Records};
use super::csv_survey::{check_width, is_null};
use super::decompress::Packing;
use super::expected::unfit;
use super::json::Reader;
use super::json_survey::{no_object, open, push};
use super::keys::Keys;
use super::text_error::Fault;
use super::{Chunk, Survey};
use crate::error::{Error, Result};
use crate::input::source::{Ahead, changed};
use crate::input::{Input, InputFile};

/// Bytes of values at which a batch ends.
const BATCH_BYTES: usize = 1 << 20;
/// Assumed bytes of a value in addition to its text.
const VALUE_BYTES: usize = 8;

/// The first rows of a chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Index of the file in its input.
    pub(crate) file: usize,
    /// Index of the chunk in its file.
    pub(crate) chunk: usize,
    /// Number of rows to read.
    pub(crate) rows: u64,
}

/// Iterates over the batches of parts, one part at a time; each batch comes with the index of its file.
pub(crate) struct Batches {
    input: Arc<Input>,
    survey: Arc<Survey>,
    parts: std::vec::IntoIter<Part>,
    schema: SchemaRef,
    /// The columns of the survey that are needed.
    wanted: Vec<usize>,
    columns: Vec<Column>,
    keys: Keys,
    batch_rows: usize,
    opened: Option<Opened>,
    /// The lines of the rows of the last batch, if they are wanted.
    lines: Option<Vec<u64>>,
    /// The text of the next part of an object, which is asked for while this one is read.
    ahead: Option<(Part, Ahead)>,
}

/// The part being read.
struct Opened {
    part: Part,
    chunk: Chunk,
    /// Yields more pieces, for a compressed file.
    cutter: Option<Cutter>,
    piece: Piece,
    /// Position of the next record in the piece, and its line.
    at: usize,
    line: u64,
    /// Number of rows read.
    taken: u64,
}

impl Batches {
    /// Batches of `wanted` columns of the survey's schema, of at most `batch_rows` rows.
    ///
    /// # Errors
    /// `Internal` only.
    pub(crate) fn new(
        input: Arc<Input>,
        survey: Arc<Survey>,
        parts: Vec<Part>,
        wanted: Vec<usize>,
        batch_rows: usize,
    ) -> Result<Self> {
        let internal = || Error::internal("a column type that text files cannot hold");
        let schema = survey.schema().project(&wanted).map_err(|error| internal().because(error))?;
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type()).ok_or_else(internal));
        let columns = columns.collect::<Result<_>>()?;
        let keys = Keys::new(schema.fields().iter().map(|field| field.name().as_str()));
        let (parts, schema) = (parts.into_iter(), Arc::new(schema));
        let (opened, lines, ahead) = (None, None, None);
        Ok(Self { input, survey, parts, schema, wanted, columns, keys, batch_rows, opened, lines, ahead })
    }

    /// The same, which also knows the lines of rows.
    pub(crate) fn with_lines(self) -> Self {
        Self { lines: Some(Vec::new()), ..self }
    }

    /// The line at which a row of the last batch begins.
    pub(crate) fn line_of(&self, row: usize) -> Option<u64> {
        self.lines.as_ref()?.get(row).copied()
    }

    fn next_batch(&mut self) -> Result<Option<(usize, RecordBatch)>> {
        loop {
            let Some(mut opened) = self.opened.take() else {
                let Some(part) = self.parts.next() else { return Ok(None) };
                self.opened = Some(self.open(part)?);
                continue;
            };
            let rows = self.fill(&mut opened)?;
            let file = opened.part.file;
            if rows > 0 {
                self.opened = Some(opened);
                return Ok(Some((file, self.batch(rows)?)));
            }
        }
    }

    fn open(&mut self, part: Part) -> Result<Opened> {
        let input = Arc::clone(&self.input);
        let file = &input.files[part.file];
        let chunk = self.survey.files[part.file].chunks[part.chunk];
        let mut opened = Opened { part, chunk, cutter: None, piece: Piece::default(), at: 0, line: 0, taken: 0 };
        if self.wanted.is_empty() {
            open_unchanged(file)?;
        } else if Packing::of(file.source.name()) == Packing::None {
            opened.piece = self.read_chunk(file, part)?;
            opened.line = chunk.line;
        } else {
            let mut cutter = Cutter::open(file, self.survey.shape, PIECE, 1)?;
            opened.piece = cutter.next()?.unwrap_or_default();
            opened.line = opened.piece.line;
            if let Shape::Csv(dialect @ Dialect { header: true, .. }) = self.survey.shape {
                let mut records = Records::new(&opened.piece.text, dialect, 0, opened.piece.line, None);
                csv::header(&mut records).map_err(|fault| fault.in_file(&file.source))?;
                (opened.at, opened.line) = (records.at, records.line);
            }
            opened.cutter = Some(cutter);
        }
        Ok(opened)
    }

    /// Reads the text of a part, and asks for that of the next.
    fn read_chunk(&mut self, file: &InputFile, part: Part) -> Result<Piece> {
        let chunk = self.survey.files[part.file].chunks[part.chunk];
        let ahead = self.ahead.take().filter(|(of, _)| *of == part);
        let bytes = match ahead {
            Some((_, ahead)) => Ok(ahead),
            None => {
                let opened = open_unchanged(file)?;
                opened.ahead(chunk.start..chunk.end).ok_or(opened)
            }
        };
        self.ask_ahead()?;
        let bytes = match bytes {
            Ok(ahead) => ahead.wait(),
            Err(local) => local.read_at(chunk.start..chunk.end),
        };
        let bytes = match bytes {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(changed(&file.source)),
            read => file.source.told("read", read)?,
        };
        let text = text_of(bytes.into(), chunk.line)
            .map_err(|fault| changed(&file.source).because(fault.in_file(&file.source)))?;
        Ok(Piece { text, start: chunk.start, line: chunk.line })
    }

    /// Asks for the text of the next part, if it is in an object that is not compressed.
    fn ask_ahead(&mut self) -> Result<()> {
        let Some(part) = self.parts.as_slice().first().copied() else { return Ok(()) };
        let (file, chunk) = (&self.input.files[part.file], self.survey.files[part.file].chunks[part.chunk]);
        if file.source.remote().is_some() && Packing::of(file.source.name()) == Packing::None {
            self.ahead = open_unchanged(file)?.ahead(chunk.start..chunk.end).map(|ahead| (part, ahead));
        }
        Ok(())
    }

    /// Reads the rows of the next batch and returns their number; 0 at the end of the part.
    fn fill(&mut self, opened: &mut Opened) -> Result<usize> {
        let file = &self.input.files[opened.part.file];
        let left = opened.part.rows.min(opened.chunk.rows) - opened.taken;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.batch_rows);
        if self.wanted.is_empty() {
            opened.taken += most as u64;
            return Ok(most);
        }
        self.lines.iter_mut().for_each(Vec::clear);
        let mut filled = Filled { rows: 0, most, bytes: 0, lines: self.lines.take() };
        while filled.has_room() {
            let done = match self.survey.shape {
                Shape::Csv(dialect) => {
                    let fields = &self.survey.files[opened.part.file].columns;
                    let form = (dialect, self.input.csv.null.as_slice());
                    read_csv(opened, form, fields, &self.wanted, &mut self.columns, &mut filled)
                }
                Shape::Json => read_json(opened, &mut self.keys, &mut self.columns, &mut filled),
            };
            // The survey has read all rows: an error now means that the file changed.
            done.map_err(|fault| changed(&file.source).because(fault.in_file(&file.source)))?;
            if !filled.has_room() {
                break;
            }
            match opened.cutter.as_mut().map_or(Ok(None), Cutter::next)? {
                Some(piece) => {
                    (opened.at, opened.line) = (0, piece.line);
                    opened.piece = piece;
                }
                None => return Err(changed(&file.source)),
            }
        }
        opened.taken += filled.rows as u64;
        self.lines = filled.lines;
        let is_whole = opened.taken == opened.chunk.rows && opened.cutter.is_none();
        if most > 0 && is_whole && !opened.is_at_end() {
            return Err(changed(&file.source));
        }
        Ok(filled.rows)
    }

    fn batch(&mut self, rows: usize) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::internal("cannot build a batch").because(error))
    }
}

impl Iterator for Batches {
    type Item = Result<(usize, RecordBatch)>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.parts = Vec::new().into_iter();
        }
        next.transpose()
    }
}

impl Opened {
    /// Whether only blank lines are left.
    fn is_at_end(&self) -> bool {
        self.piece.text.get(self.at..).is_some_and(|rest| rest.trim_ascii().is_empty())
    }
}

/// The size of the current batch.
struct Filled {
    rows: usize,
    most: usize,
    bytes: usize,
    /// The line of each row, if they are wanted.
    lines: Option<Vec<u64>>,
}

impl Filled {
    fn end_row(&mut self, line: u64) {
        self.rows += 1;
        self.lines.iter_mut().for_each(|lines| lines.push(line));
    }

    fn has_room(&self) -> bool {
        self.rows < self.most && self.bytes < BATCH_BYTES
    }
}

/// Reads records until the batch is full or the piece ends.
fn read_csv(
    opened: &mut Opened,
    (dialect, nulls): (Dialect, &[String]),
    fields: &[usize],
    wanted: &[usize],
    columns: &mut [Column],
    filled: &mut Filled,
) -> Result<(), Fault> {
    // The position of every wanted column in a record; some files lack some.
    let places: Vec<Option<usize>> =
        wanted.iter().map(|column| fields.iter().position(|field| field == column)).collect();
    let mut records = Records::new(&opened.piece.text, dialect, opened.at, opened.line, Some(fields.len()));
    let mut scratch = String::new();
    while filled.has_room() {
        let Some(line) = records.next()? else { break };
        check_width(line, records.found(), fields.len(), dialect)?;
        for (column, place) in columns.iter_mut().zip(&places) {
            let Some(field) = place.and_then(|place| records.fields().get(place)) else {
                column.push_null();
                continue;
            };
            let text = records.value(*field, &mut scratch);
            if is_null(text, field.quoted, nulls) {
                column.push_null();
                continue;
            }
            filled.bytes += text.len() + VALUE_BYTES;
            column
                .push_field(text, field.quoted)
                .map_err(|reason| unfit(line, "of a CSV file", column.data_type(), text, &reason))?;
        }
        filled.end_row(line);
    }
    (opened.at, opened.line) = (records.at, records.line);
    Ok(())
}

/// Reads lines until the batch is full or the piece ends.
fn read_json(opened: &mut Opened, keys: &mut Keys, columns: &mut [Column], filled: &mut Filled) -> Result<(), Fault> {
    let Opened { piece, at, line: next, .. } = opened;
    while filled.has_room()
        && let Some(rest) = piece.text.get(*at..).filter(|rest| !rest.is_empty())
    {
        let text = rest.split('\n').next().unwrap_or_default();
        let line = *next;
        *at = (*at + text.len() + 1).min(piece.text.len());
        *next += 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        read_object(text, line, keys, columns, filled)?;
        filled.end_row(line);
    }
    Ok(())
}

fn read_object(
    text: &str,
    line: u64,
    keys: &mut Keys,
    columns: &mut [Column],
    filled: &mut Filled,
) -> Result<(), Fault> {
    let wrong = |wrong| no_object(line, &wrong);
    let mut reader = Reader::new(text);
    open(&mut reader).map_err(wrong)?;
    keys.begin();
    let mut left = columns.len();
    let mut first = true;
    // Members after the last wanted column need no check: the survey has read them.
    while left > 0
        && let Some(key) = reader.key(first).map_err(wrong)?
    {
        first = false;
        match keys.take(&key) {
            Some((place, false)) => {
                let before = reader.position();
                push(&mut columns[place], &mut reader, line, &key)?;
                filled.bytes += reader.position() - before + VALUE_BYTES;
                left -= 1;
            }
            Some((_, true)) => return Err(wrong(format!("the key {key:?} is repeated"))),
            None => reader.skip().map_err(wrong)?,
        }
    }
    keys.missing().for_each(|place| columns[place].push_null());
    Ok(())
}
