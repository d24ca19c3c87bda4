//! Wires the stages: from a job to a version that readers see, or to a plan of it.
//!
//! ```text
//!  lock ─▶ already there? ─▶ predict ─▶ query+encode+shuffle ─▶ build ─▶ read back ─▶ rules ─▶ install ─▶ publish ─▶ gc
//! ```
//!
//! Everything is written below `staging/<build-id>/`, so a run that ends before the install leaves nothing that a
//! reader could see. The directory is removed on every exit that the process survives, unless the next run can resume
//! it.
//!
//! Not for: the work of a stage.

mod as_of;
mod build;
mod build_dir;
mod capacity;
mod compression_estimate;
mod forecast;
mod listed;
mod measures;
mod plan;
mod predict;
mod preflight;
mod prepare;
pub(crate) mod resume;
mod run_report;
mod spill_dir;
mod stages;
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster runs tasks"))]
mod tasks;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::HumanBytes;
use jiff::Timestamp;

use crate::catalog::Catalog;
use crate::error::{Error, IoContext, Result};
use crate::format::{Allow, Allowed, Current, Kafka, Retention, State, allow_flag, shown_versions};
use crate::job::Job;
use crate::progress::Progress;
use crate::publish::{self, GcReport, Published, Replicas};
use crate::report::{RunOutcome, RunReport};
use crate::resources::Resources;
use crate::shutdown;
use as_of::AsOf;
use build::Build;
use listed::Listed;
pub use plan::plan;
use preflight::{preflight, refuse_follower};
use prepare::Prepared;
use run_report::Ended;
pub use tasks::Cluster;
use tasks::Shares;
#[cfg(all(test, feature = "cluster"))]
pub use tasks::TaskKind;
#[cfg(feature = "cluster")]
pub use tasks::{Machines, TaskSet, Worker, program};

/// Options of one run, in addition to the job.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Threads and memory.
    pub resources: Resources,
    /// Directory for spill files; by default in the store's staging.
    pub spill_dir: Option<PathBuf>,
    /// The time the data represents; by default the job's `as_of`, otherwise now.
    pub as_of: Option<Timestamp>,
    /// Resume the unfinished work of an earlier run of the same job over the same inputs.
    pub resume: bool,
    /// Build even if the same job over the same inputs is already built.
    pub rebuild: bool,
    /// Leave the version unpublished; `cutover publish` takes its number.
    pub stage: bool,
    /// Kinds of failed checks and rules that do not stop the publish.
    pub allow: Allowed,
    /// Hosts that have to have fetched the version before readers are moved to it.
    pub replicas: Option<Replicas>,
    /// How progress is shown.
    pub progress: Progress,
    /// The machines that build; none: this one.
    pub cluster: Option<Arc<dyn Cluster>>,
    /// Whether a plan says how a cluster would share the job out.
    pub plans_cluster: bool,
    /// Bytes of input of a map task on a cluster; by default they follow from the size of the input.
    pub share_bytes: Option<u64>,
}

impl RunOptions {
    /// The defaults of `cutover run`: unfinished work is resumed, and a failed check stops the publish.
    pub fn new(resources: Resources) -> Self {
        Self {
            resources,
            spill_dir: None,
            as_of: None,
            resume: true,
            rebuild: false,
            stage: false,
            allow: Allowed::new(),
            replicas: None,
            progress: Progress::auto(),
            cluster: None,
            plans_cluster: false,
            share_bytes: None,
        }
    }
}

