//! Inputs and outputs in all forms: file formats, directories and patterns; every value encoding with every fold; and
//! one invariant: the digest depends only on the rows, not on threads, shards, memory or file layout.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::Workspace;

/// The rows of the inputs: key, time, text.
const ROWS: [(&str, i64, &str); 7] = [
    ("b", 2, "b at two"),
    ("a", 3, "a at three"),
    ("a", 1, "a at one"),
    ("c", 7, "c, \"quoted\", é"),
    ("a", 2, "a at two"),
    ("b", 1, "b at one"),
    ("a", -4, "a before"),
];

fn columns(rows: &[(&str, i64, &str)]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("key", strings(rows.iter().map(|row| row.0))),
        ("at", integers(rows.iter().map(|row| row.1))),
        ("text", strings(rows.iter().map(|row| row.2))),
    ]
}

/// A job over `input`, with these lines in its output.
fn job(input: &str, output: &str) -> String {
    format!(
        "version = 1\ndataset = \"rows\"\nstore = \"store\"\n\n[inputs.rows]\npath = \"{input}\"\n\n[query]\n\
         sql = \"SELECT CAST(key AS VARCHAR) AS key, CAST(at AS BIGINT) AS at, CAST(text AS VARCHAR) AS text FROM rows\"\
         \n\n[output]\nkey = [\"key\"]\n{output}\n"
    )
}

/// Runs a job in a store of its own and returns its report.
#[track_caller]
fn build(workspace: &Workspace, job: &str, flags: &str) -> Value {
    let _ = std::fs::remove_dir_all(workspace.path("store"));
    workspace.write("rows.toml", job);
    workspace.cutover(&format!("run rows.toml --json {flags}")).ok().json()
}

#[track_caller]
fn entries(workspace: &Workspace) -> Vec<(Value, Value)> {
    let lines = workspace.cutover("scan store --json").ok().json_lines();
    lines.into_iter().map(|mut line| (line["key"].take(), line["value"].take())).collect()
}

const NUMBERED: &str = "order_by = [\"at\"]\nduplicates = \"number\"";

/// The entries that [`NUMBERED`] makes of [`ROWS`].
fn numbered() -> Vec<(Value, Value)> {
    let entry = |key: &str, place: u64, at: i64, text: &str| (json!([key, place]), json!({"at": at, "text": text}));
    vec![
        entry("a", 0, -4, "a before"),
        entry("a", 1, 1, "a at one"),
        entry("a", 2, 2, "a at two"),
        entry("a", 3, 3, "a at three"),
        entry("b", 0, 1, "b at one"),
        entry("b", 1, 2, "b at two"),
        entry("c", 0, 7, "c, \"quoted\", é"),
    ]
}

#[test]
fn the_same_rows_in_any_file_format_have_the_same_digest() {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("rows.parquet"), columns(&ROWS));
    let csv = |row: &(&str, i64, &str)| format!("{},{},\"{}\"\n", row.0, row.1, row.2.replace('"', "\"\""));
    workspace.write("rows.csv", format!("key,at,text\n{}", ROWS.iter().map(csv).collect::<String>()));
    let line = |row: &(&str, i64, &str)| format!("{}\n", json!({"key": row.0, "at": row.1, "text": row.2}));
    workspace.write("rows.json", ROWS.iter().map(line).collect::<String>());
    let batch = RecordBatch::try_from_iter(columns(&ROWS)).unwrap();
    let file = File::create(workspace.path("rows.avro")).unwrap();
    let mut avro = arrow_avro::writer::AvroWriter::new(file, batch.schema().as_ref().clone()).unwrap();
    avro.write(&batch).unwrap();
    avro.finish().unwrap();
    for ending in ["csv", "json"] {
        let from = workspace.path(format!("rows.{ending}"));
        std::fs::copy(from, workspace.path(format!("{ending}.log"))).unwrap();
    }

    let expected = build(&workspace, &job("rows.parquet", NUMBERED), "")["digest"].clone();
    for input in ["rows.csv", "rows.json", "rows.avro"] {
        assert_eq!(build(&workspace, &job(input, NUMBERED), "")["digest"], expected, "{input}");
        assert_eq!(entries(&workspace), numbered(), "{input}");
    }
    for format in ["csv", "json"] {
        let named =
            job(&format!("{format}.log"), NUMBERED).replace(".log\"", &format!(".log\"\nformat = \"{format}\""));
        assert_eq!(build(&workspace, &named, "")["digest"], expected, "{format} by its name in the job");
    }
    workspace.write("rows.toml", job("csv.log", NUMBERED));
    workspace.cutover("run rows.toml").fails(2).complains(&["csv.log", "`format`"]);
}

