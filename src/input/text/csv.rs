//! Parses CSV records: RFC 4180, strictly.
//!
//! ```text
//! record  = field *( delimiter field ) ( LF / CRLF / end )
//! field   = plain / DQUOTE *( any / DQUOTE DQUOTE ) DQUOTE
//! ```
//! A quote within a plain field is an ordinary character. What other readers guess at is rejected with its line: text
//! after a closing quote, a quote after spaces, a quote that is not closed, a carriage return without a line feed.
//! Blank lines are skipped, except in files of one column, where a blank line is a row without a value.
//!
//! Not for: interpreting values.

use super::text_error::{Fault, shown};
use crate::job::CsvForm;

/// Maximum number of columns of a file.
pub(super) const MAX_COLUMNS: usize = 65_536;

/// The CSV dialect, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Separates values.
    pub(super) delimiter: u8,
    /// Encloses values; none if quotes are ordinary characters.
    pub(super) quote: Option<u8>,
    /// Escapes the next character in a quoted value; none if quotes are doubled instead.
    pub(super) escape: Option<u8>,
    /// Whether the first record has the column names.
    pub(super) header: bool,
    /// Begins a comment line.
    pub(super) comment: Option<u8>,
}

impl From<&CsvForm> for Dialect {
    fn from(form: &CsvForm) -> Self {
        let byte = |letter: Option<char>| letter.and_then(|letter| u8::try_from(letter).ok());
        Self {
            delimiter: byte(Some(form.delimiter)).unwrap_or(b','),
            quote: byte(form.quote),
            escape: byte(form.escape),
            header: form.header,
            comment: byte(form.comment),
        }
    }
}

/// The position of a field, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    start: u32,
    end: u32,
    /// Whether it is quoted: an empty field is then an empty string, not null.
    pub(super) quoted: bool,
    /// Whether it contains doubled quotes or escapes.
    escaped: bool,
}

/// Iterates over the records of a text.
#[derive(Debug)]
pub(super) struct Records<'t> {
    text: &'t str,
    dialect: Dialect,
    /// Whether a blank line is a record.
    blank_counts: bool,
    /// Where the next record begins.
    pub(super) at: usize,
    /// The line at which it begins.
    pub(super) line: u64,
    fields: Vec<Field>,
    found: usize,
}

impl<'t> Records<'t> {
    /// Reads a text from the beginning of a record; `columns` is the number of columns in its header, if known.
    pub(super) fn new(text: &'t str, dialect: Dialect, at: usize, line: u64, columns: Option<usize>) -> Self {
        let blank_counts = columns == Some(1);
        Self { text, dialect, blank_counts, at, line, fields: Vec::new(), found: 0 }
    }

