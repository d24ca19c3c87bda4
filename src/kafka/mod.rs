//! Kafka: versions as topics, and the one record that flips every consumer. `schemas/kafka-protocol.md` is the protocol.
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

mod connection;
mod latest;
mod lease;
mod partitions;
mod reports;
mod secrets;
mod stream;
mod topics;
mod values;
pub(crate) mod wire;

pub use connection::Connection;
pub use latest::Latest;
pub use lease::{Lease, Unannounced, announced, only_announcement, tombstone};
pub use partitions::{Partitions, Received};
pub use reports::{Reporter, wait_for_consumers};
pub use stream::stream;
pub use values::Values;
pub use wire::{ConsumerReport, ConsumerState, End, control_topic, is_data_topic};
