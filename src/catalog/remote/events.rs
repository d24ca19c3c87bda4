//! The event log of a remote store: one object per event, whose keys are in the order of time.
//!
//! Not for: what an event is (`event`).

use jiff::Timestamp;

use super::{Remote, random};
use crate::catalog::event::Event;
use crate::error::Result;
use crate::format::to_json;
use crate::objects::Key;

/// No event is larger, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The event log of one remote store.
#[derive(Clone, Debug)]
pub struct RemoteLog {
    remote: Remote,
}

impl RemoteLog {
    pub(in crate::catalog) fn new(remote: Remote) -> Self {
        Self { remote }
    }

    /// Writes an event.
    ///
    /// # Errors
    /// As those of a write to the object store.
    pub(in crate::catalog) fn append(&self, event: &Event) -> Result<()> {
        self.remote.bucket.put(&key(event.at)?, to_json(event)?).map(drop)
    }

    /// The latest events, at most `limit`, oldest first; what is no event is skipped.
    ///
    /// # Errors
    /// As those of a listing.
    pub(in crate::catalog) fn events(&self, limit: usize) -> Result<Vec<Event>> {
        let bucket = &self.remote.bucket;
        let mut keys = Vec::new();
        bucket.list(Some(&Key::new("log")?), |entry| {
            keys.push(entry.key);
            Ok(())
        })?;
        keys.sort_unstable();
        let mut events = Vec::new();
        for key in &keys[keys.len().saturating_sub(limit)..] {
            let object = bucket.get(key, MAX_BYTES)?;
            events.extend(object.and_then(|object| serde_json::from_slice::<Event>(&object.bytes).ok()));
        }
        Ok(events)
    }
}

/// The key of an event: times of the same length, so that their order is that of the keys.
fn key(at: Timestamp) -> Result<Key> {
    Key::new(format!("log/{}-{:016x}.json", at.strftime("%Y%m%dT%H%M%S.%9fZ"), random()))
}
