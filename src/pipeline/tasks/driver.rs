//! The driver of a build on a cluster: shares out, waits for records, and concludes as a run on one machine does.
//!
//! ```text
//!  unfinished build of the same work? ─▶ its records count ─┐
//!  otherwise a new build, and its spec ─────────────────────┴▶ map tasks ─▶ plans ─▶ build tasks ─▶ sums
//!            (`start`)
//! ```
//! Records are the truth: what the cluster says of its tasks is a hint. The caller holds the store's lease, so there
//! is no other driver.
//!
//! Not for: installing and publishing, which the pipeline does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::build_dir::BuildDir;
use super::super::listed::Listed;
use super::super::measures::Measures;
use super::super::prepare::Prepared;
use super::super::stages;
use super::records::{self, BuiltRecord, ExchangeSpec, FAULT, Fault, MapRecord, ScanRecord, directory_of};
use super::start::remote;
use super::{Cluster, Machines, Shares, TaskKind, TaskSet, plans, summary};
use crate::build::BuiltShard;
use crate::catalog::{Catalog, Remote, SharedWork};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::{CheckResult, Profile};
use crate::progress::StageTimer;
use crate::query::{PortableScan, Usage};
use crate::report::{ClusterPlan, ClusterReport};
use crate::shuffle::Stats;

/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What a cluster built.
pub(in crate::pipeline) struct Spread {
    pub(in crate::pipeline) built: Vec<BuiltShard>,
    pub(in crate::pipeline) profile: Profile,
    pub(in crate::pipeline) unique: Vec<CheckResult>,
    pub(in crate::pipeline) stats: Stats,
    pub(in crate::pipeline) query: Usage,
    pub(in crate::pipeline) report: ClusterReport,
}

/// Refuses jobs with data on this machine's disk, which no other machine sees.
///
/// # Errors
/// `Invalid`, naming the store or the input.
pub(in crate::pipeline) fn refuse_local(found: &Listed<'_>) -> Result<()> {
    let store = found.job.store.display();
    if !found.job.store.to_str().is_some_and(|store| store.contains("://")) {
        return Err(Error::invalid(format!(
            "a cluster builds into object stores only, and {store} is a local directory: give the job a store on s3://, \
             gs:// or az://, or -C with such a URL, or run it without --cluster"
        )));
    }
    let local = |input: &&crate::input::Input| input.files.iter().any(|file| file.source.local().is_some());
    match found.inputs.iter().find(local) {
        None => Ok(()),
        Some(input) => Err(Error::invalid(format!(
            "input {} is on this machine's disk, which the machines of a cluster do not see: put it into an object \
             store, or run the job without --cluster",
            input.name
        ))),
    }
}

/// How a cluster would share out a job.
///
/// # Errors
/// `Invalid` for what a cluster cannot run.
pub(in crate::pipeline) fn plan(prepared: &Prepared<'_>) -> Result<ClusterPlan> {
    refuse_local(prepared)?;
    let shares = Shares::of(prepared, prepared.options.share_bytes)?;
    let (scans, map_tasks) = (shares.exchange.as_ref().map_or(0, |it| it.scans.len() as u64), shares.tasks());
    let build_tasks = u64::from(prepared.job.output.shards);
    Ok(ClusterPlan {
        shared: shares.input,
        exchanged: shares.exchange.map(|exchange| exchange.columns).unwrap_or_default(),
        bytes: shares.bytes,
        scan_tasks: scans,
        map_tasks,
        build_tasks,
        reads: scans * map_tasks + map_tasks * build_tasks,
    })
}

/// Runs all tasks and brings their records together.
///
/// # Errors
/// Those of the cluster; the fault of a task; as those of reads and writes of the store.
pub(in crate::pipeline) fn run_stages(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    build: &BuildDir,
    (shares, cluster): (&Shares, &dyn Cluster),
    stages: &mut Vec<StageTimer>,
) -> Result<Spread> {
    let remote = remote(catalog)?;
    let work = remote.shared_work(build.id());
    let unique = stages::unique(prepared, build, &[])?;
    let drive = Drive { prepared, work: &work, store: remote.url(), cluster };
    let done = drive.spread(shares, stages, unique);
    done.map_err(|error| ended(remote, build.id(), error))
}

/// The error that ended a build. What failed permanently is no use to a later run, and is deleted; what was stopped, or
/// found no executor, is continued by it. If another driver has taken over, the build is that driver's, and the error
/// follows from it: records are gone, for one.
fn ended(remote: &Remote, build_id: &str, error: Error) -> Error {
    let done = match error.kind() {
        Kind::Stopped => return error,
        Kind::Unavailable | Kind::Conflict => remote.check_not_replaced(),
        _ => remote.discard_unfinished(build_id),
    };
    match done {
        Err(replaced) if replaced.kind() == Kind::Conflict => return replaced,
        Err(why) => {
            tracing::warn!("what tasks had written was not deleted; gc will: {}", why.chain().join(": "));
        }
        Ok(()) => {}
    }
    error
}

/// Deletes the work of a build that is installed: its records, its runs, and attempts that did not win. What cannot be
/// deleted now is left to `gc`.
pub(in crate::pipeline) fn tidy(catalog: &Catalog, build_id: &str, version: u64) {
    let tidied = remote(catalog).and_then(|remote| {
        let manifest = catalog.manifest(&catalog.read()?, version)?;
        remote.shared_work(build_id).tidy(&manifest)?;
        remote.clear_building()
    });
    tidied.unwrap_or_else(|error| {
        tracing::warn!("the work of the build was not deleted; gc will: {}", error.chain().join(": "));
    });
}

