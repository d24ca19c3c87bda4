//! Test data: rows as Parquet files, and a tiny dataset whose rows contain their generation.
//!
//! Files are written with Arrow's own writer and read with Parquet's row interface, so that no expectation depends on
//! our code or on the query engine.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::harness::{Run, Workspace, names};

/// Writes one Parquet file, and the directories above it.
pub fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // A reader holds an entire row group, and some tests have little memory.
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1 << 16)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A column of strings.
pub fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of integers.
pub fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Calls `take` with these columns of every row of every Parquet file in a directory, or of one file.
pub fn each_row<const N: usize>(path: &Path, columns: [&str; N], mut take: impl FnMut([&Field; N])) {
    match path.is_dir() {
        true => names(path).iter().for_each(|name| each_row_of_file(&path.join(name), columns, &mut take)),
        false => each_row_of_file(path, columns, &mut take),
    }
}

fn each_row_of_file<const N: usize>(path: &Path, columns: [&str; N], take: &mut impl FnMut([&Field; N])) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema().get_fields().to_vec();
    let places = columns.map(|name| schema.iter().position(|field| field.name() == name).unwrap());
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        take(places.map(|place| fields[place]));
    }
}

/// A cell as a number.
pub fn number(field: &Field) -> i64 {
    match field {
        Field::Int(value) => i64::from(*value),
        Field::Long(value) | Field::TimestampMicros(value) => *value,
        Field::Date(days) => i64::from(*days),
        other => panic!("{other:?} is no number"),
    }
}

/// A cell as a number, or null.
pub fn optional(field: &Field) -> Option<i64> {
    (!matches!(field, Field::Null)).then(|| number(field))
}

/// A cell as a string.
pub fn text(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

/// The job over [`Numbers`], for `numbers.toml`.
pub const NUMBERS: &str = r#"
version = 1
dataset = "numbers"
store = "store"

[inputs.numbers]
path = "in/"

[query]
sql = "SELECT key, generation FROM numbers"

[output]
key = ["key"]
shards = 4
"#;

/// A workspace with a tiny dataset: `k000`, `k001` …, each with the generation of its version, in a store of 4 shards,
/// which is a directory of the workspace, or is on an object store.
pub struct Numbers {
    pub workspace: Workspace,
    /// Path or URL of the store.
    pub store: String,
}

impl Numbers {
    /// The job, with nothing built yet.
    pub fn new() -> Self {
        Self::with("")
    }

    /// As [`Numbers::new`], with more sections in the job.
    pub fn with(sections: &str) -> Self {
        let workspace = Workspace::new();
        workspace.write("numbers.toml", format!("{NUMBERS}{sections}"));
        Self { workspace, store: "store".to_owned() }
    }

    /// As [`Numbers::with`], with the store at a URL that these variables of the environment give access to.
    pub fn at(url: &str, environment: &[(String, String)], sections: &str) -> Self {
        let mut numbers = Self::with(sections);
        let job = NUMBERS.replace("store = \"store\"", &format!("store = {url:?}"));
        numbers.workspace.write("numbers.toml", format!("{job}{sections}"));
        numbers.workspace.set_environment(environment);
        Self { store: url.to_owned(), ..numbers }
    }

    /// Writes the input of a generation, with this many rows.
    pub fn write(&self, generation: i64, rows: usize) {
        let keys: Vec<String> = (0..rows).map(|row| format!("k{row:03}")).collect();
        write_parquet(
            &self.workspace.path("in/part-0.parquet"),
            vec![
                ("key", strings(keys.iter().map(String::as_str))),
                ("generation", integers(std::iter::repeat_n(generation, rows))),
            ],
        );
    }

    /// Writes a generation of 100 rows and runs the job.
    pub fn run(&self, generation: i64) -> Run {
        self.write(generation, 100);
        self.workspace.cutover("run numbers.toml")
    }

    /// Runs a command on the store: `on("rollback", "--to 1")`.
    pub fn on(&self, command: &str, arguments: &str) -> Run {
        self.workspace.cutover(&format!("{command} {} {arguments}", self.store))
    }

    /// What a reader sees now: the version, and the generation of its first and last row.
    #[track_caller]
    pub fn seen(&self) -> (u64, i64) {
        self.seen_by(["k000", "k009"])
    }

    /// As [`Numbers::seen`], by these keys.
    #[track_caller]
    pub fn seen_by(&self, [first, last]: [&str; 2]) -> (u64, i64) {
        let found = self.on("get", &format!("{first} {last} --json")).ok().json();
        let generations = found["entries"].as_array().unwrap().iter().map(|entry| &entry["value"]["generation"]);
        let generations: Vec<i64> = generations.map(|generation| generation.as_i64().unwrap()).collect();
        assert_eq!(generations[0], generations[1]);
        (found["version"].as_u64().unwrap(), generations[0])
    }

    /// Versions and their states, oldest first.
    #[track_caller]
    pub fn states(&self) -> Vec<(u64, String)> {
        let current = self.current_json();
        let mut states: Vec<_> = current["versions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(version, entry)| (version.parse().unwrap(), entry["state"].as_str().unwrap().to_owned()))
            .collect();
        states.sort_unstable();
        states
    }

    /// What `versions --json` prints.
    #[track_caller]
    pub fn current_json(&self) -> Value {
        self.on("versions", "--json").ok().json()
    }

    /// Asserts the states of all versions.
    #[track_caller]
    pub fn assert_states(&self, expected: &[(u64, &str)]) {
        let states = self.states();
        let states: Vec<_> = states.iter().map(|(version, state)| (*version, state.as_str())).collect();
        assert_eq!(states, expected);
        if self.store.contains("://") {
            return;
        }
        let directories: Vec<_> = expected.iter().map(|(version, _)| format!("{version:08}")).collect();
        assert_eq!(names(&self.workspace.path("store/versions")), directories, "directories of versions");
        assert_eq!(names(&self.workspace.path("store/staging")), [""; 0], "left in staging");
    }
}
