//! What `--memory` promises for long values: strings that a file stores once for many rows, rows that a join or a
//! function repeats, keys of tens of kilobytes.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use crate::fixture::integers;
use crate::harness::Workspace;
use crate::memory::run_within;

/// Two budgets that lead to different numbers of rows per batch.
const BUDGETS: [u64; 2] = [128, 1024];

fn write(workspace: &Workspace, name: &str, row_group: usize, batches: impl IntoIterator<Item = RecordBatch>) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_page_size_limit(16 << 20)
        .set_max_row_group_row_count(Some(row_group))
        .build();
    let mut batches = batches.into_iter().peekable();
    let schema = batches.peek().unwrap().schema();
    let file = File::create(workspace.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    batches.for_each(|batch| writer.write(&batch).unwrap());
    writer.close().unwrap();
}

/// A file of `rows` rows that share `texts` strings of `bytes` bytes, each stored once.
fn shared_texts(workspace: &Workspace, name: &str, rows: i64, texts: usize, bytes: usize) {
    let letters = (b'a'..).take(texts).map(|letter| char::from(letter).to_string().repeat(bytes));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(letters));
    let keys = Int32Array::from_iter_values((0..rows).map(|row| (row % texts as i64) as i32));
    let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap());
    let batch = RecordBatch::try_from_iter([("id", integers(0..rows)), ("text", column)]).unwrap();
    write(workspace, &format!("{name}.parquet"), 1 << 20, [batch]);
}

/// Runs a query with every budget; `found` is the value of the row with id 1, and `rows` the number of rows.
fn query(workspace: &Workspace, inputs: &[&str], sql: &str, rows: i64, found: serde_json::Value) {
    let inputs: String =
        inputs.iter().map(|input| format!("[inputs.{input}]\npath = \"{input}.parquet\"\n\n")).collect();
    let job = format!(
        "version = 1\ndataset = \"wide\"\nstore = \"store\"\n\n{inputs}[query]\nsql = \"{sql}\"\n\n[output]\nkey = [\"id\"]\n"
    );
    workspace.write("wide.toml", job);
    for mib in BUDGETS {
        let report = run_within(workspace, "wide.toml", mib);
        assert_eq!(report["rows"], rows, "{sql}");
        let got = workspace.cutover("get store 1 --json").ok().json();
        assert_eq!(got["entries"][0]["value"], found, "{sql}");
    }
}

#[test]
fn strings_that_a_dictionary_repeats_stay_within_memory() {
    let workspace = Workspace::new();
    shared_texts(&workspace, "large", 3_000, 1, 1_000_000);
    query(&workspace, &["large"], "SELECT id, octet_length(text) AS n FROM large", 3_000, json!({"n": 1_000_000}));
    shared_texts(&workspace, "several", 8_000, 10, 200_000);
    let filtered = "SELECT id, octet_length(text) AS n, left(text, 2) AS begins FROM several WHERE id % 3 = 1";
    query(&workspace, &["several"], filtered, 2_667, json!({"n": 200_000, "begins": "bb"}));
    // Another dataset: the rows of the last one are compared with those before.
    let workspace = Workspace::new();
    shared_texts(&workspace, "several", 8_000, 10, 200_000);
    let sorted = "SELECT id, row_number() OVER (ORDER BY text, id) AS n FROM several WHERE id % 3 = 1";
    query(&workspace, &["several"], sorted, 2_667, json!({"n": 268}));
}

#[test]
fn repeated_rows_stay_within_memory() {
    let workspace = Workspace::new();
    shared_texts(&workspace, "one", 1, 1, 1_000_000);
    let rows = 3_000;
    let batch = RecordBatch::try_from_iter([("id", integers(0..rows)), ("zero", integers((0..rows).map(|_| 0)))]);
    write(&workspace, "many.parquet", 1 << 20, [batch.unwrap()]);
    for join in ["JOIN one ON many.zero = one.id", "CROSS JOIN one"] {
        let sql = format!("SELECT many.id, octet_length(concat(text, many.id)) AS n FROM many {join}");
        query(&workspace, &["many", "one"], &sql, rows, json!({"n": 1_000_001}));
    }
    let repeated = "SELECT id, octet_length(repeat(concat('x', zero), 500000)) AS n FROM many";
    query(&workspace, &["many"], repeated, rows, json!({"n": 1_000_000}));
}

#[test]
fn keys_of_60_kilobytes_stay_within_memory() {
    let workspace = Workspace::new();
    let (rows, groups) = (3_000, 30);
    let key = |row: i64| format!("{row:06}{}", "k".repeat(60_000));
    let batches = (0..groups).map(|group| {
        let ids = group * rows / groups..(group + 1) * rows / groups;
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values(ids.clone().map(key)));
        RecordBatch::try_from_iter([("key", keys), ("id", integers(ids))]).unwrap()
    });
    write(&workspace, "keys.parquet", 100, batches);
    let job = "version = 1\ndataset = \"keys\"\nstore = \"store\"\n\n[inputs.keys]\npath = \"keys.parquet\"\n\n\
               [query]\nsql = \"SELECT key, id FROM keys\"\n\n[output]\nkey = [\"key\"]\n";
    workspace.write("keys.toml", job);
    for mib in BUDGETS {
        assert_eq!(run_within(&workspace, "keys.toml", mib)["rows"], rows);
    }
    let got = workspace.cutover(&format!("get store {} --json", key(7))).ok().json();
    assert_eq!(got["entries"][0]["value"], json!({"id": 7}));
}
