//! Errors in jobs and input data: each names its cause, has its exit code, changes nothing that readers see and leaves
//! no files behind.
//!
//! Every case starts from a store with a published version, and runs one bad job on it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::Run;

/// A store with version 1 published, whose job and input a case may change before the bad run.
struct Case {
    numbers: Numbers,
}

impl Case {
    fn new() -> Self {
        let numbers = Numbers::new();
        numbers.run(1).ok();
        numbers.write(2, 100);
        Self { numbers }
    }

    /// The job with a part of it replaced.
    fn job(self, from: &str, to: &str) -> Self {
        assert!(NUMBERS.contains(from), "the job has no {from}");
        self.numbers.workspace.write("numbers.toml", NUMBERS.replace(from, to));
        self
    }

    /// Other columns in a second file of the input.
    fn more(self, columns: Vec<(&str, ArrayRef)>) -> Self {
        write_parquet(&self.numbers.workspace.path("in/part-1.parquet"), columns);
        self
    }

    /// Other columns instead of the input.
    fn instead(self, columns: Vec<(&str, ArrayRef)>) -> Self {
        write_parquet(&self.numbers.workspace.path("in/part-0.parquet"), columns);
        self
    }

    /// A contract for the input.
    fn contract(self, columns: &str) -> Self {
        let contract = format!("{{\"name\": \"number\", \"columns\": [{columns}]}}");
        self.numbers.workspace.write("number.json", contract);
        self.job("path = \"in/\"", "path = \"in/\"\nschema = \"number.json\"")
    }

    /// The second run ends with this code and these messages, and changes nothing.
    #[track_caller]
    fn fails(self, code: i32, needles: &[&str]) {
        self.ends(self.numbers.workspace.cutover("run numbers.toml"), code, needles);
    }

    #[track_caller]
    fn ends(&self, run: Run, code: i32, needles: &[&str]) {
        run.fails(code).complains(needles);
        assert_eq!(self.numbers.seen(), (1, 1), "what readers see");
        self.numbers.assert_states(&[(1, "published")]);
    }
}

#[test]
fn wrong_sql() {
    Case::new().job("SELECT key,", "SELEKT key,").fails(2, &["numbers.toml", "SELEKT"]);
}

#[test]
fn unknown_column_in_sql() {
    let job = |case: Case| case.job("generation FROM", "generatoin FROM");
    job(Case::new()).fails(2, &["numbers.toml", "generatoin", "Did you mean", "numbers.generation"]);
}

#[test]
fn unknown_table_in_sql() {
    Case::new().job("FROM numbers", "FROM letters").fails(2, &["letters"]);
}

#[test]
fn sql_that_changes_things() {
    Case::new().job("SELECT key, generation FROM numbers", "DROP TABLE numbers").fails(2, &["DropTable"]);
}

#[test]
fn unknown_column_in_the_job() {
    Case::new().job("key = [\"key\"]", "key = [\"kee\"]").fails(2, &["kee", "key"]);
    Case::new()
        .job("shards = 4", "shards = 4\nshard_bi = [\"key\"]")
        .fails(2, &["numbers.toml:15", "shard_bi", "shard_by"]);
}

#[test]
fn every_problem_of_a_job_file_is_reported_at_once() {
    let job = Case::new().job("dataset = \"numbers\"", "dataset = \"No Numbers\"\nversoin = 2");
    job.fails(2, &["numbers.toml", "numbers.toml:3", "No Numbers", "numbers.toml:4", "versoin", "version"]);
}

#[test]
fn missing_job_file() {
    let case = Case::new();
    case.ends(case.numbers.workspace.cutover("run nowhere.toml"), 2, &["nowhere.toml"]);
}

#[test]
fn a_parameter_without_a_value() {
    let case = Case::new().job("FROM numbers", "FROM numbers WHERE key > $least");
    case.fails(2, &["numbers.toml", "$least", "--set least="]);
    let case = Case::new();
    case.ends(case.numbers.workspace.cutover("run numbers.toml --set leest=1"), 2, &["leest"]);
}

