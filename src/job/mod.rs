//! The job file: what to build, read and checked before anything else happens.
//!
//! First stage of the flow. [`Job::load`] reads a TOML file (and the SQL file it may name), fills in parameters and
//! checks every rule that can be checked without data, so that later stages can rely on the result. All problems are
//! reported at once, each with its line.
//!
//! Not for: how to run (threads, memory, spill directory), which are flags of the command line; nor for input files,
//! which the input stage checks.
//!
//! Invariant: bad values are rejected, never repaired; every default is a named constant in `spec.rs`.

mod below;
mod change;
mod checks;
mod csv;
mod diagnostics;
mod digest;
mod inputs;
mod kafka;
mod output;
mod params;
mod parse;
mod partitions;
mod spec;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
pub(crate) mod text_file;
mod toml_section;
pub mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use below::joined;
pub use change::{Bound, Changes, DEFAULT_BOUNDS};
pub use kafka::is_topic;
pub use partitions::Partitions;
pub use spec::*;

use crate::error::Result;
use crate::format::{Kafka, Retention, Tables};

/// One job, checked. The machines of a cluster get it as JSON from the one that read its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Path of the job file, as given.
    pub path: PathBuf,
    /// Its content: a version keeps a copy.
    pub text: String,
    /// Name of the dataset that the job builds.
    pub dataset: String,
    /// Directory of the store, with every `${k}` filled in.
    pub store: PathBuf,
    /// The time that its data is as of; `None` if the job does not say.
    #[serde(skip)]
    pub as_of: Option<Timestamp>,
    /// Every parameter and its value, as given. A version records them, so they must not be secrets.
    pub sets: BTreeMap<String, String>,
    /// The inputs, ordered by name; at least one.
    pub inputs: Vec<InputSpec>,
    /// The query, with its `$k` unreplaced.
    pub sql: String,
    /// Where the query begins.
    pub sql_at: SqlAt,
    /// Value of every `$k` in the query, to be bound by the query stage.
    pub params: BTreeMap<String, String>,
    /// Keys, values and shards.
    pub output: Output,
    /// How table files are written.
    pub tables: Tables,
    /// What must hold before the flip.
    pub checks: Checks,
    /// Which versions are kept after it.
    pub retention: Retention,
    /// Where versions are streamed to, if anywhere.
    pub kafka: Option<Kafka>,
}

/// Where a query begins: in the job file, or in a separate file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlAt {
    /// The file.
    pub path: PathBuf,
    /// The line of its first character, counted from 1.
    pub line: usize,
}

impl Job {
    /// Reads the job file at `path`, with the parameters of this run.
    ///
    /// # Errors
    /// `Invalid` with every problem of the file, or when it cannot be a job file at all; `Unavailable` when the disk
    /// fails.
    pub fn load(path: &Path, sets: &BTreeMap<String, String>) -> Result<Job> {
        Job::parse(path, &text_file::read_text(path)?, sets, &text_file::read_text)
    }

    /// Reads a job from `text`; `path` is named in messages, and `read_sql` reads the file of `[query] file = …`.
    ///
    /// # Errors
    /// `Invalid` with every problem of the text.
    pub fn parse(
        path: &Path,
        text: &str,
        sets: &BTreeMap<String, String>,
        read_sql: &dyn Fn(&Path) -> Result<String>,
    ) -> Result<Job> {
        parse::parse(path, text, sets, read_sql)
    }

    /// Fingerprint, 32 hexadecimal digits, of everything except the input files that determines the output.
    ///
    /// `contracts` are the contents of the inputs' data contracts, in the order of [`Job::inputs`].
    pub fn digest(&self, contracts: &[String]) -> String {
        digest::digest(self, contracts)
    }
}
