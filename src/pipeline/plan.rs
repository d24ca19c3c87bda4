//! What a run would do, without doing it.
//!
//! Not for: predicting its size (`predict`) and whether the machine is large enough (`capacity`).

use super::as_of::{self, AsOf};
use super::listed::Listed;
use super::preflight::{preflight, refuse_follower};
use super::prepare::Prepared;
use super::spill_dir::SpillDir;
use super::{RunOptions, capacity, forecast, predict, resume, tasks};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{Current, State};
use crate::job::Job;
use crate::report::{InputReport, ObjectTraffic, PlanReport};

/// Rows in the preview.
const PREVIEW_ROWS: usize = 5;

/// What a run would do. Writes nothing to the store.
///
/// ```no_run
/// use std::collections::BTreeMap;
/// use std::path::Path;
///
/// use cutover::run::{Job, Resources, RunOptions, plan};
///
/// # fn main() -> cutover::error::Result<()> {
/// let job = Job::load(Path::new("jobs/planes.toml"), &BTreeMap::new())?;
/// let report = plan(&job, &RunOptions::new(Resources::new(None, None)?))?;
/// println!("{} inputs", report.inputs.len());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`run`](super::run), for what can be known without building.
pub fn plan(job: &Job, options: &RunOptions) -> Result<PlanReport> {
    let runtime = options.resources.query_runtime()?;
    let prepared = Prepared::new(Listed::new(job, options)?, &runtime)?;
    let mut notes = prepared.notes();
    let cluster = options.plans_cluster.then(|| tasks::plan(&prepared)).transpose()?;
    let (would, resumes, previous) = match Catalog::try_open(&job.store, &job.dataset)? {
        None => (format!("create the store {} and build version 1", job.store.display()), None, None),
        Some(catalog) => {
            let current = catalog.read()?;
            refuse_follower(&current)?;
            let as_of = AsOf::of(job, options);
            let previous = preflight(&prepared, &catalog, &current, as_of)?;
            notes.extend(as_of::warn(job, options, &current, as_of));
            let resumes = resume::preview_resume(&prepared, &catalog, &current)?;
            (describe_action(&prepared, &current, as_of), resumes, previous)
        }
    };
    let spill = options.spill_dir.clone().unwrap_or_else(std::env::temp_dir);
    let spill = SpillDir::in_directory(&spill, &format!("plan-{}", std::process::id()), None)?;
    let predicted = predict::predict(&prepared, previous.as_ref(), spill.path())?;
    // With the join strategy that a run would use, if it is known by now what fits into memory.
    let execution = prepared.query.prepare(prepared.query.join_strategy())?;
    let preview = predict::preview(&prepared, PREVIEW_ROWS, spill.path())?;
    let named = |(name, type_name): (&String, &String)| (name.clone(), type_name.clone());
    Ok(PlanReport {
        cluster,
        dataset: job.dataset.clone(),
        store: job.store.clone(),
        would,
        notes,
        resumes,
        inputs: prepared.inputs.iter().map(InputReport::from).collect(),
        object_reads: ObjectTraffic::read(&prepared.inputs),
        object_store: forecast::object_store(job, predicted.sizes.as_ref()),
        plan: execution.explain(),
        unspillable: execution.unspillable(),
        key: prepared.encode.key_schema().columns.iter().map(|c| named((&c.name, &c.type_name))).collect(),
        value: prepared.encode.value_schema().columns.iter().map(|c| named((&c.name, &c.type_name))).collect(),
        entries_bytes: predicted.sizes.as_ref().map(|sizes| sizes.entry_bytes),
        spill_bytes: predicted.sizes.as_ref().map(|sizes| sizes.spill_bytes),
        disk_bytes: predicted.prediction.bytes,
        stored_bytes: predicted.sizes.as_ref().map(|sizes| sizes.stored_bytes),
        stored_from: predicted.sizes.as_ref().and_then(|sizes| sizes.stored_from.clone()),
        seconds: predicted.seconds.as_ref().map(|(seconds, _)| *seconds),
        seconds_from: predicted.seconds.as_ref().map(|(_, from)| from.clone()),
        fits: capacity::fits(&prepared, &predicted),
        predicted: predicted.prediction,
        memory_budget: options.resources.memory,
        query_memory: options.resources.query_memory() as u64,
        threads: options.resources.threads,
        preview,
    })
}

fn describe_action(prepared: &Prepared<'_>, current: &Current, as_of: AsOf) -> String {
    match (prepared.built(current, as_of), current.current) {
        (Some((version, State::Published)), _) => format!("do nothing: already published as {version}"),
        (Some((version, State::Complete)), _) if prepared.options.stage => {
            format!("do nothing: version {version} is built and staged")
        }
        (Some((version, State::Complete)), _) => format!("publish version {version}, which is built"),
        (Some((version, State::RolledBack)), _) => {
            format!("refuse: version {version} is the same, and was rolled back")
        }
        (_, live) if prepared.options.stage => {
            let readers = live.map_or("see nothing".to_owned(), |live| format!("stay on version {live}"));
            format!("build version {} and stage it; readers {readers}", current.next_version)
        }
        (_, Some(live)) if current.pin.is_some() => {
            format!("build version {}; readers stay on version {live}, which is pinned", current.next_version)
        }
        (_, Some(live)) => format!("build version {} and move readers to it from version {live}", current.next_version),
        (_, None) => format!("build version {}, the first that readers see", current.next_version),
    }
}
