//! Waits until hosts that pull from a store on an object store serve what was published.
//!
//! Not for: consumers of a topic, which report on Kafka.

use std::time::{Duration, Instant};

use crate::catalog::{Catalog, Replica, ReplicaState};
use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::shutdown;

/// Time between two looks at the reports, each of which reads one object per host.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Hosts that do not serve the version yet and are named in an error, at most.
const MAX_NAMED: usize = 5;

/// Waits until `replicas` hosts serve a version of the store, and returns their names.
///
/// # Errors
/// `Invalid` for a local store and for a version that does not exist; `Unavailable` when they do not within `patience`,
/// naming others.
pub fn wait_for_replicas(catalog: &Catalog, version: u64, replicas: usize, patience: Duration) -> Result<Vec<String>> {
    let Some(remote) = catalog.remote() else {
        return Err(Error::invalid(
            "this store is a local directory, from which no host pulls: leave --wait-replicas out",
        ));
    };
    let current = catalog.read()?;
    let entry = current.versions.get(&version);
    let entry = entry.ok_or_else(|| Error::invalid(format!("there is no version {version} any more")))?;
    let deadline = Instant::now() + patience;
    loop {
        shutdown::check()?;
        let reports = remote.replicas()?;
        let serves = |replica: &&Replica| {
            replica.state == ReplicaState::Serving && replica.build_id.as_deref() == Some(entry.build_id.as_str())
        };
        let serving: Vec<String> = reports.iter().filter(serves).map(|replica| shortened(&replica.name)).collect();
        if serving.len() >= replicas {
            return Ok(serving);
        }
        if Instant::now() > deadline {
            let others = reports.iter().filter(|replica| !serves(replica)).take(MAX_NAMED).map(describe);
            let others: Vec<String> = others.chain(serving.iter().map(|name| format!("{name} serves it"))).collect();
            return Err(Error::unavailable(format!(
                "version {version} is published, but after {} s {} of {replicas} hosts serve it; {}",
                patience.as_secs(),
                serving.len(),
                if others.is_empty() { "no host has reported".to_owned() } else { others.join(", ") }
            )));
        }
        shutdown::sleep(POLL_INTERVAL.min(deadline.saturating_duration_since(Instant::now())))?;
    }
}

fn describe(replica: &Replica) -> String {
    let name = shortened(&replica.name);
    let version = replica.version.map_or("no version".to_owned(), |version| format!("version {version}"));
    match (&replica.state, &replica.error) {
        (ReplicaState::Failed, Some(error)) => format!("{name} serves {version} and failed: {}", shortened(error)),
        (ReplicaState::Staging, _) => format!("{name} serves {version} and downloads another one"),
        _ => format!("{name} serves {version}"),
    }
}
