//! Streams a finished version to its data topic: shard by shard, entries in key order, then the END marker.
//!
//! The producer is idempotent and waits for all in-sync replicas. Every delivery report is counted: the version is
//! streamed when each partition has acknowledged exactly its entries and its marker, at contiguous offsets. Entries are
//! counted and digested as they are sent and compared with the manifest, so that damage on this disk is detected before
//! anything is announced.
//!
//! Memory is bounded: librdkafka's queue holds [`QUEUE_KIBIBYTES`], and a full queue blocks the sender.
//!
//! Not for: announcing the version to consumers (`lease`).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::connection::codec;
use super::lease::Lease;
use super::records::{self, End};
use super::secrets::Secrets;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::{Digester, PROTOCOL, ShardEntry, StreamedPartition, StreamedVersion};
use crate::progress::Progress;
use crate::random;
use crate::serve::Version;
use crate::shutdown;

/// Memory for records in flight, in KiB.
const QUEUE_KIBIBYTES: &str = "65536";
/// Most bytes and records of a batch, and how long a batch waits to fill.
const BATCH_BYTES: &str = "1000000";
const BATCH_RECORDS: &str = "100000";
const LINGER_MILLIS: &str = "10";
/// How long a record may take to be acknowledged, including retries: 2 minutes.
const DELIVERY_MILLIS: &str = "120000";
/// Attempts to stream a version, each with a new client to a new topic, when the cluster does not acknowledge a record
/// in time.
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; before the third it is twice as long.
const BACKOFF: Duration = Duration::from_secs(2);
/// Bytes around key and value in a request.
const REQUEST_OVERHEAD: u64 = 1 << 20;
/// How long to wait between two checks of a full queue.
const BACKPRESSURE: Duration = Duration::from_millis(1);
/// Records between two steps of the progress bar.
const PROGRESS_EVERY: u64 = 4096;

/// Streams a version to a new topic. The topic of a failed attempt is deleted.
///
/// # Errors
/// `Corrupt` when the version differs from its manifest, or another process wrote to the topic; `Conflict` when the
/// topic is deleted meanwhile; `Invalid` when this user is not authorized, or a record is too large; `Unavailable` when
/// the cluster does not acknowledge a record in time; `Stopped` when a stop is requested. No consumer sees the topic of
/// a failed attempt.
pub fn stream(lease: &Lease<'_>, version: &Version, progress: Progress) -> Result<StreamedVersion> {
    let manifest = version.manifest();
    let mut first = None;
    for attempt in 1..=ATTEMPTS {
        let random = random::u32()?;
        let topic = records::data_topic(&lease.target().topic, manifest.version, &manifest.build_id, random);
        let error = match stream_to(&topic, lease, version, progress) {
            Ok(streamed) => return Ok(streamed),
            Err(error) => error,
        };
        if let Err(left) = lease.topics().delete(&[&topic]) {
            tracing::warn!("topic {topic} is left for the next publish to delete: {}", left.chain().join(": "));
        }
        if error.kind() != Kind::Unavailable {
            return Err(error);
        }
        tracing::warn!("attempt {attempt} of {ATTEMPTS} to stream failed: {}", error.chain().join(": "));
        first.get_or_insert(error);
        if attempt < ATTEMPTS {
            shutdown::sleep(attempt * BACKOFF)?;
        }
    }
    let message = format!("version {} could not be streamed in {ATTEMPTS} attempts", manifest.version);
    Err(first.unwrap_or_else(|| Error::internal(message.clone())).during(message))
}

fn stream_to(topic: &str, lease: &Lease<'_>, version: &Version, progress: Progress) -> Result<StreamedVersion> {
    let manifest = version.manifest();
    let largest = manifest.largest.as_ref().map_or(0, |entry| entry.bytes);
    lease.topics().create_data(topic, manifest.shard_count, largest, lease.target())?;
    let stage = progress.stage("stream", Some(manifest.rows));
    let sender = Sender::open(lease, topic, manifest.shard_count, largest)?;
    for shard in &manifest.shards {
        let mut sent = Sent::default();
        version.for_each_in_shard(shard.shard, |key, value| {
            sender.send(shard.shard, Some(key), value, None)?;
            sent.count(key, value);
            if sent.rows % PROGRESS_EVERY == 0 {
                stage.advance(PROGRESS_EVERY);
            }
            shutdown::check()?;
            failpoint::reach("stream.record")
        })?;
        stage.advance(sent.rows % PROGRESS_EVERY);
        sent.compare(shard, manifest.version)?;
        failpoint::reach("stream.end")?;
        let end = End {
            protocol: PROTOCOL,
            dataset: manifest.dataset.clone(),
            version: manifest.version,
            build_id: manifest.build_id.clone(),
            shard: shard.shard,
            rows: shard.rows,
            bytes: shard.bytes,
            digest: shard.digest,
        };
        let (value, headers) = records::end_to_record(&end)?;
        sender.send(shard.shard, None, &value, Some(headers))?;
    }
    let partitions = sender.finish(&manifest.shards)?;
    failpoint::reach("stream.finished")?;
    stage.finish();
    Ok(StreamedVersion::new(manifest, topic.to_owned(), partitions))
}

/// What was sent of one shard.
#[derive(Default)]
struct Sent {
    rows: u64,
    bytes: u64,
    digester: Digester,
}

