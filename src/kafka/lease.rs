//! The lease, which is the right to announce and belongs to one publisher of a topic at a time; and announcing.
//!
//! ```text
//! acquire: init_transactions (fences every earlier publisher) ─▶ read the last announcement ─▶ delete unlisted topics
//! announce: begin ─▶ one record ─▶ commit ─▶ every consumer flips
//!                                  └ unknown outcome: take the lease again, which settles the outcome, and read it
//! ```
//! The transactional id is derived from the topic, so publishers on any machine fence each other. Only the announcement
//! is in a transaction; it is small and takes milliseconds.
//!
//! Not for: what is announced (`catalog`), or the steps of a publish (`publish`).

use std::time::Instant;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::compacted_topic::CompactedTopic;
use super::connection::{ClientErrors, Connection, OPERATION_TIMEOUT, codec};
use super::records;
use super::topics::{STATE_LIMIT, Topics};
use super::values::Values;
use crate::error::{Error, Kind, Result};
use crate::escape::shortened;
use crate::format::{Announcement, Kafka, StreamedVersion};

/// Attempts to announce, each after the one before is known not to have been committed.
const ATTEMPTS: u32 = 5;
/// How long a transaction may stay open before the cluster aborts it: an announcement takes milliseconds.
const TRANSACTION_MILLIS: &str = "30000";

/// An announcement that failed.
#[derive(Debug)]
pub struct AnnounceError {
    /// Why.
    pub error: Error,
    /// Whether it may have been committed anyway.
    pub unknown: bool,
}

/// The right to announce.
pub struct Lease<'c> {
    connection: &'c Connection,
    target: &'c Kafka,
    dataset: String,
    topics: Topics<'c>,
    producer: BaseProducer<ClientErrors>,
    seen: Option<Announcement>,
}

impl<'c> Lease<'c> {
    /// Takes the lease from any earlier publisher, and reads the last announcement. Data topics that it does not list
    /// were left behind by other publishers; they are deleted, unless they are `ours`.
    ///
    /// A damaged announcement counts as none, and nothing is deleted then: the next one replaces it.
    ///
    /// # Errors
    /// `Invalid` when this user is not authorized, or another dataset is published to this topic; `Unavailable` when
    /// the cluster does not answer.
    pub fn acquire(
        connection: &'c Connection,
        target: &'c Kafka,
        dataset: &str,
        ours: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let topics = Topics::open(connection)?;
        topics.create_state(&records::control_topic(&target.topic), target.replication)?;
        topics.create_state(&records::reports_topic(&target.topic), target.replication)?;
        let producer = fence(connection, target)?;
        let control = records::control_topic(&target.topic);
        let latest = CompactedTopic::<Announcement>::open(connection, &control, Some(dataset))?;
        let (seen, known) = match latest.as_ref().map(|latest| last_of(latest.values(), &target.topic, dataset)) {
            Some(Err(error)) if error.kind() == Kind::Corrupt => {
                tracing::warn!("{}", error.chain().join(": "));
                (None, false)
            }
            seen => (seen.transpose()?.flatten(), true),
        };
        let lease = Self { connection, target, dataset: dataset.to_owned(), topics, producer, seen };
        if known {
            lease.delete_unlisted(ours)?;
        }
        Ok(lease)
    }