#[test]
fn the_same_rows_in_any_files_have_the_same_digest() {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("one/all.parquet"), columns(&ROWS));
    for (place, rows) in ROWS.chunks(2).enumerate() {
        write_parquet(&workspace.path(format!("many/{place}/part.parquet")), columns(rows));
        write_parquet(&workspace.path(format!("many/_old/{place}.parquet")), columns(&ROWS));
        write_parquet(&workspace.path(format!("many/.hidden-{place}.parquet")), columns(&ROWS));
    }
    let expected = build(&workspace, &job("one/", NUMBERED), "")["digest"].clone();
    assert_eq!(entries(&workspace), numbered());
    for input in ["one", "one/all.parquet", "one/*.parquet", "many", "many/*/part.parquet", "many/[0-3]/", "m?ny/[0-9]"]
    {
        assert_eq!(build(&workspace, &job(input, NUMBERED), "")["digest"], expected, "{input}");
    }
    workspace.write("rows.toml", job("nowhere/*.parquet", NUMBERED));
    workspace.cutover("run rows.toml --rebuild").fails(3).complains(&["nowhere/*.parquet"]);
}

#[test]
fn directories_of_partitions_are_columns() {
    let workspace = Workspace::new();
    for key in ["a", "b", "c"] {
        let rows: Vec<_> = ROWS.into_iter().filter(|row| row.0 == key).collect();
        let mut columns = columns(&rows);
        columns.remove(0);
        write_parquet(&workspace.path(format!("days/key={key}/part.parquet")), columns);
    }
    build(&workspace, &job("days/", NUMBERED), "");
    assert_eq!(entries(&workspace), numbered());
    // A parameter in the path names one of them.
    let one = job("days/key=${which}/", NUMBERED).replace("CAST(key AS VARCHAR)", "'b'");
    build(&workspace, &one, "--set which=b");
    let b: Vec<_> = numbered().into_iter().filter(|(key, _)| key[0] == "b").collect();
    assert_eq!(entries(&workspace), b);
    write_parquet(&workspace.path("days/part.parquet"), columns(&ROWS));
    workspace.write("rows.toml", job("days/", NUMBERED));
    workspace.cutover("run rows.toml").fails(3).complains(&["days/", "key"]);
}

/// Entries by fold, from values in time order.
fn folded(fold: &str, of: impl Fn(&(&str, i64, &str)) -> Value) -> Vec<(Value, Value)> {
    let mut rows = ROWS;
    rows.sort();
    let mut entries = Vec::new();
    for rows in rows.chunk_by(|one, other| one.0 == other.0) {
        let values: Vec<Value> = rows.iter().map(&of).collect();
        let key = json!(rows[0].0);
        match fold {
            "\"first\"" => entries.push((key, values[0].clone())),
            "\"last\"" => entries.push((key, values[values.len() - 1].clone())),
            "\"list\"" => entries.push((key, values.into())),
            "{ top = 2 }" => entries.push((key, values[..values.len().min(2)].to_vec().into())),
            "\"number\"" => {
                entries.extend(values.into_iter().enumerate().map(|(n, value)| (json!([rows[0].0, n]), value)))
            }
            other => panic!("{other}"),
        }
    }
    entries
}

const FOLDS: [&str; 5] = ["\"first\"", "\"last\"", "\"number\"", "\"list\"", "{ top = 2 }"];

