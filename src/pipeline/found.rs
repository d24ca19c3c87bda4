//! A job and the files that it reads: all that tells whether a version of them is there already.
//!
//! Files are listed, and the footers of Parquet files read. Rows of text files are not, nor is the query planned: a run
//! that has nothing to do ends before that.
//!
//! Not for: what only a build needs (`prepare`).

use super::RunOptions;
use super::as_of::AsOf;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{Current, Manifest, State, VersionEntry};
use crate::input::{self, Input};
use crate::job::Job;
use crate::publish::PublishOptions;
use crate::report::{InputReport, ObjectReads, Outcome, RunReport};
use crate::resources::peak_memory;

/// A job with its files.
#[derive(Debug)]
pub(super) struct Found<'r> {
    pub(super) job: &'r Job,
    pub(super) options: &'r RunOptions,
    pub(super) inputs: Vec<Input>,
    pub(super) job_digest: String,
    pub(super) input_digest: String,
}

impl<'r> Found<'r> {
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
        let RunOptions { allow, progress, .. } = self.options;
        PublishOptions { allow: allow.clone(), progress: *progress, ..PublishOptions::default() }
    }

    /// What a run that ended with this version tells.
    pub(super) fn report(&self, manifest: &Manifest, outcome: Outcome, previous: Option<u64>) -> RunReport {
        let files = || manifest.shards.iter().flat_map(|shard| &shard.files);
        RunReport {
            dataset: manifest.dataset.clone(),
            store: self.job.store.clone(),
            outcome,
            published: outcome.is_live(),
            publish_with: None,
            version: manifest.version,
            previous: previous.filter(|previous| *previous != manifest.version),
            rows: manifest.rows,
            bytes: manifest.bytes,
            disk_bytes: files().map(|file| file.bytes).sum(),
            files: files().count(),
            shards: manifest.shard_count,
            digest: manifest.digest.to_string(),
            as_of: manifest.as_of.to_string(),
            as_of_stated: manifest.as_of_stated,
            params: self.job.sets.clone(),
            notes: Vec::new(),
            inputs: self.inputs.iter().map(|input| told(input, manifest)).collect(),
            stages: Vec::new(),
            checks: manifest.checks.clone(),
            moved: Vec::new(),
            predicted: None,
            peak_memory: peak_memory(),
            spilled_bytes: 0,
            memory: None,
            resumed: None,
            cluster: None,
            not_resumed: None,
            removed: Vec::new(),
            kafka: None,
            object_reads: ObjectReads::of(&self.inputs),
        }
    }
}

/// What is told of an input; of rows that were not counted, what the version says.
fn told(input: &Input, manifest: &Manifest) -> InputReport {
    let files = manifest.inputs.iter().filter(|file| file.input == input.name);
    let counted = || files.map(|file| file.rows).sum::<Option<u64>>();
    InputReport { rows: input.rows().or_else(counted), ..InputReport::from(input) }
}
