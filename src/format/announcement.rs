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

use super::digest::Digest;
use super::key::KeySchema;
use super::manifest::Manifest;
use super::rfc3339;
use super::settings::{Kafka, MAX_SHARDS, Partitioner, Tables, is_dataset};
use super::state::State;
use super::value::ValueSchema;
use crate::escape::shortened;

/// The protocol that announcements and END markers follow: `schemas/kafka-protocol.md`.
pub const PROTOCOL: u32 = 1;
/// The largest version number that a consumer accepts, so that a next number always exists: 2^53.
const LAST_VERSION: u64 = 1 << 53;
/// Kafka's limit on the length of a topic's name.
const LONGEST_TOPIC: usize = 249;
/// Limits that a consumer puts on an announcement: bytes of a column's name, and the number of columns.
const LONGEST_NAME: usize = 64 << 10;
const MAX_COLUMNS: usize = 100_000;

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
        } else if names.count() > MAX_COLUMNS {
            Some(format!("it has more than {MAX_COLUMNS} columns"))
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
