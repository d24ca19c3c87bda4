//! Kafka: each version is a topic, and one record flips every consumer. `schemas/kafka-protocol.md` is the protocol.
//!
//! ```text
//! lease ─▶ data topic, one partition per shard: records in key order, END ─▶ announcement in one small transaction
//! control topic <topic>.versions ─▶ consumers ─▶ reports in <topic>.consumers
//! ```
//! Everything here is synchronous: librdkafka runs its own threads, and transactional calls block.
//!
//! | file | what it holds |
//! |---|---|
//! | `records` | names of topics, and the record formats: END markers, announcements, reports |
//! | `connection` | settings, credentials, and errors that say what to do |
//! | `secrets` | redacts values of settings in librdkafka's messages |
//! | `topics` | creates, lists and deletes topics |
//! | `compacted_topic` | reads the last record of every key of a compacted topic |
//! | `values` | keeps them, in bounded memory |
//! | `lease` | the right to announce, and announcing |
//! | `producer` | writes one version's entries to its data topic |
//! | `consumer` | reads the records of a version's partitions |
//! | `consumer_status` | what each consumer serves: writes its report, waits for reports |
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
#[cfg(test)]
pub(crate) use values::Values;