impl Sent {
    fn count(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.digester.add(key, value);
    }

    fn compare(&self, shard: &ShardEntry, version: u64) -> Result<()> {
        let digest = self.digester.digest();
        if (self.rows, self.bytes, digest) == (shard.rows, shard.bytes, shard.digest) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "shard {} of version {version} has {} entries with the digest {digest}, its manifest says {} with {}; \
             nothing was announced; `cutover verify STORE {version} --depth full` gives details",
            shard.shard, self.rows, shard.rows, shard.digest
        )))
    }
}

/// Sends records and counts what is acknowledged.
struct Sender<'l, 'c> {
    lease: &'l Lease<'c>,
    topic: String,
    producer: ThreadedProducer<Deliveries>,
}

impl<'l, 'c> Sender<'l, 'c> {
    fn open(lease: &'l Lease<'c>, topic: &str, partitions: u32, largest: u64) -> Result<Self> {
        let connection = lease.connection();
        let mut config = connection.config();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("compression.type", codec(lease.target().compression));
        config.set("queue.buffering.max.kbytes", QUEUE_KIBIBYTES).set("queue.buffering.max.messages", "0");
        config.set("batch.size", BATCH_BYTES).set("batch.num.messages", BATCH_RECORDS).set("linger.ms", LINGER_MILLIS);
        config.set("message.timeout.ms", DELIVERY_MILLIS);
        config.set("message.max.bytes", (largest + REQUEST_OVERHEAD).max(2 * REQUEST_OVERHEAD).to_string());
        let producer = connection.client(&config, Deliveries::new(partitions, connection.secrets().clone()))?;
        Ok(Self { lease, topic: topic.to_owned(), producer })
    }

    fn send(&self, shard: u32, key: Option<&[u8]>, value: &[u8], headers: Option<OwnedHeaders>) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(shard as i32).payload(value);
        record.key = key;
        record.headers = headers;
        loop {
            self.check()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    shutdown::sleep(BACKPRESSURE)?;
                }
                Err((error, _)) => return Err(self.lease.connection().failed(&self.doing(), &error)),
            }
        }
    }

    /// Fails when a record was not acknowledged.
    fn check(&self) -> Result<()> {
        match self.producer.context().failure() {
            None => Ok(()),
            Some(code) => Err(self.lease.connection().failed_code(&self.doing(), code)),
        }
    }

    fn doing(&self) -> String {
        format!("cannot write to topic {}; nothing was announced", self.topic)
    }

    /// Waits for every acknowledgement.
    fn finish(self, shards: &[ShardEntry]) -> Result<Vec<StreamedPartition>> {
        while self.producer.in_flight_count() > 0 {
            self.check()?;
            shutdown::sleep(BACKPRESSURE)?;
        }
        self.check()?;
        let deliveries = self.producer.context();
        shards.iter().map(|shard| deliveries.partition(shard, &self.topic)).collect()
    }
}

/// Acknowledged records, by partition.
struct Deliveries {
    partitions: Vec<Delivered>,
    failed: AtomicBool,
    failure: Mutex<Option<RDKafkaErrorCode>>,
    secrets: Secrets,
}

struct Delivered {
    records: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

impl Deliveries {
    fn new(partitions: u32, secrets: Secrets) -> Self {
        let none =
            || Delivered { records: AtomicU64::new(0), first: AtomicI64::new(i64::MAX), last: AtomicI64::new(-1) };
        let partitions = (0..partitions).map(|_| none()).collect();
        Self { partitions, failed: AtomicBool::new(false), failure: Mutex::new(None), secrets }
    }

    fn failure(&self) -> Option<RDKafkaErrorCode> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, code: RDKafkaErrorCode) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(code);
        self.failed.store(true, Ordering::Release);
    }

    /// Checks that one partition holds exactly the shard's entries and its END marker.
    fn partition(&self, shard: &ShardEntry, topic: &str) -> Result<StreamedPartition> {
        let ShardEntry { shard: partition, rows, bytes, digest, .. } = *shard;
        let delivered = &self.partitions[partition as usize];
        let records = delivered.records.load(Ordering::Acquire);
        let (begin, last) = (delivered.first.load(Ordering::Acquire), delivered.last.load(Ordering::Acquire));
        if records != rows + 1 || last - begin != rows as i64 {
            return Err(Error::corrupt(format!(
                "partition {partition} of topic {topic} acknowledged {records} records at offsets {begin} to {last}, \
                 but {} consecutive ones were sent: another process wrote there; nothing was announced; run again",
                rows + 1
            )));
        }
        Ok(StreamedPartition { partition, begin, end: last + 1, rows, bytes, digest })
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        super::connection::log(&self.secrets, level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::connection::log_error(&self.secrets, &error, reason);
        if let Some(code) = error.rdkafka_error_code().filter(|code| super::connection::is_refusal(*code)) {
            self.fail(code);
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(record) => {
                if let Some(delivered) = self.partitions.get(record.partition() as usize) {
                    delivered.records.fetch_add(1, Ordering::AcqRel);
                    delivered.first.fetch_min(record.offset(), Ordering::AcqRel);
                    delivered.last.fetch_max(record.offset(), Ordering::AcqRel);
                }
            }
            Err((error, _)) => self.fail(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        }
    }
}
