//! A build task: one shard of its parts of all runs, built, read back and uploaded.
//!
//! ```text
//!  plan ─▶ parts of runs ─▶ local files ─▶ merge ▸ fold ▸ tables ▸ database ─▶ read back ─▶ upload ─▶ record
//! ```
//! The entries that are read must be as many as the map tasks wrote: a part that is lost or doubled is found before
//! anything is uploaded.
//!
//! Not for: which parts (`driver`).

use tokio::runtime::Runtime;

use super::super::listed::Listed;
use super::super::prepare::Prepared;
use super::super::stages;
use super::TaskKind;
use super::attempt::{Attempt, Known, fetch, record};
use super::records::{BuiltRecord, ShardPlan, plan_of};
use crate::build::{ShardPaths, build_shard};
use crate::check;
use crate::durable_file;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::shard_name;
use crate::job::Verify;
use crate::shuffle::shard_of_parts;

/// Runs it; returns what it did.
///
/// # Errors
/// Those of the build and the read-back; as those of reads and writes of the store.
pub(super) fn run(
    known: &Known,
    found: Listed<'_>,
    runtime: &Runtime,
    number: u64,
    attempt: &Attempt,
) -> Result<String> {
    let prepared = Prepared::new(found, runtime)?;
    let shard_number = u32::try_from(number).map_err(|_| Error::internal(format!("there is no shard {number}")))?;
    let plan: Option<ShardPlan> = known.work.get(&plan_of(number))?;
    let plan = plan.ok_or_else(|| Error::unavailable(format!("the plan of shard {number} does not exist any more")))?;
    failpoint::reach("cluster.build")?;
    let directory = |name: &str| attempt.directory.join(name);
    let files = fetch(known, &plan.parts, &directory("parts"))?;
    let resources = prepared.options.resources;
    let options = stages::shuffle_options(&prepared, directory("merge"), resources.threads, 0);
    let version_dir = directory("version");
    let shard_dir = version_dir.join(shard_name(shard_number));
    durable_file::create_dir_durable(&version_dir)?;
    let paths = ShardPaths {
        version_dir: &version_dir,
        shard_dir: &shard_dir,
        tables_dir: &directory("tables"),
        ingest_dir: &directory("ingest"),
        journal: None,
        tables: &prepared.job.tables,
        max_rows_per_table: stages::max_rows_per_table(&prepared),
        sample_bytes: resources.build_memory(),
    };
    let folding = stages::folding(&prepared);
    let stage = prepared.options.progress.stage("build", None);
    let full = prepared.job.checks.verify == Verify::Full;
    let (mut built, _) = resources.cpu_pool()?.install(|| {
        let shard = shard_of_parts(shard_number, &files, &options)?;
        let built = build_shard(shard, &paths, &folding, &stage)?;
        check::read_back(&built.0, &shard_dir, full).map(|()| built)
    })?;
    failpoint::reach("cluster.built")?;
    built.entry.attempt = Some(attempt.name.clone());
    known.work.upload_shard(&version_dir, &built.entry)?;
    failpoint::reach("cluster.shard_uploaded")?;
    let rows = built.entry.rows;
    let (entry, largest) = (built.entry, built.largest);
    let written = BuiltRecord { attempt: attempt.name.clone(), entry, largest, done: attempt.done() };
    let undo = || known.work.delete_attempt(&attempt.name);
    let outcome = record(&known.work, (TaskKind::Build, number), &written, undo)?;
    Ok(format!("{rows} rows{outcome}"))
}
