//! The reports of a run and a plan: for the screen, for `--json`, and for `report.json` in a version's directory.
//!
//! Plain data; `cli` formats it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::format::CheckResult;
use crate::input::Input;
use crate::objects::Traffic;
use crate::profile::ProfileChange;
use crate::progress::StageTimer;
use crate::query::Unspillable;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The new version is what readers see.
    Published,
    /// The same job over the same inputs is already what readers see; nothing was built.
    AlreadyPublished,
    /// A version of the same job over the same inputs was there, unpublished; it is what readers see now.
    AlreadyBuilt,
    /// The new version is complete, but the store is pinned; readers stay on their version.
    Pinned,
    /// The version is complete and unpublished, as requested; `cutover publish` takes its number.
    Staged,
}

impl RunOutcome {
    /// Whether readers see the version.
    pub fn is_live(self) -> bool {
        match self {
            Self::Published | Self::AlreadyPublished | Self::AlreadyBuilt => true,
            Self::Pinned | Self::Staged => false,
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The dataset.
    pub dataset: String,
    /// Directory of its store.
    pub store: PathBuf,
    /// How it ended.
    #[serde(rename = "how")]
    pub outcome: RunOutcome,
    /// Whether readers see the version.
    pub published: bool,
    /// The command that publishes the version, if it is not published.
    pub publish_with: Option<String>,
    /// The version that was built, or that existed.
    pub version: u64,
    /// The version readers saw before.
    pub previous: Option<u64>,
    /// Entries of the version.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes of the files of its tables.
    pub disk_bytes: u64,
    /// Bytes that all of it takes on disk, as `versions` and `show` count them.
    pub stored_bytes: u64,
    /// Its files.
    pub files: usize,
    /// Its shards.
    pub shards: u32,
    /// Digest of all entries.
    pub digest: String,
    /// The time of the data.
    pub as_of: String,
    /// Whether the job or a flag stated it; otherwise it is the clock's.
    pub as_of_stated: bool,
    /// Values of the job's parameters.
    pub params: BTreeMap<String, String>,
    /// Warnings about going live: sentences.
    pub notes: Vec<String>,
    /// What was read.
    pub inputs: Vec<InputReport>,
    /// How long each stage took.
    pub stages: Vec<StageReport>,
    /// What the checks found.
    pub checks: Vec<CheckResult>,
    /// The measures that changed most since the previous version.
    pub moved: Vec<ProfileChange>,
    /// The prediction; none if nothing was built.
    pub predicted: Option<Prediction>,
    /// The most memory the process held, in bytes, without pages of files.
    pub peak_memory: u64,
    /// Bytes the shuffle wrote to the spill directory.
    pub spilled_bytes: u64,
    /// How the memory was divided; none if nothing was built.
    pub memory: Option<MemoryReport>,
    /// The part that an unfinished earlier run had done; none if everything was done now.
    pub resumed: Option<ResumeReport>,
    /// Why an unfinished earlier run could not be resumed: a sentence.
    pub not_resumed: Option<String>,
    /// What the machines of a cluster did; none if this machine built the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterReport>,
    /// Versions that retention removed.
    pub removed: Vec<u64>,
    /// What was announced to the consumers of the topic; none if the store is not streamed.
    pub kafka: Option<KafkaReport>,
    /// What was read from object stores; none if all inputs are local.
    pub object_reads: Option<ObjectTraffic>,
    /// What went to the object store of the store; none if it is local.
    pub object_writes: Option<ObjectTraffic>,
}

/// What a version will ask of an object store, about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectStoreForecast {
    /// Requests of the run that builds and publishes it.
    pub requests: u64,
    /// Bytes that the run sends.
    pub sent_bytes: u64,
    /// Bytes that each host receives that pulls it.
    pub pulled_bytes: u64,
    /// Requests of each such host.
    pub pull_requests: u64,
}

/// How a cluster would divide a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterPlan {
    /// The input that is divided, if one is.
    pub shared: Option<String>,
    /// By which columns inputs are exchanged. If none is, and none divided, one task runs the whole query.
    pub exchanged: BTreeMap<String, String>,
    /// Bytes of those inputs.
    pub bytes: u64,
    /// Tasks that exchange rows before the query.
    pub scan_tasks: u64,
    /// Tasks that run the query.
    pub map_tasks: u64,
    /// Shards, one task each.
    pub build_tasks: u64,
    /// Requests for parts of runs, at most.
    pub reads: u64,
}