    /// Reads the next record and returns the line it begins at; none at the end.
    ///
    /// # Errors
    /// Names the line that is not valid CSV.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<u64>, Fault> {
        self.fields.clear();
        self.found = 0;
        while let Some(bytes) = self.skipped() {
            self.at += bytes;
            self.line += 1;
        }
        if self.at == self.text.len() {
            return Ok(None);
        }
        let line = self.line;
        while !self.field()? {}
        Ok(Some(line))
    }

    /// The fields of the record.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Number of fields of the record, of which at most [`MAX_COLUMNS`] are kept.
    pub(super) fn found(&self) -> usize {
        self.found
    }

    /// A field's value; one with doubled quotes or escapes is unescaped into `scratch`.
    #[inline]
    pub(super) fn value<'v>(&self, field: Field, scratch: &'v mut String) -> &'v str
    where
        't: 'v,
    {
        let text = self.text.get(field.start as usize..field.end as usize).unwrap_or_default();
        if !field.escaped {
            return text;
        }
        scratch.clear();
        // In both forms one character says that the next is literal.
        let escape = self.dialect.escape.or(self.dialect.quote).map(char::from);
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            scratch.extend(if Some(letter) == escape { letters.next() } else { Some(letter) });
        }
        scratch
    }

    /// The length of the line that begins here, if it is not a record: a blank line, or a comment.
    #[inline]
    fn skipped(&self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        match rest.first()? {
            b'\n' if !self.blank_counts => Some(1),
            b'\r' if !self.blank_counts && rest.get(1) == Some(&b'\n') => Some(2),
            first if self.dialect.comment == Some(*first) => {
                Some(rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1))
            }
            _ => None,
        }
    }

    /// Reads a field and returns whether it ended the record.
    #[inline]
    fn field(&mut self) -> Result<bool, Fault> {
        let text = self.text.as_bytes();
        let start = self.at;
        let mut at = start;
        let Dialect { delimiter, quote, .. } = self.dialect;
        match text.get(at) {
            Some(byte) if quote == Some(*byte) => return self.quoted(*byte),
            Some(b' ') if quote.is_some() && delimiter != b' ' => {
                let spaces = text[at..].iter().take_while(|byte| **byte == b' ').count();
                if text.get(at + spaces).copied() == quote {
                    let what = "a quote comes after a space; remove the space, or double the quote and quote the value";
                    return Err(Fault::at(self.line, what));
                }
            }
            _ => {}
        }
        while let Some(byte) = text.get(at) {
            if *byte == delimiter || *byte == b'\n' || *byte == b'\r' {
                break;
            }
            at += 1;
        }
        self.push(Field { start: start as u32, end: at as u32, quoted: false, escaped: false });
        self.after(at)
    }

    /// Reads a quoted field.
    fn quoted(&mut self, quote: u8) -> Result<bool, Fault> {
        let text = self.text.as_bytes();
        let escape = self.dialect.escape;
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        let mut ends = 0;
        loop {
            match text.get(at) {
                Some(byte) if escape == Some(*byte) => {
                    escaped = true;
                    at += 1;
                    ends += u64::from(text.get(at) == Some(&b'\n'));
                }
                Some(byte) if *byte == quote && escape.is_none() && text.get(at + 1) == Some(&quote) => {
                    escaped = true;
                    at += 1;
                }
                Some(byte) if *byte == quote => break,
                Some(b'\n') => ends += 1,
                Some(_) => {}
                None => return Err(Fault::at(self.line, "a quote is opened here but not closed; close it")),
            }
            at += 1;
        }
        self.push(Field { start: start as u32, end: at as u32, quoted: true, escaped });
        self.line += ends;
        self.after(at + 1)
    }

    #[inline]
    fn push(&mut self, field: Field) {
        self.found += 1;
        if self.found <= MAX_COLUMNS {
            self.fields.push(field);
        }
    }

    /// Consumes what follows a field, and returns whether that ends the record.
    #[inline]
    fn after(&mut self, at: usize) -> Result<bool, Fault> {
        let text = self.text.as_bytes();
        match text.get(at) {
            None => {
                self.at = at;
                Ok(true)
            }
            Some(byte) if *byte == self.dialect.delimiter => {
                self.at = at + 1;
                Ok(false)
            }
            Some(b'\n') => self.end(at + 1),
            Some(b'\r') if text.get(at + 1) == Some(&b'\n') => self.end(at + 2),
            Some(b'\r') => {
                let what = "a lone carriage return; end lines with a line feed, and quote values that contain one";
                Err(Fault::at(self.line, what))
            }
            Some(_) => {
                let rest = self.text.get(at..).unwrap_or_default();
                let rest = rest.lines().next().unwrap_or_default();
                Err(Fault::at(
                    self.line,
                    format!("{} follows a closing quote; double the quotes in a value, or set `escape`", shown(rest)),
                ))
            }
        }
    }

    fn end(&mut self, at: usize) -> Result<bool, Fault> {
        self.at = at;
        self.line += 1;
        Ok(true)
    }
}

