//! A simulated Kafka cluster next to the simulated machine: topics, the lease, and the last announcement.
//!
//! It is another machine: a power cut loses nothing of it. Sometimes another client deletes one of its topics.
//!
//! Not for: records, offsets and transactions; tests on a real broker cover those.

use std::collections::BTreeMap;

use crate::format::{Announcement, StreamedVersion};

/// The state of the cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// Data topics, each with its version once that is complete.
    pub(super) topics: BTreeMap<String, Option<StreamedVersion>>,
    pub(super) made: u64,
    /// The number of the valid lease.
    pub(super) lease: u64,
    pub(super) announced: Option<Announcement>,
}

impl Cluster {
    /// Whether the topic of a version contains all of it.
    pub(super) fn holds(&self, streamed: &StreamedVersion) -> bool {
        self.topics.get(&streamed.topic).is_some_and(|held| held.as_ref() == Some(streamed))
    }

    /// Topics that no announcement lists.
    pub(super) fn left_over(&self) -> Vec<&str> {
        self.topics.keys().map(String::as_str).filter(|name| !self.lists(name)).collect()
    }

    /// Whether the last announcement lists a topic.
    pub(super) fn lists(&self, topic: &str) -> bool {
        self.announced.as_ref().is_some_and(|it| it.versions.iter().any(|it| it.streamed.topic == topic))
    }
}
