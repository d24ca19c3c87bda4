//! What happens in a server, reported to its operator: one line each.
//!
//! Not for: requests, which are counted (`metrics`).

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;

/// Events that wait to be printed; if they are not printed, further ones are dropped.
const WAITING: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The server answers clients.
    Serving {
        /// Address of the Redis protocol.
        resp: Option<String>,
        /// Address of HTTP.
        http: Option<String>,
        /// Names of the datasets.
        datasets: Vec<String>,
    },
    /// Clients see another version.
    Swapped {
        /// The dataset.
        dataset: String,
        /// The version they see.
        version: u64,
        /// The version they saw.
        previous: Option<u64>,
        /// Its entries.
        rows: u64,
        /// Its key and value bytes, before compression.
        bytes: u64,
        /// Seconds from seeing it to serving it.
        seconds: f64,
    },
    /// Clients do not see what the store has: they keep the version they see, if any.
    Refused {
        /// The dataset.
        dataset: String,
        /// The version they keep.
        still: Option<u64>,
        /// Why.
        problem: String,
    },
    /// A store came, or was read again after it was removed.
    Added {
        /// The dataset.
        dataset: String,
    },
    /// A store went away.
    Removed {
        /// The dataset.
        dataset: String,
    },
    /// The password, the certificate or the list of stores was read again, or could not be.
    Reloaded {
        /// What was read.
        what: &'static str,
        /// Why it stays as it was; none when it was replaced.
        problem: Option<String>,
    },
}

/// Where events are reported.
#[derive(Clone, Debug)]
pub struct Events(SyncSender<Event>);

impl Events {
    /// A channel for events.
    pub fn channel() -> (Self, Receiver<Event>) {
        let (sender, receiver) = sync_channel(WAITING);
        (Self(sender), receiver)
    }

    /// Queues an event. Never waits.
    pub fn send(&self, event: Event) {
        let _ = self.0.try_send(event);
    }
}