/// Builds, checks and publishes a version. When it returns, readers see what the report says.
///
/// # Errors
/// `Invalid` and `Input`, before any work if they can be known by then; `Conflict` when another build runs; `Rejected`
/// when a rule stops the publish; `Unavailable` when the disk or the memory fails or is too small; `Stopped` after a
/// signal. On an error readers see the same version as before.
pub fn run(job: &Job, options: &RunOptions) -> Result<RunReport> {
    let runtime = options.resources.query_runtime()?;
    let as_of = AsOf::of(job, options);
    let found = Listed::new(job, options)?;
    // Whatever can be refused is refused before anything is locked, unless the version seems to exist already; then
    // preparation is skipped.
    let ready = if found.seems_built(as_of)? { Err(found) } else { Ok(Prepared::new(found, &runtime)?) };
    if options.cluster.is_some() {
        tasks::refuse_local(ready.as_deref().unwrap_or_else(|found| found))?;
        ready.as_ref().map_or(Ok(()), |prepared| Shares::of(prepared, None).map(drop))?;
    }
    let target = job.kafka.as_ref().map(target).transpose()?;
    target.as_ref().map_or(Ok(()), publish::check_connection)?;
    let catalog = Catalog::open_or_create(&job.store, &job.dataset)?;
    let building = catalog.lock_build()?;
    refuse_follower(&catalog.read()?)?;
    publish::set_target(&catalog, target.as_ref())?;
    let current = catalog.read_durable()?; // "already published" must hold, also after a power cut
    let found = ready.as_deref().unwrap_or_else(|found| found);
    if let Some(ended) = reuse_existing(found, &catalog, &current, as_of)? {
        return ended.report(found, &catalog);
    }
    let prepared = ready.or_else(|found| Prepared::new(found, &runtime))?;
    let previous = preflight(&prepared, &catalog, &current, as_of)?;
    let notes = [prepared.notes(), as_of::warn(job, options, &current, as_of)].concat();
    let build = Build {
        prepared: &prepared,
        catalog: &catalog,
        lock: &building,
        current: &current,
        previous: previous.as_ref(),
        as_of,
    };
    let ended = build.run();
    // Without the lock, so that leftovers of dead builds are removed too; also after a rejection, so that a job that is
    // rejected every time does not fill the disk.
    drop(building);
    // After a failed run an interrupted publish is left to the next command. After a signal nothing more is done.
    let removed = match catalog.read()?.pending {
        _ if shutdown::check().is_err() => Ok(GcReport::default()),
        Some(_) => Ok(GcReport::default()),
        None => publish::gc(&catalog, &job.retention, publish::GRACE),
    };
    let ended = ended.map_err(|error| with_what_gc_frees(&catalog, error))?;
    let removed = match removed {
        Ok(removed) => removed.versions,
        Err(error) => {
            tracing::warn!(%error, "old versions were not removed; run `cutover gc`");
            Vec::new()
        }
    };
    Ended { notes, removed, ..ended }.report(&prepared, &catalog)
}

/// On a full disk: says which versions of the store could be deleted.
fn with_what_gc_frees(catalog: &Catalog, error: Error) -> Error {
    let kept = Retention { keep: 1, keep_for: None };
    let freed = error.is_disk_full().then(|| publish::would_free(catalog, &kept));
    let Some(Ok((versions, bytes @ 1..))) = freed else { return error };
    let command = format!("cutover gc {} --keep 1", catalog.place());
    let note = format!("`{command}` would free {}: {}", HumanBytes(bytes), shown_versions(&versions));
    tracing::warn!("{note}");
    error.with("notes", vec![note]).with("next", command)
}

/// Where versions are streamed to, with an absolute path, as later commands with other working directories read it too.
fn target(kafka: &Kafka) -> Result<Kafka> {
    let absolute = |path: &PathBuf| std::path::absolute(path).io("find", path);
    Ok(Kafka { properties: kafka.properties.as_ref().map(absolute).transpose()?, ..kafka.clone() })
}

/// How a run ends that finds its work done; none if there is something to build, or a rebuild is asked for.
fn reuse_existing(found: &Listed<'_>, catalog: &Catalog, current: &Current, as_of: AsOf) -> Result<Option<Ended>> {
    let options = found.options;
    let Some((version, state)) = found.built(current, as_of) else { return Ok(None) };
    let ended = |outcome, published: Option<Published>| -> Result<Option<Ended>> {
        let manifest = catalog.manifest(current, version)?;
        Ok(Some(Ended { published, ..Ended::new(outcome, manifest, current.current) }))
    };
    let publish = || publish::publish(catalog, version, &found.publish_options());
    match state {
        // If the job was given a topic since, or lost it, its consumers are notified.
        State::Published => {
            ended(RunOutcome::AlreadyPublished, current.targets.kafka.is_some().then(publish).transpose()?)
        }
        State::Complete if options.stage => ended(RunOutcome::Staged, None),
        State::Complete if current.pin.is_some() => ended(RunOutcome::Pinned, None),
        State::Complete => ended(RunOutcome::AlreadyBuilt, Some(publish()?)),
        State::RolledBack if !options.allow.contains(&Allow::RolledBack) => Err(Error::rejected(format!(
            "the same job over the same inputs was built as version {version} and rolled back; change the job or its \
             data, or `cutover publish {} {version} {}`",
            catalog.place(),
            allow_flag([Allow::RolledBack])
        ))),
        _ => Ok(None),
    }
}
