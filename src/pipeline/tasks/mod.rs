//! A build on several machines, as tasks: what each one does, and what it leaves in the store.
//!
//! ```text
//!  driver                         tasks, on any machine                          the store, below the build
//!  if rows are combined ────────▶ scan i: rows of one input, partitioned by a column ▶ work/runs/…  work/scan/i.json
//!  share out one input ─────────▶ map p: query ▸ encode ▸ shuffle ─▶ one run ──▶ work/runs/…  work/map/p.json
//!  all maps recorded: plans ──────────────────────────────────────────────────▶ work/plan/s.json
//!                      ─────────▶ build s: parts of all runs ▸ merge ▸ tables ─▶ attempt-…/    work/built/s.json
//!  all shards recorded: sums, rules, manifest, flip
//! ```
//! A task is done when its record exists, and records are put if absent: of several attempts the first one counts, and
//! the others delete what they wrote. Every machine plans the job's SQL itself, with this program's own rules, over its
//! share of one input; the sealed run is the only hand-over. A driver that dies leaves records, which the next one
//! finds.
//!
//! Not for: how tasks reach machines (`cluster`): here a [`Cluster`] is whatever runs them.

mod attempt;
mod build;
mod driver;
mod exchange;
mod map;
mod plans;
mod records;
mod shares;
mod start;
mod summary;
mod worker;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::error::Result;

pub(super) use driver::{plan, refuse_local, run_stages, tidy};
pub(super) use shares::Shares;
pub(super) use start::start;
pub use worker::Worker;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Exchanges a share of one input: parts its rows by a column.
    Scan,
    /// Runs the query over a share of the inputs, and leaves a sorted run.
    Map,
    /// Builds a shard of all runs.
    Build,
}

impl TaskKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Map => "map",
            Self::Build => "build",
        }
    }
}

/// Tasks of one kind of one build, which differ in their numbers. No credentials are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSet {
    /// The URL of the store.
    pub store: String,
    /// The build's ID.
    pub build: String,
    /// What they do.
    pub kind: TaskKind,
}

/// Machines that run tasks.
pub trait Cluster: Debug + Send + Sync {
    /// Runs the tasks with these numbers, each at least once. `left` says which of them have no record yet; when none
    /// is left, all is done, whatever the machines say.
    ///
    /// # Errors
    /// `Unavailable` when there are no machines, or tasks fail again and again; those of `left`; `Stopped` after a
    /// signal.
    fn run(&self, tasks: &TaskSet, numbers: &[u64], left: &mut dyn FnMut() -> Result<Vec<u64>>) -> Result<()>;

    /// What is known of the machines now.
    fn machines(&self) -> Machines;
}

/// What is known of machines that run tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machines {
    /// Those that are there now.
    pub executors: usize,
    /// Attempts at tasks so far that failed, or were lost with their machine.
    pub retries: usize,
}

/// What identifies this program: tasks of one build are run by one and the same.
pub fn program() -> String {
    /// Versions of everything that it is built of.
    const LOCK: &[u8] = include_bytes!("../../../Cargo.lock");
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), xxhash_rust::xxh3::xxh3_64(LOCK))
}
