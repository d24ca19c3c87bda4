//! Answers many small jobs in one process: SQL over files, run through the stages of `cutover run` up to the encoder.
//!
//! ```text
//! cargo bench --profile release --bench answers -- jobs SPILL_DIRECTORY
//!
//! stdin    {"sql": "SELECT …", "inputs": {"t": "directory"}, "schemas": {"t": "t.json"}, "memory": 268435456, "threads": 2}
//! stdout   {"columns": [["a", "int64"]], "rows": [{"a": 1}, {"a": 2}]}      or {"error": "input", "message": "…"}
//! ```
//!
//! One line per job, in order. `schemas`, which may be omitted, are the data contracts of inputs. Rows are JSON values
//! as a version contains them, in no order. An error's name is that of its kind, or `panic`; after a panic the next job
//! continues.
//!
//! `tests/answers` compares the rows with those of a second engine. Built as a benchmark so that it costs users' builds
//! nothing. Not for: shuffle, build and publishing, which do not inspect rows; `make tpc` tests the command itself.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cutover::error::{Error, IoContext, Result};
use cutover::format::Partitioner;
use cutover::internals::catch_panic;
use cutover::internals::encode::{EncodePlan, EntryBatch};
use cutover::internals::input;
use cutover::internals::job::{Fold, InputSpec, Output, ValueSpec};
use cutover::internals::query::{Query, Settings};
use cutover::internals::resources::Resources;
use serde::Deserialize;
use serde_json::{Value, json};

/// The key of every row: a column that no query returns.
const KEY: &str = "answers: key";

/// One question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    sql: String,
    inputs: BTreeMap<String, String>,
    #[serde(default)]
    schemas: BTreeMap<String, PathBuf>,
    memory: u64,
    threads: usize,
}

fn main() -> ExitCode {
    // `cargo bench` appends this argument for every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answered = match arguments.as_slice() {
        ["jobs", spill] => answer_all(Path::new(spill)),
        // Run with all other benchmarks: this one measures nothing.
        [] => return ExitCode::SUCCESS,
        _ => Err(Error::invalid("give it `jobs SPILL_DIRECTORY`")),
    };
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("answers: {}", error.chain().join(": "));
            ExitCode::FAILURE
        }
    }
}

/// Answers every line of standard input with one of standard output.
fn answer_all(spill: &Path) -> Result<()> {
    catch_panic::install_hook();
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.io("read from", Path::new("standard input"))?;
        let answer = match catch_panic::contain(|| answer(&line, spill)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failure(&format!("{:?}", error.kind()).to_lowercase(), &error.chain().join(": ")),
            Err(words) => failure("panic", &words),
        };
        writeln!(output, "{answer}").and_then(|()| output.flush()).io("write to", Path::new("standard output"))?;
    }
    Ok(())
}

fn failure(name: &str, message: &str) -> String {
    json!({"error": name, "message": message}).to_string()
}

/// The answer to one job, as a line.
fn answer(line: &str, spill: &Path) -> Result<String> {
    let job: Job = serde_json::from_str(line).map_err(|error| Error::invalid("not a job").because(error))?;
    let resources = Resources::new(Some(job.threads), Some(job.memory))?;
    let runtime = resources.query_runtime()?;
    let inputs = input::resolve(&specs(&job)?)?;
    let settings = Settings { threads: resources.threads, memory: resources.query_memory() };
    let query = Query::new(&runtime, &inputs, &job.sql, &BTreeMap::new(), settings)?;
    let plan = EncodePlan::new(&with_key(&query.schema()), &output(), "answers")?;
    let batches = query.collect(usize::MAX, spill).map_err(Error::from)?;
    let mut encoder = plan.encoder()?;
    let mut encoded = EntryBatch::default();
    let mut rows: Vec<u8> = Vec::new();
    for batch in batches {
        encoder.encode(&keyed(&batch)?, &mut encoded)?;
        for row in 0..encoded.len() {
            if !rows.is_empty() {
                rows.push(b',');
            }
            rows.extend_from_slice(encoded.values.get(row));
        }
    }
    let rows = String::from_utf8(rows).map_err(|error| Error::internal("a value is not text").because(error))?;
    let columns = plan.value_schema().columns.iter().map(|column| json!([column.name, column.type_name]));
    let columns: Vec<Value> = columns.collect();
    Ok(format!(r#"{{"columns":{},"rows":[{rows}]}}"#, Value::from(columns)))
}

/// The inputs as a job file names them: a path, maybe a contract, and nothing else.
fn specs(job: &Job) -> Result<Vec<InputSpec>> {
    let spec = |(name, path): (&String, &String)| {
        let spec = json!({"name": name, "path": path, "schema": job.schemas.get(name), "line": 1});
        serde_json::from_value(spec).map_err(|error| Error::internal("an input cannot be made").because(error))
    };
    job.inputs.iter().map(spec).collect()
}

/// Every row of the query is a value.
fn output() -> Output {
    Output {
        key: vec![KEY.to_owned()],
        shard_by: Vec::new(),
        order_by: Vec::new(),
        duplicates: Fold::Number,
        value: ValueSpec::default(),
        shards: 1,
        partitioner: Partitioner::default(),
    }
}

/// The columns of the query after that of the key.
fn with_key(schema: &SchemaRef) -> SchemaRef {
    let key = Arc::new(Field::new(KEY, DataType::Int64, false));
    Arc::new(Schema::new(once(key).chain(schema.fields().iter().cloned()).collect::<Vec<_>>()))
}

fn keyed(batch: &RecordBatch) -> Result<RecordBatch> {
    let key: ArrayRef = Arc::new(Int64Array::from(vec![1; batch.num_rows()]));
    let columns = once(key).chain(batch.columns().iter().cloned()).collect();
    RecordBatch::try_new(with_key(&batch.schema()), columns)
        .map_err(|error| Error::internal("a batch cannot have a key").because(error))
}
