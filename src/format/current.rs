//! `current.json` as a value: the versions of a store, their states, the pin, and the version readers see.
//!
//! ```text
//!             ┌──▶ rejected ───(publish --allow)───┐
//! complete ───┤                                    ▼         a newer one is published
//!             └──────────(publish)────────────▶ published ──────────────────────────▶ retired
//!                                                  │  ▲                                  │
//!                              rollback leaves it  ▼  └──(rollback to it, publish, pin)──┘
//!                                              rolled back ───(publish --allow)───▶ published
//! ```
//! A command leads out of every state: `cutover publish STORE N` (with `--allow KIND` for a bad version), `rollback`,
//! or `gc`.
//!
//! Invariants, checked on every read: the current version is the only published one; the pin, if any, is on it; every
//! version's number is below the next one. Numbers are never reused.
//!
//! Not for: how the file is read or replaced (`store`), or the rules of change (`transitions`).

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::allow::Allow;
use super::announcement::{KafkaState, StreamedVersion};
use super::change::Intent;
use super::digest::Digest;
use super::manifest::{CheckOutcome, Manifest};
use super::reasons::Reasons;
use super::state::State;
use super::{checksummed_json, rfc3339};
use crate::error::{Error, Result};

/// The format version that this program writes, and the newest one it reads.
///
/// Format 1 has the state of Kafka in a field `kafka` instead of in `targets`. A program that knows only that format
/// refuses this one: it would publish without Kafka.
pub(crate) const FORMAT: u32 = 2;

/// The content of `current.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// Always the format this program writes, 2; a file of format 1 becomes it when it is read.
    pub format_version: u32,
    /// The dataset whose versions these are.
    pub dataset: String,
    /// In a store on an object store, IDs of the latest changes, oldest first: a host that lost the answer to its
    /// change finds it here, also when others have changed the store since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest_changes: Vec<String>,
    /// Number of changes so far.
    pub epoch: u64,
    /// Number of builders that took the lease of a store on an object store; only the last one may install. 0 in local
    /// stores, which have locks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub builder_epoch: u64,
    /// The number that the next version gets.
    pub next_version: u64,
    /// The version readers see.
    pub current: Option<u64>,
    /// The pin that holds readers on it, if any.
    pub pin: Option<Pin>,
    /// Every version that exists.
    pub versions: BTreeMap<u64, VersionEntry>,
    /// Contents that were rolled back, oldest first; they stay listed after their versions are deleted.
    pub rolled_back: Vec<RolledBack>,
    /// Where versions are streamed to, in addition to this disk.
    #[serde(default)]
    pub targets: Targets,
    /// `targets.kafka` as format 1 has it: read, never written.
    #[serde(default, rename = "kafka", skip_serializing)]
    kafka_before_targets: Option<KafkaState>,
    /// The intent: a change that is recorded but not yet applied.
    #[serde(default)]
    pub pending: Option<Intent>,
    /// The topic or the URL of the store whose versions this store takes over; none when they are built locally.
    #[serde(default)]
    pub follows: Option<String>,
    /// The version that hosts fetch before it is published, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
}

/// A version that is about to be published: every host fetches it, and canary hosts serve it. Any change of the version
/// that readers see ends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The version.
    pub version: u64,
    /// Whether canary hosts serve it.
    pub canary: bool,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// What of a store is also elsewhere than on its own disk, by kind of target. A kind that this program does not know is
/// an error: it could not keep it in step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// What of it is on Kafka; none if versions are not streamed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaState>,
}

/// What is known about a version without opening it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// Its state.
    pub state: State,
    /// The build that made it.
    pub build_id: String,
    /// Digest of the job that built it.
    pub job_digest: String,
    /// Digest of the inputs it was built from.
    pub input_digest: String,
    /// Digest of its entries.
    pub digest: Digest,
    /// The time its data is as of.
    #[serde(with = "rfc3339")]
    pub as_of: Timestamp,
    /// Whether that was stated; otherwise it is the clock time at which the build began.
    #[serde(default)]
    pub as_of_stated: bool,
    /// Values of its job's parameters; none if they were not recorded.
    #[serde(default)]
    pub params: Option<BTreeMap<String, String>>,
    /// Whether it was built with `--stage`, to be published later by its number.
    #[serde(default)]
    pub staged: bool,
    /// Its entries.
    pub rows: u64,
    /// Its key and value bytes, before compression.
    pub bytes: u64,
    /// Its shards.
    pub shards: u32,
    /// When its build finished.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it was last published.
    #[serde(with = "rfc3339::optional")]
    pub published_at: Option<Timestamp>,
    /// The epoch of its last publish: the order of publishes, independent of clocks.
    pub published_epoch: Option<u64>,
    /// When readers were last taken off it.
    #[serde(with = "rfc3339::optional")]
    pub retired_at: Option<Timestamp>,
    /// Why it is not published automatically.
    pub rejected: Option<Reasons>,
    /// The kinds of the checks that failed.
    #[serde(default)]
    pub failed: Vec<Allow>,
}