    /// The last announcement.
    pub fn last_announcement(&self) -> Option<&Announcement> {
        self.seen.as_ref()
    }

    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    pub(super) fn target(&self) -> &'c Kafka {
        self.target
    }

    pub(super) fn topics(&self) -> &Topics<'c> {
        &self.topics
    }

    /// Whether a topic existed when the lease was taken.
    pub fn has_topic(&self, name: &str) -> bool {
        self.topics.names().iter().any(|known| known == name)
    }

    /// Whether all records of a streamed version can still be read.
    ///
    /// # Errors
    /// `Unavailable` when the cluster does not answer.
    pub fn is_fully_readable(&self, streamed: &StreamedVersion) -> Result<bool> {
        if !self.has_topic(&streamed.topic) {
            return Ok(false);
        }
        for part in &streamed.partitions {
            let offsets = self.topics.offsets(&streamed.topic, part.partition)?;
            if offsets.is_none_or(|(low, high)| low > part.begin || high < part.end) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Commits an announcement: either consumers flip to its current version, or nothing happens.
    ///
    /// # Errors
    /// `Conflict` when another publisher has taken over; `Unavailable` when the cluster does not answer; `Invalid` when
    /// this user is not authorized. Each says whether the announcement may have been committed anyway.
    pub fn announce(&mut self, announcement: &Announcement) -> Result<(), AnnounceError> {
        let mut first = None;
        let known = |error| AnnounceError { error, unknown: false };
        let unknown = |error| AnnounceError { error, unknown: true };
        for _ in 0..ATTEMPTS {
            let error = match self.commit(announcement) {
                Ok(()) => {
                    self.seen = Some(announcement.clone());
                    return Ok(());
                }
                // It may have been committed before the other publisher took over; only reading the topic shows.
                Err(error) if error.kind() == Kind::Conflict => return Err(unknown(error)),
                Err(error) if matches!(error.kind(), Kind::Invalid | Kind::Internal) => return Err(known(error)),
                Err(error) => error,
            };
            tracing::warn!("checking whether the announcement was committed: {}", error.chain().join(": "));
            first.get_or_insert(error);
            // Taking the lease again commits or aborts the transaction; what is read after it is the outcome.
            let outcome = fence(self.connection, self.target).and_then(|producer| {
                self.producer = producer;
                announced(self.connection, &self.target.topic, Some(&self.dataset))
            });
            let last = match outcome {
                Ok(last) => last,
                Err(error) => {
                    let message = "unknown whether announced; the next command on this store finds out";
                    return Err(unknown(error.during(message)));
                }
            };
            let id = |announcement: &Option<Announcement>| announcement.as_ref().map(|it| it.id.clone());
            if id(&last).as_deref() == Some(announcement.id.as_str()) {
                self.seen = last;
                return Ok(());
            }
            if id(&last) != id(&self.seen) {
                return Err(known(Error::conflict("not announced: another publisher has announced meanwhile")));
            }
        }
        let message = format!("not announced, after {ATTEMPTS} attempts");
        Err(known(first.unwrap_or_else(|| Error::unavailable(message.clone())).during(message)))
    }

    fn commit(&self, announcement: &Announcement) -> Result<()> {
        let doing = "cannot announce";
        let (value, headers) = records::to_record(announcement)?;
        if value.len() as u64 > STATE_LIMIT {
            return Err(Error::invalid(format!(
                "the announcement has {} bytes, more than {} MiB: use fewer shards or keep fewer versions",
                value.len(),
                STATE_LIMIT >> 20
            )));
        }
        let failed = |error: KafkaError| self.connection.failed(doing, &error);
        self.producer.begin_transaction().map_err(failed)?;
        let topic = records::control_topic(&self.target.topic);
        let record = BaseRecord::to(&topic).partition(0).key(&self.dataset).payload(&value).headers(headers);
        self.producer.send(record).map_err(|(error, _)| failed(error))?;
        self.producer.commit_transaction(OPERATION_TIMEOUT).map_err(|error| {
            let fatal = matches!(&error, KafkaError::Transaction(inner) if inner.is_fatal());
            match self.producer.client().fatal_error() {
                Some((code, why)) if fatal => {
                    self.connection.failed_code(doing, code).during(self.connection.secrets().hidden(&why))
                }
                _ => failed(error),
            }
        })
    }

    /// Deletes the data topics that the last announcement does not list, unless they are `ours`.
    ///
    /// # Errors
    /// `Invalid` when this user is not authorized; `Unavailable` when the cluster does not answer.
    pub fn delete_unlisted(&self, ours: impl Fn(&str) -> bool) -> Result<()> {
        let listed = |name: &str| {
            self.seen.as_ref().is_some_and(|seen| seen.versions.iter().any(|it| it.streamed.topic == name))
        };
        let names = self.topics.names().iter().map(String::as_str);
        let of_this_topic = names.filter(|name| records::is_data_topic(name, &self.target.topic));
        let unlisted: Vec<&str> = of_this_topic.filter(|name| !listed(name) && !ours(name)).collect();
        self.topics.delete(&unlisted)
    }
}

/// The last announcement of a publisher's own dataset. Keys that are not datasets only cause a warning.
///
/// # Errors
/// `Invalid` when another dataset is announced there, whose topics would be deleted; else as [`only_announcement`].
fn last_of(values: &Values<Announcement>, topic: &str, dataset: &str) -> Result<Option<Announcement>> {
    let control = records::control_topic(topic);
    let mut others = values.sound().filter(|(key, it)| *key != dataset && contradiction(key, it).is_none());
    if let Some((other, _)) = others.next() {
        return Err(Error::invalid(format!(
            "the topic {topic} holds the dataset {other:?}, this store has {dataset:?}: give each its own topic; {}",
            tombstone(&control)
        )));
    }
    if let Some(others) = values.others(dataset) {
        tracing::warn!(
            "topic {control} has keys that are not datasets, which are ignored: {others}; {}",
            tombstone(&control)
        );
    }
    only_announcement(values, topic, Some(dataset))
}

/// Reads the last announcement of a dataset, or of the only one that is announced in a topic; `None` before the first.
///
/// # Errors
/// As `only_announcement`; else as `CompactedTopic::open`.
pub fn announced(connection: &Connection, topic: &str, dataset: Option<&str>) -> Result<Option<Announcement>> {
    let control = records::control_topic(topic);
    match CompactedTopic::<Announcement>::open(connection, &control, dataset)? {
        None => Ok(None),
        Some(latest) => only_announcement(latest.values(), topic, dataset),
    }
}

/// The last announcement of `dataset` among the control topic's records read so far. Without `dataset`, that of the
/// only dataset with a sound announcement.
///
/// # Errors
/// `Corrupt` when it is damaged or contradicts itself, `Invalid` when it follows another protocol or several datasets
/// are announced there.
pub fn only_announcement(
    values: &Values<Announcement>,
    topic: &str,
    dataset: Option<&str>,
) -> Result<Option<Announcement>> {
    let control = records::control_topic(topic);
    let unusable = |damage: &Error| {
        Error::new(damage.kind(), damage.chain().join(": ")).during(format!(
            "the last announcement in topic {control} cannot be used; `cutover publish STORE N` where the versions are \
             built announces again"
        ))
    };
    if let Some(dataset) = dataset {
        return match values.get(dataset) {
            None => Ok(None),
            Some(Err(damage)) => Err(unusable(damage)),
            Some(Ok(last)) => match contradiction(dataset, last) {
                None => Ok(Some(last.clone())),
                Some(problem) => Err(unusable(&Error::corrupt(format!("it contradicts itself: {problem}")))),
            },
        };
    }
    let mut sound = values.sound().filter(|(key, it)| contradiction(key, it).is_none());
    match (sound.next(), sound.next()) {
        (Some((_, last)), None) => Ok(Some(last.clone())),
        (Some((first, _)), Some((second, _))) => Err(Error::invalid(format!(
            "topic {control} has announcements of the datasets {} and {}: each needs its own topic; {}",
            shortened(first),
            shortened(second),
            tombstone(&control)
        ))),
        (None, _) => match (values.damage(), values.sound().next()) {
            (Some(damage), _) => Err(unusable(damage)),
            (None, Some((key, it))) => {
                let problem = contradiction(key, it).unwrap_or_default();
                Err(unusable(&Error::corrupt(format!("it contradicts itself: {problem}"))))
            }
            (None, None) => Ok(None),
        },
    }
}

/// The first contradiction in an announcement with this key.
fn contradiction(key: &str, announcement: &Announcement) -> Option<String> {
    if announcement.dataset != key {
        let (key, dataset) = (shortened(key), shortened(&announcement.dataset));
        return Some(format!("its key is {key}, its dataset {dataset}"));
    }
    announcement.contradiction()
}

/// Says how to remove a key that does not belong to a topic.
pub fn tombstone(control: &str) -> String {
    format!(
        "remove a key that does not belong there with a tombstone: \
         `printf 'KEY:' | kcat -P -b BROKERS -t {control} -p 0 -K: -Z`"
    )
}

/// A producer that fences every earlier one of this topic.
fn fence(connection: &Connection, target: &Kafka) -> Result<BaseProducer<ClientErrors>> {
    let mut config = connection.config();
    config.set("transactional.id", format!("cutover-{}", target.topic));
    config.set("transaction.timeout.ms", TRANSACTION_MILLIS);
    config.set("message.max.bytes", (2 * STATE_LIMIT).to_string());
    config.set("compression.type", codec(target.compression));
    let producer: BaseProducer<ClientErrors> = connection.client(&config, connection.listener())?;
    let deadline = Instant::now() + 2 * OPERATION_TIMEOUT;
    loop {
        let error = match producer.init_transactions(OPERATION_TIMEOUT) {
            Ok(()) => return Ok(producer),
            Err(error) => error,
        };
        let again = match &error {
            KafkaError::Transaction(inner) => {
                inner.is_retriable() || inner.code() == RDKafkaErrorCode::OperationTimedOut
            }
            _ => false,
        };
        if !again || Instant::now() > deadline {
            return Err(connection.failed("cannot take the lease of the topic", &error));
        }
    }
}
