//! Protocol 1 on the wire: names of topics, and the three record formats that are not entries.
//!
//! ```text
//! <topic>.v42-<build id>-<attempt>   data: entries in key order, then END       header cutover: end
//! <topic>.versions                   control, compacted: key = dataset          value = Announcement
//! <topic>.consumers                  compacted: key = consumer                  value = ConsumerReport
//! ```
//! All three values are JSON, and each record carries the XXH3-64 of its value in the header `cutover-xxh3`. Unknown
//! fields are ignored; a record of another protocol is refused.
//!
//! Not for: sending or reading them.

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::format::{Digest, PROTOCOL, hex_checksum};

/// The header that only END markers have, and its value.
const MARK: (&str, &[u8]) = ("cutover", b"end");
/// The header that holds the checksum of the value, 16 hexadecimal digits.
pub(crate) const CHECKSUM: &str = "cutover-xxh3";
/// Most characters of a record that a message quotes.
const LONGEST_QUOTE: usize = 300;
/// Hexadecimal digits of an attempt's random number.
const ATTEMPT_DIGITS: usize = 8;

/// The topic of announcements.
pub fn control_topic(topic: &str) -> String {
    format!("{topic}.versions")
}

/// The topic of consumers' reports.
pub(super) fn reports_topic(topic: &str) -> String {
    format!("{topic}.consumers")
}

/// The topic for one attempt to stream a version: a producer of an earlier attempt that is still writing reaches only
/// its own topic.
pub(super) fn data_topic(topic: &str, version: u64, build_id: &str, attempt: u32) -> String {
    format!("{topic}.v{version}-{build_id}-{attempt:08x}")
}

/// Whether a topic is one that `data_topic` names for `topic`.
pub fn is_data_topic(name: &str, topic: &str) -> bool {
    let parse = || {
        let rest = name.strip_prefix(topic)?.strip_prefix(".v")?;
        let (version, rest) = rest.split_once('-')?;
        let (build_id, attempt) = rest.rsplit_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let hex = |text: &str| text.len() == ATTEMPT_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        Some(digits(version) && hex(attempt) && !build_id.is_empty() && plain(build_id))
    };
    parse() == Some(true)
}

/// The END marker of one partition: what the partition must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The protocol, 1.
    pub protocol: u32,
    /// The dataset.
    pub dataset: String,
    /// The version.
    pub version: u64,
    /// The build that made it.
    pub build_id: String,
    /// The shard, which is the partition.
    pub shard: u32,
    /// Entries before this marker.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Digest of their keys and values.
    pub digest: Digest,
}

/// A consumer's status report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerReport {
    /// The protocol, 1.
    pub protocol: u32,
    /// Its name, the record's key.
    pub consumer: String,
    /// The dataset.
    pub dataset: String,
    /// What it is doing.
    pub state: ConsumerState,
    /// The version it serves; none before the first.
    pub version: Option<u64>,
    /// The build of that version.
    pub build_id: Option<String>,
    /// The announced version, which it serves or is on its way to.
    pub announced: u64,
    /// Entries of the announced version it has.
    pub rows: u64,
    /// Entries the announced version has.
    pub rows_total: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When it wrote this report: RFC 3339.
    pub at: String,
}

/// What a consumer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerState {
    /// It reads the announced version, and serves the one before.
    Staging,
    /// It serves the announced version.
    Serving,
    /// It could not take over the announced version, and serves the one before.
    Failed,
}

/// Serializes a value and makes the header with its checksum.
pub(crate) fn to_record(value: &impl Serialize) -> Result<(Vec<u8>, OwnedHeaders)> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::internal("cannot write JSON").because(error))?;
    let sum = hex_checksum(xxh3_64(&bytes));
    let headers = OwnedHeaders::new().insert(Header { key: CHECKSUM, value: Some(&sum) });
    Ok((bytes, headers))
}