/// A pin: holds readers on the current version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The current version.
    pub version: u64,
    /// Why, as stated by the user who pinned it.
    pub reason: String,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// A content that was rolled back: the same content is not published again automatically.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The digest of its entries.
    pub digest: Digest,
    /// The version it was in.
    pub version: u64,
    /// When it was rolled back.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

impl Current {
    /// A store without any version.
    pub(crate) fn new(dataset: &str) -> Self {
        Self {
            format_version: FORMAT,
            dataset: dataset.to_owned(),
            latest_changes: Vec::new(),
            epoch: 0,
            builder_epoch: 0,
            next_version: 1,
            current: None,
            pin: None,
            versions: BTreeMap::new(),
            rolled_back: Vec::new(),
            targets: Targets::default(),
            kafka_before_targets: None,
            pending: None,
            follows: None,
            candidate: None,
        }
    }

    /// The versions of this store that are on Kafka.
    pub fn streamed(&self) -> impl Iterator<Item = &StreamedVersion> {
        self.targets.kafka.iter().flat_map(|ledger| ledger.streamed.values())
    }

    /// What this store follows, in words; none when its versions are built locally.
    pub fn followed(&self) -> Option<String> {
        let word = |place: &String| if place.contains("://") { place.clone() } else { format!("topic {place}") };
        self.follows.as_ref().map(word)
    }

    /// The entry of the version readers see.
    pub fn current_entry(&self) -> Option<(u64, &VersionEntry)> {
        self.current.and_then(|version| Some((version, self.versions.get(&version)?)))
    }

    /// The entry of the version that readers of a host see: those of a canary host see the candidate.
    pub fn entry_seen(&self, by_canary: bool) -> Option<(u64, &VersionEntry)> {
        let candidate = self.candidate.as_ref().filter(|candidate| by_canary && candidate.canary);
        let candidate = candidate.and_then(|it| Some((it.version, self.versions.get(&it.version)?)));
        candidate.or_else(|| self.current_entry())
    }

    /// The version that the same job already built from the same inputs: the current one if it matches, else the
    /// newest match. A rolled-back version is returned only if no matching version is good and no good version has the
    /// same content. The caller decides what its state means for a rerun.
    pub fn find_built(&self, job_digest: &str, input_digest: &str) -> Option<(u64, State)> {
        let same = |entry: &VersionEntry| entry.job_digest == job_digest && entry.input_digest == input_digest;
        let newest = || self.versions.iter().rev().map(|(&version, entry)| (version, entry));
        let found = || self.current_entry().into_iter().chain(newest()).filter(|(_, entry)| same(entry));
        let was_good = found().any(|(_, entry)| entry.state.is_good());
        let counts =
            |entry: &VersionEntry| entry.state != State::RolledBack || !(was_good || self.has_good(entry.digest));
        found().find(|(_, entry)| counts(entry)).map(|(version, entry)| (version, entry.state))
    }

    /// Whether a version with this content is good.
    pub(crate) fn has_good(&self, digest: Digest) -> bool {
        self.versions.values().any(|entry| entry.state.is_good() && entry.digest == digest)
    }

