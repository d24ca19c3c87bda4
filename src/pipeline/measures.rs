//! Measures a run: its inputs, the query's result, and what changed since the previous version.
//!
//! Not for: how to measure (`profile`, `query`), and which change is too large (`check`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::as_of::AsOf;
use super::prepare::Prepared;
use crate::check::{self, Previous};
use crate::encode::EntryBatch;
use crate::error::{Error, Result};
use crate::format::{CheckResult, Profile};
use crate::profile::{self, PortableSketch, ProfileChange, Seed, TableSketch};
use crate::query::{Measuring, PortableScan};

/// Changes that a report lists.
const MAX_REPORTED: usize = 5;

/// The measures of one run of the query.
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

    /// Measures the inputs.
    pub(super) fn inputs(&self) -> Arc<Measuring> {
        Arc::clone(&self.inputs)
    }

    /// A sketch for one more thread.
    pub(super) fn seen(&self) -> Seen {
        Seen { rows: TableSketch::new(Arc::clone(&self.schema), self.seed), key_bytes: 0, value_bytes: 0 }
    }

    /// The profile of the query's result, merged from all threads.
    pub(super) fn profile(&self, seen: Vec<Seen>) -> Profile {
        let mut all = self.seen();
        for seen in seen {
            all.add(seen);
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

/// What one task of a cluster has measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PortableMeasures {
    rows: PortableSketch,
    key_bytes: u64,
    value_bytes: u64,
    inputs: Vec<PortableScan>,
}

impl Measures<'_> {
    /// What was measured, for the machine that brings all tasks together.
    pub(super) fn to_portable(&self, seen: Vec<Seen>) -> PortableMeasures {
        let mut all = self.seen();
        for seen in seen {
            all.add(seen);
        }
        let inputs = self.inputs.to_portable();
        PortableMeasures {
            rows: all.rows.into_portable(),
            key_bytes: all.key_bytes,
            value_bytes: all.value_bytes,
            inputs,
        }
    }

    /// Adds what a task has measured of the result; returns what it has measured of inputs.
    ///
    /// # Errors
    /// `Corrupt` when it is of another query.
    pub(super) fn add(&self, all: &mut Seen, task: PortableMeasures) -> Result<Vec<PortableScan>> {
        let rows = TableSketch::from_portable(Arc::clone(&self.schema), self.seed, task.rows).ok_or_else(|| {
            Error::corrupt("the record of a task has measures of other columns than the query returns")
        })?;
        all.add(Seen { rows, key_bytes: task.key_bytes, value_bytes: task.value_bytes });
        Ok(task.inputs)
    }

    /// Adds what a task has measured of an input.
    pub(super) fn add_input(&self, scan: PortableScan) {
        let place = self.prepared.inputs.iter().position(|input| input.name == scan.input());
        if let (Some(place), Some(schema)) = (place, self.prepared.query.columns_of(scan.input())) {
            self.inputs.add_portable(place, scan, &schema);
        }
    }
}

impl Seen {
    fn add(&mut self, more: Self) {
        self.rows.merge(more.rows);
        self.key_bytes += more.key_bytes;
        self.value_bytes += more.value_bytes;
    }

    /// Adds rows of the result.
    pub(super) fn take(&mut self, batch: &RecordBatch) {
        self.rows.take(batch);
    }

    /// Adds the entries encoded from them.
    pub(super) fn take_entries(&mut self, entries: &EntryBatch) {
        self.key_bytes += entries.keys.data.len() as u64;
        self.value_bytes += entries.values.data.len() as u64;
    }
}

/// What changed since the previous version: the checks, and the largest changes.
pub(super) fn compare(
    prepared: &Prepared<'_>,
    as_of: AsOf,
    profile: &mut Profile,
    previous: Option<&Previous>,
) -> (Vec<CheckResult>, Vec<ProfileChange>) {
    let before = previous.and_then(|previous| previous.manifest.profile.as_ref());
    let same_time = |previous: &Previous| previous.manifest.as_of_stated && previous.manifest.as_of == as_of.at;
    let same_time = as_of.stated && previous.is_some_and(same_time);
    let comparison = profile::compare(before, profile, same_time);
    let bounds = &prepared.job.checks.change;
    let moved = check::moved(bounds, &comparison, MAX_REPORTED);
    (check::changes(bounds, &comparison, previous), moved)
}
