//! How a run ended, and all that is reported of it: its report and the `report.json` of the version are made here, and
//! nowhere else.
//!
//! Not for: the manifest (`prepare`), and the words on a screen (`cli`).

use super::as_of;
use super::listed::Listed;
use super::prepare::Prepared;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::Manifest;
use crate::input::Input;
use crate::profile::ProfileChange;
use crate::progress::StageTimer;
use crate::publish::Published;
use crate::report::{
    BuildReport, ClusterReport, InputReport, KafkaReport, MemoryReport, ObjectTraffic, Prediction, ResumeReport,
    RunOutcome, RunReport, StageReport,
};
use crate::resources::peak_memory;

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: RunOutcome,
    /// The manifest of the version.
    pub(super) manifest: Manifest,
    /// What readers saw before.
    pub(super) previous: Option<u64>,
    /// None if nothing was built.
    pub(super) built: Option<BuildStats>,
    /// None if nothing was published.
    pub(super) published: Option<Published>,
    /// Warnings about going live: sentences.
    pub(super) notes: Vec<String>,
    /// Versions that retention removed.
    pub(super) removed: Vec<u64>,
}

/// What a build found out, beyond its manifest.
#[derive(Debug)]
pub(super) struct BuildStats {
    /// None on a cluster, which predicts nothing.
    pub(super) predicted: Option<Prediction>,
    /// The measures that changed most since the previous version.
    pub(super) moved: Vec<ProfileChange>,
    /// Bytes the shuffle wrote to the spill directory.
    pub(super) spilled_bytes: u64,
    pub(super) memory: MemoryReport,
    pub(super) resumed: Option<ResumeReport>,
    /// Why an unfinished earlier build could not be resumed: a sentence.
    pub(super) not_resumed: Option<String>,
    pub(super) stages: Vec<StageReport>,
    /// None if this machine built.
    pub(super) cluster: Option<ClusterReport>,
}

impl Ended {
    /// With a version that was neither built nor published now.
    pub(super) fn new(outcome: RunOutcome, manifest: Manifest, previous: Option<u64>) -> Self {
        let (notes, removed) = (Vec::new(), Vec::new());
        Self { outcome, manifest, previous, built: None, published: None, notes, removed }
    }

    /// The report of the run.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the store cannot be read.
    pub(super) fn report(self, found: &Listed<'_>, catalog: &Catalog) -> Result<RunReport> {
        let Self { outcome, manifest, previous, built, published, notes, removed } = self;
        let publish_with = match outcome.is_live() {
            true => None,
            false => Some(as_of::publish_command(catalog, manifest.version)?),
        };
        // Of a version on an object store, whose files are listed by requests, the tables alone are counted.
        let stored_bytes = match catalog.remote() {
            None => catalog.stored_bytes(&catalog.read()?, manifest.version)?,
            Some(_) => manifest.disk_bytes(),
        };
        let streamed = published.as_ref().and_then(stream_stage);
        let stages = built.iter().flat_map(|built| built.stages.iter().cloned()).chain(streamed).collect();
        Ok(RunReport {
            dataset: manifest.dataset.clone(),
            store: found.job.store.clone(),
            outcome,
            published: outcome.is_live(),
            publish_with,
            version: manifest.version,
            previous: previous.filter(|previous| *previous != manifest.version),
            rows: manifest.rows,
            bytes: manifest.bytes,
            disk_bytes: manifest.disk_bytes(),
            stored_bytes,
            files: manifest.files().count(),
            shards: manifest.shard_count,
            digest: manifest.digest.to_string(),
            as_of: manifest.as_of.to_string(),
            as_of_stated: manifest.as_of_stated,
            params: found.job.sets.clone(),
            notes,
            inputs: inputs(found, &manifest),
            stages,
            predicted: built.as_ref().and_then(|built| built.predicted.clone()),
            peak_memory: peak_memory(),
            spilled_bytes: built.as_ref().map_or(0, |built| built.spilled_bytes),
            memory: built.as_ref().map(|built| built.memory),
            cluster: built.as_ref().and_then(|built| built.cluster.clone()),
            resumed: built.as_ref().and_then(|built| built.resumed.clone()),
            not_resumed: built.as_ref().and_then(|built| built.not_resumed.clone()),
            moved: built.map(|built| built.moved).unwrap_or_default(),
            checks: manifest.checks,
            removed,
            kafka: published.as_ref().and_then(kafka),
            object_reads: ObjectTraffic::read(&found.inputs),
            object_writes: catalog.remote().map(|remote| ObjectTraffic::sent(remote.traffic())),
        })
    }
}

impl BuildStats {
    /// What the version's directory keeps about the run: all that is known before the version has a number.
    pub(super) fn report(&self, prepared: &Prepared<'_>, manifest: &Manifest) -> BuildReport {
        BuildReport {
            inputs: inputs(prepared, manifest),
            stages: self.stages.clone(),
            predicted: self.predicted.clone(),
            rows: manifest.rows,
            bytes: manifest.bytes,
            peak_memory: peak_memory(),
            spilled_bytes: self.spilled_bytes,
            memory: Some(self.memory),
            resumed: self.resumed.clone(),
            object_reads: ObjectTraffic::read(&prepared.inputs),
        }
    }
}

/// What was read; rows that were not counted now are as the version says.
fn inputs(found: &Listed<'_>, manifest: &Manifest) -> Vec<InputReport> {
    let described = |input: &Input| {
        let files = manifest.inputs.iter().filter(|file| file.input == input.name);
        let counted = || files.map(|file| file.rows).sum::<Option<u64>>();
        InputReport { rows: input.rows().or_else(counted), ..InputReport::from(input) }
    };
    found.inputs.iter().map(described).collect()
}

/// The time that streaming to Kafka took, as a stage.
fn stream_stage(published: &Published) -> Option<StageReport> {
    let rows = published.announced.as_ref().map_or(0, |announced| announced.rows);
    published.streaming.map(|took| StageReport::from(&StageTimer { name: "stream", rows, took }))
}

/// What was announced to the consumers of the topic.
fn kafka(published: &Published) -> Option<KafkaReport> {
    published.announced.as_ref().map(|announced| KafkaReport {
        topic: announced.topic.clone(),
        partitions: announced.partitions.len(),
        rows: announced.rows,
        streamed: published.streaming.is_some(),
    })
}
