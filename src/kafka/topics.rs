//! Topics: what a cluster has, making one, deleting some.
//!
//! Not for: which topics may go (`publish`).

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};

use super::connection::{ClientErrors, Connection, OPERATION_TIMEOUT};
use crate::error::{Error, Result};
use crate::format::Kafka;

/// How often a cluster is asked whether it knows a topic that was just made.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The smallest limit for a record that a topic is made with, in bytes: what brokers have by default, and some.
const LEAST_RECORD_LIMIT: u64 = 2 << 20;
/// Bytes around a record's key and value that count against the limit: generous.
const RECORD_OVERHEAD: u64 = 64 << 10;
/// The limit of the topics with a whole state in one record, in bytes: 16 MiB.
pub(super) const STATE_LIMIT: u64 = 16 << 20;

/// The topics of a cluster.
pub(super) struct Topics<'c> {
    connection: &'c Connection,
    client: BaseProducer<ClientErrors>,
    admin: AdminClient<ClientErrors>,
    names: Vec<String>,
}

impl<'c> Topics<'c> {
    /// Asks the cluster for all topics it has.
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

    /// Names of all topics, as of the opening.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The first offset that is there and the one after the last, of each of so many partitions; `None` where there is
    /// no such topic or partition.
    ///
    /// # Errors
    /// `Unavailable` when the cluster does not answer.
    pub(super) fn offsets(&self, topic: &str, partition: u32) -> Result<Option<(i64, i64)>> {
        use RDKafkaErrorCode as Code;
        match self.client.client().fetch_watermarks(topic, partition as i32, OPERATION_TIMEOUT) {
            Ok(offsets) => Ok(Some(offsets)),
            Err(error) => match error.rdkafka_error_code() {
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => Ok(None),
                _ => Err(self.connection.failed(&format!("cannot look at topic {topic}"), &error)),
            },
        }
    }

    /// Makes a data topic: kept until it is deleted, with room for records of `largest` bytes.
    ///
    /// # Errors
    /// As [`Topics::create`].
    pub(super) fn create_data(&self, name: &str, partitions: u32, largest: u64, target: &Kafka) -> Result<()> {
        let limit = (largest + RECORD_OVERHEAD).max(LEAST_RECORD_LIMIT).to_string();
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("max.message.bytes", &limit),
        ];
        self.create(name, partitions, &settings, target.replication)
    }

    /// Makes a topic of states, compacted, where there is none.
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

    /// Refuses a topic of states whose records expire.
    fn check_compacted(&self, name: &str) -> Result<()> {
        let described = block_on(self.admin.describe_configs([&ResourceSpecifier::Topic(name)], &options()))
            .map_err(|error| self.connection.failed(&format!("cannot look at topic {name}"), &error))?;
        for outcome in described {
            let config = outcome.map_err(|code| {
                self.connection.failed_code(&format!("cannot look at the settings of topic {name}"), code)
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
    /// `Invalid` when this user may not, or the cluster does not take the settings; `Unavailable` when it does not
    /// answer. A topic that is there already is fine.
    fn create(&self, name: &str, partitions: u32, settings: &[(&str, &str)], replication: Option<u32>) -> Result<()> {
        let copies = replication.map_or(-1, |copies| copies as i32);
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(copies));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let doing = format!("cannot make topic {name}");
        let made = block_on(self.admin.create_topics([&topic], &options()))
            .map_err(|error| self.connection.failed(&doing, &error))?;
        for outcome in made {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code @ (RDKafkaErrorCode::InvalidReplicationFactor | RDKafkaErrorCode::InvalidConfig))) => {
                    let message = format!("{doing}: the cluster does not take its settings: {code}");
                    return Err(Error::invalid(message));
                }
                Err((_, code)) => return Err(self.connection.failed_code(&doing, code)),
            }
        }
        self.wait_for(name, partitions)
    }

    /// Waits until the cluster leads every partition of a topic that was just made.
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
                    "Kafka at {} has made topic {name}, but not all of its {partitions} partitions have a leader",
                    self.connection.brokers()
                )));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Deletes topics. One that is gone is fine.
    ///
    /// # Errors
    /// `Invalid` when this user may not; `Unavailable` when the cluster does not answer.
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
