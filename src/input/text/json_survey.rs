//! Surveys JSON lines: collects the fields of every object, and the types of their values.
//!
//! Not for: parsing JSON (`json`) and merging the types of a field (`json_type`).

use super::chunks::{ARRAY, Piece};
use super::column::Column;
use super::expected::{Expectations, Expected, unfit, unwanted_null};
use super::json::{Kind, Reader, Wrong};
use super::json_type::{Node, Traversal, take_key, too_many};
use super::keys::Keys;
use super::place::Place;
use super::survey::Learn;
use super::text_error::{Fault, shown};

/// The survey of JSON lines.
pub(super) struct OfJson<'e> {
    pub(super) expected: &'e Expectations,
}

/// The fields of the objects that one thread has read.
#[derive(Debug, Default)]
pub(super) struct Objects {
    keys: Keys,
    fields: Vec<Top>,
    nodes: usize,
    /// Names of the fields that a contract requires.
    required: Vec<String>,
}

/// A top-level field of the objects.
#[derive(Debug)]
pub(super) struct Top {
    node: Node,
    /// If a contract gives the type: a column that tries to take the values of a piece, and whether it is nullable.
    held: Option<(Column, bool)>,
}

impl Learn for OfJson<'_> {
    type Head = ();
    type Part = Objects;

    fn part(&self) -> Objects {
        let required = self.expected.iter().filter(|(_, expected)| !expected.nullable);
        Objects { required: required.map(|(name, _)| name.clone()).collect(), ..Objects::default() }
    }

    fn head(&self, _: usize, first: &mut Piece) -> Result<(), Fault> {
        if first.text.trim_ascii_start().starts_with('[') {
            return Err(Fault::of_file(ARRAY));
        }
        Ok(())
    }

    fn learn(&self, part: &mut Objects, file: usize, (): &(), piece: &Piece) -> Result<u64, Fault> {
        let mut rows = 0;
        for (text, line) in lines(&piece.text, piece.line) {
            self.learn_line(part, text, Place { file, line, order: 0 })?;
            rows += 1;
        }
        part.fields.iter_mut().filter_map(|top| top.held.as_mut()).for_each(|(column, _)| drop(column.finish()));
        Ok(rows)
    }
}

/// The lines of a text that are not blank, with their numbers.
pub(super) fn lines(text: &str, first: u64) -> impl Iterator<Item = (&str, u64)> {
    text.split('\n').zip(first..).filter(|(line, _)| !line.trim_ascii().is_empty())
}

/// The fault of a line that is not a JSON object.
pub(super) fn no_object(line: u64, wrong: &Wrong) -> Fault {
    Fault::at(line, format!("cannot be read as one JSON object: {wrong}"))
}

/// Opens the object of a line.
///
/// # Errors
/// If the line begins with something else.
pub(super) fn open(reader: &mut Reader<'_>) -> Result<(), Wrong> {
    match reader.peek()? {
        Kind::Object => reader.open(),
        kind => Err(reader.wrong(&format!("{} is not an object; one object per line is needed", kind.name()))),
    }
}

impl OfJson<'_> {
    fn learn_line(&self, part: &mut Objects, text: &str, place: Place) -> Result<(), Fault> {
        let line = place.line;
        let wrong = |wrong: Wrong| no_object(line, &wrong);
        let mut reader = Reader::new(text);
        open(&mut reader).map_err(wrong)?;
        part.keys.begin();
        let Objects { keys, fields, nodes, required } = part;
        let mut walk = Traversal { place, nodes };
        let mut first = true;
        while let Some(key) = reader.key(first).map_err(wrong)? {
            first = false;
            let at = take_key(keys, &key).map_err(wrong)?;
            if at == fields.len() {
                let held = |expected: &Expected| Some((Column::new(&expected.data_type)?, expected.nullable));
                let held = self.expected.get(key.as_ref()).and_then(held);
                fields.push(Top { node: walk.node().map_err(wrong)?, held });
            }
            let top = &mut fields[at];
            let Some((column, nullable)) = &mut top.held else {
                top.node.take(&mut reader, &mut walk).map_err(wrong)?;
                continue;
            };
            if !*nullable && reader.peek() == Ok(Kind::Null) {
                return Err(unwanted_null(line, &key));
            }
            push(column, &mut reader, line, &key)?;
        }
        reader.end().map_err(wrong)?;
        match required.iter().find(|name| !keys.has(name)) {
            Some(name) => Err(unwanted_null(line, name)),
            None => Ok(()),
        }
    }
}

/// Appends the next value to a column.
///
/// # Errors
/// If it is not valid JSON, or not a value of the column's type.
pub(super) fn push(column: &mut Column, reader: &mut Reader<'_>, line: u64, name: &str) -> Result<(), Fault> {
    let mut again = reader.clone();
    column.push_json(reader).map_err(|reason| match again.raw() {
        Ok(value) => unfit(line, name, column.data_type(), value, &reason),
        Err(wrong) => no_object(line, &wrong),
    })
}

impl Objects {
    /// Merges the fields that all threads have found, in the order of their first occurrence.
    ///
    /// # Errors
    /// A field that exceeds the maximum number.
    pub(super) fn merged(parts: Vec<Self>) -> Result<Vec<(String, Node)>, (Place, String)> {
        let mut all = Self::default();
        for part in parts {
            for (place, top) in part.fields.into_iter().enumerate() {
                let name = part.keys.name(place);
                match all.keys.find(name) {
                    Some(own) => all.fields[own].node.merge(top.node),
                    None => {
                        all.keys.add(name);
                        all.fields.push(top);
                    }
                }
            }
        }
        let mut fields: Vec<(String, Node)> = all
            .fields
            .into_iter()
            .enumerate()
            .map(|(place, top)| (all.keys.name(place).to_owned(), top.node))
            .collect();
        fields.sort_by_key(|(_, node)| node.first);
        if too_many(fields.len()) {
            let (name, node) = &fields[fields.len() - 1];
            return Err((
                node.first,
                format!("the objects have too many different keys, {} is one of them", shown(name)),
            ));
        }
        Ok(fields)
    }
}
