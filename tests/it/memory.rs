//! What `--memory` promises, as measured by the operating system: a job whose data is several times the budget never
//! holds more than the budget and [`BEYOND`]. Pages of files are not counted, as the system can take them back.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::{Value, json};

use crate::fixture::integers;
use crate::harness::Workspace;
use crate::wide_rows::{self, FILLER, Side};

/// Bytes that a process may hold beyond its budget: its threads, plans, and what no stage counts.
const BEYOND: u64 = 80 << 20;
const MIB: u64 = 1 << 20;

/// Entries of about 500 bytes.
const WIDE_EVENTS: &str = r#"
version = 1
dataset = "events"
store = "store"

[inputs.events]
path = "data/events/"

[query]
sql = "SELECT user_id, ts, repeat(url, 16) AS text, action, duration_ms FROM events"

[output]
key = ["user_id", "ts"]
duplicates = "number"
value = { encoding = "avro" }
"#;

/// Runs a job with this many MiB; returns its report. Fails if it used more than [`BEYOND`] beyond them.
#[track_caller]
pub fn run_within(workspace: &Workspace, job: &str, mib: u64) -> Value {
    let running = workspace.start(&format!("run {job} --rebuild --json --threads 2 --memory {mib}MiB"));
    let peak = running.watch_memory();
    let report = running.wait().ok().json();
    // The watcher may miss the last millisecond, and the report what follows it.
    let peak = peak.join().unwrap().max(report["peak_memory"].as_u64().unwrap());
    assert!(peak > 16 * MIB, "the watcher saw {peak} bytes");
    assert!(peak <= mib * MIB + BEYOND, "{job} held {} MiB with --memory {mib}MiB", peak / MIB);
    report
}

#[test]
fn a_shuffle_of_several_times_the_memory_stays_within_it() {
    let workspace = Workspace::new();
    workspace.cutover("demo --generate-only --dir data --events 2000000 --profiles 20000").ok();
    workspace.write("events.toml", WIDE_EVENTS);
    let reports = [256, 128].map(|mib| {
        let report = run_within(&workspace, "events.toml", mib);
        assert!(report["bytes"].as_u64().unwrap() > 3 * mib * MIB, "{}", report["bytes"]);
        assert!(report["spilled_bytes"].as_u64().unwrap() > 0);
        (report["rows"].clone(), report["digest"].clone())
    });
    assert_eq!(reports[0].0, 2_000_000);
    assert_eq!(reports[0], reports[1]);
}

/// A job over the wide rows of both sides.
fn over_wide_rows(sql: &str, key: &str) -> String {
    format!(
        "version = 1\ndataset = \"wide\"\nstore = \"store\"\n\n[inputs.left_rows]\npath = \"left.parquet\"\n\n\
         [inputs.right_rows]\npath = \"right.parquet\"\n\n[query]\nsql = \"\"\"{sql}\"\"\"\n\n[output]\nkey = [\"{key}\"]\n"
    )
}

/// Both sides have four times the budget.
#[test]
fn a_join_of_several_times_the_memory_stays_within_it() {
    let workspace = Workspace::new();
    let mib = 128;
    let rows = (4 * mib * MIB) as i64 / FILLER as i64;
    wide_rows::write(&workspace.path(""), rows);
    let sql = format!(
        "SELECT l.id, replace(concat(l.payload, '|', r.payload), repeat('x', {FILLER}), '') AS labels \
         FROM left_rows l JOIN right_rows r ON l.id = r.id"
    );
    workspace.write("joined.toml", over_wide_rows(&sql, "id"));
    let report = run_within(&workspace, "joined.toml", mib);
    assert_eq!(report["rows"], rows);
    let last = rows - 1;
    let got = workspace.cutover(&format!("get store {last} --json")).ok().json();
    assert_eq!(got["entries"][0]["value"]["labels"], format!("L{last}:|R{last}:"));
}

