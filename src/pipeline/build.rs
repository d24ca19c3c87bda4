//! A run that has something to build: from the prepared job to a version that is published, or left unpublished.
//!
//! ```text
//!  run ─▶ resume_or_start ─▶ run_build ─▶ work ─▶ stages::{shuffle | resume, build_shards, read_back} ─▶ conclude
//!   │ └─▶ work_on ─▶ tasks::run_stages, by the machines of a cluster ─────────────────────────▶ conclude
//!   └───▶ publish
//! ```
//!
//! Not for: the work of a stage (`stages`), and what is known before it starts (`preflight`).

use super::as_of::AsOf;
use super::build_dir::{self, BuildDir};
use super::preflight::checks_as_json;
use super::prepare::Prepared;
use super::resume::{self, PreviousBuild, ShuffleRecord};
use super::run_report::{BuildStats, Ended};
use super::tasks::{self, Cluster, Shares};
use super::{measures, stages};
use crate::build::BuiltShard;
use crate::catalog::{Action, BuildLock, Catalog};
use crate::check::{self, Previous};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::{CheckResult, Current, Manifest, Profile, allow_flag};
use crate::input;
use crate::profile;
use crate::progress::StageTimer;
use crate::publish::{Built, Complete, Published};
use crate::report::{ResumeReport, RunOutcome, StageReport};
use crate::shutdown;

/// A job, the store that it builds into, and the state of both as the run found them.
pub(super) struct Build<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) catalog: &'a Catalog,
    /// The store's build lock, which is held.
    pub(super) lock: &'a BuildLock,
    pub(super) current: &'a Current,
    /// The published version, to compare with.
    pub(super) previous: Option<&'a Previous>,
    pub(super) as_of: AsOf,
}

/// A complete version, its manifest, and what its build found out.
type BuildResult = (Complete, Manifest, BuildStats);

