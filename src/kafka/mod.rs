//! Kafka: versions as topics, and the one record that flips every consumer. `schemas/kafka-protocol.md` is the
//! protocol.
//!
//! ```text
//! lease ─▶ data topic, a partition per shard: records in key order, END ─▶ announcement in one small transaction
//! control topic <topic>.versions ─▶ consumers ─▶ reports in <topic>.consumers
//! ```
//! Everything here is synchronous: librdkafka has threads of its own, and transactional calls block.
//!
//! | file | what it holds |
//! |---|---|
//! | `wire` | names of topics, and the records: END markers, announcements, reports |
//! | `connection` | settings, credentials, and what a failure asks of the person who reads it |
//! | `secrets` | hides values of settings in what librdkafka says |
//! | `topics` | making, finding and deleting topics |
//! | `latest` | reads the last record of every key of a compacted topic |
//! | `values` | keeps them, in bounded memory |
//! | `lease` | the right to announce, and announcing |
//! | `stream` | one version's entries into its data topic |
//! | `partitions` | the records of one partition of a version, as a consumer reads them |
//! | `reports` | what consumers serve |
//!
//! Not for: when a version is published (`publish`), or what a consumer does with records (`consume`).

mod compacted_topic;
mod connection;
mod consumer;
mod consumer_status;
mod lease;
mod producer;
pub(crate) mod records;
mod secrets;
mod topics;
mod values;

pub use compacted_topic::CompactedTopic;
pub use connection::Connection;
pub use consumer::{Partitions, Received};
pub use consumer_status::{Reporter, wait_for_consumers};
pub use lease::{AnnounceError, Lease, announced, only_announcement, tombstone};
pub use producer::stream;
pub use records::{ConsumerReport, ConsumerState, End, control_topic, is_data_topic};
pub use values::Values;
