//! Topics of a cluster: listing, creating and deleting them.
//!
//! Not for: which topics may be deleted (`lease`).

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::connection::{ClientErrors, Connection, OPERATION_TIMEOUT};
use crate::error::{Error, Result};
use crate::format::Kafka;

/// Wait between two checks whether a new topic has leaders.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The smallest `max.message.bytes` of a data topic: twice the brokers' default.
const MIN_RECORD_LIMIT: u64 = 2 << 20;
/// Bytes that a record adds to its key and value, a generous upper bound.
const RECORD_OVERHEAD: u64 = 64 << 10;
/// `max.message.bytes` of the compacted topics, whose records hold a whole state: 16 MiB.
pub(super) const STATE_LIMIT: u64 = 16 << 20;

/// The topics of a cluster.
pub(super) struct Topics<'c> {
    connection: &'c Connection,
    client: BaseProducer<ClientErrors>,
    admin: AdminClient<ClientErrors>,
    names: Vec<String>,
}

impl<'c> Topics<'c> {
    /// Lists all topics of the cluster.
    ///
    /// # Errors
    /// `Invalid` when it refuses the credentials; `Unavailable` when it does not answer.
    pub(super) fn open(connection: &'c Connection) -> Result<Self> {
        let (client, metadata) = connection.reach()?;
        let admin = connection.client(&connection.config(), connection.listener())?;
        let known = |topic: &&rdkafka::metadata::MetadataTopic| topic.error().is_none();
        let names = metadata.topics().iter().filter(known).map(|topic| topic.name().to_owned()).collect();
        Ok(Self { connection, client, admin, names })
    }

    /// Names of all topics, as of [`Topics::open`].
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The low and high watermarks of a partition: its first offset and the one after its last. `None` when there is no
    /// such topic or partition.
    ///
    /// # Errors
    /// `Unavailable` when the cluster does not answer.
    pub(super) fn offsets(&self, topic: &str, partition: u32) -> Result<Option<(i64, i64)>> {
        use RDKafkaErrorCode as Code;
        match self.client.client().fetch_watermarks(topic, partition as i32, OPERATION_TIMEOUT) {
            Ok(offsets) => Ok(Some(offsets)),
            Err(error) => match error.rdkafka_error_code() {
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => Ok(None),
                _ => Err(self.connection.failed(&format!("cannot read the offsets of topic {topic}"), &error)),
            },
        }
    }

    /// Creates a data topic: without retention limits, accepting records of up to `largest` bytes.
    ///
    /// # Errors
    /// As [`Topics::create`].
    pub(super) fn create_data(&self, name: &str, partitions: u32, largest: u64, target: &Kafka) -> Result<()> {
        let limit = (largest + RECORD_OVERHEAD).max(MIN_RECORD_LIMIT).to_string();
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("max.message.bytes", &limit),
        ];
        self.create(name, partitions, &settings, target.replication)
    }

    /// Creates a compacted topic if it does not exist.
    ///
    /// # Errors
    /// As [`Topics::create`].
    pub(super) fn create_state(&self, name: &str, replication: Option<u32>) -> Result<()> {
        if self.names.iter().any(|known| known == name) {
            return self.check_compacted(name);
        }
        let limit = STATE_LIMIT.to_string();
        self.create(name, 1, &[("cleanup.policy", "compact"), ("max.message.bytes", &limit)], replication)
    }

    /// Refuses an existing topic that is not only compacted, as its records would expire.
    fn check_compacted(&self, name: &str) -> Result<()> {
        let described = block_on(self.admin.describe_configs([&ResourceSpecifier::Topic(name)], &options()))
            .map_err(|error| self.connection.failed(&format!("cannot read the settings of topic {name}"), &error))?;
        for outcome in described {
            let config = outcome.map_err(|code| {
                self.connection.failed_code(&format!("cannot read the settings of topic {name}"), code)
            })?;
            let policy = config.get("cleanup.policy").and_then(|entry| entry.value.as_deref()).unwrap_or_default();
            if policy != "compact" {
                return Err(Error::invalid(format!(
                    "topic {name} has cleanup.policy={policy}, so announcements would expire; set it to compact, or \
                     delete the topic and run again"
                )));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `Invalid` when this user is not authorized, or the cluster rejects the settings; `Unavailable` when it does not
    /// answer. A topic that exists already is not an error.
    fn create(&self, name: &str, partitions: u32, settings: &[(&str, &str)], replication: Option<u32>) -> Result<()> {
        let copies = replication.map_or(-1, |copies| copies as i32);
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(copies));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let doing = format!("cannot create topic {name}");
        let made = block_on(self.admin.create_topics([&topic], &options()))
            .map_err(|error| self.connection.failed(&doing, &error))?;
        for outcome in made {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code @ (RDKafkaErrorCode::InvalidReplicationFactor | RDKafkaErrorCode::InvalidConfig))) => {
                    let message = format!("{doing}: the cluster rejects its settings: {code}");
                    return Err(Error::invalid(message));
                }
                Err((_, code)) => return Err(self.connection.failed_code(&doing, code)),
            }
        }
        self.wait_for(name, partitions)
    }

    /// Waits until every partition of a new topic has a leader.
    fn wait_for(&self, name: &str, partitions: u32) -> Result<()> {
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        loop {
            let metadata = self.client.client().fetch_metadata(Some(name), OPERATION_TIMEOUT);
            let led = metadata.ok().and_then(|metadata| {
                let topic = metadata.topics().first()?;
                let led = topic.partitions().iter().filter(|part| part.error().is_none() && part.leader() >= 0);
                (topic.error().is_none()).then(|| led.count())
            });
            if led.is_some_and(|led| led == partitions as usize) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::unavailable(format!(
                    "Kafka at {} has created topic {name}, but not all of its {partitions} partitions have a leader",
                    self.connection.brokers()
                )));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Deletes topics. One that does not exist is not an error.
    ///
    /// # Errors
    /// `Invalid` when this user is not authorized; `Unavailable` when the cluster does not answer.
    pub(super) fn delete(&self, names: &[&str]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let deleted = block_on(self.admin.delete_topics(names, &options()))
            .map_err(|error| self.connection.failed("cannot delete topics", &error))?;
        for outcome in deleted {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                Err((name, code)) => {
                    return Err(self.connection.failed_code(&format!("cannot delete topic {name}"), code));
                }
            }
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(OPERATION_TIMEOUT)).operation_timeout(Some(OPERATION_TIMEOUT))
}