/// The same for an END marker.
pub(super) fn end_to_record(end: &End) -> Result<(Vec<u8>, OwnedHeaders)> {
    let (bytes, headers) = to_record(end)?;
    Ok((bytes, headers.insert(Header { key: MARK.0, value: Some(MARK.1) })))
}

/// Whether a record is an END marker.
pub(super) fn is_end(record: &impl Message) -> bool {
    header(record, MARK.0) == Some(MARK.1)
}

/// The value of a record that [`to_record`] made.
///
/// # Errors
/// `Corrupt` when it does not match its checksum or does not parse; `Invalid` when it follows a protocol that this
/// program does not know.
pub(crate) fn from_record<T: DeserializeOwned>(record: &impl Message) -> Result<T> {
    let place = format!("the record at offset {} of {}-{}", record.offset(), record.topic(), record.partition());
    let bytes = record.payload().ok_or_else(|| Error::corrupt(format!("{place} has no value")))?;
    let said = header(record, CHECKSUM).unwrap_or_default();
    let found = hex_checksum(xxh3_64(bytes));
    if said != found.as_bytes() {
        let said = shortened(&String::from_utf8_lossy(said));
        return Err(Error::corrupt(format!("{place} has the checksum {found}, its header says {said}")));
    }
    #[derive(Deserialize)]
    struct Version {
        protocol: u32,
    }
    // The cause is cut, as it may quote the whole record.
    let wrong = |error: serde_json::Error| {
        Error::corrupt(format!("{place} is not a record of this protocol")).because(cut(&error.to_string()))
    };
    let Version { protocol } = serde_json::from_slice(bytes).map_err(wrong)?;
    if protocol != PROTOCOL {
        let message = format!("{place} follows protocol {protocol}, this program knows {PROTOCOL}: upgrade cutover");
        return Err(Error::invalid(message));
    }
    serde_json::from_slice(bytes).map_err(wrong)
}

/// The beginning of a message whose length a record controls.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST_QUOTE).collect()
}

fn header<'m>(record: &'m impl Message, name: &str) -> Option<&'m [u8]> {
    record.headers()?.iter().find(|header| header.key == name)?.value
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedMessage, Timestamp as RecordTime};

    use super::*;

    fn record(bytes: Vec<u8>, headers: OwnedHeaders) -> OwnedMessage {
        OwnedMessage::new(Some(bytes), None, "t".into(), RecordTime::NotAvailable, 3, 7, Some(headers))
    }

    fn end() -> End {
        let build_id = "20261122T000000Z-0123abcd".to_owned();
        let dataset = "views".to_owned();
        End { protocol: 1, dataset, version: 2, build_id, shard: 3, rows: 4, bytes: 5, digest: Digest(6) }
    }

    #[test]
    fn an_end_marker_round_trips_and_a_damaged_one_is_refused() {
        let (bytes, headers) = end_to_record(&end()).unwrap();
        let good = record(bytes.clone(), headers.clone());
        assert!(is_end(&good));
        assert_eq!(from_record::<End>(&good).unwrap(), end());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let error = from_record::<End>(&record(damaged, headers.clone())).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Corrupt);
            assert!(error.message().contains("offset 7 of t-3"), "{error}");
        }
    }

    #[test]
    fn another_protocol_is_refused() {
        let (bytes, headers) = to_record(&End { protocol: 2, ..end() }).unwrap();
        assert_eq!(from_record::<End>(&record(bytes, headers)).unwrap_err().kind(), crate::error::Kind::Invalid);
    }

    #[test]
    fn topics_of_other_datasets_are_not_ours() {
        let name = data_topic("views", 42, "20261122T000000Z-0123abcd", 7);
        assert_eq!(name, "views.v42-20261122T000000Z-0123abcd-00000007");
        assert!(is_data_topic(&name, "views"));
        for other in [
            "views",
            "views.versions",
            "views.v42-x",
            "views.v-x-00000007",
            "views.v2-copy.versions",
            "views2.v1-b-00000007",
        ] {
            assert!(!is_data_topic(other, "views"), "{other}");
        }
        assert!(!is_data_topic(&name, "view"));
    }
}