impl Build<'_> {
    /// Builds a version and publishes it, unless that is not wanted or the store is pinned.
    ///
    /// # Errors
    /// `Rejected` when a check stops the publish; the version stays, unpublished.
    pub(super) fn run(&self) -> Result<Ended> {
        let nothing_installed = || {
            let store = self.catalog.place();
            format!(
                "stopped before anything was installed: readers of {store} are unaffected; run the same command again"
            )
        };
        let built = match &self.prepared.options.cluster {
            None => self.resume_or_start(),
            Some(cluster) => self.work_on(cluster.as_ref()),
        };
        let (complete, manifest, stats) = built.map_err(|error| shutdown::explain_stop(error, nothing_installed))?;
        self.refuse_rejected(&complete, &manifest)?;
        let is_staged = self.prepared.options.stage;
        let published = if is_staged { None } else { self.publish(complete)? };
        let (outcome, previous) = match &published {
            Some(published) => (RunOutcome::Published, published.previous),
            None if is_staged => (RunOutcome::Staged, self.current.current),
            None => (RunOutcome::Pinned, self.current.current),
        };
        Ok(Ended { built: Some(stats), published, ..Ended::new(outcome, manifest, previous) })
    }

    /// Fails if checks rejected the version and no option allows it.
    fn refuse_rejected(&self, complete: &Complete, manifest: &Manifest) -> Result<()> {
        let refused = complete.failed().iter().any(|kind| !self.prepared.options.allow.contains(kind));
        let Some(why) = complete.rejected().filter(|_| refused) else { return Ok(()) };
        let flag = allow_flag(complete.failed().iter().copied());
        let (store, version) = (self.catalog.place(), complete.version());
        Err(Error::rejected(format!(
            "version {version} was built but not published, and readers are unaffected\n  {}\n  inspect it \
             with `cutover scan {store} --version {version}`; publish it by hand with `cutover publish {store} \
             {version} {flag}`",
            why.iter().collect::<Vec<_>>().join("\n  ")
        ))
        .with("version", version)
        .with("rows", manifest.rows)
        .with("checks", checks_as_json(&manifest.checks))
        .with("next", format!("cutover scan {store} --version {version}")))
    }

    /// Publishes the version; none if the store is pinned, in which case it stays complete.
    fn publish(&self, complete: Complete) -> Result<Option<Published>> {
        let version = complete.version();
        let not_published = || {
            format!(
                "stopped with version {version} built, but not published: run the same command again without --rebuild, \
                 or `cutover publish {} {version}`",
                self.catalog.place()
            )
        };
        match complete.publish(self.catalog, &self.prepared.publish_options()) {
            Err(error) if error.kind() == Kind::Conflict && self.catalog.read()?.pin.is_some() => {
                tracing::info!(version, %error, "the store is pinned; the version stays complete");
                Ok(None)
            }
            published => published.map(Some).map_err(|error| shutdown::explain_stop(error, not_published)),
        }
    }

    /// Everything up to a complete version: resumes a dead build, or starts from the beginning.
    fn resume_or_start(&self) -> Result<BuildResult> {
        let progress = self.prepared.options.progress;
        let mut not_resumed = match resume::find(self.prepared, self.catalog, self.current)? {
            PreviousBuild::Absent => None,
            PreviousBuild::Unusable(why) => Some(why),
            PreviousBuild::Resumable(build, record) => {
                let id = build.id().to_owned();
                self.remove_stale_builds(Some(&id))?;
                progress
                    .note(&format!("resuming build {id}, whose shuffle is on disk; --no-resume starts from scratch"));
                match self.run_build(build, Some(*record)) {
                    Err(error) if error.kind() == Kind::Corrupt => {
                        let why = error.chain().join(": ");
                        Some(format!("build {id} was not finished and cannot be resumed: {why}"))
                    }
                    done => return done,
                }
            }
        };
        let dead = self.remove_stale_builds(None)?;
        if not_resumed.is_none() && !dead.is_empty() {
            not_resumed = Some(format!("{} left nothing to resume: no shuffle was sealed on disk", dead.join(", ")));
        }
        not_resumed.iter().for_each(|why| progress.note(&format!("starting from scratch: {why}")));
        let build = BuildDir::start(self.catalog, self.prepared.options, build_dir::new_id()?)?;
        failpoint::reach("build.started")?;
        let (complete, manifest, stats) = self.run_build(build, None)?;
        Ok((complete, manifest, BuildStats { not_resumed, ..stats }))
    }

    /// Deletes what dead builds left, except the build `keep`, so that the space is free before the work begins.
    fn remove_stale_builds(&self, keep: Option<&str>) -> Result<Vec<String>> {
        let dead = self.catalog.clear_staging(self.lock, keep)?;
        if !dead.is_empty() {
            self.catalog.log().record(Action::Deleted, None, format!("leftovers: {}", dead.join(", ")));
        }
        Ok(dead)
    }

    /// Everything from the build's directory to a complete version, resuming the work of an `earlier` build if there is
    /// one.
    fn run_build(&self, build: BuildDir, earlier: Option<ShuffleRecord>) -> Result<BuildResult> {
        let done = self.work(&build, earlier);
        if build.end(done.as_ref().err()) {
            self.prepared.options.progress.note("finished work is kept: the same command resumes it");
        }
        done
    }

    fn work(&self, build: &BuildDir, earlier: Option<ShuffleRecord>) -> Result<BuildResult> {
        let Self { prepared, catalog, previous, .. } = *self;
        let mut timers: Vec<StageTimer> = Vec::new();
        let resumes = earlier.is_some();
        let (shards, shuffled) = match earlier {
            Some(earlier) => stages::resume(prepared, build, earlier, &mut timers)?,
            None => stages::shuffle(prepared, build, previous, &mut timers)?,
        };
        let mut checks = prepared.compatibility(previous);
        checks.extend(shuffled.unique.iter().cloned());
        checks.extend(check::check_columns(&prepared.job.checks, &profile::column_stats(&shuffled.profile)));
        shutdown::check()?;
        let (shards, ranges) = stages::build_shards(prepared, catalog, build, shards, &shuffled, &mut timers)?;
        failpoint::reach("build.finished")?;
        stages::read_back(prepared, build, &shards, &mut timers)?;
        let resumed = || ResumeReport { build: build.id().to_owned(), ranges: ranges.resumed, of_ranges: ranges.all };
        let stats = BuildStats {
            predicted: Some(shuffled.predicted),
            moved: Vec::new(),
            spilled_bytes: shuffled.stats.spilled_bytes,
            memory: prepared.memory(shuffled.query),
            resumed: resumes.then(resumed),
            not_resumed: None,
            stages: Vec::new(),
            cluster: None,
        };
        self.conclude(build, shards, (shuffled.profile, checks), stats, &timers)
    }

    /// Everything up to a complete version, by the machines of a cluster.
    fn work_on(&self, cluster: &dyn Cluster) -> Result<BuildResult> {
        let Self { prepared, catalog, previous, .. } = *self;
        let shares = Shares::of(prepared, prepared.options.share_bytes)?;
        self.remove_stale_builds(None)?;
        let (build, not_resumed) = tasks::start(prepared, catalog, &shares)?;
        let mut timers: Vec<StageTimer> = Vec::new();
        let spread = tasks::run_stages(prepared, catalog, &build, (&shares, cluster), &mut timers)?;
        let mut checks = prepared.compatibility(previous);
        checks.extend(spread.unique);
        checks.extend(check::check_columns(&prepared.job.checks, &profile::column_stats(&spread.profile)));
        let stats = BuildStats {
            predicted: None,
            moved: Vec::new(),
            spilled_bytes: spread.stats.spilled_bytes,
            memory: prepared.memory(spread.query),
            resumed: None,
            not_resumed,
            stages: Vec::new(),
            cluster: Some(spread.report),
        };
        let built = self.conclude(&build, spread.built, (spread.profile, checks), stats, &timers)?;
        tasks::tidy(catalog, build.id(), built.0.version());
        Ok(built)
    }

    /// From shards that are built and read back to a complete version.
    fn conclude(
        &self,
        build: &BuildDir,
        shards: Vec<BuiltShard>,
        (profile, mut checks): (Profile, Vec<CheckResult>),
        mut stats: BuildStats,
        timers: &[StageTimer],
    ) -> Result<BuildResult> {
        let Self { prepared, catalog, previous, .. } = *self;
        input::check_unchanged(&prepared.inputs)?;
        let rows = shards.iter().map(|shard| shard.entry.rows).sum();
        checks.extend(check::rows(&prepared.job.checks, rows, previous));
        let bytes = shards.iter().map(|shard| shard.entry.bytes).sum();
        let mut profile = Profile { entries: rows, entry_bytes: bytes, ..profile };
        let (changes, moved) = measures::compare(prepared, self.as_of, &mut profile, previous);
        checks.extend(changes);

        let stage = prepared.options.progress.stage("install", None);
        prepared.write_job(build.dirs())?;
        let manifest = prepared.manifest(build.id(), self.as_of, shards, profile, prepared.allowed(checks), timers);
        stats.moved = moved;
        stats.stages = timers.iter().map(StageReport::from).collect();
        build.write_report(&stats.report(prepared, &manifest))?;
        failpoint::reach("install.reported")?;
        // The last safe point: an installed version is published too.
        shutdown::check()?;
        let numbered = |version| Manifest { version, ..manifest.clone() };
        let complete = Built::new(build.dirs().version()).install(catalog, numbered)?;
        stats.stages.push(StageReport::from(&stage.finish()));
        let manifest = Manifest { version: complete.version(), ..manifest };
        Ok((complete, manifest, stats))
    }
}
