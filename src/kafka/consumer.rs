//! Reads a version's partitions: entries from given offsets on, then the END marker of each.
//!
//! Before anything is read, each partition's log is checked: it must span the announced offsets.
//!
//! Not for: what is done with entries (`consume`).

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::compacted_topic::{consumer_config, fail_unless_transient};
use super::connection::{ClientErrors, Connection};
use super::records::{self, End};
use super::topics::Topics;
use crate::error::{Error, Kind, Result};
use crate::format::StreamedVersion;

/// Memory for prefetched records, in KiB.
const QUEUE_KIBIBYTES: &str = "32768";
/// Compressed bytes of a fetch response, per partition and in total; a larger batch comes alone.
const FETCH_BYTES: &str = "1048576";
const ANSWER_BYTES: &str = "8388608";

/// How long the client waits before it fetches again after its queue was full; librdkafka's default is one second.
const BACKOFF_MILLIS: &str = "5";

/// Reads partitions of one version.
pub struct Partitions {
    connection: Connection,
    consumer: BaseConsumer<ClientErrors>,
    topic: String,
}

/// A received record.
#[derive(Debug)]
pub enum Received<'m> {
    /// An entry.
    Entry {
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: i64,
        /// Its key.
        key: &'m [u8],
        /// Its value.
        value: &'m [u8],
    },
    /// The end of a partition.
    End {
        /// The partition.
        partition: u32,
        /// The marker's offset.
        offset: i64,
        /// Its content.
        end: End,
    },
}

/// Fails when a partition's log does not span the announced offsets.
///
/// # Errors
/// `Conflict` when the topic is gone; `Corrupt` when records are missing; `Unavailable` when the cluster does not
/// answer.
pub(super) fn check_log(connection: &Connection, streamed: &StreamedVersion) -> Result<()> {
    let topics = Topics::open(connection)?;
    let topic = &streamed.topic;
    if !topics.names().contains(topic) {
        return Err(Error::conflict(format!(
            "topic {topic}, which holds version {}, is gone; `cutover publish STORE {} --restream` streams it again",
            streamed.version, streamed.version
        )));
    }
    for part in &streamed.partitions {
        let (low, high) = topics.offsets(topic, part.partition)?.unwrap_or((0, 0));
        if low > part.begin || high < part.end {
            return Err(Error::corrupt(format!(
                "partition {} of topic {topic} holds the offsets {low} to {high}, but {} to {} were announced: records \
                 are lost; `cutover publish STORE {} --restream` streams the version again",
                part.partition, part.begin, part.end, streamed.version
            )));
        }
    }
    Ok(())
}

impl Partitions {
    /// Starts reading partitions of a version, each from the given offset.
    ///
    /// # Errors
    /// As the check of the log, which runs first; `Invalid` when this user is not authorized to read the topic.
    pub fn open(connection: &Connection, streamed: &StreamedVersion, from: &[(u32, i64)]) -> Result<Self> {
        check_log(connection, streamed)?;
        let mut config = consumer_config(connection);
        config.set("queued.max.messages.kbytes", QUEUE_KIBIBYTES).set("fetch.message.max.bytes", FETCH_BYTES);
        config.set("fetch.max.bytes", ANSWER_BYTES);
        config.set("queued.min.messages", "100000").set("fetch.queue.backoff.ms", BACKOFF_MILLIS);
        let consumer: BaseConsumer<ClientErrors> = connection.client(&config, connection.listener())?;
        let topic = streamed.topic.clone();
        let mut partitions = TopicPartitionList::new();
        for (partition, offset) in from {
            partitions
                .add_partition_offset(&topic, *partition as i32, Offset::Offset(*offset))
                .map_err(|error| connection.failed(&format!("cannot read topic {topic}"), &error))?;
        }
        consumer
            .assign(&partitions)
            .map_err(|error| connection.failed(&format!("cannot read topic {topic}"), &error))?;
        Ok(Self { connection: connection.clone(), consumer, topic })
    }

    /// Fails when the log no longer spans the announced offsets. An unreachable broker is not an error.
    ///
    /// # Errors
    /// As [`Partitions::open`], except for an unreachable broker.
    pub fn check(&self, streamed: &StreamedVersion) -> Result<()> {
        match check_log(&self.connection, streamed) {
            Err(error) if error.kind() == Kind::Unavailable => Ok(()),
            checked => checked,
        }
    }

    /// Passes the next record to `take`; returns whether one arrived within `wait`. An unreachable broker is not an
    /// error: the client reconnects.
    ///
    /// # Errors
    /// Those of `take`; `Corrupt` for a record that cannot be part of a version or a log that lost records; `Conflict`
    /// when the topic is deleted.
    pub fn receive(&self, wait: Duration, take: impl FnOnce(Received<'_>) -> Result<()>) -> Result<bool> {
        let record = match self.consumer.poll(wait) {
            None => return Ok(false),
            Some(Err(error)) => {
                fail_unless_transient(&self.connection, &format!("cannot read topic {}", self.topic), &error)?;
                return Ok(false);
            }
            Some(Ok(record)) => record,
        };
        let (partition, offset) = (record.partition() as u32, record.offset());
        if records::is_end(&record) {
            take(Received::End { partition, offset, end: records::from_record(&record)? })?;
            return Ok(true);
        }
        let (Some(key), Some(value)) = (record.key(), record.payload()) else {
            return Err(Error::corrupt(format!(
                "the record at offset {offset} of partition {partition} of topic {} has no key or no value",
                self.topic
            )));
        };
        take(Received::Entry { partition, offset, key, value })?;
        Ok(true)
    }
}
