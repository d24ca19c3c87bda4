//! Tests of the stage through its public interface: plans, batches in, entries out, and stored bytes back to literals.
//!
//! This file has the helpers; the tests are in one file per topic.

mod keys;
mod types;
mod values;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};

use super::{EncodePlan, EntryBatch};
use crate::error::Result;
use crate::format::{Encoding, Partitioner};
use crate::job::{Fold, OrderBy, Output, ValueSpec};

const AVRO: Encoding = Encoding::Avro { single_object: false };
const SINGLE_OBJECT: Encoding = Encoding::Avro { single_object: true };

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// An output with this key whose value is JSON.
fn output(key: &[&str]) -> Output {
    Output {
        key: strings(key),
        shard_by: Vec::new(),
        order_by: Vec::new(),
        duplicates: Fold::Error,
        value: ValueSpec { encoding: Encoding::Json, columns: None },
        shards: 1,
        partitioner: Partitioner::Xxh3,
    }
}

fn order_by(column: &str, descending: bool, nulls_first: bool) -> OrderBy {
    OrderBy { column: column.to_owned(), descending, nulls_first }
}

/// A batch of columns that may all be null.
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn plan(batch: &RecordBatch, output: &Output) -> Result<EncodePlan> {
    EncodePlan::new(&batch.schema(), output, "the data")
}

fn encode(batch: &RecordBatch, output: &Output) -> Result<EntryBatch> {
    let mut entries = EntryBatch::default();
    plan(batch, output)?.encoder()?.encode(batch, &mut entries)?;
    Ok(entries)
}

/// The error of a plan or batch that must be refused.
fn refusal(batch: &RecordBatch, output: &Output) -> String {
    encode(batch, output).unwrap_err().chain().join(" | ")
}
