//! Count and digest of the content of a store or of Parquet files, to compare the results of two programs.
//!
//! ```text
//! cargo bench --profile release --bench digest -- store STORE       the store's current version
//! cargo bench --profile release --bench digest -- parquet PATH      a file
//! ```
//!
//! Prints `{"rows": 3, "digest": "…"}`. A row is its columns by name, each with its value as JSON; a number that the
//! fold `number` appended to the key is not a column, and every record of a list is a row. The digest is the sum mod
//! 2^128 of the rows' XXH3-128: it does not depend on the order of rows or columns, and a duplicate row counts twice.
//!
//! Not for: columns of types that the benchmark does not have, which are refused; the order in a list. Built as a
//! benchmark so that it costs users' builds nothing; `benches/compare` runs it.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use cutover::error::{Error, Result};
use cutover::format::{KeySchema, ValueSchema};
use cutover::serve::{Range, Store};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// Entries of a store that one thread processes at a time.
const CHUNK: usize = 16 * 1024;

fn main() -> ExitCode {
    // `cargo bench` appends this argument for every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let totals = match arguments.as_slice() {
        ["store", path] => of_store(Path::new(path)),
        ["parquet", path] => of_parquet(Path::new(path)),
        // Run with all other benchmarks: this one measures nothing.
        [] => return ExitCode::SUCCESS,
        _ => Err(Error::invalid("give it `store STORE` or `parquet PATH`")),
    };
    match totals {
        Ok(Totals { rows, digest }) => {
            println!(r#"{{"rows": {rows}, "digest": "{digest:032x}"}}"#);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("digest: {}", error.chain().join(": "));
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Totals {
    rows: u64,
    digest: u128,
}

impl Totals {
    fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(xxh3_128(row));
    }

    fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, digest: self.digest.wrapping_add(other.digest) }
    }
}

fn of_store(path: &Path) -> Result<Totals> {
    let version = Store::open(path)?.current()?;
    let version = version.ok_or_else(|| Error::invalid(format!("{} has no current version", path.display())))?;
    let (keys, values) = (version.key_schema(), version.value_schema());
    let mut scan = version.scan(&Range::all());
    let chunks = std::iter::from_fn(|| {
        let chunk: Vec<_> = scan.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    });
    chunks
        .par_bridge()
        .map(|chunk| {
            let mut totals = Totals::default();
            let mut text = Vec::new();
            for entry in chunk {
                let (key, value) = entry?;
                let key = match keys.to_json(&key)? {
                    Value::Array(cells) => cells,
                    cell => vec![cell],
                };
                let records = match values.to_json(&value)? {
                    Value::Array(records) => records,
                    record => vec![record],
                };
                for record in records {
                    text.clear();
                    record_text(keys, &key, values, &record, &mut text)?;
                    totals.add(&text);
                }
            }
            Ok(totals)
        })
        .try_reduce(Totals::default, |left, right| Ok(left.plus(right)))
}

fn record_text(
    keys: &KeySchema,
    key: &[Value],
    values: &ValueSchema,
    record: &Value,
    text: &mut Vec<u8>,
) -> Result<()> {
    let names = keys.columns.iter().map(|column| column.name.as_str());
    let mut cells: Vec<(&str, &Value)> = names.zip(key).collect();
    match record {
        Value::Object(columns) => cells.extend(columns.iter().map(|(name, cell)| (name.as_str(), cell))),
        raw => cells.extend(values.columns.first().map(|column| (column.name.as_str(), raw))),
    }
    cells.sort_unstable_by_key(|(name, _)| *name);
    for (name, cell) in cells {
        name_text(name, text);
        json(cell, text)?;
    }
    Ok(())
}

fn of_parquet(path: &Path) -> Result<Totals> {
    let open = || File::open(path).map_err(|error| unreadable(path, error));
    let metadata = ArrowReaderMetadata::load(&open()?, Default::default()).map_err(|error| unreadable(path, error))?;
    (0..metadata.metadata().num_row_groups())
        .into_par_iter()
        .map(|group| {
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(open()?, metadata.clone())
                .with_row_groups(vec![group])
                .build()
                .map_err(|error| unreadable(path, error))?;
            let mut totals = Totals::default();
            for batch in reader {
                add_batch(&batch.map_err(|error| unreadable(path, error))?, &mut totals)?;
            }
            Ok(totals)
        })
        .try_reduce(Totals::default, |left, right| Ok(left.plus(right)))
}

fn add_batch(batch: &RecordBatch, totals: &mut Totals) -> Result<()> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let mut columns: Vec<(&str, &Arc<dyn Array>)> = names.zip(batch.columns()).collect();
    columns.sort_unstable_by_key(|(name, _)| *name);
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        text.clear();
        for (name, column) in &columns {
            name_text(name, &mut text);
            cell_text(name, column, row, &mut text)?;
        }
        totals.add(&text);
    }
    Ok(())
}

/// A cell as JSON, as a store shows it.
fn cell_text(name: &str, column: &dyn Array, row: usize, text: &mut Vec<u8>) -> Result<()> {
    if column.is_null(row) {
        return json(&(), text);
    }
    match column.data_type() {
        DataType::Int32 => json(&column.as_primitive::<Int32Type>().value(row), text),
        DataType::Int64 => json(&column.as_primitive::<Int64Type>().value(row), text),
        DataType::Utf8 => json(column.as_string::<i32>().value(row), text),
        DataType::Binary => json(&bytes_text(column.as_binary::<i32>().value(row)), text),
        DataType::Decimal128(_, _) => json(&column.as_primitive::<Decimal128Type>().value_as_string(row), text),
        DataType::Date32 => {
            let days = i64::from(column.as_primitive::<Date32Type>().value(row));
            let day = jiff::Timestamp::from_second(days * 86_400).map(|day| day.strftime("%F").to_string());
            json(&day.map_err(|error| out_of_range(name, error))?, text)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let at = jiff::Timestamp::from_microsecond(column.as_primitive::<TimestampMicrosecondType>().value(row));
            json(&at.map_err(|error| out_of_range(name, error))?.to_string(), text)
        }
        other => Err(Error::invalid(format!("column '{name}' has type {other}, which the digest does not know"))),
    }
}

/// Bytes as a store shows them: a string if they are UTF-8, otherwise digits.
fn bytes_text(bytes: &[u8]) -> String {
    let digits = || bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    std::str::from_utf8(bytes).map_or_else(|_| digits(), str::to_owned)
}

fn name_text(name: &str, text: &mut Vec<u8>) {
    text.push(b'\n');
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
}

fn json(cell: &(impl serde::Serialize + ?Sized), text: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(text, cell).map_err(|error| Error::internal("a cell has no JSON text").because(error))
}

fn unreadable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::input(format!("cannot read {}", path.display())).because(error)
}

fn out_of_range(name: &str, error: jiff::Error) -> Error {
    Error::input(format!("column '{name}' holds a time that has no text")).because(error)
}
