//! What a store has on Kafka, and the announcement: the record that gives consumers the whole state of a dataset.
//!
//! ```text
//! current.json: kafka { target, streamed: version ─▶ topic, offsets, digests }  +  versions' states  ─▶ Announcement
//! ```
//! A version is streamed before it is announced. Its topic stays recorded for as long as the store keeps the version,
//! so that a rollback only has to announce.
//!
//! Not for: Kafka clients (`kafka`), or the order of the steps of a publish (`publish`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::current::{Current, State};
use super::digest::Digest;
use super::manifest::Manifest;
use super::rfc3339;
use super::transitions::Flip;
use crate::encode::{KeySchema, ValueSchema};
use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::job::{Kafka, MAX_SHARDS, Partitioner, Tables, is_dataset};

/// The protocol that announcements and END markers follow: `schemas/kafka-protocol.md`.
pub const PROTOCOL: u32 = 1;
/// The largest version number that a consumer accepts, so that a next number always exists: 2^53.
const LAST_VERSION: u64 = 1 << 53;
/// Kafka's limit on the length of a topic's name.
const LONGEST_TOPIC: usize = 249;
/// Limits that a consumer puts on an announcement: bytes of a column's name, and the number of columns.
const LONGEST_NAME: usize = 64 << 10;
const MOST_COLUMNS: usize = 100_000;

/// What a store has on Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KafkaState {
    /// The cluster and topic, as the job names them.
    pub target: Kafka,
    /// The versions on Kafka.
    pub streamed: BTreeMap<u64, StreamedVersion>,
    /// A local rollback that has not been announced to consumers.
    #[serde(default)]
    pub behind: Option<Behind>,
}

/// A rollback of the local readers only, which consumers have not followed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The version that local readers left and that consumers may still serve.
    pub left: u64,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// A version on Kafka: all that a consumer needs to read, check and store it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamedVersion {
    /// The version's number.
    pub version: u64,
    /// The build that made it.
    pub build_id: String,
    /// The time its data is as of.
    #[serde(with = "rfc3339")]
    pub as_of: Timestamp,
    /// Whether that was stated; otherwise it is the clock time at which the build began.
    #[serde(default)]
    pub as_of_stated: bool,
    /// When its build finished.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// The topic that holds its entries; partition = shard.
    pub topic: String,
    /// Entries in all partitions.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Digest of all entries.
    pub digest: Digest,
    /// How keys are encoded.
    pub key: KeySchema,
    /// How values are encoded.
    pub value: ValueSchema,
    /// The key columns that determine an entry's partition.
    pub shard_by: Vec<String>,
    /// How their bytes map to a partition.
    pub partitioner: Partitioner,
    /// How the store's tables are written.
    pub tables: Tables,
    /// The partitions, in order.
    pub partitions: Vec<StreamedPartition>,
}

/// One partition of a version on Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamedPartition {
    /// Its number, from 0.
    pub partition: u32,
    /// Offset of its first record.
    pub begin: i64,
    /// The offset after its END marker.
    pub end: i64,
    /// Entries in it.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Digest of its entries.
    pub digest: Digest,
}

/// The whole state of a dataset, as it is announced to consumers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// The protocol, 1.
    pub protocol: u32,
    /// Unique ID of this announcement.
    pub id: String,
    /// The dataset.
    pub dataset: String,
    /// The version consumers serve; it is one of `versions`.
    pub current: u64,
    /// Every version that can be read, oldest first.
    pub versions: Vec<AnnouncedVersion>,
}

/// One version of an announcement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnnouncedVersion {
    /// Its state.
    pub state: State,
    /// Its topic, offsets, schemas and digests.
    #[serde(flatten)]
    pub streamed: StreamedVersion,
}

impl Announcement {
    /// The version that consumers serve.
    pub fn current(&self) -> Option<&StreamedVersion> {
        self.versions.iter().map(|announced| &announced.streamed).find(|streamed| streamed.version == self.current)
    }

    /// The first violated invariant, if any.
    pub fn contradiction(&self) -> Option<String> {
        if self.protocol != PROTOCOL {
            return Some(format!("it follows protocol {}, this program knows {PROTOCOL}", self.protocol));
        }
        if !is_dataset(&self.dataset) {
            return Some(format!("{} is not a valid dataset name", shortened(&self.dataset)));
        }
        if self.current().is_none() {
            return Some(format!("it does not list version {}, which is current", self.current));
        }
        self.versions.iter().find_map(|announced| {
            let streamed = &announced.streamed;
            streamed.beyond_bounds().or_else(|| streamed.contradiction())
        })
    }
}

impl StreamedVersion {
    /// The entry for a version that was streamed to `topic` in these partitions.
    pub fn new(manifest: &Manifest, topic: String, partitions: Vec<StreamedPartition>) -> Self {
        Self {
            version: manifest.version,
            build_id: manifest.build_id.clone(),
            as_of: manifest.as_of,
            as_of_stated: manifest.as_of_stated,
            created_at: manifest.created_at,
            topic,
            rows: manifest.rows,
            bytes: manifest.bytes,
            digest: manifest.digest,
            key: manifest.key.clone(),
            value: manifest.value.clone(),
            shard_by: manifest.shard_by.clone(),
            partitioner: manifest.partitioner,
            tables: manifest.tables,
            partitions,
        }
    }