    /// Parses the bytes of `current.json`, read from `path`.
    ///
    /// # Errors
    /// `Corrupt` when they are damaged or inconsistent; `Invalid` when a newer program wrote them.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut current: Self = checksummed_json::from_checksummed_json(bytes, path, FORMAT)?;
        if let Some(kafka) = current.kafka_before_targets.take() {
            current.targets.kafka.get_or_insert(kafka);
        }
        current.format_version = current.format_version.max(FORMAT);
        let wrong = |problem| Error::corrupt(format!("{} contradicts itself: {problem}", path.display()));
        current.contradiction().map_or(Ok(current), |problem| Err(wrong(problem)))
    }

    /// The first violated invariant, if any.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let published: Vec<u64> =
            self.versions.iter().filter(|(_, entry)| entry.state == State::Published).map(|(&n, _)| n).collect();
        let last = self.versions.keys().next_back().copied().unwrap_or(0);
        if self.format_version != FORMAT {
            Some(format!("format version {}", self.format_version))
        } else if published.as_slice() != self.current.as_slice() {
            Some(format!("versions {published:?} are published, the current one is {:?}", self.current))
        } else if self.pin.as_ref().is_some_and(|pin| Some(pin.version) != self.current) {
            Some("the pinned version is not the current one".to_owned())
        } else if let Some(candidate) = self.candidate.as_ref().filter(|it| !self.versions.contains_key(&it.version)) {
            Some(format!("version {} is the candidate but does not exist", candidate.version))
        } else if last >= self.next_version {
            Some(format!("version {last} exists, the next one would be {}", self.next_version))
        } else {
            let unknown = self.streamed().map(|it| it.version).find(|it| !self.versions.contains_key(it));
            unknown.map(|version| format!("version {version} is on Kafka but does not exist"))
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl VersionEntry {
    /// The entry of a version that was just built: complete, or rejected by its own checks.
    pub(crate) fn new(manifest: &Manifest) -> Self {
        let rejected = manifest.rejection();
        let failed = manifest.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed);
        Self {
            state: if rejected.is_some() { State::Rejected } else { State::Complete },
            build_id: manifest.build_id.clone(),
            job_digest: manifest.job_digest.clone(),
            input_digest: manifest.input_digest.clone(),
            digest: manifest.digest,
            as_of: manifest.as_of,
            as_of_stated: manifest.as_of_stated,
            params: manifest.params.clone(),
            staged: manifest.staged,
            rows: manifest.rows,
            bytes: manifest.bytes,
            shards: manifest.shard_count,
            created_at: manifest.created_at,
            published_at: None,
            published_epoch: None,
            retired_at: None,
            rejected,
            failed: failed.map(|check| Allow::of_rule(&check.rule)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{at, store_of};
    use crate::format::Allowed;

    #[test]
    fn a_rerun_finds_the_current_version_first_and_then_the_newest() {
        let mut current = store_of(3);
        let find = |current: &Current| current.find_built("job", "inputs");
        assert_eq!(find(&current), Some((3, State::Complete)));
        current.publish(1, &Allowed::new(), at(10)).unwrap();
        assert_eq!(find(&current), Some((1, State::Published)));
        assert_eq!(current.find_built("job", "other inputs"), None);
        assert_eq!(current.find_built("other job", "inputs"), None);
    }

    #[test]
    fn contradictions_are_found() {
        let mut good = store_of(2);
        good.publish(1, &Allowed::new(), at(10)).unwrap();
        assert_eq!(good.contradiction(), None);
        let wrong: [fn(&mut Current); 4] = [
            |c| c.current = Some(2),
            |c| c.current = None,
            |c| c.next_version = 2,
            |c| c.pin = Some(Pin { version: 2, reason: "r".into(), since: at(0) }),
        ];
        for (which, change) in wrong.iter().enumerate() {
            let mut current = good.clone();
            change(&mut current);
            assert!(current.contradiction().is_some(), "change {which}");
        }
    }

    #[test]
    fn the_state_of_kafka_of_format_1_becomes_a_target() {
        let streamed = r#""kafka": {"target": {"brokers": "b:9092", "topic": "views", "replication": null,
            "compression": "lz4", "properties": null}, "streamed": {}}"#;
        let text = String::from_utf8(checksummed_json::to_checksummed_json(&Current::new("views")).unwrap()).unwrap();
        let old = text.replace("\"format_version\": 2", "\"format_version\": 1").replace("\"targets\": {}", streamed);
        let mut bytes = old.into_bytes();
        checksummed_json::stamp(&mut bytes);
        let current = Current::parse(&bytes, Path::new("current.json")).unwrap();
        assert_eq!(current.format_version, FORMAT);
        assert_eq!(current.targets.kafka.as_ref().unwrap().target.topic, "views");
        let written = checksummed_json::to_checksummed_json(&current).unwrap();
        assert_eq!(Current::parse(&written, Path::new("current.json")).unwrap(), current);

        let mut unknown = text.replace("\"targets\": {}", "\"targets\": {\"another\": 1}").into_bytes();
        checksummed_json::stamp(&mut unknown);
        assert!(Current::parse(&unknown, Path::new("current.json")).is_err());
    }
}
