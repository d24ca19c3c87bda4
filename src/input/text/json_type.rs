//! The type of a JSON field over all lines of all files, merged level by level.
//!
//! A field has one kind of value everywhere, apart from nulls. Its objects have the union of the fields that any of
//! them has; its numbers have the first type that holds all of them. Every node remembers where each kind first
//! occurred, so that a conflict of kinds is reported with both places.
//!
//! Not for: columns whose type a contract gives.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::json::{Kind, Reader, Wrong};
use super::keys::Keys;
use super::number::{Number, Numbers, short_whole};
use super::place::Place;
use super::text_error::shown;

/// Maximum number of different fields at one level.
const MAX_FIELDS: usize = 2_000;
/// Maximum number of fields at all levels.
const MAX_NODES: usize = 20_000;

/// What is known of one field.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its first occurrence.
    pub(super) first: Place,
    /// The first occurrence of each kind but null.
    kinds: Vec<(Kind, Place)>,
    numbers: Numbers,
    /// The first occurrence of a number too long for a double.
    long: Option<Place>,
    keys: Keys,
    fields: Vec<Node>,
    item: Option<Box<Node>>,
}

/// The traversal of one line.
#[derive(Debug)]
pub(super) struct Traversal<'n> {
    /// The current position.
    pub(super) place: Place,
    /// Number of nodes so far.
    pub(super) nodes: &'n mut usize,
}

impl Traversal<'_> {
    /// A new node, unless there are too many.
    pub(super) fn node(&mut self) -> Result<Node, Wrong> {
        *self.nodes += 1;
        if *self.nodes > MAX_NODES {
            return Err(format!("the objects have more than {MAX_NODES} fields; write what varies as a list of pairs"));
        }
        self.place.order += 1;
        Ok(Node::new(self.place))
    }
}

/// Why the values of a field have no common type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Two kinds of value in one field.
    Kinds { path: String, one: (Kind, Place), other: (Kind, Place) },
    /// Numbers that no type holds.
    Numbers { path: String, at: Place },
    /// More fields than a level may have.
    Fields { path: String, at: Place },
}

impl Node {
    /// A field that first occurs here.
    pub(super) fn new(first: Place) -> Self {
        let (kinds, numbers, keys) = (Vec::new(), Numbers::default(), Keys::default());
        Self { first, kinds, numbers, long: None, keys, fields: Vec::new(), item: None }
    }

