//! Runs tasks on this machine: what a task needs to know is read from the store, and kept for the next one.
//!
//! ```text
//! task ─▶ recorded already? ─▶ the build's spec, inputs found and compared ─▶ map or build ─▶ record, put if absent
//! ```
//! An error that any machine would meet is written as a fault, which ends the build; any other one is returned, and the
//! task is tried again, here or elsewhere.
//!
//! Not for: where tasks come from (`cluster`).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::RunOptions;
use super::super::listed::Listed;
use super::attempt::{Attempt, Known};
use super::records::{FAULT, Fault, record_of};
use super::shares::Shares;
use super::{TaskKind, TaskSet, build, exchange, map};
use crate::catalog::{self, Remote, SharedWork};
use crate::error::{Error, Result};
use crate::objects::Settings;
use crate::progress::Progress;
use crate::resources::Resources;

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
                tracing::info!("{what}: {said}, {:.1} s", attempt.elapsed().as_secs_f64());
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
        let found = Listed {
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