/// Column names of files without a header: the `known` ones, or `column_1` and so on.
///
/// # Errors
/// If the first record has more or fewer fields than there are known names.
pub(super) fn numbered(records: &mut Records<'_>, known: Option<&[String]>) -> Result<Option<Vec<String>>, Fault> {
    let (at, line) = (records.at, records.line);
    let Some(first) = records.next()? else { return Ok(None) };
    let found = records.found();
    (records.at, records.line) = (at, line);
    if found > MAX_COLUMNS {
        return Err(Fault::at(first, format!("has {found} columns; at most {MAX_COLUMNS} can be read")));
    }
    match known {
        Some(names) if names.len() != found => {
            let what = format!(
                "has {found} fields, but the contract has {} columns; files without a header have those of the contract, in its order",
                names.len()
            );
            Err(Fault::at(first, what))
        }
        Some(names) => Ok(Some(names.to_vec())),
        None => Ok(Some((1..=found).map(|number| format!("column_{number}")).collect())),
    }
}

/// Parses the names in a header.
///
/// # Errors
/// If a name is empty or repeated, or if the delimiter seems to be another.
pub(super) fn header(records: &mut Records<'_>) -> Result<Option<Vec<String>>, Fault> {
    let Some(line) = records.next()? else { return Ok(None) };
    if records.found() > MAX_COLUMNS {
        return Err(Fault::at(line, format!("has {} columns; at most {MAX_COLUMNS} can be read", records.found())));
    }
    let mut scratch = String::new();
    let names: Vec<String> =
        records.fields().iter().map(|field| records.value(*field, &mut scratch).to_owned()).collect();
    let delimiter = char::from(records.dialect.delimiter);
    if let ([name], [Field { quoted: false, .. }]) = (names.as_slice(), records.fields())
        && let Some(other) =
            [';', '\t', '|', ','].into_iter().find(|other| *other != delimiter && name.contains(*other))
    {
        return Err(Fault::at(
            line,
            format!(
                "its header is one column, {}, which seems to be divided by {other:?}; set delimiter = \"{}\"",
                shown(name),
                other.escape_default()
            ),
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for (place, name) in names.iter().enumerate() {
        let place = place + 1;
        if name.trim().is_empty() {
            let what = format!("column {place} of the header has no name; give it one");
            return Err(Fault::at(line, what));
        }
        if !seen.insert(name.as_str()) {
            let what = format!("the header names column {} more than once; rename one of them", shown(name));
            return Err(Fault::at(line, what));
        }
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usual() -> Dialect {
        Dialect::from(&CsvForm::default())
    }

    fn read(text: &str) -> Result<Vec<Vec<(String, bool)>>, Fault> {
        read_as(text, usual())
    }

    fn read_as(text: &str, dialect: Dialect) -> Result<Vec<Vec<(String, bool)>>, Fault> {
        let mut records = Records::new(text, dialect, 0, 1, None);
        let mut rows = Vec::new();
        let mut scratch = String::new();
        while records.next()?.is_some() {
            let value = |field: &Field| (records.value(*field, &mut scratch).to_owned(), field.quoted);
            rows.push(records.fields().iter().map(value).collect());
        }
        Ok(rows)
    }

    fn written(rows: &[Vec<(String, bool)>], end: &str) -> String {
        let field = |(value, quoted): &(String, bool)| match quoted {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value.clone(),
        };
        rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + end).collect()
    }

    fn field() -> impl Strategy<Value = (String, bool)> {
        prop_oneof![
            "[ab,\"\r\n é]{0,6}".prop_map(|value| (value, true)),
            "[ab-c][a\"é ]{0,5}".prop_map(|value| (value, false))
        ]
    }

    proptest! {
        #[test]
        fn every_written_file_is_read_back(
            rows in prop::collection::vec(prop::collection::vec(field(), 1..4), 0..6),
            windows: bool,
        ) {
            let text = written(&rows, if windows { "\r\n" } else { "\n" });
            prop_assert_eq!(read(&text).unwrap(), rows.clone());
            // Also without the last line end.
            prop_assert_eq!(read(text.trim_end_matches(['\r', '\n'])).ok(), Some(rows).filter(|rows| !rows.is_empty()).or(Some(vec![])));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[a,\"\r\n ]{0,40}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn nulls_and_empty_strings_are_distinguished() {
        let plain = |text: &str| (text.to_owned(), false);
        assert_eq!(
            read("a,,\n\n,\"\"").unwrap(),
            [vec![plain("a"), plain(""), plain("")], vec![plain(""), (String::new(), true)],]
        );
        let mut one = Records::new("x\n\n", usual(), 0, 1, Some(1));
        assert_eq!((one.next(), one.next(), one.next()), (Ok(Some(1)), Ok(Some(2)), Ok(None)));
    }

    #[test]
    fn ambiguous_csv_is_refused_with_its_line() {
        for (text, line, what) in [
            ("a,b\n\"x\ny\"z,1\n", 3, "follows a closing quote"),
            ("a\nb, \"c\"\n", 2, "after a space"),
            ("a\n1,\"b\nc\nd", 2, "not closed"),
            ("a\rb\r", 1, "carriage return"),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.line, fault.what.contains(what)), (line, true), "{text:?}: {fault:?}");
        }
        assert_eq!(
            read("5\" pipe,a\"b\"c\n").unwrap(),
            [[("5\" pipe".to_owned(), false), ("a\"b\"c".to_owned(), false)]]
        );
    }

    #[test]
    fn quotes_escapes_and_comments_follow_the_job() {
        let of = |text: &str, form: CsvForm| {
            let rows = read_as(text, Dialect::from(&form)).unwrap();
            rows.into_iter().map(|row| row.into_iter().map(|(text, _)| text).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let usual = CsvForm::default;
        assert_eq!(of("'a,''b',\"c\n", CsvForm { quote: Some('\''), ..usual() }), [["a,'b", "\"c"]]);
        assert_eq!(of("\"a\",b\n", CsvForm { quote: None, ..usual() }), [["\"a\"", "b"]]);
        let escaped = CsvForm { escape: Some('\\'), ..usual() };
        assert_eq!(of("\"a\\\"\\\\,\",b\\c\n", escaped.clone()), [["a\"\\,", "b\\c"]]);
        assert!(read_as("\"a\"\"b\"\n", Dialect::from(&escaped)).is_err(), "doubled quotes are not what was said");
        let form = CsvForm { comment: Some('#'), ..usual() };
        assert_eq!(of("#x,\"\na,b#\n# y\nc,\"\n#d\"\n#", form), [["a", "b#"], ["c", "\n#d"]]);
    }

    #[test]
    fn files_without_a_header_have_numbered_columns_or_those_of_the_contract() {
        let names = |known: Option<&[String]>| numbered(&mut Records::new("\n1,2\n", usual(), 0, 1, None), known);
        assert_eq!(names(None).unwrap().unwrap(), ["column_1", "column_2"]);
        assert_eq!(names(Some(&["a".into(), "b".into()])).unwrap().unwrap(), ["a", "b"]);
        let fault = names(Some(&["a".into()])).unwrap_err();
        assert!(fault.line == 2 && fault.what.contains("2 fields, but the contract has 1"), "{fault:?}");
    }

    #[test]
    fn headers_are_names() {
        let header = |text: &str| header(&mut Records::new(text, usual(), 0, 1, None));
        assert_eq!(header("\nid,\"a\nb\"\n1,2").unwrap().unwrap(), ["id", "a\nb"]);
        assert_eq!(header("\n\n"), Ok(None));
        for (text, what) in
            [("a;b\n", "';'"), ("a,,b\n", "column 2"), ("a,b,a\n", "\"a\" more than once"), ("a,\" \"", "no name")]
        {
            assert!(header(text).unwrap_err().what.contains(what), "{text:?}");
        }
    }
}
