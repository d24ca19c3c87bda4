//! Typed access to a TOML table that collects problems instead of failing at the first.
//!
//! A [`Section`] is one table of the job file with a closed set of keys: any other key is a problem, with a suggestion.
//! An [`Item`] is one value in it. Each typed getter returns `None` after adding a problem that names the key, the
//! section, what was expected and what was found, so that the parser can continue and find the rest.
//!
//! Not for: rules about one particular key; those are where the key is read.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Problems;
use super::suggest;
use crate::error::Result;

/// One table of the job file.
pub(super) struct Section<'a> {
    problems: &'a Problems,
    /// As written in the file, such as `[output]`; empty for the top of the file.
    name: String,
    line: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// Opens a table that may hold `keys` and nothing else.
    pub(super) fn open(
        problems: &'a Problems,
        name: String,
        line: usize,
        table: &'a DeTable<'a>,
        keys: &[&str],
    ) -> Section<'a> {
        let section = Section { problems, name, line, table };
        for (key, _) in table.iter() {
            let text: &str = key.get_ref();
            if !keys.contains(&text) {
                let line = problems.line_at(key.span().start);
                problems.add(line, format!("unknown key {text:?}{}{}", section.place(), suggest::hint(text, keys)));
            }
        }
        section
    }

    /// Opens a table whose keys are names that the user chose.
    pub(super) fn open_map(problems: &'a Problems, name: String, line: usize, table: &'a DeTable<'a>) -> Section<'a> {
        Section { problems, name, line, table }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn problem(&self, message: impl Into<String>) {
        self.problems.add(self.line, message);
    }

    /// The value of `key`, if the table has it.
    pub(super) fn item(&self, key: &str) -> Option<Item<'a>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(self.wrap(key.get_ref(), key.span().start, value))
    }

    /// The value of `key`; its absence is a problem.
    pub(super) fn required(&self, key: &str, example: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.problem(format!("missing key {key:?}{}, such as {example}", self.place()));
        }
        item
    }

    /// Every key and value, ordered by key.
    pub(super) fn items(&self) -> Vec<(&'a str, Item<'a>)> {
        let mut items: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let text: &'a str = key.get_ref();
                (text, self.wrap(text, key.span().start, value))
            })
            .collect();
        items.sort_by_key(|(key, _)| *key);
        items
    }

    fn wrap(&self, key: &str, offset: usize, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        let label = format!("{key:?}{}", self.place());
        let line = self.problems.line_at(offset);
        Item { problems: self.problems, label, line, at: value.span().start, value: value.get_ref() }
    }

    fn place(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) }
    }
}

/// One value of the job file.
pub(super) struct Item<'a> {
    problems: &'a Problems,
    label: String,
    line: usize,
    /// Where the value begins in the file.
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// The line at which a string's content begins: the next line if the opening `'''` or `"""` ends its line.
    pub(super) fn text_line(&self) -> usize {
        let text = self.problems.text_from(self.at);
        let opened = ["'''", "\"\"\""].iter().find_map(|quotes| text.strip_prefix(quotes));
        let line = self.problems.line_at(self.at);
        line + usize::from(opened.is_some_and(|text| text.starts_with('\n') || text.starts_with("\r\n")))
    }

    /// Adds a problem that begins with the key and its section.
    pub(super) fn problem(&self, message: impl AsRef<str>) {
        self.problems.add(self.line, format!("{} {}", self.label, message.as_ref()));
    }

    fn wrong<T>(&self, expected: &str) -> Option<T> {
        self.problem(format!("must be {expected}, not {}", describe(self.value)));
        None
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self.value, DeValue::Integer(_))
    }

    pub(super) fn is_false(&self) -> bool {
        matches!(self.value, DeValue::Boolean(false))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.wrong("a string"),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong("true or false"),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = match self.value {
            DeValue::Integer(value) => u64::from_str_radix(value.as_str(), value.radix()).ok(),
            _ => None,
        };
        match value.filter(|value| range.contains(value)) {
            Some(value) => Some(value),
            None => self.wrong(&format!("an integer from {} to {}", range.start(), range.end())),
        }
    }

    /// An integer whose range fits 32 bits.
    pub(super) fn small(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.integer(u64::from(*range.start())..=u64::from(*range.end()))?;
        u32::try_from(value).ok()
    }

    /// A number; an integer may be written without a decimal point.
    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let value = match self.value {
            DeValue::Float(value) => value.as_str().parse::<f64>().ok(),
            DeValue::Integer(value) if value.radix() == 10 => value.as_str().parse::<f64>().ok(),
            _ => None,
        };
        match value.filter(|value| range.contains(value)) {
            Some(value) => Some(value),
            None => self.wrong(&format!("a number from {} to {}", range.start(), range.end())),
        }
    }

    /// A string, parsed by `parse`.
    pub(super) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format!("is wrong: {error}"));
                None
            }
        }
    }

    /// One of a closed set of words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.problem(format!("cannot be {text:?}{}", suggest::hint(text, &words)));
        }
        found
    }

    /// The elements of an array, each labelled like the array and on its own line.
    pub(super) fn list(&self, of: &str) -> Option<Vec<Item<'a>>> {
        let DeValue::Array(elements) = self.value else {
            return self.wrong(&format!("an array of {of}"));
        };
        let item = |element: &'a Spanned<DeValue<'a>>| Item {
            problems: self.problems,
            label: format!("an element of {}", self.label),
            line: self.problems.line_at(element.span().start),
            at: element.span().start,
            value: element.get_ref(),
        };
        Some(elements.iter().map(item).collect())
    }

    /// Distinct column names.
    pub(super) fn columns(&self) -> Option<Vec<String>> {
        let mut columns: Vec<String> = Vec::new();
        let mut good = true;
        for element in self.list("column names")? {
            match element.text() {
                Some("") => element.problem("is an empty column name"),
                Some(name) if columns.iter().any(|column| column == name) => {
                    element.problem(format!("names column {name:?} a second time"));
                }
                Some(name) => {
                    columns.push(name.to_owned());
                    continue;
                }
                None => {}
            }
            good = false;
        }
        good.then_some(columns)
    }

    /// A table that may hold `keys` and nothing else.
    pub(super) fn section(&self, name: &str, keys: &[&str]) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section::open(self.problems, name.to_owned(), self.line, table, keys)),
            _ => self.wrong("a table"),
        }
    }

    /// A table whose keys are names that the user chose.
    pub(super) fn map(&self, name: &str) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section::open_map(self.problems, name.to_owned(), self.line, table)),
            _ => self.wrong("a table"),
        }
    }
}

/// Describes a value in a message; long strings are cut.
fn describe(value: &DeValue<'_>) -> String {
    const SHOWN: usize = 40;
    match value {
        DeValue::String(text) if text.chars().count() > SHOWN => {
            format!("the string {:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Integer(value) => value.to_string(),
        DeValue::Float(value) => value.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
