//! `[inputs.NAME]` and everything else in a job file that names a path.
//!
//! Paths are local, and relative to the working directory; those of inputs may be URLs of object stores. Only their
//! syntax is checked here; the input stage checks that files exist, and reads them.
//!
//! Invariant: inputs are ordered by name, so that moving a section in the file changes nothing.

use std::path::{Component, Path, PathBuf};

use super::csv;
use super::params::Params;
use super::partitions;
use super::spec::{Format, InputSpec};
use super::toml_section::{Item, Section};
use crate::objects::Location;

/// Longest name of an input.
const LONGEST_NAME: usize = 63;

const KEYS: [&str; 11] =
    ["path", "format", "delimiter", "quote", "escape", "header", "null", "comment", "schema", "partitions", "require"];

const FORMATS: [(&str, Format); 4] =
    [("parquet", Format::Parquet), ("csv", Format::Csv), ("json", Format::Json), ("avro", Format::Avro)];

/// Every input of the job.
pub(super) fn read(inputs: &Section<'_>, params: &Params<'_>) -> Vec<InputSpec> {
    let items = inputs.items();
    if items.is_empty() {
        inputs.problem("[inputs] names no input: add a section such as [inputs.events]");
    }
    items.iter().filter_map(|(name, item)| read_one(name, item, params)).collect()
}

fn read_one(name: &str, item: &Item<'_>, params: &Params<'_>) -> Option<InputSpec> {
    let section = item.section(&format!("[inputs.{name}]"), &KEYS)?;
    if !is_table_name(name) {
        section.problem(format!(
            "input {name:?} cannot be a table name in SQL: use a-z, 0-9 and _, begin with a letter, at most \
             {LONGEST_NAME} characters"
        ));
    }
    let path = section.required("path", "path = \"data/events/\"").and_then(|item| input_path(&item, params));
    let format = section.item("format").and_then(|item| item.choice(&FORMATS));
    let csv = csv::read(&section, format);
    let schema = section.item("schema").and_then(|item| plain_path(&item));
    let partitions = section.item("partitions").and_then(|item| partitions::read(&item, params));
    let (require, require_each) = section.item("require").map(|item| required(&item, params)).unwrap_or_default();
    let (name, line) = (name.to_owned(), section.line());
    Some(InputSpec { name, path: path?, format, csv, schema, require, require_each, partitions, line })
}

/// A path or URL in which `${k}` is filled in.
fn input_path(item: &Item<'_>, params: &Params<'_>) -> Option<String> {
    if !item.text()?.contains("://") {
        return path(item, params);
    }
    let filled = params.fill(item, check_text(item)?)?;
    match Location::parse(&filled) {
        Ok(_) => Some(filled),
        Err(error) => {
            item.problem(format!("cannot be used: {}", error.message()));
            None
        }
    }
}

/// A path in which `${k}` is filled in.
pub(super) fn path(item: &Item<'_>, params: &Params<'_>) -> Option<String> {
    let filled = params.fill(item, item.text()?);
    check(item)?;
    filled
}

/// A path in which `${k}` is not allowed.
pub(super) fn plain_path(item: &Item<'_>) -> Option<PathBuf> {
    let text = check(item)?;
    if text.contains("${") {
        item.problem(
            "cannot hold ${…}: parameters are filled in only in an input's path, require and partitions, the store and \
             as_of",
        );
        return None;
    }
    Some(PathBuf::from(text))
}

/// A file in the input's directory, or with `{ partition = "…" }` in the directory of each partition.
fn required(item: &Item<'_>, params: &Params<'_>) -> (Option<String>, Option<String>) {
    if !item.is_table() {
        return (require(item, params), None);
    }
    let section = item.section("require", &["partition"]);
    let of_each = section.and_then(|section| section.required("partition", "{ partition = \"_SUCCESS\" }"));
    (None, of_each.and_then(|item| require(&item, params)))
}

/// A relative path inside a directory.
fn require(item: &Item<'_>, params: &Params<'_>) -> Option<String> {
    let text = path(item, params)?;
    let inside = Path::new(&text).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        item.problem("must name a file inside the input's directory, such as \"_SUCCESS\"");
    }
    inside.then_some(text)
}

/// The text of a local path.
fn check<'a>(item: &Item<'a>) -> Option<&'a str> {
    let text = check_text(item)?;
    if text.contains("://") {
        item.problem("is a URL: only local files and directories can be named");
        return None;
    }
    Some(text)
}

fn check_text<'a>(item: &Item<'a>) -> Option<&'a str> {
    let text = item.text()?;
    let reason = if text.trim().is_empty() {
        "is empty"
    } else if text.trim() != text {
        "begins or ends with a space"
    } else if text.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Some(text);
    };
    item.problem(reason);
    None
}

/// Whether the name needs no quotes in SQL.
fn is_table_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
