//! A map task: the query over a share of the inputs, encoded and sorted into one run in the store.
//!
//! Everything but the last step is what a run on one machine does: the same query layer, encoder and shuffle.
//!
//! Not for: shards (`build`).

use tokio::runtime::Runtime;

use super::super::build_dir::Spills;
use super::super::listed::Listed;
use super::super::prepare::Prepared;
use super::super::stages::{self, Filled};
use super::TaskKind;
use super::attempt::{Attempt, Known, record};
use super::records::{MapRecord, RunObject};
use crate::error::Result;
use crate::failpoint;

/// Runs it; returns what it did.
///
/// # Errors
/// Those of the query, the encoder and the shuffle; as those of a write to the store.
pub(super) fn run(
    known: &Known,
    found: Listed<'_>,
    runtime: &Runtime,
    number: u64,
    attempt: &Attempt,
) -> Result<String> {
    let prepared = Prepared::new(found, runtime)?;
    failpoint::reach("cluster.map")?;
    let spills = Spills { query: attempt.directory.join("query"), shuffle: attempt.directory.join("shuffle") };
    let filled = prepared.query.run_with_fallback(|way| stages::fill(&prepared, &spills, 0, way));
    let Filled { shuffle, measures, seen, query, .. } = filled.map_err(|failed| prepared.explain(failed))?;
    let (run, stats) = prepared.options.resources.cpu_pool()?.install(|| shuffle.finish_as_run())?;
    let run = RunObject::upload(&known.work, run, format!("{number:05}-{}", attempt.name))?;
    failpoint::reach("cluster.run_uploaded")?;
    let written = MapRecord {
        attempt: attempt.name.clone(),
        run,
        entries: stats.entries,
        bytes: stats.bytes,
        spilled_bytes: stats.spilled_bytes,
        query,
        measures: measures.to_portable(seen),
        done: attempt.done(),
    };
    let outcome = record(&known.work, (TaskKind::Map, number), &written, || written.run.delete(&known.work))?;
    Ok(format!("{} entries{outcome}", stats.entries))
}
