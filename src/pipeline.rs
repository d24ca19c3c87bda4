//! Wires the stages: from a job to a version that readers see, or to a plan of it.
//!
//! ```text
//!  lock ─▶ already there? ─▶ predict ─▶ query+encode+shuffle ─▶ build ─▶ read back ─▶ rules ─▶ install ─▶ publish ─▶ gc
//! ```
//!
//! Everything is written below `staging/<build-id>/`, so a run that ends before the install leaves nothing that a reader
//! could see. The directory is removed on every exit that the process survives, unless the next run can resume it.
//!
//! Not for: the work of a stage.

mod as_of;
mod build_dir;
mod capacity;
mod compression_estimate;
mod found;
mod measures;
mod predict;
mod prepare;
pub(crate) mod resume;
mod spill_dir;
mod stages;
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster runs tasks"))]
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::catalog::{Action, BuildLock, Catalog};
use crate::check;
use crate::error::{Error, IoContext, Kind, Result};
use crate::failpoint;
use crate::format::{Allow, Allowed, Current, Kafka, Profile, Retention, State, allow_flag};
use crate::input;
use crate::job::Job;
use crate::progress::{Progress, StageTimer};
use crate::publish::{self, GcReport, PublishOptions, Published, Staged};
use crate::report::{
    ClusterReport, InputReport, ObjectReads, Outcome, PlanReport, ResumeReport, RunReport, StageReport,
};
use crate::resources::Resources;
use crate::shutdown;
use as_of::AsOf;
use build_dir::BuildDir;
use found::Found;
use prepare::Prepared;
use resume::PreviousBuild;
use spill_dir::SpillDir;
pub use tasks::Cluster;
use tasks::{Shares, Spread};
#[cfg(feature = "cluster")]
pub use tasks::{TaskSet, Worker, program};

/// Rows in the preview of a plan.
const PREVIEW_ROWS: usize = 5;

/// Options of one run, in addition to the job.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Threads and memory.
    pub resources: Resources,
    /// Directory for spill files; by default in the store's staging.
    pub spill_dir: Option<PathBuf>,
    /// The time the data speaks for; by default the job's `as_of`, otherwise now.
    pub as_of: Option<Timestamp>,
    /// Resume the unfinished work of an earlier run of the same job over the same inputs.
    pub resume: bool,
    /// Build even if the same job over the same inputs is already built.
    pub rebuild: bool,
    /// Leave the version unpublished; `cutover publish` takes its number.
    pub stage: bool,
    /// Kinds of failed checks and rules that do not stop the publish.
    pub allow: Allowed,
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
    let found = Found::new(job, options)?;
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
    if let Some(report) = reuse_existing(ready.as_deref().unwrap_or_else(|found| found), &catalog, &current, as_of)? {
        return as_of::with_way_on(&catalog, report);
    }
    let prepared = ready.or_else(|found| Prepared::new(found, &runtime))?;
    preflight(&prepared, &catalog, &current, as_of)?;
    let notes = if options.stage { Vec::new() } else { as_of::notes(job, &current, as_of) };
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    let built = build(&prepared, &catalog, &building, &current, as_of);
    // Without the lock, so that leftovers of dead builds are removed too; also after a rejection, so that a job that is
    // rejected every time does not fill the disk.
    drop(building);
    // After a failed run an interrupted publish is left to the next command. After a signal nothing more is done.
    let removed = match catalog.read()?.pending {
        _ if shutdown::check().is_err() => Ok(GcReport::default()),
        Some(_) => Ok(GcReport::default()),
        None => publish::gc(&catalog, &job.retention, publish::GRACE),
    };
    let mut report = built.inspect_err(|error| tell_what_gc_frees(&catalog, error))?;
    report.notes = notes;
    match removed {
        Ok(removed) => report.removed = removed.versions,
        Err(error) => tracing::warn!(%error, "old versions were not removed; run `cutover gc`"),
    }
    as_of::with_way_on(&catalog, report)
}

/// On a full disk: says which versions of the store could be deleted.
fn tell_what_gc_frees(catalog: &Catalog, error: &Error) {
    if !error.is_disk_full() {
        return;
    }
    if let Ok((versions, bytes @ 1..)) = publish::would_free(catalog, &Retention { keep: 1, keep_for: None }) {
        tracing::warn!(
            "`cutover gc {} --keep 1` would free {} MiB: versions {versions:?}",
            catalog.place(),
            bytes.div_ceil(1 << 20)
        );
    }
}

