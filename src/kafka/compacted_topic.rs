//! Reads a compacted topic with one partition: the last record of every key, then new records as they arrive.
//!
//! Reads committed records only, always from the beginning, so compaction changes nothing. No offsets are committed to
//! a consumer group. A damaged record replaces the one before, and reading its key returns the error.
//!
//! Not for: what is kept of the records (`values`), or data topics (`consumer`).

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use serde::de::DeserializeOwned;

use super::connection::{ClientErrors, Connection, OPERATION_TIMEOUT, is_refusal};
use super::topics;
use super::values::Values;
use crate::error::{Error, Result};

/// How long a broker delays an empty fetch response: reading to the end waits for one.
const FETCH_WAIT_MILLIS: &str = "50";
/// How long one poll waits for the next record.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The last value of every key.
pub struct CompactedTopic<T> {
    connection: Connection,
    consumer: BaseConsumer<ClientErrors>,
    topic: String,
    values: Values<T>,
}

impl<T: DeserializeOwned> CompactedTopic<T> {
    /// Reads a topic to its end; the value of the key `own` is always kept. `None` when there is no such topic.
    ///
    /// # Errors
    /// `Invalid` when this user is not authorized to read the topic; `Unavailable` when the cluster does not answer.
    pub fn open(connection: &Connection, topic: &str, own: Option<&str>) -> Result<Option<Self>> {
        let (_, metadata) = connection.reach()?;
        if !metadata.topics().iter().any(|known| known.name() == topic) {
            return Ok(None);
        }
        let mut config = consumer_config(connection);
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", FETCH_WAIT_MILLIS);
        // One record can be as large as `STATE_LIMIT`; at most two such are prefetched.
        config.set("fetch.message.max.bytes", topics::STATE_LIMIT.to_string());
        config.set("queued.max.messages.kbytes", (2 * topics::STATE_LIMIT / 1024).to_string());
        let consumer: BaseConsumer<ClientErrors> = connection.client(&config, connection.listener())?;
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Beginning)
            .and_then(|()| consumer.assign(&partition))
            .map_err(|error| connection.failed(&format!("cannot read topic {topic}"), &error))?;
        let values = Values::new(own.map(str::to_owned));
        let mut latest = Self { connection: connection.clone(), consumer, topic: topic.to_owned(), values };
        latest.read_to_end()?;
        Ok(Some(latest))
    }

    /// The last value of every key, or why it is damaged.
    pub fn values(&self) -> &Values<T> {
        &self.values
    }

    /// Waits up to `wait` for the next record and applies it; returns whether one arrived. An unreachable broker is not
    /// an error: the client reconnects.
    ///
    /// # Errors
    /// As [`CompactedTopic::open`], except for an unreachable broker.
    pub fn follow(&mut self, wait: Duration) -> Result<bool> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.look(left.min(POLL_INTERVAL))? {
                Look::Record => return Ok(true),
                _ if left.is_zero() => return Ok(false),
                _ => {}
            }
        }
    }

    fn read_to_end(&mut self) -> Result<()> {
        let mut deadline = Instant::now() + OPERATION_TIMEOUT;
        loop {
            match self.look(POLL_INTERVAL)? {
                Look::End => return Ok(()),
                Look::Record => deadline = Instant::now() + OPERATION_TIMEOUT,
                Look::Nothing if Instant::now() > deadline => {
                    return Err(Error::unavailable(format!(
                        "Kafka at {} did not deliver the end of topic {} within {} s",
                        self.connection.brokers(),
                        self.topic,
                        OPERATION_TIMEOUT.as_secs()
                    )));
                }
                Look::Nothing => {}
            }
        }
    }

    fn look(&mut self, wait: Duration) -> Result<Look> {
        let record = match self.consumer.poll(wait) {
            None => return Ok(Look::Nothing),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Look::End),
            Some(Err(error)) => {
                fail_unless_transient(&self.connection, &format!("cannot read topic {}", self.topic), &error)?;
                return Ok(Look::Nothing);
            }
            Some(Ok(record)) => record,
        };
        self.values.take(&record);
        Ok(Look::Record)
    }
}

enum Look {
    Record,
    End,
    Nothing,
}

/// Settings of a consumer that commits no offsets.
pub(super) fn consumer_config(connection: &Connection) -> rdkafka::ClientConfig {
    let mut config = connection.config();
    config.set("group.id", "cutover").set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "error").set("check.crcs", "true");
    config
}

/// Ignores a consumer's error that is transient.
///
/// # Errors
/// The error, translated, when it is not.
pub(super) fn fail_unless_transient(connection: &Connection, doing: &str, error: &KafkaError) -> Result<()> {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let gone = matches!(
        code,
        Some(
            Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::BadMessage
                | Code::BadCompression
        )
    );
    if gone || code.is_some_and(is_refusal) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Err(match code {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                Error::corrupt(format!("{doing}: records that were announced are no longer there"))
                    .because(error.clone())
            }
            Some(Code::BadMessage | Code::BadCompression) => {
                Error::corrupt(format!("{doing}: a batch of records does not match its checksum"))
                    .because(error.clone())
            }
            _ => connection.failed(doing, error),
        });
    }
    tracing::debug!(%error, doing, "transient error");
    Ok(())
}
