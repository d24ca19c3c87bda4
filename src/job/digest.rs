//! The fingerprint of a job: equal for two runs that would build the same data from the same files.
//!
//! It covers dataset, inputs (name, path, format, contract path, CSV format), SQL, its parameters, output, tables and
//! the contents of contracts. It omits the store's path, `as_of`, the checks, the retention, an input's partitions and
//! required files, and Kafka: with the same files, none of them changes a byte of the result. Comments in the SQL
//! count: ignoring them is not worth the risk of an error.
//!
//! Not for: the input files themselves; the manifest records their digest separately.

use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use super::{CsvForm, InputSpec, Job};

/// Incremented when the meaning of an unchanged job file changes.
const MEANING: u32 = 2;

pub(super) fn digest(job: &Job, contracts: &[String]) -> String {
    let input = |input: &InputSpec| {
        let mut parts = vec![json!(input.name), json!(input.path), json!(input.format), json!(input.schema)];
        parts.extend(Some(&input.csv).filter(|form| **form != CsvForm::default()).map(|form| json!(form)));
        parts
    };
    let inputs: Vec<_> = job.inputs.iter().map(input).collect();
    let canonical = json!([
        MEANING,
        job.dataset,
        inputs,
        job.sql,
        job.params,
        [json!(job.output.key), json!(job.output.shard_by), json!(job.output.order_by), json!(job.output.duplicates)],
        [json!(job.output.value.encoding), json!(job.output.value.columns)],
        [json!(job.output.shards), json!(job.output.partitioner)],
        job.tables,
        contracts,
    ]);
    format!("{:032x}", xxh3_128(canonical.to_string().as_bytes()))
}
