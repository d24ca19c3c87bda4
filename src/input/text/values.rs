//! Finds the type of a CSV column from all its values, in all rows of all files.
//!
//! ```text
//! bool · integers and fractions (see number.rs) · date · timestamp (see timestamp.rs) · string
//! ```
//! A column has a type only if all its values are of that kind; otherwise it is a string column, with every value as it
//! is written in the file. So are numbers with leading zeros, such as codes, and numbers that no type holds to the last
//! digit. But one string among hundreds of values of one other kind is reported as a fault.
//!
//! Not for: columns whose type a contract gives.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::number::{Number, Numbers, short_whole};
use super::place::Place;
use super::text_error::{SHOWN, shown};
use super::timestamp::{Moment, Moments, date};

/// Kinds of values, as bits.
const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const DATE: u8 = 4;
const MOMENT: u8 = 8;
const TEXT: u8 = 16;

/// Numbers that only a string keeps as they are written, such as codes with leading zeros.
const CODE: u8 = 32;

/// If less than one value in this many is a string, it is a mistake.
const ODD: u64 = 100;

/// What is known of the values of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    kinds: u8,
    /// Number of values, and of strings among them.
    all: u64,
    texts: u64,
    /// The first string: its place and its beginning.
    text: Option<(Place, String)>,
    numbers: Numbers,
    moments: Moments,
}

impl Values {
    /// Adds a value that is not empty, from a line of a file.
    #[inline]
    pub(super) fn add(&mut self, text: &str, file: usize, line: u64) {
        self.all += 1;
        if let Some(whole) = short_whole(text) {
            self.kinds |= NUMBER;
            self.numbers.add_whole(i128::from(whole));
            return;
        }
        let kind = self.kind(text);
        self.kinds |= kind;
        if kind == TEXT {
            self.texts += 1;
            let place = Place { file, line, order: 0 };
            if self.text.as_ref().is_none_or(|(first, _)| place < *first) {
                self.text = Some((place, text.chars().take(SHOWN + 1).collect()));
            }
        }
    }

    fn kind(&mut self, text: &str) -> u8 {
        match text.as_bytes() {
            [b't' | b'T' | b'f' | b'F', ..] if is_bool(text).is_some() => BOOL,
            [_, _, _, _, b'-', ..] if date(text).is_some() => DATE,
            [_, _, _, _, b'-', ..] => match Moment::parse(text) {
                Some(moment) => {
                    self.moments.add(&moment);
                    MOMENT
                }
                None => TEXT,
            },
            [b'0'..=b'9' | b'-' | b'.', ..] if !is_odd(text) => match Number::parse(text) {
                Some(number) if !number.is_padded => {
                    self.numbers.add(&number, text);
                    NUMBER
                }
                Some(_) => CODE,
                None => TEXT,
            },
            [b'+', ..] if Number::parse(text).is_some() => CODE,
            _ if is_odd(text) => {
                self.numbers.add_odd();
                NUMBER
            }
            _ => TEXT,
        }
    }

    /// Adds what is known of the values of other rows.
    pub(super) fn merge(&mut self, other: &Self) {
        self.kinds |= other.kinds;
        self.all += other.all;
        self.texts += other.texts;
        if let Some((place, text)) = &other.text
            && self.text.as_ref().is_none_or(|(first, _)| place < first)
        {
            self.text = Some((*place, text.clone()));
        }
        self.numbers.merge(&other.numbers);
        self.moments.merge(&other.moments);
    }

    /// The type of the column.
    pub(super) fn data_type(&self) -> DataType {
        let typed = match self.kinds {
            BOOL => Some(DataType::Boolean),
            DATE => Some(DataType::Date32),
            NUMBER => self.numbers.data_type().filter(|number| !matches!(number, DataType::Decimal128(_, 0))),
            MOMENT => self.moments.unit().map(|(unit, utc)| DataType::Timestamp(unit, utc.then(|| Arc::from("UTC")))),
            _ => None,
        };
        typed.unwrap_or(DataType::Utf8)
    }

