//! Data contracts: the names, types and meaning of an input's columns.
//!
//! A contract is a JSON file in `schemas/`, written by hand or by `cutover init`. The schema of every input file is
//! compared with it before any work, and all differences are reported at once. Extra columns are allowed. [`type_name`]
//! is the one textual form of an Arrow type, here and in messages:
//!
//! ```text
//! bool int8…int64 uint8…uint64 float16 float32 float64 string binary binary(16) date date64 null
//! timestamp[us] timestamp[us, UTC] time[us] duration[us] interval[month_day_nano] decimal(10, 2)
//! list<T> struct<name: T, …> map<K, V> union
//! ```
//! Types that hold the same values in another layout share a name: every string, binary and list layout, and
//! dictionary- or run-encoded columns.
//!
//! Not for: checking nulls. `nullable` is compared with the null counts of Parquet footers, if a file has them, and
//! with every row of CSV and JSON files; that a field is nullable in a file says nothing about its values. Elsewhere a
//! job's `not_null` check counts.

use std::collections::HashSet;
use std::path::Path;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

use super::layout::plain;
use super::type_parser::nested_from_name;
use crate::error::{Error, Result};
use crate::job::suggest;
use crate::job::text_file::read_text;

/// Maximum nesting depth of types in a contract.
const DEEPEST: usize = 32;

/// Types without parameters.
const PLAIN: [&str; 18] = [
    "null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
    "float64", "string", "binary", "date", "date64", "union",
];

const UNITS: [&str; 4] = ["s", "ms", "us", "ns"];
const INTERVALS: [&str; 3] = ["year_month", "day_time", "month_day_nano"];

/// What an input must look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// What one row is, such as `activity_event`.
    pub name: String,
    /// Expected columns; others are allowed.
    pub columns: Vec<Column>,
}

/// A column of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in the files.
    pub name: String,
    /// Its type, in the form of [`type_name`].
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Whether it may be in none of the files, and is null in all rows then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What its values say, for people.
    pub meaning: String,
}

impl Contract {
    /// Reads the contract at `path`.
    ///
    /// # Errors
    /// `Invalid` if it is missing, not JSON, has an unknown key or type, or names a column twice; `Unavailable` if the
    /// disk fails.
    pub fn load(path: &Path) -> Result<Contract> {
        Contract::parse(path, &read_text(path)?)
    }

    /// Parses a contract from `text`; `path` is for messages.
    ///
    /// # Errors
    /// `Invalid`, as for [`Contract::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Contract> {
        let shown = path.display();
        let mut contract: Contract = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("{shown}:{}: not a data contract", error.line())).because(error))?;
        let mut problems = Vec::new();
        if contract.columns.is_empty() {
            problems.push("names no column".to_owned());
        }
        let mut names = HashSet::new();
        for column in &mut contract.columns {
            if !names.insert(column.name.clone()) {
                problems.push(format!("names column {:?} twice", column.name));
            }
            match TypeText::read(&column.type_name) {
                Ok(canonical) => column.type_name = canonical,
                Err(reason) => problems.push(format!("column {:?}: {reason}", column.name)),
            }
            if column.optional && !column.nullable {
                problems.push(format!("column {:?} is optional, so it must be nullable", column.name));
            }
            if column.optional && nested_from_name(&column.type_name).is_none() {
                problems.push(format!("column {:?}: {} cannot be optional", column.name, column.type_name));
            }
        }
        match problems.as_slice() {
            [] => Ok(contract),
            [one] => Err(Error::invalid(format!("{shown}: {one}"))),
            many => {
                let lines: String = many.iter().map(|problem| format!("\n{shown}: {problem}")).collect();
                Err(Error::invalid(format!("{shown} has {} problems{lines}", many.len())))
            }
        }
    }

    /// A contract that files with `schema` fulfil; `meaning` describes each column.
    pub fn from_schema(name: &str, schema: &Schema, meaning: impl Fn(&Field) -> String) -> Contract {
        let column = |field: &Field| Column {
            name: field.name().clone(),
            type_name: type_name(field.data_type()),
            nullable: field.is_nullable(),
            optional: false,
            meaning: meaning(field),
        };
        Contract { name: name.to_owned(), columns: schema.fields().iter().map(|field| column(field)).collect() }
    }

    /// Its JSON text: one line per column, for readable diffs. Equal contracts have equal texts.
    pub fn to_text(&self) -> String {
        use serde_json::json;
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                format!(
                    "    {{\"name\": {}, \"type\": {}, \"nullable\": {}, {}\"meaning\": {}}}",
                    json!(column.name),
                    json!(column.type_name),
                    column.nullable,
                    if column.optional { "\"optional\": true, " } else { "" },
                    json!(column.meaning)
                )
            })
            .collect();
        format!("{{\n  \"name\": {},\n  \"columns\": [\n{}\n  ]\n}}\n", json!(self.name), columns.join(",\n"))
    }

    /// The columns that are in none of the files with the columns `there`, and may be so: as null fields. But one whose
    /// name is nearly that of a column which the contract does not know is likely to be misspelt, and not among them.
    pub(super) fn absent(&self, there: &[&str], may_be: impl Fn(&Column) -> bool) -> Vec<Field> {
        let known: HashSet<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let has: HashSet<&str> = there.iter().copied().collect();
        let strangers: Vec<&str> = there.iter().copied().filter(|name| !known.contains(name)).collect();
        let absent = self.columns.iter().filter(|column| may_be(column) && !has.contains(column.name.as_str()));
        let sure = absent.filter(|column| suggest::nearest(&column.name, strangers.iter().copied()).is_none());
        sure.filter_map(|column| Some(Field::new(&column.name, plain(&nested_from_name(&column.type_name)?), true)))
            .collect()
    }

    /// Every way in which `schema`, that of the file named `file`, breaks the contract; empty when it keeps it.
    pub fn check(&self, schema: &Schema, file: &str) -> Vec<String> {
        self.columns.iter().filter_map(|column| column.check(schema, file)).collect()
    }
}

