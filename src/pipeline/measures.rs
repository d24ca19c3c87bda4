//! Measures a run: its inputs and the query's result, and what has changed since the version before.
//!
//! Not for: how it is measured (`profile`, `query`), and what is too much of a change (`check`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use xxhash_rust::xxh3::xxh3_64;

use super::prepare::Prepared;
use crate::catalog::{CheckResult, ColumnStats};
use crate::check::{self, Previous};
use crate::encode::EntryBatch;
use crate::error::{Error, Result};
use crate::profile::{self, Change, Profile, Seed, TableSketch};
use crate::query::Measuring;

/// Changes that a report tells.
const TOLD: usize = 5;

/// What one run of the query is measured by.
pub(super) struct Measures<'p> {
    prepared: &'p Prepared<'p>,
    inputs: Arc<Measuring>,
    seed: Seed,
    schema: SchemaRef,
}

/// What one thread has seen of the query's result.
pub(super) struct Seen {
    rows: TableSketch,
    key_bytes: u64,
    value_bytes: u64,
}

impl<'p> Measures<'p> {
    pub(super) fn new(prepared: &'p Prepared<'p>) -> Self {
        let seed = Seed::new(&prepared.job.dataset);
        Self { prepared, inputs: Arc::new(Measuring::new(seed)), seed, schema: prepared.query.schema() }
    }

    /// What measures the inputs.
    pub(super) fn inputs(&self) -> Arc<Measuring> {
        Arc::clone(&self.inputs)
    }

    /// For one more thread.
    pub(super) fn seen(&self) -> Seen {
        Seen { rows: TableSketch::new(Arc::clone(&self.schema), self.seed), key_bytes: 0, value_bytes: 0 }
    }

    /// The profile of what all threads have seen.
    pub(super) fn profile(&self, seen: Vec<Seen>) -> Profile {
        let mut all = self.seen();
        for seen in seen {
            all.rows.merge(seen.rows);
            all.key_bytes += seen.key_bytes;
            all.value_bytes += seen.value_bytes;
        }
        let mut profile = Profile {
            query: format!("{:016x}", xxh3_64(self.prepared.job.sql.as_bytes())),
            inputs: self.inputs.inputs(&self.prepared.inputs),
            result: all.rows.profile(),
            key_bytes: all.key_bytes,
            value_bytes: all.value_bytes,
            ..Profile::default()
        };
        profile.trim();
        profile
    }
}

impl Seen {
    /// Takes rows of the result.
    pub(super) fn take(&mut self, batch: &RecordBatch) {
        self.rows.take(batch);
    }

    /// Takes the entries that became of them.
    pub(super) fn take_entries(&mut self, entries: &EntryBatch) {
        self.key_bytes += entries.keys.data.len() as u64;
        self.value_bytes += entries.values.data.len() as u64;
    }
}

/// What the manifest says of the columns of the query's result.
pub(super) fn columns(profile: &Profile) -> Vec<ColumnStats> {
    let stats = |column: &profile::ColumnProfile| ColumnStats {
        name: column.name.clone(),
        nulls: column.nulls,
        min: column.min.clone(),
        max: column.max.clone(),
    };
    profile.result.columns.iter().map(stats).collect()
}

/// What has changed since the version before: the checks, and the largest changes.
pub(super) fn compare(
    prepared: &Prepared<'_>,
    profile: &mut Profile,
    previous: Option<&Previous>,
) -> (Vec<CheckResult>, Vec<Change>) {
    let before = previous.and_then(|previous| previous.manifest.profile.as_ref());
    let comparison = profile::compare(before, profile);
    let bounds = &prepared.job.checks.change;
    let moved = check::moved(bounds, &comparison, TOLD);
    (check::changes(bounds, &comparison, previous), moved)
}

/// Refuses bounds for inputs and columns that are not measured.
///
/// # Errors
/// `Invalid`, naming the line of the job.
pub(super) fn check_targets(prepared: &Prepared<'_>) -> Result<()> {
    let used = prepared.query.columns_in_use();
    let schema = prepared.query.schema();
    let is_measured = |target: &str| {
        let of_input = target
            .split_once('.')
            .is_some_and(|(input, column)| used.get(input).is_some_and(|columns| columns.contains(column)));
        of_input || used.contains_key(target) || schema.index_of(target).is_ok()
    };
    match prepared.job.checks.change.targets().find(|(target, _)| !is_measured(target)) {
        None => Ok(()),
        Some((target, line)) => {
            let inputs =
                used.iter().flat_map(|(input, columns)| columns.iter().map(move |column| format!("{input}.{column}")));
            let columns = schema.fields().iter().map(|field| field.name().clone());
            let measured: Vec<String> = inputs.chain(columns).collect();
            Err(Error::invalid(format!(
                "{}:{line}: {target:?} is neither an input, nor a column that the query reads of one (input.column), nor a \
                 column of its result; measured are {}",
                prepared.job.path.display(),
                measured.join(", ")
            )))
        }
    }
}
