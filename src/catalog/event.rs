//! An event of a store: what was done, to which version, when, and by whom.
//!
//! Not for: where events are kept (`event_log`, `remote`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::who;
use crate::format::rfc3339;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// What was done.
    pub event: Action,
    /// The version it was done to; none when it concerns the store.
    pub version: Option<u64>,
    /// Who did it: user@host and the process.
    pub by: String,
    /// Details, as free text.
    pub detail: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The store was created.
    Created,
    /// A version was built and passed its checks.
    Built,
    /// A version was built and is not published automatically.
    Rejected,
    /// A version became current.
    Published,
    /// Readers were taken back to a version.
    RolledBack,
    /// A version was pinned.
    Pinned,
    /// The pin was removed.
    Unpinned,
    /// A version was deleted.
    Deleted,
    /// A version was streamed to Kafka, and not announced yet.
    Streamed,
    /// An interrupted change was completed.
    Finished,
    /// An interrupted change was abandoned.
    GivenUp,
    /// The topic that versions are streamed to changed.
    Target,
    /// A version became the candidate, which hosts fetch.
    Proposed,
    /// A version is no candidate any more.
    Withdrawn,
}

/// Who does something here: user, host and process.
pub fn by() -> String {
    format!("{}@{} pid {}", who::user(), who::host(), std::process::id())
}