fn check_folds(encoding: &str) {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("rows.parquet"), columns(&ROWS));
    for fold in FOLDS {
        let output = format!("order_by = [\"at\"]\nvalue = {{ {encoding} }}\nshards = 3\nduplicates = {fold}");
        let report = build(&workspace, &job("rows.parquet", &output), "");
        let mut expected = folded(fold, |row| json!({"at": row.1, "text": row.2}));
        if encoding.contains("avro") && (fold.contains("list") || fold.contains("top")) {
            // The root of an Avro schema of ours is a record, so a list is its one field.
            expected.iter_mut().for_each(|(_, value)| *value = json!({"entries": value.take()}));
        }
        assert_eq!(report["rows"], expected.len(), "{encoding} {fold}");
        assert_eq!(entries(&workspace), expected, "{encoding} {fold}");
        workspace.cutover("verify store --depth full").ok();
    }
    let output = format!("value = {{ {encoding} }}\nduplicates = \"error\"");
    std::fs::remove_dir_all(workspace.path("store")).unwrap();
    workspace.write("rows.toml", job("rows.parquet", &output));
    workspace.cutover("run rows.toml").fails(3).complains(&["more than once"]);
}

#[test]
fn every_fold_of_json_values() {
    check_folds("encoding = \"json\"");
}

#[test]
fn every_fold_of_avro_values() {
    check_folds("encoding = \"avro\"");
}

#[test]
fn every_fold_of_avro_single_objects() {
    check_folds("encoding = \"avro\", single_object = true");
}

#[test]
fn every_fold_of_raw_values() {
    let workspace = Workspace::new();
    write_parquet(&workspace.path("rows.parquet"), columns(&ROWS));
    let raw = "order_by = [\"at\"]\nvalue = { encoding = \"raw\", columns = [\"text\"] }\nduplicates = ";
    for fold in FOLDS {
        if fold.contains("list") || fold.contains("top") {
            workspace.write("rows.toml", job("rows.parquet", &format!("{raw}{fold}")));
            workspace.cutover("run rows.toml").fails(2).complains(&["raw"]);
            continue;
        }
        build(&workspace, &job("rows.parquet", &format!("{raw}{fold}")), "");
        assert_eq!(entries(&workspace), folded(fold, |row| json!(row.2)), "{fold}");
    }

    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\xff\x00", b"", b"plain"]));
    write_parquet(&workspace.path("rows.parquet"), vec![("key", strings(["x", "y", "z"])), ("bytes", bytes)]);
    let output = "value = { encoding = \"raw\" }";
    let binary =
        job("rows.parquet", output).replace("CAST(at AS BIGINT) AS at, CAST(text AS VARCHAR) AS text", "bytes");
    build(&workspace, &binary, "");
    assert_eq!(
        entries(&workspace),
        [(json!("x"), json!("0xff00")), (json!("y"), json!("")), (json!("z"), json!("plain")),]
    );
}

#[test]
fn the_digest_does_not_depend_on_how_a_job_is_run() {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 500000 --profiles 20000").ok();
    let text = std::fs::read_to_string(workspace.path("jobs/enriched_events.toml")).unwrap();
    let sharded = |shards: u32| {
        let text = text.replace("shards = 4", &format!("shards = {shards}"));
        text.replace("stores/enriched_events", "store")
    };
    let plain = build(&workspace, &sharded(4), "");
    assert_eq!((&plain["rows"], &plain["spilled_bytes"]), (&500_000.into(), &0.into()));
    for (shards, flags, spills) in [
        (1, "--threads 1", false),
        (3, "--threads 2", false),
        (4, "--memory 64MiB --threads 2 --spill-dir spill", true),
    ] {
        let report = build(&workspace, &sharded(shards), flags);
        assert_eq!(report["digest"], plain["digest"], "{shards} shards {flags}");
        assert_eq!(report["spilled_bytes"] != 0, spills, "{shards} shards {flags}");
    }
    assert_eq!(crate::harness::names(&workspace.path("spill")), [""; 0], "left in the spill directory");
    workspace.cutover("verify store --depth full").ok().prints(&["all 500,000 entries"]);
}