/// The state of an operator is four times the budget: windows, and a group's values.
#[test]
fn windows_and_lists_of_several_times_the_memory_stay_within_it() {
    let workspace = Workspace::new();
    let mib = 128;
    let count = (4 * mib * MIB) as i64 / FILLER as i64;
    wide_rows::write(&workspace.path(""), count);
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in wide_rows::rows(Side::Left, count) {
        row.one.into_iter().for_each(|one| groups.entry(one).or_default().push(row.id));
    }
    let rows: i64 = groups.values().map(|ids| ids.len() as i64).sum();
    let (one, ids) = groups.iter().max_by_key(|(_, ids)| ids.len()).unwrap();
    let [last, most] = [ids[ids.len() - 1], ids.len() as i64];
    let label = format!("replace(payload, repeat('x', {FILLER}), '') AS label");
    let windows = |window: &str| format!("SELECT id, {label}, {window} AS n FROM left_rows WHERE one IS NOT NULL");
    let gathered = "SELECT one, cardinality(texts) AS n, octet_length(array_to_string(texts, '')) AS bytes FROM \
                    (SELECT one, array_agg(payload) AS texts FROM left_rows WHERE one IS NOT NULL GROUP BY one)";
    let bytes: usize = ids.iter().map(|id| wide_rows::label(Side::Left, *id).len() + FILLER).sum();
    for (name, sql, key, found, expected) in [
        (
            "whole",
            windows("count(*) OVER (PARTITION BY one)"),
            "id",
            last,
            json!({"n": most, "label": format!("L{last}:")}),
        ),
        (
            "running",
            windows("row_number() OVER (PARTITION BY one ORDER BY id)"),
            "id",
            last,
            json!({"n": most, "label": format!("L{last}:")}),
        ),
        ("gathered", gathered.to_owned(), "one", *one, json!({"n": most, "bytes": bytes})),
    ] {
        let job = format!("{name}.toml");
        workspace.write(&job, over_wide_rows(&sql, key).replace("\"store\"", &format!("\"{name}\"")));
        let report = run_within(&workspace, &job, mib);
        assert_eq!(report["rows"], if key == "id" { rows } else { groups.len() as i64 }, "{name}");
        let got = workspace.cutover(&format!("get {name} {found} --json")).ok().json();
        assert_eq!(got["entries"][0]["value"], expected, "{name}");
    }
}

/// This many letters and digits without any pattern.
fn noise(seed: i64, bytes: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state >> 40) as u8 % 43)
    };
    (0..bytes).map(|_| next()).collect()
}

/// Values of 16 MiB, the largest there are, one row group each. Every second one cannot be compressed.
#[test]
fn values_of_16_mebibytes_stay_within_memory() {
    let workspace = Workspace::new();
    let rows: i64 = 24;
    let largest = 16 << 20;
    // What an encoded value has around the text takes a little of the 16 MiB.
    let text =
        |id: i64| format!("{id:09}{}", if id % 2 == 0 { "x".repeat(largest - 64) } else { noise(id, largest - 64) });
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(1))
        .build();
    let batch = |id: i64| {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values([text(id)]));
        RecordBatch::try_from_iter([("id", integers([id])), ("text", texts)]).unwrap()
    };
    let file = File::create(workspace.path("large.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(0).schema(), Some(properties)).unwrap();
    (0..rows).for_each(|id| writer.write(&batch(id)).unwrap());
    writer.close().unwrap();
    let job = "version = 1\ndataset = \"large\"\nstore = \"store\"\n\n[inputs.large]\npath = \"large.parquet\"\n\n\
               [query]\nsql = \"SELECT id, text FROM large\"\n\n[output]\nkey = [\"id\"]\nvalue = { encoding = \"json\" }\n";
    workspace.write("large.toml", job);
    let report = run_within(&workspace, "large.toml", 256);
    assert_eq!(report["rows"], rows);
    assert!(report["bytes"].as_u64().unwrap() > rows as u64 * (largest as u64 - 64));
    workspace.cutover("verify store --depth full").ok();
    let got = workspace.cutover("get store 7 --json").ok().json();
    assert!(got["entries"][0]["value"]["text"] == text(7).as_str(), "the value is another one");
}

/// The filters of all tables together are larger than the budget.
#[test]
fn filters_larger_than_the_memory_stay_within_memory() {
    let workspace = Workspace::new();
    let ids = 6_000;
    let batch = RecordBatch::try_from_iter([("id", integers(0..ids))]).unwrap();
    let file = File::create(workspace.path("ids.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bits = 32;
    let job = format!(
        "version = 1\ndataset = \"pairs\"\nstore = \"store\"\n\n[inputs.ids]\npath = \"ids.parquet\"\n\n[query]\n\
         sql = \"SELECT a.id * {ids} + b.id AS id, a.id + b.id AS sum FROM ids a CROSS JOIN ids b\"\n\n[output]\n\
         key = [\"id\"]\nvalue = {{ encoding = \"avro\" }}\n\n[tables]\nbloom_bits = {bits}\n"
    );
    workspace.write("pairs.toml", job);
    let mib = 128;
    let report = run_within(&workspace, "pairs.toml", mib);
    let rows = report["rows"].as_u64().unwrap();
    assert_eq!(rows, (ids * ids) as u64);
    assert!(rows * bits / 8 > mib * MIB, "the filters would fit");
    let got = workspace.cutover(&format!("get store {} --json", ids * 7 + 11)).ok().json();
    assert_eq!(got["entries"][0]["value"]["sum"], 18);
}
