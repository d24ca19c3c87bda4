//! Surveys CSV files: collects the columns of every header, and the types of their values.
//!
//! A file's own header maps its fields to columns. Columns get ids as headers are seen, in any order; the schema has
//! them in the order of the files.
//!
//! Not for: parsing records (`csv`) and classifying values (`values`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::chunks::Piece;
use super::column::Column;
use super::csv::{self, Dialect, MAX_COLUMNS, Records};
use super::expected::{Expectations, Expected, unfit, unwanted_null};
use super::place::Place;
use super::survey::Learn;
use super::text_error::{Fault, shown};
use super::values::Values;
use crate::job::CsvForm;

/// The survey of CSV files.
pub(super) struct OfCsv<'e> {
    dialect: Dialect,
    /// Strings that mean null.
    nulls: &'e [String],
    /// Column names of files without a header, if known.
    known: Option<Vec<String>>,
    expected: &'e Expectations,
    names: Mutex<Names>,
}

/// The column ids of a file's fields.
pub(super) type Head = Arc<[usize]>;

/// The columns of all headers.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, usize>,
    /// Their names, and where each first occurs.
    pub(super) columns: Vec<(String, Place)>,
    /// The column ids of the last header, as most files have the same one.
    last: Head,
}

/// What one thread knows of a column.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) values: Values,
    /// If a contract gives the type: a column that tries to take the values of a piece, and whether it is nullable.
    held: Option<(Column, bool)>,
    is_text: bool,
}

impl<'e> OfCsv<'e> {
    pub(super) fn new(form: &'e CsvForm, known: Option<Vec<String>>, expected: &'e Expectations) -> Self {
        Self { dialect: form.into(), nulls: &form.null, known, expected, names: Mutex::default() }
    }

    /// The columns of all headers.
    pub(super) fn into_names(self) -> Names {
        self.names.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn cells(&self, number: usize) -> Cells {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = names.columns.get(number).and_then(|(name, _)| self.expected.get(name));
        let held = |Expected { data_type, nullable }: &Expected| Some((Column::new(data_type)?, *nullable));
        let is_text = expected.is_none_or(|expected| expected.data_type == arrow::datatypes::DataType::Utf8);
        Cells { values: Values::default(), held: expected.and_then(held), is_text }
    }

    fn name(&self, number: usize) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.columns.get(number).map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

impl Learn for OfCsv<'_> {
    type Head = Head;
    type Part = Vec<Option<Cells>>;

    fn part(&self) -> Self::Part {
        Vec::new()
    }

    fn head(&self, file: usize, first: &mut Piece) -> Result<Self::Head, Fault> {
        let mut records = Records::new(&first.text, self.dialect, 0, first.line, None);
        let header = match self.dialect.header {
            true => csv::header(&mut records)?,
            false => csv::numbered(&mut records, self.known.as_deref())?,
        };
        let Some(header) = header else { return Ok(Arc::from([])) };
        let (at, line) = (records.at, records.line);
        first.text.drain(..at);
        first.start += at as u64;
        first.line = line;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = Vec::with_capacity(header.len());
        for (place, name) in header.into_iter().enumerate() {
            let place = Place { file, line: 1, order: place as u32 };
            let new = names.columns.len();
            let number = *names.numbers.entry(name.clone()).or_insert(new);
            if number == new {
                names.columns.push((name, place));
            }
            let first = &mut names.columns[number].1;
            *first = place.min(*first);
            numbers.push(number);
        }
        if names.columns.len() > MAX_COLUMNS {
            return Err(Fault::of_file(format!("the files have more than {MAX_COLUMNS} different columns together")));
        }
        if *names.last != *numbers {
            names.last = numbers.into();
        }
        Ok(Arc::clone(&names.last))
    }

    fn learn(&self, part: &mut Self::Part, file: usize, head: &Self::Head, piece: &Piece) -> Result<u64, Fault> {
        for number in head.iter() {
            if part.len() <= *number {
                part.resize_with(number + 1, || None);
            }
            part[*number].get_or_insert_with(|| self.cells(*number));
        }
        let mut records = Records::new(&piece.text, self.dialect, 0, piece.line, Some(head.len()));
        let mut rows = 0;
        let mut scratch = String::new();
        while let Some(line) = records.next()? {
            check_width(line, records.found(), head.len(), self.dialect)?;
            rows += 1;
            for (field, number) in records.fields().iter().zip(head.iter()) {
                let Some(cells) = &mut part[*number] else { continue };
                let text = records.value(*field, &mut scratch);
                let text = if is_null(text, field.quoted, self.nulls) { "" } else { text };
                match &mut cells.held {
                    _ if text.is_empty() && !(field.quoted && cells.is_text) => {
                        if let Some((_, false)) = cells.held {
                            return Err(unwanted_null(line, &self.name(*number)));
                        }
                    }
                    None if text.is_empty() => {}
                    None => cells.values.add(text, file, line),
                    Some((column, _)) => column
                        .push_field(text, field.quoted)
                        .map_err(|reason| unfit(line, &self.name(*number), column.data_type(), text, &reason))?,
                }
            }
        }
        part.iter_mut().flatten().filter_map(|cells| cells.held.as_mut()).for_each(|(column, _)| drop(column.finish()));
        Ok(rows)
    }
}

/// Whether a field is one of the strings that mean null.
#[inline]
pub(super) fn is_null(text: &str, quoted: bool, nulls: &[String]) -> bool {
    !quoted && nulls.iter().any(|null| null == text)
}

/// Checks that a row has as many fields as its header, or as the first row.
pub(super) fn check_width(line: u64, found: usize, expected: usize, dialect: Dialect) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    let fields = |number: usize| if number == 1 { "1 field".to_owned() } else { format!("{number} fields") };
    let first = if dialect.header { "header" } else { "first row" };
    let what =
        format!("has {}, but the {first} has {}; quote values that hold delimiters", fields(found), fields(expected));
    Err(Fault::at(line, what))
}

/// Merges what all threads know of a column.
pub(super) fn merged(parts: &[Vec<Option<Cells>>], number: usize) -> Values {
    let mut all = Values::default();
    parts.iter().filter_map(|part| part.get(number)?.as_ref()).for_each(|cells| all.merge(&cells.values));
    all
}

/// The fault of a file whose first line looks like a row of values.
pub(super) fn no_header(names: &[&str]) -> Fault {
    let what = format!(
        "its first line, {}, looks like a row of values; a header line with the names of the columns is needed (or a \
         contract, if these are the names)",
        shown(&names.join(","))
    );
    Fault::at(1, what)
}
