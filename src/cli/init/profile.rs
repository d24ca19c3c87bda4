//! Profiles the input files of a new job: names, columns, and how a column's values repeat.
//!
//! It uses the input and query stages, so that the job will read the same columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};
use tokio::runtime::Runtime;

use super::identifier::identifier;
use crate::error::{Error, Result};
use crate::input::{self, Input};
use crate::job::{CsvForm, Format, InputSpec};
use crate::objects::Location;
use crate::query::{Query, Settings};
use crate::resources::Resources;

/// Longest name of a table.
const LONGEST_NAME: usize = 40;
/// Largest input, in bytes of files, whose values are counted; larger ones would take too long.
const COUNTED_BYTES: u64 = 1 << 30;

/// An input that was profiled.
pub(super) struct Table {
    /// Its name in SQL.
    pub(super) name: String,
    /// Its path, as it was given.
    pub(super) path: String,
    /// The delimiter of its CSV files.
    pub(super) delimiter: char,
    /// Its columns, including those in directory names.
    pub(super) schema: SchemaRef,
    /// Its rows, if known from metadata.
    pub(super) rows: Option<u64>,
    /// The partition column that holds dates, if there is exactly one.
    pub(super) dated: Option<String>,
    input: Input,
}

impl Table {
    /// What is odd about its files: a sentence.
    pub(super) fn warning(&self) -> Option<String> {
        Some(format!("{} {}", self.path, self.input.surveyed.get()?.warning()?))
    }
}

/// How the values of a column repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cardinality {
    /// Rows without a value.
    pub(super) nulls: u64,
    /// Rows of the most frequent value.
    pub(super) most: u64,
}

/// Runs queries over the inputs.
pub(super) struct Profiler {
    runtime: Runtime,
    settings: Settings,
    spill_dir: PathBuf,
}

impl Profiler {
    pub(super) fn new() -> Result<Self> {
        let resources = Resources::new(None, None)?;
        let spill_dir = std::env::temp_dir().join(format!("cutover-init-{}", std::process::id()));
        let settings = Settings { threads: resources.threads, memory: resources.query_memory() };
        Ok(Self { runtime: resources.query_runtime()?, settings, spill_dir })
    }

    /// Profiles every input.
    ///
    /// # Errors
    /// As [`input::resolve`]; `Input` when the columns of text files cannot be determined.
    pub(super) fn look(&self, paths: &[String]) -> Result<Vec<Table>> {
        let mut tables: Vec<Table> = Vec::with_capacity(paths.len());
        for path in paths {
            let taken: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            let name = unused(&table_name(path), &taken);
            tables.push(self.profile_input(name, path)?);
        }
        Ok(tables)
    }

    fn profile_input(&self, name: String, path: &str) -> Result<Table> {
        let path = path.to_owned();
        let csv = CsvForm::default();
        let (format, schema, require, require_each, partitions) = (None, None, None, None, None);
        let spec = InputSpec { name, path, format, csv, schema, require, require_each, partitions, line: 0 };
        let mut input =
            input::resolve(std::slice::from_ref(&spec))?.pop().ok_or_else(|| Error::internal("no input"))?;
        if input.format == Format::Csv {
            input.csv.delimiter = input::guess_delimiter(&input)?;
        }
        let all = format!("SELECT * FROM {}", identifier(&spec.name));
        let schema = self.query(&input, &all)?.schema();
        if schema.fields().is_empty() {
            return Err(Error::input(format!("{} has no columns", spec.path)));
        }
        let dated = match input.dated_columns().as_slice() {
            [column] => Some(input.partition_columns[*column].clone()),
            _ => None,
        };
        let delimiter = input.csv.delimiter;
        Ok(Table { dated, name: spec.name, path: spec.path, delimiter, schema, rows: input.rows(), input })
    }

    /// The columns of the result of `sql` over this input.
    pub(super) fn schema_of(&self, table: &Table, sql: &str) -> Result<SchemaRef> {
        Ok(self.query(&table.input, sql)?.schema())
    }

    /// How the values of a column repeat; `None` when the input is too large to count them.
    pub(super) fn repeats(&self, table: &Table, column: &str) -> Result<Option<Cardinality>> {
        if table.input.bytes() > COUNTED_BYTES {
            return Ok(None);
        }
        let (column, name) = (identifier(column), identifier(&table.name));
        let counts =
            format!("SELECT count(k) AS n, count(*) AS all_n FROM (SELECT {column} AS k FROM {name}) GROUP BY k");
        let sql = format!("SELECT max(n), sum(all_n - n) FROM ({counts})");
        let batches = self.query(&table.input, &sql)?.collect(1, &self.spill_dir)?;
        let number = |at: usize| {
            let values = batches.first()?.columns().get(at)?.as_primitive_opt::<Int64Type>()?;
            values.iter().next()?.and_then(|value| u64::try_from(value).ok())
        };
        // Without rows there is no largest group, and nothing repeats.
        Ok(Some(Cardinality { most: number(0).unwrap_or(0), nulls: number(1).unwrap_or(0) }))
    }

    /// Nulls of a column, as the footers count them.
    pub(super) fn nulls(table: &Table, column: &str) -> Option<u64> {
        table.input.files.iter().map(|file| file.footer.as_ref()?.nulls.get(column).copied()).sum()
    }

    fn query(&self, input: &Input, sql: &str) -> Result<Query<'_>> {
        let inputs = std::slice::from_ref(input);
        Query::new(&self.runtime, inputs, sql, &BTreeMap::new(), self.settings)
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        // It is empty, if it exists at all; a leftover directory in the system's temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.spill_dir);
    }
}

/// A table name for the files at `path`: that of the file or directory, made a valid SQL identifier.
fn table_name(path: &str) -> String {
    let fixed: PathBuf = Path::new(path).components().take_while(|part| !is_pattern(part)).collect();
    // What a URL names is not looked up: a name with an extension is taken for a file.
    let is_file = if Location::is_url(path) { fixed.components().count() > 2 } else { fixed.is_file() };
    let name = if is_file { fixed.file_stem() } else { fixed.file_name() };
    let name = name.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let words: Vec<&str> =
        name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut name = words.join("_");
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name = format!("input_{name}").trim_end_matches('_').to_owned();
    }
    name.truncate(LONGEST_NAME);
    name
}

fn is_pattern(part: &std::path::Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?', '['])
}

/// `name`, or `name_2`, … if it is taken.
fn unused(name: &str, taken: &[&str]) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(&name.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_after_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("Plane-List 2.parquet");
        std::fs::write(&file, "").unwrap();
        for (path, name) in [
            ("data/events/", "events"),
            ("data/events/*.parquet", "events"),
            ("data/User Profiles", "user_profiles"),
            ("data/2026", "input_2026"),
            ("data/date=2026-11-22/", "date_2026_11_22"),
            (".", "input"),
            ("/", "input"),
            (file.to_str().unwrap(), "plane_list_2"),
            ("s3://lake/data/events/", "events"),
            ("s3://lake/data/*.parquet", "data"),
            ("s3://lake/Plane-List.parquet", "plane_list"),
            ("s3://my.lake", "my_lake"),
        ] {
            assert_eq!(table_name(path), name, "{path}");
        }
        assert_eq!(unused("events", &["events", "events_2"]), "events_3");
    }
}
