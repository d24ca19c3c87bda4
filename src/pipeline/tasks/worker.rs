//! Runs tasks on this machine: what a task needs to know is read from the store, and kept for the next one.
//!
//! ```text
//! task ─▶ recorded already? ─▶ the build's spec, inputs found and compared ─▶ map or build ─▶ record, put if absent
//! ```
//! An error that any machine would meet is written as a fault, which ends the build; any other one is returned, and the
//! task is tried again, here or elsewhere.
//!
//! Not for: where tasks come from (`cluster`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::super::RunOptions;
use super::super::found::Found;
use super::records::{Done, FAULT, Fault, PlannedPart, SPEC, Spec, new_attempt, record_of};
use super::shares::Shares;
use super::{TaskKind, TaskSet, build, exchange, map};
use crate::catalog::{self, PartDownload, Remote, SharedWork};
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::input::{self, Input};
use crate::objects::{Location, Scheme, Settings};
use crate::progress::Progress;
use crate::resources::Resources;
use crate::shuffle::PartFile;

/// Runs tasks.
#[derive(Debug)]
pub struct Worker {
    /// What one task may use.
    options: RunOptions,
    scratch: PathBuf,
    name: String,
    /// The build of the last task.
    known: Mutex<Option<Arc<Known>>>,
}

/// What is known of a build.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) work: SharedWork,
    pub(super) spec: Spec,
    pub(super) inputs: Vec<Input>,
}

/// One attempt at a task: its name, and its own directory, which is removed in the end.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    began: Instant,
    executor: String,
}

impl Worker {
    /// A worker whose tasks use these resources each, and directories below `scratch`.
    pub fn new(resources: Resources, scratch: PathBuf) -> Self {
        let options = RunOptions { progress: Progress::Silent, ..RunOptions::new(resources) };
        let name = format!("{}:{}", catalog::host(), std::process::id());
        Self { options, scratch, name, known: Mutex::default() }
    }

    /// Its name: the host and the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a task, unless it is recorded already. When it returns, there is a record of the task or a fault of the
    /// build.
    ///
    /// # Errors
    /// `Unavailable`, `Conflict`, `Corrupt` and `Stopped`: another attempt may succeed.
    pub fn run(&self, tasks: &TaskSet, number: u64) -> Result<()> {
        let work = Remote::open(&tasks.store, &Settings::from_env())?.shared_work(&tasks.build);
        if work.has(&record_of(tasks.kind, number))? {
            return Ok(());
        }
        let attempt = Attempt::new(&self.scratch, &self.name)?;
        let done = self.attempt(&work, tasks.kind, number, &attempt);
        let what = format!("{} {number} of {}", tasks.kind.name(), tasks.build);
        match done {
            Ok(said) => {
                tracing::info!("{what}: {said}, {:.1} s", attempt.began.elapsed().as_secs_f64());
                Ok(())
            }
            Err(error) => {
                tracing::warn!("{what} failed: {}", error.chain().join(": "));
                let error = error.during(format!("{what} failed on {}", self.name));
                match Fault::of(&error, attempt.name.clone()) {
                    Some(fault) => work.put_once(FAULT, &fault).map(drop),
                    None => Err(error),
                }
            }
        }
    }

    fn attempt(&self, work: &SharedWork, kind: TaskKind, number: u64, attempt: &Attempt) -> Result<String> {
        let known = self.known(work)?;
        let runtime = self.options.resources.query_runtime()?;
        let spec = &known.spec;
        let exchange = || spec.exchange.as_ref().ok_or_else(|| Error::internal("there is no exchange"));
        let inputs = match kind {
            TaskKind::Scan => {
                return exchange::scan(&known, (exchange()?, number), &self.options, &runtime, attempt);
            }
            TaskKind::Map if spec.exchange.is_some() => {
                exchange::inputs(&known, (exchange()?, number), &self.options.resources, attempt)?
            }
            TaskKind::Map => {
                let share = usize::try_from(number).ok().and_then(|number| spec.shares.get(number));
                let share = share.ok_or_else(|| Error::internal(format!("there is no map task {number}")))?;
                Shares::inputs(&known.inputs, spec.shared.as_deref(), share)
            }
            TaskKind::Build => known.inputs.clone(),
        };
        let found = Found {
            job: &spec.job,
            options: &self.options,
            inputs,
            job_digest: spec.job_digest.clone(),
            input_digest: spec.input_digest.clone(),
        };
        match kind {
            TaskKind::Build => build::run(&known, found, &runtime, number, attempt),
            TaskKind::Scan | TaskKind::Map => map::run(&known, found, &runtime, number, attempt),
        }
    }

