//! What tasks and the driver leave in the store: the types of all records.
//!
//! Every record has the name of the attempt that wrote it, so that two attempts never write the same bytes. Records are
//! read only by the program that wrote them: a build is not continued by another one.
//!
//! Not for: the manifest, which outlives the work.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::catalog::SharedWork;
use crate::error::{Error, Kind, Result};
use crate::format::{LargestEntry, ShardEntry};
use crate::job::Job;
use crate::query::{ExchangeColumns, PortableScan, Usage};
use crate::random;
use crate::shuffle::ShardPart;

use super::super::measures::PortableMeasures;
use super::TaskKind;

/// The path of what tasks have to know of the build.
pub(super) const SPEC: &str = "spec.json";
/// The path of the fault that ended the build, if there is one.
pub(super) const FAULT: &str = "fault.json";

/// What all tasks of a build have to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The attempt that wrote it.
    pub(super) attempt: String,
    /// The job, with its data below URLs, and without Kafka.
    pub(super) job: Job,
    /// The content of each input's contract.
    pub(super) contracts: Vec<Option<String>>,
    pub(super) job_digest: String,
    pub(super) input_digest: String,
    /// Fingerprint of each input's parts.
    pub(super) parts: Vec<u64>,
    /// The input that is shared out, if any.
    pub(super) shared: Option<String>,
    /// The parts of it that each map task reads.
    pub(super) shares: Vec<Range<u64>>,
    /// The exchange before the query, if it needs one.
    pub(super) exchange: Option<ExchangeSpec>,
}

/// An exchange of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pipeline) struct ExchangeSpec {
    /// By which column each input is parted.
    pub(in crate::pipeline) columns: ExchangeColumns,
    /// The columns of each that the query reads.
    pub(in crate::pipeline) read: BTreeMap<String, Vec<String>>,
    /// What each scan task reads: an input, and parts of it.
    pub(in crate::pipeline) scans: Vec<(String, Range<u64>)>,
    /// Parts that the rows are put into: one per map task.
    pub(in crate::pipeline) partitions: u32,
}

/// A scan task that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ScanRecord {
    pub(super) attempt: String,
    pub(super) input: String,
    pub(super) run: RunObject,
    pub(super) spilled_bytes: u64,
    pub(super) inputs: Vec<PortableScan>,
    pub(super) done: Done,
}

/// What a map task reads of the inputs that were exchanged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExchangePlan {
    pub(super) attempt: String,
    pub(super) parts: Vec<(String, PlannedPart)>,
}

/// A map task that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MapRecord {
    pub(super) attempt: String,
    pub(super) run: RunObject,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) spilled_bytes: u64,
    pub(super) query: Usage,
    pub(super) measures: PortableMeasures,
    pub(super) done: Done,
}

/// A sorted run in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunObject {
    /// Its path below the work; none if the task has no entries.
    pub(super) path: Option<String>,
    pub(super) largest_block: usize,
    pub(super) parts: Vec<ShardPart>,
}

/// What a shard is built from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ShardPlan {
    pub(super) attempt: String,
    pub(super) parts: Vec<PlannedPart>,
}

/// A part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlannedPart {
    pub(super) run: String,
    pub(super) largest_block: usize,
    pub(super) part: ShardPart,
}

/// A shard that is built and uploaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BuiltRecord {
    pub(super) attempt: String,
    pub(super) entry: ShardEntry,
    pub(super) largest: Option<LargestEntry>,
    pub(super) done: Done,
}

/// Which machine did a task, and how long it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) executor: String,
    pub(super) millis: u64,
}

/// Why a build cannot succeed, however often it is tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) attempt: String,
    kind: String,
    messages: Vec<String>,
}

/// The kinds of errors that another attempt would meet too.
const FINAL: [Kind; 4] = [Kind::Invalid, Kind::Input, Kind::Rejected, Kind::Internal];

impl Fault {
    /// The fault that an error is; none if another attempt may succeed.
    pub(super) fn of(error: &Error, attempt: String) -> Option<Self> {
        let kind = FINAL.contains(&error.kind()).then(|| error.kind().name().to_owned())?;
        Some(Self { attempt, kind, messages: error.chain() })
    }

    /// The error again.
    pub(super) fn into_error(self) -> Error {
        let kind = FINAL.into_iter().find(|kind| kind.name() == self.kind).unwrap_or(Kind::Internal);
        let mut messages = self.messages.into_iter().rev();
        let first = Error::new(kind, messages.next().unwrap_or_default());
        messages.fold(first, |error, message| error.during(message))
    }
}

/// The record of a task.
pub(super) fn record_of(kind: TaskKind, number: u64) -> String {
    format!("{}/{number:05}.json", directory_of(kind))
}

/// Where the records of a kind of task are.
pub(super) fn directory_of(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Scan => "scan",
        TaskKind::Map => "map",
        TaskKind::Build => "built",
    }
}

/// The plan of a shard.
pub(super) fn plan_of(shard: u64) -> String {
    format!("plan/{shard:05}.json")
}

/// The plan of a map task of an exchange.
pub(super) fn exchange_plan_of(task: u64) -> String {
    format!("exchange/{task:05}.json")
}

/// The records of tasks of a kind with these numbers.
///
/// # Errors
/// `Corrupt` when one is missing or cannot be read; as those of a read.
pub(super) fn of<T: for<'d> Deserialize<'d> + Send>(
    work: &SharedWork,
    kind: TaskKind,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<Vec<T>> {
    let paths: Vec<String> = numbers.into_iter().map(|number| record_of(kind, number)).collect();
    work.get_all(&paths)
}

/// A name that no other attempt has.
///
/// # Errors
/// `Unavailable` when the system provides no random numbers.
pub(super) fn new_attempt() -> Result<String> {
    Ok(format!("{}{:016x}", crate::format::ATTEMPT, random::u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_fault_becomes_the_same_error_again() {
        let error = Error::input("key 1 is there twice").during("the query failed").during("task 3");
        let carried = serde_json::to_string(&Fault::of(&error, "a".into()).unwrap()).unwrap();
        let again = serde_json::from_str::<Fault>(&carried).unwrap().into_error();
        assert_eq!((again.kind(), again.chain()), (error.kind(), error.chain()));
        assert!(Fault::of(&Error::unavailable("away"), "a".into()).is_none());
        assert!(Fault::of(&Error::corrupt("a block"), "a".into()).is_none(), "another machine may read it");
    }
}