/// Where versions are streamed to, with an absolute path, as later commands with other working directories read it too.
fn target(kafka: &Kafka) -> Result<Kafka> {
    let absolute = |path: &PathBuf| std::path::absolute(path).io("find", path);
    Ok(Kafka { properties: kafka.properties.as_ref().map(absolute).transpose()?, ..kafka.clone() })
}

fn refuse_follower(current: &Current) -> Result<()> {
    match &current.follows {
        None => Ok(()),
        Some(topic) => Err(Error::invalid(format!(
            "this store follows topic {topic} and takes its versions from there: build into another store"
        ))),
    }
}

/// What a run would do. Writes nothing to the store.
///
/// # Errors
/// As [`run`], for what can be known without building.
pub fn plan(job: &Job, options: &RunOptions) -> Result<PlanReport> {
    let runtime = options.resources.query_runtime()?;
    let prepared = Prepared::new(Found::new(job, options)?, &runtime)?;
    let cluster = options.plans_cluster.then(|| tasks::plan(&prepared)).transpose()?;
    let (would, resumes, previous) = match Catalog::try_open(&job.store, &job.dataset)? {
        None => (format!("create the store {} and build version 1", job.store.display()), None, None),
        Some(catalog) => {
            let current = catalog.read()?;
            refuse_follower(&current)?;
            let as_of = AsOf::of(job, options);
            preflight(&prepared, &catalog, &current, as_of)?;
            let previous = previous(&catalog, &current, &options.allow)?;
            let resumes = resume::preview_resume(&prepared, &catalog, &current)?;
            (describe_action(&prepared, &current, as_of), resumes, previous)
        }
    };
    let spill = options.spill_dir.clone().unwrap_or_else(std::env::temp_dir);
    let spill = SpillDir::in_directory(&spill, &format!("plan-{}", std::process::id()), None)?;
    let predicted = predict::predict(&prepared, previous.as_ref(), spill.path())?;
    // With the join strategy that a run would use, as far as it is known by now what fits into memory.
    let execution = prepared.query.prepare(prepared.query.join_strategy())?;
    let preview = predict::preview(&prepared, PREVIEW_ROWS, spill.path())?;
    let named = |(name, type_name): (&String, &String)| (name.clone(), type_name.clone());
    Ok(PlanReport {
        cluster,
        dataset: job.dataset.clone(),
        store: job.store.clone(),
        would,
        resumes,
        inputs: prepared.inputs.iter().map(InputReport::from).collect(),
        object_reads: ObjectReads::of(&prepared.inputs),
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
        (Some((version, State::Complete)), _) => format!("publish version {version}, which is built"),
        (Some((version, State::RolledBack)), _) => {
            format!("refuse: version {version} is the same, and was rolled back")
        }
        (_, Some(live)) if current.pin.is_some() => {
            format!("build version {}; readers stay on version {live}, which is pinned", current.next_version)
        }
        (_, Some(live)) => format!("build version {} and move readers to it from version {live}", current.next_version),
        (_, None) => format!("build version {}, the first that readers see", current.next_version),
    }
}

/// The report of a run that finds its work done, unless a rebuild is asked for.
fn reuse_existing(found: &Found<'_>, catalog: &Catalog, current: &Current, as_of: AsOf) -> Result<Option<RunReport>> {
    let options = found.options;
    let Some((version, state)) = found.built(current, as_of) else { return Ok(None) };
    let report = |outcome, published: Option<Published>| -> Result<Option<RunReport>> {
        let manifest = catalog.manifest(current, version)?;
        let mut report = found.report(&manifest, outcome, current.current);
        published.iter().for_each(|published| stages::add_stream(&mut report, published));
        Ok(Some(report))
    };
    let publish = || publish::publish(catalog, version, &found.publish_options());
    match state {
        // If the job was given a topic since, or lost it, its consumers are notified.
        State::Published => {
            report(Outcome::AlreadyPublished, current.targets.kafka.is_some().then(publish).transpose()?)
        }
        State::Complete if options.stage => report(Outcome::Staged, None),
        State::Complete if current.pin.is_some() => report(Outcome::Pinned, None),
        State::Complete => report(Outcome::AlreadyBuilt, Some(publish()?)),
        State::RolledBack if !options.allow.contains(&Allow::RolledBack) => Err(Error::rejected(format!(
            "the same job over the same inputs was built as version {version} and rolled back; change the job or its \
             data, or `cutover publish {} {version} {}`",
            catalog.place(),
            allow_flag([Allow::RolledBack])
        ))),
        _ => Ok(None),
    }
}

/// Refuses, before any work, what is known to stop the publish.
fn preflight(prepared: &Prepared<'_>, catalog: &Catalog, current: &Current, as_of: AsOf) -> Result<()> {
    as_of::refuse(catalog, current, prepared.options, as_of)?;
    let Some(previous) = previous(catalog, current, &prepared.options.allow)? else { return Ok(()) };
    let results = prepared.compatibility(Some(&previous));
    let failed = || results.iter().filter(|result| result.outcome == crate::format::Outcome::Failed);
    let said: Vec<String> = failed()
        .map(|result| format!("{}: expected {}, found {}", result.rule, result.expected, result.found))
        .collect();
    if said.is_empty() {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "readers of version {} could not read what this job makes; nothing was built\n  {}\n  {} builds and publishes \
         it, once every reader knows the new schema",
        previous.manifest.version,
        said.join("\n  "),
        allow_flag(failed().map(|result| Allow::of_rule(&result.rule)))
    ))
    .with("checks", told_checks(&results)))
}

