//! What consumers serve, as they report it: each consumer writes its status, a publisher that waits for them reads it.
//!
//! Reports inform people and `--wait-consumers`; no other decision depends on them, and a failure to write one is only
//! a warning.
//!
//! Not for: lag of consumer groups; none are used.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::compacted_topic::CompactedTopic;
use super::connection::{ClientErrors, Connection};
use super::records::{self, ConsumerReport, ConsumerState};
use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::format::StreamedVersion;
use crate::shutdown;

/// How long writing a report may take before it is abandoned.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one poll for reports waits.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Most consumers that a message names.
const MAX_NAMED: usize = 20;
/// Most characters of a consumer's error that a message shows.
const LONGEST_ERROR: usize = 300;

/// Writes one consumer's reports.
pub struct Reporter {
    connection: Connection,
    producer: BaseProducer<ClientErrors>,
    topic: String,
}

impl Reporter {
    /// A reporter for a consumer of `topic`.
    ///
    /// # Errors
    /// `Invalid` when librdkafka rejects the client settings.
    pub fn new(connection: &Connection, topic: &str) -> Result<Self> {
        let mut config = connection.config();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("message.timeout.ms", REPORT_TIMEOUT.as_millis().to_string());
        let producer = connection.client(&config, connection.listener())?;
        Ok(Self { connection: connection.clone(), producer, topic: records::reports_topic(topic) })
    }

    /// Writes a report; a failure is logged as a warning.
    pub fn report(&self, report: &ConsumerReport) {
        let written = records::to_record(report).and_then(|(value, headers)| {
            let failed = |error| self.connection.failed(&format!("cannot write to topic {}", self.topic), &error);
            let record =
                BaseRecord::to(&self.topic).partition(0).key(&report.consumer).payload(&value).headers(headers);
            self.producer.send(record).map_err(|(error, _)| failed(error))?;
            self.producer.flush(REPORT_TIMEOUT).map_err(failed)
        });
        if let Err(error) = written {
            tracing::warn!("cannot report to publishers what this consumer serves: {}", error.chain().join(": "));
        }
    }
}

/// Waits until `consumers` consumers serve a version, and returns their names.
///
/// # Errors
/// `Unavailable` when they do not within `patience`, with the status of the others; `Stopped` when a stop is requested;
/// else as [`CompactedTopic::open`].
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
        // Damaged reports are ignored.
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
            let others: Vec<String> = others.take(MAX_NAMED).collect();
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
            report.error.as_deref().map_or("no reason given".to_owned(), cut)
        ),
    }
}

/// A consumer's error, cut to the length that a message may have.
fn cut(error: &str) -> String {
    error.chars().take(LONGEST_ERROR).collect()
}