    /// The string that is odd among values of one other kind, if there is one: its place, and what is wrong.
    pub(super) fn odd(&self) -> Option<(Place, String)> {
        let kind = match self.kinds & !TEXT {
            BOOL => "true or false",
            DATE => "dates",
            MOMENT => "timestamps",
            NUMBER => "numbers",
            _ => return None,
        };
        let (place, text) = self.text.as_ref().filter(|_| self.texts * ODD < self.all)?;
        let what = format!(
            "holds {} here, but {} of its {} values are {kind}; correct it, or give the column a type in a contract \
             (string accepts all values as they are written)",
            shown(text),
            self.all - self.texts,
            self.all
        );
        Some((*place, what))
    }

    /// Whether a header looks like a row: each of its cells has the kind of its column, and not all columns are
    /// strings.
    pub(super) fn is_row<'v>(cells: impl Iterator<Item = (&'v str, &'v Self)>) -> bool {
        let mut typed = false;
        for (cell, column) in cells {
            let mut own = Self::default();
            own.add(cell, 0, 0);
            let is_text = column.data_type() == DataType::Utf8;
            typed |= !is_text;
            if if is_text { own.kinds & (TEXT | CODE) == 0 } else { own.kinds != column.kinds } {
                return false;
            }
        }
        typed
    }
}

/// Parses true or false.
pub(super) fn is_bool(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

/// Whether this is a word for NaN or an infinity.
fn is_odd(text: &str) -> bool {
    let word = text.strip_prefix('-').unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|odd| word.eq_ignore_ascii_case(odd))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn values(texts: &[&str]) -> Values {
        let mut parts = [Values::default(), Values::default()];
        for (place, text) in texts.iter().enumerate() {
            parts[place % 2].add(text, 0, place as u64);
        }
        let [mut all, other] = parts;
        all.merge(&other);
        all
    }

    #[test]
    fn a_type_holds_all_values() {
        let utc = |unit| DataType::Timestamp(unit, Some(Arc::from("UTC")));
        for (texts, expected) in [
            (&["1", "-2"][..], DataType::Int64),
            (&["1", "2.5", "NaN", "-inf"], DataType::Float64),
            (&["1", "A200"], DataType::Utf8),
            (&["01234", "98101"], DataType::Utf8),
            (&["1", "+1"], DataType::Utf8),
            (&["-1", "9223372036854775808"], DataType::Utf8),
            (&["1", "99999999999999999999"], DataType::Utf8),
            (&["9007199254740993", "0.5"], DataType::Decimal128(38, 1)),
            (&["9007199254740993", "0.5", "nan"], DataType::Utf8),
            (&["true", "FALSE"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["nan", "inf"], DataType::Utf8),
            (&["2024-01-01", "0000-02-29"], DataType::Date32),
            (&["2024-01-01", "2024-01-01T00:00:00"], DataType::Utf8),
            (&["2024-01-01T00:00:00Z", "2024-01-01 00:00:00.5+0200"], utc(TimeUnit::Millisecond)),
            (&["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"], DataType::Utf8),
            (&["2024-01-01T23:59:60"], DataType::Utf8),
            (&["1_000"], DataType::Utf8),
            (&["NULL", "1"], DataType::Utf8),
            (&["1 "], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            assert_eq!(values(texts).data_type(), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_rare_string_among_numbers_is_an_error_and_a_rare_number_is_not() {
        let mut texts = vec!["7"; 100];
        assert_eq!(values(&texts).odd(), None);
        texts.push("oops");
        let (place, what) = values(&texts).odd().unwrap();
        assert!(place.line == 100 && what.contains("\"oops\" here, but 100 of its 101 values are numbers"), "{what}");
        texts.push("again");
        assert_eq!(values(&texts).odd(), None);
        assert_eq!(values(&[&vec!["98101"; 1000][..], &["00501"]].concat()).odd(), None);
        assert_eq!(values(&[&vec!["A200"; 1000][..], &["100"]].concat()).odd(), None);
    }

    #[test]
    fn a_first_line_that_looks_like_data_is_a_row() {
        let (id, name) = (values(&["1", "2"]), values(&["Ann", "Bo"]));
        let is_row = |cells: [&str; 2]| Values::is_row(cells.into_iter().zip([&id, &name]));
        assert!(is_row(["3", "Cy"]));
        assert!(!is_row(["id", "name"]) && !is_row(["3", "4"]));
        assert!(!Values::is_row([("x", &name)].into_iter()));
    }
}