    /// Adds a value.
    pub(super) fn take(&mut self, reader: &mut Reader<'_>, walk: &mut Traversal<'_>) -> Result<(), Wrong> {
        let kind = reader.peek()?;
        self.saw(kind, walk.place);
        match kind {
            Kind::Null => reader.null()?,
            Kind::Bool => drop(reader.bool()?),
            Kind::Text => drop(reader.text()?),
            Kind::Number => {
                let text = reader.number()?;
                self.take_number(text, walk.place);
            }
            Kind::Object => {
                reader.open()?;
                self.keys.begin();
                let mut first = true;
                while let Some(key) = reader.key(first)? {
                    first = false;
                    let place = take_key(&mut self.keys, &key)?;
                    if place == self.fields.len() {
                        self.fields.push(walk.node()?);
                    }
                    self.fields[place].take(reader, walk)?;
                }
            }
            Kind::List => {
                reader.open()?;
                let mut first = true;
                while reader.item(first)? {
                    first = false;
                    if self.item.is_none() {
                        self.item = Some(Box::new(walk.node()?));
                    }
                    if let Some(item) = &mut self.item {
                        item.take(reader, walk)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn saw(&mut self, kind: Kind, place: Place) {
        if kind == Kind::Null || self.kinds.first().is_some_and(|(seen, _)| *seen == kind) {
            return;
        }
        if !self.kinds.iter().any(|(seen, _)| *seen == kind) {
            self.kinds.push((kind, place));
        }
    }

    #[inline]
    fn take_number(&mut self, text: &str, place: Place) {
        if let Some(whole) = short_whole(text) {
            self.numbers.add_whole(i128::from(whole));
        } else if let Some(number) = Number::parse(text) {
            self.numbers.add(&number, text);
        }
        if self.long.is_none() && self.numbers.are_long() {
            self.long = Some(place);
        }
    }

    /// Adds what is known of the field from other lines.
    pub(super) fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        for (kind, place) in other.kinds {
            match self.kinds.iter_mut().find(|(seen, _)| *seen == kind) {
                Some((_, first)) => *first = place.min(*first),
                None => self.kinds.push((kind, place)),
            }
        }
        self.numbers.merge(&other.numbers);
        self.long = self.long.into_iter().chain(other.long).min();
        for (place, field) in other.fields.into_iter().enumerate() {
            let name = other.keys.name(place);
            match self.keys.find(name) {
                Some(own) => self.fields[own].merge(field),
                None => {
                    self.keys.add(name);
                    self.fields.push(field);
                }
            }
        }
        match (&mut self.item, other.item) {
            (Some(item), Some(other)) => item.merge(*other),
            (item, other) => *item = item.take().or(other),
        }
    }

    /// Its type; `path` is its name.
    ///
    /// # Errors
    /// The first conflict.
    pub(super) fn data_type(&self, path: &str) -> Result<DataType, Conflict> {
        let mut kinds = self.kinds.clone();
        kinds.sort_unstable_by_key(|(_, place)| *place);
        if let [one, other, ..] = kinds.as_slice() {
            return Err(Conflict::Kinds { path: path.to_owned(), one: *one, other: *other });
        }
        Ok(match kinds.first().map_or(Kind::Null, |(kind, _)| *kind) {
            Kind::Null => DataType::Null,
            Kind::Bool => DataType::Boolean,
            Kind::Text => DataType::Utf8,
            Kind::Number => self
                .numbers
                .data_type()
                .ok_or_else(|| Conflict::Numbers { path: path.to_owned(), at: self.long.unwrap_or(self.first) })?,
            Kind::List => {
                let item =
                    self.item.as_ref().map_or(Ok(DataType::Null), |item| item.data_type(&format!("{path}[]")))?;
                DataType::List(Arc::new(Field::new_list_field(item, true)))
            }
            Kind::Object => {
                let mut fields: Vec<(usize, &Self)> = self.fields.iter().enumerate().collect();
                if let Some((_, last)) = fields.get(MAX_FIELDS) {
                    return Err(Conflict::Fields { path: path.to_owned(), at: last.first });
                }
                fields.sort_unstable_by_key(|(_, field)| field.first);
                let field = |(place, node): (usize, &Self)| {
                    let name = self.keys.name(place);
                    Ok(Field::new(name, node.data_type(&format!("{path}.{name}"))?, true))
                };
                DataType::Struct(fields.into_iter().map(field).collect::<Result<_, Conflict>>()?)
            }
        })
    }
}

/// The index of an object's next key, which may be a new one.
///
/// # Errors
/// If the object has it already, or there are too many keys.
pub(super) fn take_key(keys: &mut Keys, key: &str) -> Result<usize, Wrong> {
    match keys.take(key) {
        Some((place, false)) => Ok(place),
        Some((_, true)) => Err(format!("an object has the key {} more than once; rename one of them", shown(key))),
        None if keys.len() == MAX_FIELDS => Err(format!(
            "the objects of one level have more than {MAX_FIELDS} different keys, {} is one more; write what varies as \
             a list of pairs",
            shown(key)
        )),
        None => Ok(keys.add(key)),
    }
}

/// Whether a level has too many fields.
pub(super) fn too_many(fields: usize) -> bool {
    fields > MAX_FIELDS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(lines: &[(u64, &str)]) -> Node {
        let mut node = Node::new(Place { file: 0, line: lines.first().map_or(0, |line| line.0), order: 0 });
        let mut nodes = 0;
        for (line, text) in lines {
            let place = Place { file: 0, line: *line, order: 0 };
            node.take(&mut Reader::new(text), &mut Traversal { place, nodes: &mut nodes }).unwrap();
        }
        node
    }

    const LINES: [&str; 6] = [
        r#"{"b": 1, "a": {"x": []}}"#,
        r#"{"a": {"y": "t", "x": [null]}, "c": null}"#,
        r#"{"a": null, "b": 2.5}"#,
        r#"{"d": [{"k": 1}, {"l": true, "k": 18446744073709551615}]}"#,
        r#"{"a": {"x": [[1]]}, "c": "text"}"#,
        "{}",
    ];

    proptest! {
        #[test]
        fn a_type_does_not_depend_on_who_read_which_line(threads in prop::collection::vec(0_usize..3, 6), order in 0_usize..6) {
            let numbered: Vec<(u64, &str)> = (1..).zip(LINES).collect();
            let mut parts = [const { Vec::new() }; 3];
            for (line, thread) in numbered.iter().zip(&threads) {
                parts[*thread].push(*line);
            }
            let mut nodes: Vec<Node> = parts.iter().filter(|part| !part.is_empty()).map(|part| taken(part)).collect();
            let middle = order % nodes.len();
            nodes.rotate_left(middle);
            let merged = nodes.into_iter().reduce(|mut one, other| {
                one.merge(other);
                one
            });
            let expected = taken(&numbered).data_type("row").unwrap();
            prop_assert_eq!(merged.unwrap().data_type("row"), Ok(expected.clone()));
            let DataType::Struct(fields) = expected else { panic!() };
            let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
            prop_assert_eq!(names, ["b", "a", "c", "d"]);
        }
    }

    #[test]
    fn two_kinds_of_value_are_refused_with_both_places() {
        let node = taken(&[(4, r#"{"a": [1]}"#), (7, r#"{"a": [true]}"#), (9, r#"{"a": ["t"]}"#)]);
        let Err(Conflict::Kinds { path, one, other }) = node.data_type("row") else { panic!("{node:?}") };
        assert_eq!(
            (path.as_str(), one.0, one.1.line, other.0, other.1.line),
            ("row.a[]", Kind::Number, 4, Kind::Bool, 7)
        );
    }
}