struct Drive<'a> {
    prepared: &'a Prepared<'a>,
    work: &'a SharedWork,
    store: String,
    cluster: &'a dyn Cluster,
}

impl Drive<'_> {
    fn spread(&self, shares: &Shares, stages: &mut Vec<StageTimer>, unique: Vec<CheckResult>) -> Result<Spread> {
        let shards = u64::from(self.prepared.job.output.shards);
        let (scans, scans_before) = match &shares.exchange {
            None => (Vec::new(), 0),
            Some(exchange) => self.scan(exchange, stages)?,
        };
        let maps_before = self.run(TaskKind::Map, shares.tasks(), stages)?;
        failpoint::reach("cluster.mapped")?;
        let maps: Vec<MapRecord> = records::of(self.work, TaskKind::Map, 0..shares.tasks())?;
        for plans in plans::of_shards(maps.iter().map(|map| &map.run), shards) {
            self.work.put_all_once(&plans?)?;
        }
        failpoint::reach("cluster.planned")?;
        let built_before = self.run(TaskKind::Build, shards, stages)?;
        let built: Vec<BuiltRecord> = records::of(self.work, TaskKind::Build, 0..shards)?;
        failpoint::reach("build.finished")?;
        let resumed = [scans_before, maps_before, built_before];
        let retries = self.cluster.machines().retries;
        let report = summary::of(shares, (&scans, &maps, &built), resumed, retries);
        let stats = Stats {
            entries: maps.iter().map(|map| map.entries).sum(),
            bytes: maps.iter().map(|map| map.bytes).sum(),
            runs: maps.len() as u64,
            spilled_bytes: maps
                .iter()
                .map(|map| map.spilled_bytes)
                .chain(scans.iter().map(|it| it.spilled_bytes))
                .sum(),
        };
        let query = Usage {
            peak_memory: maps.iter().map(|map| map.query.peak_memory).max().unwrap_or_default(),
            spilled_bytes: maps.iter().map(|map| map.query.spilled_bytes).sum(),
        };
        let profile = self.profile(scans, maps, shares)?;
        let built =
            built.into_iter().map(|it| BuiltShard { entry: it.entry, samples: Vec::new(), largest: it.largest });
        Ok(Spread { built: built.collect(), profile, unique, stats, query, report })
    }

    /// Runs the tasks of a kind that have no record; returns how many had one.
    fn run(&self, kind: TaskKind, count: u64, stages: &mut Vec<StageTimer>) -> Result<usize> {
        let progress = self.prepared.options.progress;
        let stage = progress.stage(kind.name(), None);
        let left = || -> Result<Vec<u64>> {
            if let Some(fault) = self.work.get::<Fault>(FAULT)? {
                return Err(fault.into_error());
            }
            let recorded = self.work.numbers(directory_of(kind))?;
            Ok((0..count).filter(|number| !recorded.contains(number)).collect())
        };
        let missing = left()?;
        let before = count as usize - missing.len();
        if !missing.is_empty() {
            let tasks = TaskSet { store: self.store.clone(), build: self.work.build_id().to_owned(), kind };
            let mut last_report = Instant::now();
            self.cluster.run(&tasks, &missing, &mut || {
                let left = left()?;
                if last_report.elapsed() > REPORT_INTERVAL {
                    last_report = Instant::now();
                    let done = count - left.len() as u64;
                    let Machines { executors, retries } = self.cluster.machines();
                    progress.note(&format!(
                        "{} tasks: {done} of {count} are done; executors: {executors}; repeated attempts: {retries}",
                        kind.name()
                    ));
                }
                Ok(left)
            })?;
        }
        stages.push(stage.finish());
        Ok(before)
    }

    /// Runs the scan tasks and plans what each map task reads of them.
    fn scan(&self, exchange: &ExchangeSpec, stages: &mut Vec<StageTimer>) -> Result<(Vec<ScanRecord>, usize)> {
        let count = exchange.scans.len() as u64;
        let before = self.run(TaskKind::Scan, count, stages)?;
        let scans: Vec<ScanRecord> = records::of(self.work, TaskKind::Scan, 0..count)?;
        for plans in plans::of_maps(&scans, exchange.partitions) {
            self.work.put_all_once(&plans?)?;
        }
        Ok((scans, before))
    }

    /// The profile of all rows: from the sketches of all tasks.
    fn profile(&self, scans: Vec<ScanRecord>, maps: Vec<MapRecord>, shares: &Shares) -> Result<Profile> {
        let measures = Measures::new(self.prepared);
        let mut all = measures.seen();
        let mut shared: Vec<PortableScan> = Vec::new();
        let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
        for scan in scans {
            *wanted.entry(scan.input).or_default() += 1;
            shared.extend(scan.inputs);
        }
        wanted.extend(shares.input.clone().map(|input| (input, maps.len())));
        for (number, map) in maps.into_iter().enumerate() {
            for scan in measures.add(&mut all, map.measures)? {
                match shares.exchange.as_ref().is_some_and(|it| it.columns.contains_key(scan.input())) {
                    true => {} // Its scan tasks have measured it.
                    false if shares.input.as_deref() == Some(scan.input()) => shared.push(scan),
                    // What every task reads whole.
                    false if number == 0 => measures.add_input(scan),
                    false => {}
                }
            }
        }
        // An input of which some task read only a part is left out, as on one machine.
        let found = |input: &str| shared.iter().filter(|scan| scan.input() == input).count();
        wanted.retain(|input, tasks| found(input) == *tasks);
        shared.into_iter().filter(|scan| wanted.contains_key(scan.input())).for_each(|scan| measures.add_input(scan));
        Ok(measures.profile(vec![all]))
    }
}