/// What a run on a cluster did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterReport {
    /// Tasks that exchanged rows before the query.
    pub scan_tasks: usize,
    /// Those that an earlier run had done.
    pub scan_tasks_resumed: usize,
    /// Map tasks.
    pub map_tasks: usize,
    /// Those that an earlier run had done.
    pub map_tasks_resumed: usize,
    /// Shards that were built.
    pub build_tasks: usize,
    /// Those that an earlier run had built.
    pub build_tasks_resumed: usize,
    /// The input that was divided, if one was.
    pub shared: Option<String>,
    /// By which columns inputs were exchanged. If none was, and none divided, one task ran the whole query.
    pub exchanged: BTreeMap<String, String>,
    /// Machines that did tasks.
    pub executors: usize,
    /// Attempts at tasks that failed, or were lost with their machine, and were repeated.
    pub retries: usize,
    /// The tasks that took longest: a sentence each.
    pub slowest: Vec<String>,
    /// Entries of the largest shard, divided by the mean.
    pub skew: f64,
}

/// What went to or came from object stores, by all requests, those that were repeated included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectTraffic {
    /// Requests: listings, looks at objects, reads and writes.
    pub requests: u64,
    /// Bytes that were received, of what was read, or sent, of what was written.
    pub bytes: u64,
}

impl ObjectTraffic {
    /// What was read of these inputs so far; none if all are local.
    pub fn read(inputs: &[Input]) -> Option<Self> {
        crate::input::traffic(inputs).map(|traffic| Self { requests: traffic.requests, bytes: traffic.received })
    }

    /// What was sent to a store so far; requests that read it count, too.
    pub fn sent(traffic: Traffic) -> Self {
        Self { requests: traffic.requests, bytes: traffic.sent }
    }
}

/// Where a version is on Kafka.
#[derive(Clone, Debug, Serialize)]
pub struct KafkaReport {
    /// The topic that holds its entries.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Entries in it.
    pub rows: u64,
    /// Whether it was streamed now; otherwise it already was.
    pub streamed: bool,
}

/// The work of an earlier run that was resumed: its shuffle, and some of its ranges.
#[derive(Clone, Debug, Serialize)]
pub struct ResumeReport {
    /// The id of the build, which is now the version's.
    pub build: String,
    /// Ranges that were already finished.
    pub ranges: usize,
    /// Ranges in all.
    pub of_ranges: usize,
}

/// How the memory of a run was divided, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// The budget of the run.
    pub budget: u64,
    /// The share for joins, groups and sorts.
    pub query_share: u64,
    /// The most they used at a time.
    pub query_peak: u64,
    /// Bytes they wrote to the spill directory.
    pub query_spilled_bytes: u64,
    /// The share for the entries of the shuffle.
    pub shuffle_share: u64,
    /// The share for table builders.
    pub tables_share: u64,
}

