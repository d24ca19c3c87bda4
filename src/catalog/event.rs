//! An event of a store: what was done, to which version, when, and by whom.
//!
//! Not for: where events are kept (`event_log`, `remote`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock;
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
    let user = std::env::var("USER").unwrap_or_else(|_| user());
    format!("{user}@{} pid {}", lock::host(), std::process::id())
}

/// The user where the environment does not say, as in cron jobs and containers.
fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&known, uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// The name of a user in a list such as `/etc/passwd`.
fn name_in(known: &str, uid: u32) -> Option<&str> {
    let is_theirs = |line: &&str| line.split(':').nth(2).is_some_and(|id| id.parse() == Ok(uid));
    known.lines().find(is_theirs)?.split(':').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let known = "root:x:0:0:root:/root:/bin/sh\n\nbroken\njo:x:1000:1000::/home/jo:/bin/sh\n:x:7:7:::\n";
        assert_eq!((name_in(known, 0), name_in(known, 1000)), (Some("root"), Some("jo")));
        assert_eq!((name_in(known, 7), name_in(known, 8)), (None, None));
    }
}
