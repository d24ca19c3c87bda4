//! What the hosts that follow the same remote store say they serve, for the status page.
//!
//! Their reports are read only while the page is being viewed, and not more often than every few seconds: each is a
//! request to the object store.
//!
//! Not for: this host's own report, which its follower writes (`pull`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::catalog::{Remote, Replica};
use crate::format::Current;

/// Hosts that are shown at most.
const SHOWN: usize = 100;
/// Time between two readings.
const EVERY: Duration = Duration::from_secs(5);

/// The reports as they were read last.
#[derive(Debug, Default)]
pub struct Replicas {
    is_wanted: AtomicBool,
    read: Mutex<Option<(Instant, Vec<Replica>)>>,
}

impl Replicas {
    /// Reads the reports, if they were asked for since the last time. A host that may not list them shows none.
    pub fn refresh(&self, remote: &Remote) {
        let is_recent = self.with(|read| read.as_ref().is_some_and(|(when, _)| when.elapsed() < EVERY));
        if is_recent || !self.is_wanted.swap(false, Ordering::Relaxed) {
            return;
        }
        let reports = remote.replicas(SHOWN).unwrap_or_else(|error| {
            tracing::info!("the hosts of {} are not known: {}", remote.url(), error.chain().join(": "));
            Vec::new()
        });
        self.with(|read| *read = Some((Instant::now(), reports)));
    }

    /// The hosts by name, with the version that each serves and the candidate that it has ready.
    pub fn shown(&self, current: Option<&Current>) -> Vec<Value> {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.with(|read| read.iter().flat_map(|(_, reports)| reports).map(|it| shown(it, current)).collect())
    }

    fn with<T>(&self, access: impl FnOnce(&mut Option<(Instant, Vec<Replica>)>) -> T) -> T {
        access(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn shown(replica: &Replica, current: Option<&Current>) -> Value {
    let number = |build: &String| {
        let mut versions = current.into_iter().flat_map(|current| &current.versions);
        versions.find(|(_, entry)| entry.build_id == *build).map(|(number, _)| *number)
    };
    json!({
        // Names end with the host's directory, which is not shown.
        "host": replica.name.split(":/").next(),
        "state": if replica.is_silent() { json!("silent") } else { json!(replica.state) },
        "version": replica.version,
        "ready": replica.ready_build_id.as_ref().and_then(number),
        "reported_at": replica.at.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ReplicaState;

    #[test]
    fn a_host_is_shown_without_its_directory_and_the_reason_why_it_failed() {
        let replica = Replica {
            name: "a.example:/var/cache/views".to_owned(),
            state: ReplicaState::Failed,
            version: Some(3),
            build_id: Some("b".to_owned()),
            ready_build_id: None,
            error: Some("cannot write /var/cache/views".to_owned()),
            at: jiff::Timestamp::now(),
        };
        let gone = Replica { at: jiff::Timestamp::UNIX_EPOCH, ..replica.clone() };
        assert_eq!(shown(&gone, None)["state"], "silent");
        let shown = shown(&replica, None);
        assert_eq!(
            (&shown["host"], &shown["version"], &shown["state"]),
            (&"a.example".into(), &3.into(), &"failed".into())
        );
        assert!(!shown.to_string().contains("/var"), "{shown}");
    }
}