    /// The first value that no job can produce: announcements come from outside and are not trusted.
    fn beyond_bounds(&self) -> Option<String> {
        let version = self.version;
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
        let partitions = self.partitions.len();
        let names = self.key.columns.iter().map(|it| &it.name).chain(self.value.columns.iter().map(|it| &it.name));
        let problem = if !(1..=LAST_VERSION).contains(&version) {
            Some(format!("versions are numbered from 1 to {LAST_VERSION}"))
        } else if self.topic.len() > LONGEST_TOPIC {
            Some(format!("its topic has a name of {} characters, Kafka allows {LONGEST_TOPIC}", self.topic.len()))
        } else if self.build_id.is_empty() || self.build_id.len() > LONGEST_TOPIC || !self.build_id.bytes().all(plain) {
            Some(format!("{} is not a valid build ID", shortened(&self.build_id)))
        } else if partitions > MAX_SHARDS as usize {
            Some(format!("it has {partitions} partitions, the limit is {MAX_SHARDS}"))
        } else if let Some(name) = names.clone().find(|name| name.len() > LONGEST_NAME) {
            Some(format!("the name of a column is too long: {}", shortened(name)))
        } else if names.count() > MOST_COLUMNS {
            Some(format!("it has more than {MOST_COLUMNS} columns"))
        } else {
            self.tables.problem()
        };
        problem.map(|problem| format!("version {version}: {problem}"))
    }

    /// The first violated invariant: every partition holds its rows and one END marker, and the partitions add up to
    /// the version.
    fn contradiction(&self) -> Option<String> {
        let version = self.version;
        let numbered = self.partitions.iter().map(|part| part.partition).eq(0..self.partitions.len() as u32);
        let rows: u128 = self.partitions.iter().map(|part| u128::from(part.rows)).sum();
        let bytes: u128 = self.partitions.iter().map(|part| u128::from(part.bytes)).sum();
        let digest: Digest = self.partitions.iter().map(|part| part.digest).sum();
        if let Some(problem) = self.key.contradiction() {
            return Some(format!("version {version}: {problem}"));
        }
        if self.partitions.is_empty() || !numbered {
            return Some(format!("the partitions of version {version} are not numbered from 0"));
        }
        if rows != u128::from(self.rows) || bytes != u128::from(self.bytes) || digest != self.digest {
            return Some(format!("the partitions of version {version} do not add up to it"));
        }
        let wrong = |part: &&StreamedPartition| {
            part.begin < 0 || i128::from(part.end) - i128::from(part.begin) != i128::from(part.rows) + 1
        };
        self.partitions.iter().find(wrong).map(|part| {
            format!(
                "partition {} of version {version} has {} rows and an END marker between offsets {} and {}",
                part.partition, part.rows, part.begin, part.end
            )
        })
    }
}

impl Current {
    /// The versions of this store that are on Kafka.
    pub fn streamed(&self) -> impl Iterator<Item = &StreamedVersion> {
        self.kafka.iter().flat_map(|ledger| ledger.streamed.values())
    }

    /// The local rollback that has not been announced, if any.
    pub fn behind(&self) -> Option<Behind> {
        self.kafka.as_ref().and_then(|ledger| ledger.behind)
    }

    /// Rolls back local readers only, and records that consumers have to follow.
    ///
    /// # Errors
    /// As [`Current::rollback`].
    pub fn rollback_locally(&mut self, to: u64, now: Timestamp) -> Result<Flip> {
        let flip = self.rollback(Some(to), now)?;
        if let (Some(ledger), Some(left)) = (&mut self.kafka, flip.from) {
            ledger.behind.get_or_insert(Behind { left, since: now });
        }
        Ok(flip)
    }

    /// Records that a version is on Kafka.
    ///
    /// # Errors
    /// `Conflict` when the store is not streamed, or the version no longer exists or is another build's.
    pub fn record_streamed(&mut self, streamed: StreamedVersion) -> Result<()> {
        let version = streamed.version;
        let same = self.versions.get(&version).is_some_and(|entry| entry.build_id == streamed.build_id);
        match &mut self.kafka {
            Some(ledger) if same => {
                ledger.streamed.insert(version, streamed);
                Ok(())
            }
            _ => Err(Error::conflict(format!("version {version} changed while it was being streamed; run again"))),
        }
    }