/// The results of checks, as JSON.
fn told_checks(results: &[crate::format::CheckResult]) -> serde_json::Value {
    serde_json::to_value(results).unwrap_or_default()
}

/// The published version, to compare with. With `--allow damaged` a damaged one does not stop the run that replaces it:
/// otherwise no command could repair such a store.
fn previous(catalog: &Catalog, current: &Current, allow: &Allowed) -> Result<Option<check::Previous>> {
    let Some(live) = current.current else { return Ok(None) };
    match catalog.manifest(current, live) {
        Ok(manifest) => Ok(Some(check::Previous { manifest })),
        Err(error) if allow.contains(&Allow::Damaged) && error.kind() == Kind::Corrupt => {
            tracing::warn!(
                "version {live} is damaged, so this run is compared with nothing: {}",
                error.chain().join(": ")
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn build(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    building: &BuildLock,
    current: &Current,
    as_of: AsOf,
) -> Result<RunReport> {
    let options = prepared.options;
    let previous = previous(catalog, current, &options.allow)?;
    let built = match &options.cluster {
        None => resume_or_start(prepared, catalog, building, current, previous.as_ref(), as_of),
        Some(cluster) => build_on(cluster.as_ref(), prepared, catalog, building, previous.as_ref(), as_of),
    };
    let stands = || {
        let store = catalog.place();
        format!("stopped before anything was installed: readers of {store} are unaffected; run the same command again")
    };
    let (report, complete) = built.map_err(|error| shutdown::stands(error, stands))?;
    let refused = complete.failed().iter().any(|kind| !options.allow.contains(kind));
    if let Some(why) = complete.rejected().filter(|_| refused) {
        let flag = allow_flag(complete.failed().iter().copied());
        let (store, version) = (catalog.place(), complete.version());
        return Err(Error::rejected(format!(
            "version {version} was built but not published, and readers are unaffected\n  {}\n  inspect it \
             with `cutover scan {store} --version {version}`; publish it by hand with `cutover publish {store} \
             {version} {flag}`",
            why.iter().collect::<Vec<_>>().join("\n  ")
        ))
        .with("version", version)
        .with("rows", report.rows)
        .with("checks", told_checks(&report.checks))
        .with("next", format!("cutover scan {store} --version {version}")));
    }
    let mut report = RunReport { version: complete.version(), ..report };
    if options.stage {
        report.end(Outcome::Staged, current.current);
        return Ok(report);
    }
    let stands = || {
        let (store, version) = (catalog.place(), report.version);
        format!(
            "stopped with version {version} built, but not published: run the same command again without --rebuild, or \
             `cutover publish {store} {version}`"
        )
    };
    let published = publish_unless_pinned(catalog, complete, &prepared.publish_options());
    match published.map_err(|error| shutdown::stands(error, stands))? {
        None => {
            report.end(Outcome::Pinned, current.current);
        }
        Some(published) => {
            report.previous = published.previous.filter(|previous| *previous != report.version);
            stages::add_stream(&mut report, &published);
        }
    }
    Ok(report)
}

fn publish_unless_pinned(
    catalog: &Catalog,
    complete: publish::Complete,
    options: &PublishOptions,
) -> Result<Option<Published>> {
    let version = complete.version();
    let published = complete.publish(catalog, options);
    match published {
        Err(error) if error.kind() == Kind::Conflict && catalog.read()?.pin.is_some() => {
            tracing::info!(version, %error, "the store is pinned; the version stays complete");
            Ok(None)
        }
        published => published.map(Some),
    }
}

/// Everything up to a complete version: resumes a dead build, or starts from the beginning.
fn resume_or_start(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    building: &BuildLock,
    current: &Current,
    previous: Option<&check::Previous>,
    as_of: AsOf,
) -> Result<(RunReport, publish::Complete)> {
    let progress = prepared.options.progress;
    let mut not_resumed = match resume::find(prepared, catalog, current)? {
        PreviousBuild::Absent => None,
        PreviousBuild::Unusable(why) => Some(why),
        PreviousBuild::Resumable(build, line) => {
            let id = build.id().to_owned();
            remove_stale_builds(catalog, building, Some(&id))?;
            progress.note(&format!("resuming build {id}, whose shuffle is on disk; --no-resume starts afresh"));
            match build_in(prepared, catalog, build, Some(*line), previous, as_of) {
                Err(error) if error.kind() == Kind::Corrupt => {
                    let why = error.chain().join(": ");
                    Some(format!("build {id} was not finished and cannot be resumed: {why}"))
                }
                done => return done,
            }
        }
    };
    let dead = remove_stale_builds(catalog, building, None)?;
    if not_resumed.is_none() && !dead.is_empty() {
        not_resumed = Some(format!("{} left nothing to resume: no shuffle was sealed on disk", dead.join(", ")));
    }
    not_resumed.iter().for_each(|why| progress.note(&format!("starting afresh: {why}")));
    let build = BuildDir::start(catalog, prepared.options, build_dir::new_id()?)?;
    failpoint::reach("build.started")?;
    let (report, complete) = build_in(prepared, catalog, build, None, previous, as_of)?;
    Ok((RunReport { not_resumed, ..report }, complete))
}

/// Deletes what dead builds left, except the build `keep`, so that the space is free before the work begins.
fn remove_stale_builds(catalog: &Catalog, building: &BuildLock, keep: Option<&str>) -> Result<Vec<String>> {
    let dead = catalog.clear_staging(building, keep)?;
    if !dead.is_empty() {
        catalog.log().record(Action::Deleted, None, format!("leftovers: {}", dead.join(", ")));
    }
    Ok(dead)
}

/// Everything from the build directory to a complete version, resuming the work of an `earlier` build if there is one.
fn build_in(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    build: BuildDir,
    earlier: Option<resume::ShuffleRecord>,
    previous: Option<&check::Previous>,
    as_of: AsOf,
) -> Result<(RunReport, publish::Complete)> {
    let done = build_stages(prepared, catalog, &build, earlier, previous, as_of);
    if build.end(done.as_ref().err()) {
        prepared.options.progress.note("finished work is kept: the same command resumes it");
    }
    done
}

fn build_stages(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    build: &BuildDir,
    earlier: Option<resume::ShuffleRecord>,
    previous: Option<&check::Previous>,
    as_of: AsOf,
) -> Result<(RunReport, publish::Complete)> {
    let mut stages: Vec<StageTimer> = Vec::new();
    let resumes = earlier.is_some();
    let (shards, shuffled) = match earlier {
        Some(earlier) => stages::resume(prepared, build, earlier, &mut stages)?,
        None => stages::shuffle(prepared, build, previous, &mut stages)?,
    };
    let mut checks = prepared.compatibility(previous);
    checks.extend(shuffled.unique.iter().cloned());
    let columns = measures::columns(&shuffled.profile);
    checks.extend(check::check_columns(&prepared.job.checks, &columns));
    shutdown::check()?;
    let (built, ranges) = stages::build(prepared, catalog, build, shards, &shuffled, &mut stages)?;
    failpoint::reach("build.finished")?;
    stages::read_back(prepared, build, &built, &mut stages)?;
    let resumed =
        resumes.then(|| ResumeReport { build: build.id().to_owned(), ranges: ranges.taken_up, of_ranges: ranges.all });
    let done = Built {
        shards: built,
        checks,
        columns,
        profile: shuffled.profile,
        predicted: Some(shuffled.predicted),
        spilled_bytes: shuffled.stats.spilled_bytes,
        query: shuffled.query,
        resumed,
        cluster: None,
    };
    conclude(prepared, catalog, build, done, previous, as_of, stages)
}

/// As [`resume_or_start`], by the machines of a cluster.
fn build_on(
    cluster: &dyn Cluster,
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    building: &BuildLock,
    previous: Option<&check::Previous>,
    as_of: AsOf,
) -> Result<(RunReport, publish::Complete)> {
    let shares = Shares::of(prepared, prepared.options.share_bytes)?;
    remove_stale_builds(catalog, building, None)?;
    let (build, not_resumed) = tasks::start(prepared, catalog, &shares)?;
    let mut stages: Vec<StageTimer> = Vec::new();
    let spread = tasks::build_stages(prepared, catalog, &build, (&shares, cluster), &mut stages)?;
    let Spread { built, profile, unique, stats, query, report } = spread;
    let columns = measures::columns(&profile);
    let mut checks = prepared.compatibility(previous);
    checks.extend(unique);
    checks.extend(check::check_columns(&prepared.job.checks, &columns));
    let done = Built {
        shards: built,
        checks,
        columns,
        profile,
        predicted: None,
        spilled_bytes: stats.spilled_bytes,
        query,
        resumed: None,
        cluster: Some(report),
    };
    let (report, complete) = conclude(prepared, catalog, &build, done, previous, as_of, stages)?;
    tasks::tidy(catalog, build.id(), complete.version());
    Ok((RunReport { not_resumed, ..report }, complete))
}

/// What there is of a build once all shards are built and read back.
struct Built {
    shards: Vec<crate::build::BuiltShard>,
    checks: Vec<crate::format::CheckResult>,
    columns: Vec<crate::format::ColumnStats>,
    profile: Profile,
    predicted: Option<crate::report::Prediction>,
    spilled_bytes: u64,
    query: crate::query::Usage,
    resumed: Option<ResumeReport>,
    cluster: Option<ClusterReport>,
}

/// From shards that are built to a complete version.
fn conclude(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    build: &BuildDir,
    done: Built,
    previous: Option<&check::Previous>,
    as_of: AsOf,
    stages: Vec<StageTimer>,
) -> Result<(RunReport, publish::Complete)> {
    let Built { shards: built, mut checks, columns, profile, .. } = done;
    input::check_unchanged(&prepared.inputs)?;
    let rows = built.iter().map(|shard| shard.entry.rows).sum();
    checks.extend(check::rows(&prepared.job.checks, rows, previous));
    let bytes = built.iter().map(|shard| shard.entry.bytes).sum();
    let mut profile = Profile { entries: rows, entry_bytes: bytes, ..profile };
    let (changes, moved) = measures::compare(prepared, &mut profile, previous);
    checks.extend(changes);
    let checks = prepared.allowed(checks);

    let stage = prepared.options.progress.stage("install", None);
    prepared.write_job(build.dirs())?;
    let mut manifest = prepared.manifest(build.id(), as_of, built, columns, checks, &stages);
    manifest.profile = Some(profile);
    let mut report = prepared.report(&manifest, Outcome::Published, None);
    report.moved = moved;
    report.predicted = done.predicted;
    report.spilled_bytes = done.spilled_bytes;
    report.memory = Some(prepared.memory(done.query));
    report.resumed = done.resumed;
    report.cluster = done.cluster;
    report.stages = stages.iter().map(StageReport::from).collect();
    build.write_account(&prepared.account(&report))?;
    failpoint::reach("install.reported")?;
    // The last safe point: an installed version is published too.
    shutdown::check()?;
    let numbered = |version| crate::format::Manifest { version, ..manifest };
    let complete = Staged::new(build.dirs().version()).install(catalog, numbered)?;
    report.stages.push(StageReport::from(&stage.finish()));
    Ok((report, complete))
}
