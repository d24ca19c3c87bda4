//! The job file: what to build, read and checked before anything else happens.
//!
//! First stage of the flow. [`Job::load`] reads a TOML file (and the SQL file it may name), fills in parameters and
//! checks every rule that can be checked without data; what it returns can be trusted by all later stages. All mistakes
//! are told at once, each with its line.
//!
//! Not for: how to run here (threads, memory, spill directory), which are flags of the command line; nor for looking at
//! input files, which the input stage does.
//! Invariant: bad values are rejected, never repaired; every default is a named constant in `spec.rs`.

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

pub use change::{Bound, Changes, DEFAULT_BOUNDS};
pub use kafka::is_topic;
pub use partitions::Partitions;
pub use spec::*;

use crate::error::Result;
use crate::format::{Kafka, Retention, Tables};

/// One job, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The job file, as it was named.
    pub path: PathBuf,
    /// Its text, as it was read: a version keeps a copy.
    pub text: String,
    /// Name of what the job builds.
    pub dataset: String,
    /// Directory of the store, with every `${k}` filled in.
    pub store: PathBuf,
    /// The time its data speaks for; none: the job does not say.
    pub as_of: Option<Timestamp>,
    /// Every parameter and its value, as given. A version records them, so they are no place for secrets.
    pub sets: BTreeMap<String, String>,
    /// What is read, ordered by name; at least one.
    pub inputs: Vec<InputSpec>,
    /// The query, with its `$k` still in it.
    pub sql: String,
    /// Where its text begins.
    pub sql_at: SqlAt,
    /// Value of every `$k` in the query, to be bound by the query stage.
    pub params: BTreeMap<String, String>,
    /// Keys, values and shards.
    pub output: Output,
    /// How table files are written.
    pub tables: Tables,
    /// What must hold before the flip.
    pub checks: Checks,
    /// What stays after it.
    pub retention: Retention,
    /// Where versions are streamed to; none: nowhere.
    pub kafka: Option<Kafka>,
}

/// Where the text of a query begins: in the job file, or in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlAt {
    /// The file.
    pub path: PathBuf,
    /// The line of the text's first letter, counted from 1.
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

    /// Reads a job from `text`; `path` stands in messages, and `read_sql` reads the file of `[query] file = …`.
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

    /// Fingerprint, 32 hexadecimal digits, of everything that determines the output besides the input files.
    ///
    /// `contracts` are the texts of the inputs' data contracts, in the order of [`Job::inputs`].
    pub fn digest(&self, contracts: &[String]) -> String {
        digest::digest(self, contracts)
    }
}