    /// The announcement of this state; it lists only versions that are on Kafka.
    ///
    /// # Errors
    /// `Internal` when the current version is not on Kafka.
    pub fn announcement(&self, id: &str) -> Result<Announcement> {
        let announced = |streamed: &StreamedVersion| {
            let state = self.versions.get(&streamed.version)?.state;
            Some(AnnouncedVersion { state, streamed: streamed.clone() })
        };
        let announcement = Announcement {
            protocol: PROTOCOL,
            id: id.to_owned(),
            dataset: self.dataset.clone(),
            current: self.current.unwrap_or_default(),
            versions: self.streamed().filter_map(announced).collect(),
        };
        match announcement.contradiction() {
            None => Ok(announcement),
            Some(problem) => Err(Error::internal(format!("the announcement would be wrong: {problem}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Digester;
    use crate::catalog::fixture::{at, commit, manifest, nothing, store_of};
    use crate::error::Kind;

    fn target(topic: &str) -> Kafka {
        let brokers = "127.0.0.1:9092".to_owned();
        Kafka { brokers, topic: topic.to_owned(), replication: None, compression: Default::default(), properties: None }
    }

    /// A version of one entry in one partition.
    pub(crate) fn streamed(current: &Current, version: u64) -> StreamedVersion {
        let mut manifest = manifest(version, &[("key", "value")]);
        manifest.build_id = current.versions[&version].build_id.clone();
        let (rows, bytes, digest) = (manifest.rows, manifest.bytes, manifest.digest);
        let part = StreamedPartition { partition: 0, begin: 0, end: rows as i64 + 1, rows, bytes, digest };
        StreamedVersion::new(&manifest, format!("views.v{version}-b-00000000"), vec![part])
    }

    /// Two versions on Kafka, the second one published.
    fn on_kafka() -> Current {
        let mut current = store_of(2);
        current.kafka = Some(KafkaState { target: target("views"), streamed: BTreeMap::new(), behind: None });
        for version in [1, 2] {
            let it = streamed(&current, version);
            commit(&mut current, |c| c.record_streamed(it)).unwrap();
            commit(&mut current, |c| c.publish(version, &nothing(), at(10))).unwrap();
        }
        current
    }

    #[test]
    fn an_announcement_is_the_whole_state() {
        let mut current = on_kafka();
        let announcement = current.announcement("id").unwrap();
        assert_eq!((announcement.current, announcement.versions.len()), (2, 2));
        assert_eq!(announcement.versions[0].state, State::Retired);
        let text = serde_json::to_string(&announcement).unwrap();
        assert_eq!(serde_json::from_str::<Announcement>(&text).unwrap(), announcement);
        commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
        assert_eq!(current.announcement("id").unwrap().versions[1].state, State::RolledBack);
        commit(&mut current, |c| c.remove(2)).unwrap();
        assert_eq!(current.announcement("id").unwrap().versions.len(), 1, "what is gone is not announced");
    }

    #[test]
    fn consumers_follow_a_local_rollback_with_the_next_change() {
        let mut current = on_kafka();
        commit(&mut current, |c| c.rollback_locally(1, at(20))).unwrap();
        assert_eq!((current.current, current.behind()), (Some(1), Some(Behind { left: 2, since: at(20) })));
        let text = serde_json::to_string(&current).unwrap();
        assert_eq!(serde_json::from_str::<Current>(&text).unwrap(), current);
        let change = crate::catalog::Change::Publish { version: 1, allow: nothing() };
        let pending = crate::catalog::Intent { id: "id".into(), follows: None, change, at: at(30) };
        commit(&mut current, |c| c.record_intent(pending)).unwrap();
        assert!(current.behind().is_some(), "not before it is announced");
        assert_eq!(current.with_intent_applied().unwrap().0.announcement("id").unwrap().current, 1);
        commit(&mut current, |c| c.apply_intent("id")).unwrap();
        assert_eq!((current.current, current.behind()), (Some(1), None));
    }

    #[test]
    fn what_is_not_on_kafka_cannot_be_announced_as_current() {
        let mut current = on_kafka();
        current.kafka.as_mut().unwrap().streamed.remove(&2);
        assert_eq!(current.announcement("id").unwrap_err().kind(), Kind::Internal);
        let another = StreamedVersion { build_id: "another".into(), ..streamed(&current, 1) };
        assert_eq!(current.record_streamed(another).unwrap_err().kind(), Kind::Conflict);
    }

    #[test]
    fn an_announcement_that_does_not_add_up_is_found() {
        let good = on_kafka().announcement("id").unwrap();
        let wrong = |change: fn(&mut Announcement)| {
            let mut announcement = good.clone();
            change(&mut announcement);
            announcement.contradiction().unwrap()
        };
        assert!(wrong(|it| it.protocol = 2).contains("protocol 2"));
        assert!(wrong(|it| it.current = 9).contains("does not list version 9"));
        assert!(wrong(|it| it.versions[0].streamed.rows += 1).contains("do not add up"));
        assert!(wrong(|it| it.versions[0].streamed.partitions[0].partition = 1).contains("not numbered from 0"));
        assert!(wrong(|it| it.versions[1].streamed.partitions[0].end += 1).contains("has 1 rows and an END marker"));
        assert!(wrong(|it| it.versions[1].streamed.partitions[0].begin = i64::MIN).contains("between offsets"));
    }

    #[test]
    fn the_protocols_document_has_the_digest_that_it_says() {
        let document = include_str!("../../schemas/kafka-protocol.md");
        let mut digester = Digester::new();
        digester.add(b"a", b"1");
        assert!(document.contains(&format!("has the digest `{}`", digester.digest())));
    }
}