impl Column {
    fn check(&self, schema: &Schema, file: &str) -> Option<String> {
        let Column { name, type_name: expected, .. } = self;
        let mut fields = schema.fields().iter().filter(|field| field.name() == name);
        let Some(field) = fields.next() else {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            let near = suggest::nearest(name, names).map(|near| format!("; it has {near:?}")).unwrap_or_default();
            let way = match self.nullable && !self.optional {
                true => "; if no file has it on purpose, \"optional\": true in its contract makes it null",
                false => "",
            };
            return Some(format!("{file}: column {name:?} is missing, expected {expected}{near}{way}"));
        };
        if fields.next().is_some() {
            return Some(format!("{file}: column {name:?} occurs more than once, expected one {expected}"));
        }
        let found = type_name(field.data_type());
        (!self.is_of(field.data_type()))
            .then(|| format!("{file}: column {name:?} is wrong, expected {expected}, found {found}"))
    }

    /// Whether this is the column's type. Instants are the same in all zones.
    pub(super) fn is_of(&self, data_type: &DataType) -> bool {
        let expected = nested_from_name(&self.type_name).map(|expected| type_name(&plain(&expected)));
        type_name(&plain(data_type)) == expected.unwrap_or_else(|| self.type_name.clone())
    }
}

/// The textual form of a type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "int8".to_owned(),
        DataType::Int16 => "int16".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::UInt8 => "uint8".to_owned(),
        DataType::UInt16 => "uint16".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float16 => "float16".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::FixedSizeBinary(size) => format!("binary({size})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Date64 => "date64".to_owned(),
        DataType::Timestamp(unit, None) => format!("timestamp[{}]", unit_name(unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp[{}, {}]", unit_name(unit), zone_name(zone)),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time[{}]", unit_name(unit)),
        DataType::Duration(unit) => format!("duration[{}]", unit_name(unit)),
        DataType::Interval(IntervalUnit::YearMonth) => "interval[year_month]".to_owned(),
        DataType::Interval(IntervalUnit::DayTime) => "interval[day_time]".to_owned(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval[month_day_nano]".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field_name(field.name()), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => format!("map<{}>", type_name(other)),
        },
        DataType::Union(..) => "union".to_owned(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
    }
}

fn unit_name(unit: &TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// Normalizes UTC, which writers spell in several ways.
pub(super) fn zone_name(zone: &str) -> &str {
    if ["UTC", "Z", "+00:00", "+0000", "Etc/UTC"].contains(&zone) { "UTC" } else { zone }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// Quotes a name that could be taken for a part of the type.
fn field_name(name: &str) -> String {
    if is_plain_name(name) { name.to_owned() } else { serde_json::json!(name).to_string() }
}

/// Parses the textual form of a type and returns it in its canonical spelling.
struct TypeText<'a> {
    rest: &'a str,
}

impl<'a> TypeText<'a> {
    fn read(text: &'a str) -> Result<String, String> {
        let mut reader = TypeText { rest: text };
        let found = reader.any(0).and_then(|found| if reader.rest.trim().is_empty() { Ok(found) } else { Err(None) });
        found.map_err(|hint: Option<String>| {
            format!("{text:?} is not a type{}", hint.unwrap_or_else(|| ", such as \"timestamp[us, UTC]\"".to_owned()))
        })
    }

    /// Parses one type; the error may contain a hint.
    fn any(&mut self, depth: usize) -> Result<String, Option<String>> {
        if depth == DEEPEST {
            return Err(Some(format!(": it nests deeper than {DEEPEST} levels")));
        }
        let word = self.word();
        match word {
            "binary" if self.eat('(') => {
                let size = self.number()?;
                self.expect(')')?;
                Ok(format!("binary({size})"))
            }
            "decimal" => {
                self.expect('(')?;
                let precision = self.number()?;
                self.expect(',')?;
                let scale = self.number()?;
                self.expect(')')?;
                Ok(format!("decimal({precision}, {scale})"))
            }
            "timestamp" => {
                self.expect('[')?;
                let unit = self.one_of(&UNITS)?;
                let zone = if self.eat(',') { Some(self.until(']')?) } else { None };
                self.expect(']')?;
                Ok(match zone {
                    Some(zone) => format!("timestamp[{unit}, {}]", zone_name(zone)),
                    None => format!("timestamp[{unit}]"),
                })
            }
            "time" | "duration" | "interval" => {
                self.expect('[')?;
                let unit = self.one_of(if word == "interval" { &INTERVALS } else { &UNITS })?;
                self.expect(']')?;
                Ok(format!("{word}[{unit}]"))
            }
            "list" => {
                self.expect('<')?;
                let item = self.any(depth + 1)?;
                self.expect('>')?;
                Ok(format!("list<{item}>"))
            }
            "map" => {
                self.expect('<')?;
                let key = self.any(depth + 1)?;
                self.expect(',')?;
                let value = self.any(depth + 1)?;
                self.expect('>')?;
                Ok(format!("map<{key}, {value}>"))
            }
            "struct" => self.fields(depth),
            plain if PLAIN.contains(&plain) => Ok(plain.to_owned()),
            unknown => Err(suggest::nearest(unknown, PLAIN).map(|near| format!(", did you mean {near:?}?"))),
        }
    }

    fn fields(&mut self, depth: usize) -> Result<String, Option<String>> {
        self.expect('<')?;
        let mut fields = Vec::new();
        while !self.eat('>') {
            if !fields.is_empty() {
                self.expect(',')?;
            }
            let name = self.field()?;
            self.expect(':')?;
            fields.push(format!("{}: {}", field_name(&name), self.any(depth + 1)?));
        }
        Ok(format!("struct<{}>", fields.join(", ")))
    }

    fn field(&mut self) -> Result<String, Option<String>> {
        self.rest = self.rest.trim_start();
        if !self.rest.starts_with('"') {
            let name = self.word();
            return if is_plain_name(name) { Ok(name.to_owned()) } else { Err(None) };
        }
        let mut quoted = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let name = quoted.next().and_then(|name| name.ok()).ok_or(None)?;
        self.rest = self.rest.get(quoted.byte_offset()..).ok_or(None)?;
        Ok(name)
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn one_of(&mut self, words: &[&'static str]) -> Result<&'a str, Option<String>> {
        let word = self.word();
        if words.contains(&word) { Ok(word) } else { Err(Some(format!(": a unit is one of {}", words.join(", ")))) }
    }

    fn number(&mut self) -> Result<i16, Option<String>> {
        let sign = if self.eat('-') { -1 } else { 1 };
        self.word().parse::<i16>().map(|number| sign * number).map_err(|_| None)
    }

    fn until(&mut self, end: char) -> Result<&'a str, Option<String>> {
        let end = self.rest.find(end).ok_or(None)?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        if text.trim().is_empty() { Err(None) } else { Ok(text.trim()) }
    }

    fn eat(&mut self, letter: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(letter) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, letter: char) -> Result<(), Option<String>> {
        if self.eat(letter) { Ok(()) } else { Err(None) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Fields;
    use proptest::prelude::*;

    use super::*;

    fn contract(columns: &str) -> Result<Contract> {
        Contract::parse(Path::new("c.json"), &format!("{{\"name\": \"row\", \"columns\": [{columns}]}}"))
    }

    fn column(name: &str, type_name: &str) -> String {
        format!("{{\"name\": \"{name}\", \"type\": \"{type_name}\", \"nullable\": false, \"meaning\": \"m\"}}")
    }

    fn types() -> Vec<(DataType, &'static str)> {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        let pair: Fields = vec![field("key", DataType::Utf8), field("value", DataType::Int32)].into();
        let odd: Fields = vec![field("a", DataType::Int8), field("odd: \"name\"", DataType::Null)].into();
        vec![
            (DataType::Boolean, "bool"),
            (DataType::UInt16, "uint16"),
            (DataType::Float16, "float16"),
            (DataType::LargeUtf8, "string"),
            (DataType::Utf8View, "string"),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), "string"),
            (DataType::BinaryView, "binary"),
            (DataType::FixedSizeBinary(16), "binary(16)"),
            (DataType::Date32, "date"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp[us]"),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())), "timestamp[ns, UTC]"),
            (DataType::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())), "timestamp[s, Europe/Berlin]"),
            (DataType::Time32(TimeUnit::Millisecond), "time[ms]"),
            (DataType::Duration(TimeUnit::Microsecond), "duration[us]"),
            (DataType::Interval(IntervalUnit::DayTime), "interval[day_time]"),
            (DataType::Decimal128(10, 2), "decimal(10, 2)"),
            (DataType::Decimal32(5, -1), "decimal(5, -1)"),
            (DataType::LargeList(field("item", DataType::Int64)), "list<int64>"),
            (DataType::Struct(odd), "struct<a: int8, \"odd: \\\"name\\\"\": null>"),
            (DataType::Struct(Fields::empty()), "struct<>"),
            (DataType::Map(field("entries", DataType::Struct(pair)), false), "map<string, int32>"),
        ]
    }

    #[test]
    fn every_type_has_a_name_that_a_contract_can_hold() {
        for (data_type, name) in types() {
            assert_eq!(type_name(&data_type), name);
            assert_eq!(TypeText::read(name).as_deref(), Ok(name));
            let schema = Schema::new(vec![Field::new("x", data_type, true)]);
            let made = Contract::from_schema("row", &schema, |field| format!("the {}", field.name()));
            let read = Contract::parse(Path::new("c.json"), &made.to_text()).unwrap();
            assert_eq!(read, made);
            assert!(read.check(&schema, "f").is_empty());
        }
    }

    #[test]
    fn spelling_does_not_matter_but_types_do() {
        assert_eq!(TypeText::read(" decimal( 10,2 )").as_deref(), Ok("decimal(10, 2)"));
        assert_eq!(TypeText::read("timestamp[us,+00:00]").as_deref(), Ok("timestamp[us, UTC]"));
        for bad in
            ["", "int", "in64", "varchar", "list<>", "list<int8", "decimal(1)", "time[h]", "int64 x", "struct<a>"]
        {
            assert!(TypeText::read(bad).is_err(), "{bad}");
        }
        assert!(TypeText::read("in64").unwrap_err().contains("did you mean \"int64\"?"));
        assert!(TypeText::read(&"list<".repeat(100_000)).unwrap_err().contains("nests deeper"));
    }

    #[test]
    fn all_problems_of_a_contract_are_reported_at_once() {
        let error = contract(&[column("a", "int6"), column("a", "int64")].join(",")).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Invalid);
        assert!(error.message().contains("c.json has 2 problems"), "{error}");
        assert!(error.message().contains("column \"a\": \"int6\" is not a type"), "{error}");
        assert!(error.message().contains("names column \"a\" twice"), "{error}");
        assert!(contract("").unwrap_err().message().contains("names no column"));
        let unknown = Contract::parse(Path::new("c.json"), "{\"name\": \"x\",\n\"columns\": [],\n\"tables\": 1}");
        let chain = unknown.unwrap_err().chain();
        assert!(chain[0].starts_with("c.json:3: ") && chain[1].contains("unknown field `tables`"), "{chain:?}");
    }

    #[test]
    fn every_difference_from_a_contract_is_reported_and_extra_columns_are_allowed() {
        let columns = [column("user_id", "int64"), column("ts", "timestamp[us, UTC]"), column("url", "string")];
        let contract = contract(&columns.join(",")).unwrap();
        let schema = Schema::new(vec![
            Field::new("userid", DataType::Int64, true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
            Field::new("url", DataType::LargeUtf8, true),
            Field::new("more", DataType::Null, true),
        ]);
        assert_eq!(
            contract.check(&schema, "data/a.parquet"),
            [
                "data/a.parquet: column \"user_id\" is missing, expected int64; it has \"userid\"",
                "data/a.parquet: column \"ts\" is wrong, expected timestamp[us, UTC], found timestamp[ns, UTC]",
            ]
        );
        let twice = Schema::new(vec![Field::new("url", DataType::Utf8, true), Field::new("url", DataType::Utf8, true)]);
        assert!(contract.check(&twice, "f").iter().any(|problem| problem.contains("occurs more than once")));
    }

    proptest! {
        #[test]
        fn reading_a_type_never_panics_and_its_spelling_is_stable(text in "[a-z0-9_<>()\\[\\]:, \"\\\\-]{0,60}") {
            if let Ok(once) = TypeText::read(&text) {
                prop_assert_eq!(TypeText::read(&once), Ok(once));
            }
        }
    }
}