/// What `report.json` in a version's directory says about the run that built it.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// What was read.
    pub inputs: Vec<InputReport>,
    /// How long each stage took, up to the version's completion.
    pub stages: Vec<StageReport>,
    /// The prediction.
    pub predicted: Option<Prediction>,
    /// Entries of the version.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The most memory the process held, in bytes, without pages of files.
    pub peak_memory: u64,
    /// Bytes the shuffle wrote to the spill directory.
    pub spilled_bytes: u64,
    /// How the memory was divided.
    pub memory: Option<MemoryReport>,
    /// The part that an earlier run had done.
    pub resumed: Option<ResumeReport>,
    /// What was read from object stores; none if all inputs are local.
    pub object_reads: Option<ObjectTraffic>,
}

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// How a cluster would share the job out, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterPlan>,
    /// The dataset.
    pub dataset: String,
    /// Directory of its store.
    pub store: PathBuf,
    /// What would happen, in a sentence.
    pub would: String,
    /// Warnings about what is read and about going live: sentences.
    pub notes: Vec<String>,
    /// What would happen to the work of an unfinished run: a sentence.
    pub resumes: Option<String>,
    /// What would be read.
    pub inputs: Vec<InputReport>,
    /// What the plan itself read from object stores; none if all inputs are local.
    pub object_reads: Option<ObjectTraffic>,
    /// What a run would ask of the store's object store; none if the store is local, or the size of a version is not
    /// known.
    pub object_store: Option<ObjectStoreForecast>,
    /// The query's operators, as indented text.
    pub plan: String,
    /// Operators that hold an input in memory and cannot spill.
    pub unspillable: Vec<Unspillable>,
    /// Key columns and their types.
    pub key: Vec<(String, String)>,
    /// Value columns and their types.
    pub value: Vec<(String, String)>,
    /// The predicted result.
    pub predicted: Prediction,
    /// Bytes that would go through the shuffle; none, like the sizes below, if nothing is known about the result.
    pub entries_bytes: Option<u64>,
    /// Bytes the shuffle would write to the spill directory; 0 if its share of the memory is enough.
    pub spill_bytes: Option<u64>,
    /// Bytes of disk the store needs for the new version, before compression.
    pub disk_bytes: Option<u64>,
    /// Bytes its files will have, compressed.
    pub stored_bytes: Option<u64>,
    /// The basis of that; none if the compression ratio is unknown, and uncompressed bytes are given.
    pub stored_from: Option<String>,
    /// Seconds it will take; none if no version of the dataset is a basis.
    pub seconds: Option<f64>,
    /// The basis of that.
    pub seconds_from: Option<String>,
    /// Whether this machine has what it needs.
    pub fits: Fits,
    /// Bytes of memory the run may use.
    pub memory_budget: u64,
    /// The share of the query's operators.
    pub query_memory: u64,
    /// Threads it may use.
    pub threads: usize,
    /// A few rows of the query's result.
    pub preview: Vec<serde_json::Value>,
}

/// Whether a run fits this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Fits {
    /// Whether there is enough memory.
    pub memory: bool,
    /// Whether there is enough free disk space; none if the size of the result is not known.
    pub disk: Option<bool>,
    /// What is missing, a sentence each.
    pub problems: Vec<String>,
}

/// What was read of one input.
#[derive(Clone, Debug, Serialize)]
pub struct InputReport {
    /// Its name.
    pub name: String,
    /// Its files.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Rows in them, if their footers say.
    pub rows: Option<u64>,
    /// The partitions that the job names; empty if it reads all.
    pub partitions: Vec<String>,
}

impl From<&Input> for InputReport {
    fn from(input: &Input) -> Self {
        let partitions = input.partitions.iter().flat_map(|named| named.all()).collect();
        let (name, files) = (input.name.clone(), input.files.len());
        Self { name, files, bytes: input.bytes(), rows: input.rows(), partitions }
    }
}

/// How long a stage took.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// The stage.
    pub name: String,
    /// Seconds it took.
    pub seconds: f64,
    /// Rows it processed; 0 if it counts none.
    pub rows: u64,
}

impl From<&StageTimer> for StageReport {
    fn from(stage: &StageTimer) -> Self {
        Self { name: stage.name.to_owned(), seconds: stage.took.as_secs_f64(), rows: stage.rows }
    }
}

/// The prediction for a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prediction {
    /// Entries of the version; none if nothing is known about them.
    pub rows: Option<u64>,
    /// Bytes of their keys and values; none if nothing is known about them.
    pub bytes: Option<u64>,
    /// The most memory the process will hold, in bytes.
    pub memory: u64,
    /// The basis of the prediction.
    pub basis: String,
}
