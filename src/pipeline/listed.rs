//! A job and the files that it lists: all that shows whether a version of them exists already (`seems_built`).
//!
//! Files are listed, and the footers of Parquet files read. Rows of text files are not, nor is the query planned: a run
//! that has nothing to do ends before that.
//!
//! Not for: what only a build needs (`prepare`).

use super::RunOptions;
use super::as_of::AsOf;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{Current, State, VersionEntry};
use crate::input::{self, Input};
use crate::job::Job;
use crate::publish::PublishOptions;

/// A job with its files.
#[derive(Debug)]
pub(super) struct Listed<'r> {
    pub(super) job: &'r Job,
    pub(super) options: &'r RunOptions,
    pub(super) inputs: Vec<Input>,
    pub(super) job_digest: String,
    pub(super) input_digest: String,
}

impl<'r> Listed<'r> {
    pub(super) fn new(job: &'r Job, options: &'r RunOptions) -> Result<Self> {
        let inputs = input::resolve(&job.inputs)?;
        let contract = |input: &Input| input.contract.as_ref().map(input::Contract::to_text).unwrap_or_default();
        let contracts: Vec<String> = inputs.iter().map(contract).collect();
        Ok(Self { job, options, job_digest: job.digest(&contracts), input_digest: input::digest(&inputs), inputs })
    }

    /// The version that holds what this run would build, unless a rebuild is asked for: of the same job over the same
    /// inputs, and as of the same time where that is stated.
    pub(super) fn built(&self, current: &Current, as_of: AsOf) -> Option<(u64, State)> {
        let (version, state) = current.find_built(&self.job_digest, &self.input_digest)?;
        let dated = current.versions.get(&version).and_then(VersionEntry::dated);
        let same_time = as_of.stated().is_none_or(|stated| dated == Some(stated));
        (!self.options.rebuild && (same_time || state == State::RolledBack)).then_some((version, state))
    }

    /// Whether it looks as if that version were there; another command may change it at any time.
    pub(super) fn seems_built(&self, as_of: AsOf) -> Result<bool> {
        let catalog = Catalog::try_open(&self.job.store, &self.job.dataset)?;
        let current = catalog.map(|catalog| catalog.read()).transpose()?;
        Ok(current.is_some_and(|current| self.built(&current, as_of).is_some()))
    }

    /// How the version is published.
    pub(super) fn publish_options(&self) -> PublishOptions {
        let RunOptions { allow, progress, replicas, .. } = self.options;
        PublishOptions { allow: allow.clone(), progress: *progress, replicas: *replicas, ..PublishOptions::default() }
    }
}