#[test]
fn missing_column_of_a_contract() {
    Case::new()
        .contract(r#"{"name": "colour", "type": "string", "nullable": false, "meaning": "what it looks like"}"#)
        .fails(3, &["in/part-0.parquet", "colour", "string"]);
}

#[test]
fn mistyped_column_of_a_contract() {
    Case::new()
        .contract(r#"{"name": "generation", "type": "string", "nullable": true, "meaning": "which one"}"#)
        .fails(3, &["in/part-0.parquet", "generation", "string", "int64"]);
}

#[test]
fn nulls_that_a_contract_forbids() {
    Case::new()
        .contract(r#"{"name": "key", "type": "string", "nullable": false, "meaning": "which one"}"#)
        .more(vec![("key", Arc::new(StringArray::from(vec![Some("a"), None]))), ("generation", integers([2, 2]))])
        .fails(3, &["in/part-1.parquet", "key", "null"]);
}

#[test]
fn files_that_do_not_agree() {
    let case = Case::new().more(vec![("key", strings(["a"])), ("generation", strings(["2"]))]);
    case.fails(3, &["in/part-1.parquet", "generation", "string", "int64 in in/part-0.parquet"]);
}

#[test]
fn no_input() {
    let case = Case::new();
    std::fs::remove_file(case.numbers.workspace.path("in/part-0.parquet")).unwrap();
    case.ends(case.numbers.workspace.cutover("run numbers.toml"), 3, &["numbers", "no files at in/"]);
    std::fs::remove_dir(case.numbers.workspace.path("in")).unwrap();
    case.fails(3, &["numbers", "no files at in/"]);
}

#[test]
fn input_without_rows() {
    let none = || vec![("key", strings([])), ("generation", integers([]))];
    let case = Case::new().instead(none());
    // Losing all rows is losing more than half of them: built, rejected, readers stay.
    case.numbers.workspace.cutover("run numbers.toml").fails(7).complains(&["found 0 rows, -100.0 %"]);
    assert_eq!(case.numbers.seen(), (1, 1));

    let first = Numbers::with("\n[checks]\nrows = { min = 1 }\n");
    write_parquet(&first.workspace.path("in/part-0.parquet"), none());
    first.workspace.cutover("run numbers.toml").fails(7).complains(&["rows.min", "found 0 rows"]);
    first.on("get", "k000").fails(4).complains(&["nothing is published", "store"]);
    first.assert_states(&[(1, "rejected")]);
}

#[test]
fn input_that_is_not_complete() {
    Case::new()
        .job("path = \"in/\"", "path = \"in/\"\nrequire = \"_SUCCESS\"")
        .fails(3, &["in/_SUCCESS", "is not there yet"]);
}

#[test]
fn a_table_of_another_system() {
    let case = Case::new();
    case.numbers.workspace.write("in/_delta_log/00000000000000000000.json", "{}");
    case.fails(2, &["in/_delta_log", "Delta Lake", "deleted rows"]);
}

#[test]
fn null_key() {
    let keys = StringArray::from(vec![Some("a"), None, None]);
    let case = Case::new().instead(vec![("key", Arc::new(keys)), ("generation", integers([2, 2, 2]))]);
    case.fails(3, &["'key'", "null in 2 of 3 rows"]);
}

#[test]
fn null_key_in_the_second_file() {
    let keys = StringArray::from(vec![Some("a"), None]);
    let case = Case::new().more(vec![("key", Arc::new(keys)), ("generation", integers([2, 2]))]);
    case.fails(3, &["'key'", "null in 1 of"]);
}

/// Writers mark a column as nullable if it has nulls, so files of one table differ in that.
#[test]
fn a_column_may_be_nullable_in_some_files() {
    let case = Case::new();
    let generations: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(2), None]));
    let case = case.more(vec![("key", strings(["x", "y"])), ("generation", generations)]);
    assert_eq!(case.numbers.workspace.cutover("run numbers.toml --json").ok().json()["rows"], 102);
    case.numbers.on("get", "y").ok().prints(&["{\"generation\":null}"]);
}

#[test]
fn nan_key() {
    let case = Case::new().job("SELECT key,", "SELECT key, ratio,").instead(vec![
        ("key", strings(["a", "b", "c"])),
        ("ratio", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]))),
        ("generation", integers([2, 2, 2])),
    ]);
    let job = std::fs::read_to_string(case.numbers.workspace.path("numbers.toml")).unwrap();
    let job = job.replace("key = [\"key\"]", "key = [\"key\", \"ratio\"]").replace("\"store\"", "\"other\"");
    case.numbers.workspace.write("numbers.toml", job);
    case.fails(3, &["'ratio'", "NaN", "1 of 3 rows", "key = b"]);
}

#[test]
fn duplicate_key() {
    let case = Case::new().more(vec![("key", strings(["k042"])), ("generation", integers([3]))]);
    case.fails(3, &["k042", "0x6b303432", "more than once", "duplicates"]);
}

#[test]
fn value_too_large() {
    let huge = "x".repeat((16 << 20) + 1);
    let case = Case::new().job("SELECT key,", "SELECT key, text,").instead(vec![
        ("key", strings(["small", "large"])),
        ("text", strings(["", huge.as_str()])),
        ("generation", integers([2, 2])),
    ]);
    case.fails(3, &["large", "16 MiB"]);
}

#[test]
fn an_unused_column() {
    let case = Case::new().job("shards = 4", "shards = 4\nvalue = { columns = [\"key\"] }");
    case.fails(2, &["'generation'", "drop it from the SELECT"]);
    let case = Case::new().job("SELECT key,", "SELECT key, 1 AS other,");
    let job = std::fs::read_to_string(case.numbers.workspace.path("numbers.toml")).unwrap();
    case.numbers.workspace.write("numbers.toml", job + "value = { columns = [\"generation\"] }\n");
    case.fails(2, &["other", "SELECT"]);
    let case = Case::new().job("SELECT key, generation", "SELECT named_struct('a', key) AS key, generation");
    case.fails(2, &["key", "struct"]);
}

#[test]
fn wrong_flags() {
    let case = Case::new();
    for (flags, needles) in [
        ("--threads 0", ["--threads", "from 1"]),
        ("--memory 1MiB", ["--memory", "64 MiB"]),
        ("--memory lots", ["--memory", "lots"]),
        ("--as-of yesterday", ["--as-of", "2026-11-22"]),
        ("--set least", ["--set", "name=value"]),
    ] {
        let run = case.numbers.workspace.cutover(&format!("run numbers.toml {flags}"));
        case.ends(run, 2, &needles);
    }
}

#[test]
fn a_plan_refuses_what_a_run_refuses_and_writes_nothing() {
    let case = Case::new();
    let before = crate::harness::listing(&case.numbers.workspace.path(""));
    case.numbers.workspace.cutover("plan numbers.toml").ok().prints(&["would build version 2"]);
    assert_eq!(crate::harness::listing(&case.numbers.workspace.path("")), before);
    let case = case.job("generation FROM", "generatoin FROM");
    case.ends(case.numbers.workspace.cutover("plan numbers.toml"), 2, &["generatoin", "numbers.generation"]);
}
