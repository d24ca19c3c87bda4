//! `cutover run`, and the flags it shares with `cutover plan`.

use std::path::PathBuf;

use jiff::Timestamp;

use super::allow::AllowArgs;
use super::wait::WaitArgs;
use super::{Output, Verdict, parsers, summary};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::Retention;
use crate::job::Job;
use crate::pipeline::{self, RunOptions};
use crate::report::RunOutcome;
use crate::resources::{Resources, default_memory};

const EXAMPLES: &str = "\
Examples:
  cutover run jobs/views_by_age.toml
  cutover run jobs/views_of_day.toml --set date=2026-11-22
  cutover run jobs/views_of_day.toml --set date=2026-11-02 --stage      build a past day, publish nothing
  cutover run jobs/views_by_age.toml --memory 4GiB --threads 8 --spill-dir /mnt/fast/spill
  cutover run jobs/views_by_age.toml --json > report.json";

/// Build a version, check it and publish it
///
/// Readers see the new version once the command succeeds, and the old one until then. Nothing is built when the same
/// job over the same inputs is already published. Data as of an earlier time than what readers see is refused before
/// any work, unless --stage leaves it unpublished. A run whose version is held back by a pin exits with code 5. With
/// [kafka] in the job, consumers of the topic flip with the store. A run that was interrupted after it had spilled to
/// disk is resumed by the next run with the same job, inputs and flags.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    job: JobArgs,
    /// Start from scratch even if an earlier run of the same job over the same inputs can be resumed
    #[arg(long)]
    no_resume: bool,
    /// Build even if the same job over the same inputs is already published
    #[arg(long)]
    rebuild: bool,
    /// Build into this store instead of the job's, keep one version there, and stream nothing: for `verify-crash`
    #[arg(long, value_name = "DIR", hide = true)]
    sandbox: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    cluster: super::executor::ClusterArgs,
}

impl Args {
    pub(super) fn memory(&self) -> u64 {
        self.job.memory()
    }

    /// Looks for the job's data below a URL.
    pub(super) fn below(&mut self, root: String) {
        self.job.below(root);
    }

    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let (mut job, mut options) = self.job.load()?;
        output.about(&job.dataset, self.sandbox.as_ref().unwrap_or(&job.store));
        if let Some(store) = self.sandbox {
            job = Job { store, kafka: None, retention: Retention { keep: 1, keep_for: None }, ..job };
        }
        options.resume = !self.no_resume;
        options.rebuild = self.rebuild;
        options.replicas = self.wait.replicas();
        #[cfg(feature = "cluster")]
        self.cluster.apply(&mut options)?;
        let report = pipeline::run(&job, &options)?;
        output.ended(summary::word(report.outcome));
        output.next(summary::next_command(&report));
        output.document(&report)?;
        if !output.is_json() {
            summary::show(&report, output)?;
        }
        output.flush()?;
        if !report.published {
            return Ok(if report.outcome == RunOutcome::Pinned { Verdict::Held } else { Verdict::Yes });
        }
        let catalog = Catalog::open(&job.store)?;
        let announced = catalog.read()?.streamed().find(|streamed| streamed.version == report.version).cloned();
        self.wait.wait(&catalog, report.version, announced.as_ref())?;
        Ok(Verdict::Yes)
    }
}

/// Arguments that `run` and `plan` share: the job, how it goes live, and the resources they may use.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// Give the job's parameter a value; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parsers::set)]
    set: Vec<(String, String)>,
    /// The time the data is as of: a date (its midnight in UTC) or a time in RFC 3339; the job's as_of if left out,
    /// or else the time of the build, which is compared with nothing
    #[arg(long, value_name = "D", value_parser = parsers::instant)]
    as_of: Option<Timestamp>,
    /// Build and check the version, but do not switch readers to it: `cutover publish STORE N` publishes it
    #[arg(long)]
    stage: bool,
    #[command(flatten)]
    allow: AllowArgs,
    /// Memory to use, such as 4GiB; half of what the machine or the container has if left out
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    memory: Option<u64>,
    /// Threads to use; one per processor, but at most one per 64 MiB of memory, if left out
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Directory for spill files; the store's own staging directory if left out
    #[arg(long, value_name = "DIR")]
    spill_dir: Option<PathBuf>,
    /// The URL of `-C`, which relative paths of data are below
    #[arg(skip)]
    root: Option<String>,
}

impl JobArgs {
    /// Bytes of memory the command may use.
    pub(super) fn memory(&self) -> u64 {
        self.memory.unwrap_or_else(default_memory)
    }

    /// Looks for the job's data below a URL.
    pub(super) fn below(&mut self, root: String) {
        self.root = Some(root);
    }

    /// The arguments of `cutover run` for the same job, without resources.
    pub(super) fn arguments(&self) -> Vec<String> {
        let root = self.root.iter().flat_map(|root| ["-C".to_owned(), root.clone()]);
        let sets = self.set.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]);
        let stage = self.stage.then(|| "--stage".to_owned());
        let as_of = self.as_of.iter().flat_map(|at| ["--as-of".to_owned(), at.to_string()]);
        let run = root.chain(["run".to_owned(), self.job.display().to_string()]).chain(sets);
        run.chain(as_of).chain(stage).chain(self.allow.words()).collect()
    }

    /// The arguments whose values a run of another day may need to be others.
    pub(super) fn fixed(&self) -> Vec<String> {
        let sets = self.set.iter().map(|(name, value)| format!("--set {name}={value}"));
        sets.chain(self.as_of.iter().map(|at| format!("--as-of {at}"))).collect()
    }

    /// Reads the job, and makes options with defaults for everything else.
    pub(super) fn load(self) -> Result<(Job, RunOptions)> {
        let resources = Resources::new(self.threads, self.memory)?;
        let options = RunOptions {
            spill_dir: self.spill_dir,
            as_of: self.as_of,
            stage: self.stage,
            allow: self.allow.read()?,
            ..RunOptions::new(resources)
        };
        let job = Job::load(&self.job, &parsers::sets(self.set)?)?;
        let job = match &self.root {
            Some(root) => job.below(root)?,
            None => job,
        };
        Ok((job, options))
    }
}