    /// What is known of the build: of another one than before, its inputs are found.
    fn known(&self, work: &SharedWork) -> Result<Arc<Known>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.work.build_id() == work.build_id()) {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(Known::find(work, &self.scratch, self.options.resources.threads)?);
        *known = Some(Arc::clone(&found));
        Ok(found)
    }
}

impl Known {
    fn find(work: &SharedWork, scratch: &Path, threads: usize) -> Result<Self> {
        let spec: Option<Spec> = work.get(SPEC)?;
        let mut spec = spec.ok_or_else(|| {
            Error::unavailable(format!("build {} is not there any more: its driver has ended", work.build_id()))
        })?;
        for input in &spec.job.inputs {
            let scheme = Location::parse(&input.path).map(|location| location.scheme()).ok();
            if scheme.is_none_or(|scheme| scheme == Scheme::File) {
                return Err(Error::invalid(format!(
                    "input {}: {} is a local path, which an executor does not read: only object stores are seen by all \
                     machines",
                    input.name, input.path
                )));
            }
        }
        let directory = scratch.join("contracts").join(work.build_id());
        durable_file::create_dir_durable(&directory)?;
        for (input, contract) in spec.job.inputs.iter_mut().zip(&spec.contracts) {
            if let Some(text) = contract {
                let path = directory.join(format!("{}.json", input.name));
                std::fs::write(&path, text).io("write", &path)?;
                input.schema = Some(path);
            }
        }
        let inputs = input::resolve(&spec.job.inputs)?;
        for (input, expected) in inputs.iter().zip(&spec.parts) {
            input.survey(threads)?;
            if input.parts_fingerprint() != *expected {
                return Err(changed(&input.name));
            }
        }
        match input::digest(&inputs) == spec.input_digest {
            true => Ok(Self { work: work.clone(), spec, inputs }),
            false => Err(changed("files")),
        }
    }
}

fn changed(what: &str) -> Error {
    Error::input(format!(
        "the inputs ({what}) are not those that the driver found: they changed during the run. Run again when their writer \
         is done"
    ))
}

impl Attempt {
    fn new(scratch: &Path, executor: &str) -> Result<Self> {
        let name = new_attempt()?;
        let directory = scratch.join(&name);
        durable_file::create_dir_durable(&directory)?;
        Ok(Self { name, directory, began: Instant::now(), executor: executor.to_owned() })
    }

    /// Who did it, and how long it took so far.
    pub(super) fn done(&self) -> Done {
        Done { executor: self.executor.clone(), millis: self.began.elapsed().as_millis() as u64 }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        super::super::spill_dir::remove(&self.directory);
    }
}

/// Writes the record of a task; if another attempt was first, `undo` removes what this one wrote.
pub(super) fn record(
    work: &SharedWork,
    (kind, number): (TaskKind, u64),
    record: &impl serde::Serialize,
    undo: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let won = work.put_once(&record_of(kind, number), record)?;
    if !won {
        undo()?;
    }
    Ok(won)
}

/// Downloads parts of runs into a directory, which is made.
///
/// # Errors
/// As those of reads of the store.
pub(super) fn fetch(known: &Known, parts: &[PlannedPart], directory: &Path) -> Result<Vec<PartFile>> {
    durable_file::create_dir_durable(directory)?;
    let file = |(number, planned): (usize, &PlannedPart)| PartDownload {
        path: planned.run.clone(),
        range: planned.part.from..planned.part.to,
        local: directory.join(format!("part-{number:05}")),
    };
    let downloads: Vec<PartDownload> = parts.iter().enumerate().map(file).collect();
    known.work.download_parts(&downloads)?;
    let file = |(download, planned): (PartDownload, &PlannedPart)| PartFile {
        path: download.local,
        largest_block: planned.largest_block,
        part: planned.part,
    };
    Ok(downloads.into_iter().zip(parts).map(file).collect())
}
