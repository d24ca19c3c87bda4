//! What consumers serve, as they say: written by each of them, read by a publisher that waits for them.
//!
//! Reports are for people and for waiting; nothing is decided by them, and one that cannot be written is only warned
//! about.
//!
//! Not for: lag of consumer groups; there are none.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::compacted_topic::CompactedTopic;
use super::connection::{ClientErrors, Connection};
use super::records::{self, ConsumerReport, ConsumerState};
use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::format::StreamedVersion;
use crate::shutdown;

/// How long a report may take before it is given up.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one look for reports waits.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Consumers that a message names at most.
const MOST_NAMED: usize = 20;
/// Characters of a consumer's failure that a message shows.
const LONGEST_ERROR: usize = 300;

/// Writes one consumer's reports.
pub struct Reporter {
    connection: Connection,
    producer: BaseProducer<ClientErrors>,
    topic: String,
}

impl Reporter {
    /// Reports to the cluster about what is read from `topic`.
    ///
    /// # Errors
    /// `Invalid` when the client's settings are refused.
    pub fn new(connection: &Connection, topic: &str) -> Result<Self> {
        let mut config = connection.config();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("message.timeout.ms", REPORT_TIMEOUT.as_millis().to_string());
        let producer = connection.client(&config, connection.listener())?;
        Ok(Self { connection: connection.clone(), producer, topic: records::reports_topic(topic) })
    }

    /// Writes a report; one that cannot be written is warned about.
    pub fn report(&self, report: &ConsumerReport) {
        let written = records::seal(report).and_then(|(value, headers)| {
            let failed = |error| self.connection.failed(&format!("cannot write to topic {}", self.topic), &error);
            let record =
                BaseRecord::to(&self.topic).partition(0).key(&report.consumer).payload(&value).headers(headers);
            self.producer.send(record).map_err(|(error, _)| failed(error))?;
            self.producer.flush(REPORT_TIMEOUT).map_err(failed)
        });
        if let Err(error) = written {
            tracing::warn!("publishers do not learn what this consumer serves: {}", error.chain().join(": "));
        }
    }
}

/// Waits until so many consumers serve a version, and returns their names.
///
/// # Errors
/// `Unavailable` when they do not within `patience`, naming the others and what they do; `Stopped` when that is asked
/// for; else as [`CompactedTopic::open`].
pub fn wait_for_consumers(
    connection: &Connection,
    topic: &str,
    version: &StreamedVersion,
    consumers: usize,
    patience: Duration,
) -> Result<Vec<String>> {
    let deadline = Instant::now() + patience;
    let mut latest: Option<CompactedTopic<ConsumerReport>> =
        CompactedTopic::open(connection, &records::reports_topic(topic), None)?;
    loop {
        shutdown::check()?;
        // A report that cannot be read is nobody's.
        let reports = || latest.iter().flat_map(|latest| latest.values().sound()).map(|(_, report)| report);
        let serves = |report: &&ConsumerReport| {
            report.state == ConsumerState::Serving && report.build_id.as_deref() == Some(version.build_id.as_str())
        };
        let serving: Vec<String> = reports().filter(serves).map(|report| report.consumer.clone()).collect();
        if serving.len() >= consumers {
            return Ok(serving);
        }
        if Instant::now() > deadline {
            let others = reports().filter(|report| !serves(report)).map(describe);
            let others: Vec<String> = others.take(MOST_NAMED).collect();
            let others = if others.is_empty() { "no other has reported".to_owned() } else { others.join(", ") };
            return Err(Error::unavailable(format!(
                "version {} is announced, but after {} s {} of {consumers} consumers serve it; {others}",
                version.version,
                patience.as_secs(),
                serving.len()
            )));
        }
        match &mut latest {
            Some(latest) => drop(latest.follow(POLL_INTERVAL)?),
            None => latest = CompactedTopic::open(connection, &records::reports_topic(topic), None)?,
        }
    }
}

fn describe(report: &ConsumerReport) -> String {
    let name = shortened(&report.consumer);
    let serves = report.version.map_or("nothing yet".to_owned(), |version| format!("version {version}"));
    match report.state {
        ConsumerState::Serving => format!("{name} serves {serves}"),
        ConsumerState::Staging => format!(
            "{name} serves {serves} and has {} of {} rows of version {}",
            report.rows, report.rows_total, report.announced
        ),
        ConsumerState::Failed => format!(
            "{name} serves {serves} and failed: {}",
            report.error.as_deref().map_or("it did not say why".to_owned(), cut)
        ),
    }
}

/// What a consumer says of its failure, no longer than a message should be.
fn cut(error: &str) -> String {
    error.chars().take(LONGEST_ERROR).collect()
}
