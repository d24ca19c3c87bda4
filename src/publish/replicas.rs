//! Candidates, which hosts that pull from a store on an object store fetch before they are published, and the wait
//! until hosts have a version or serve it.
//!
//! Not for: consumers of a topic, which report on Kafka.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::finish_pending;
use crate::catalog::{Action, Catalog, MAX_REPLICAS, Remote, Replica, ReplicaState};
use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::format::Allowed;
use crate::shutdown;

/// Time between two looks at the reports, each of which reads one object per host.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Hosts that do not serve the version yet and are named in an error, at most.
const MAX_NAMED: usize = 5;

/// Hosts that pull from the store, for which a publish waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// How many of them.
    pub count: usize,
    /// How long to wait for them at each step.
    pub patience: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The version is fetched, so that the flip takes a moment.
    Ready,
    /// Readers see it.
    Serving,
}

/// Proposes a version and waits until the hosts have fetched it, so that all of them flip together once it is
/// published. If they do not in time, it is withdrawn.
///
/// # Errors
/// As [`wait_for_replicas`], and as [`Current::propose`](crate::format::Current::propose).
pub(super) fn make_ready(catalog: &Catalog, version: u64, allow: &Allowed, replicas: Replicas) -> Result<()> {
    if catalog.read()?.current == Some(version) {
        return Ok(());
    }
    ensure_remote(catalog)?;
    propose(catalog, version, false, allow)?;
    wait(catalog, version, replicas, Step::Ready).map(drop).map_err(|error| match withdraw(catalog, version) {
        Ok(()) => error,
        Err(_) => error.during(format!("`cutover publish STORE {version} --withdraw` ends the wait of hosts for it")),
    })
}

/// Makes a version the candidate, which hosts fetch before it is published; with `canary`, canary hosts serve it.
///
/// # Errors
/// As [`Current::propose`](crate::format::Current::propose); `Corrupt` when its files differ from its manifest;
/// `Unavailable` when the write fails.
pub fn propose(catalog: &Catalog, version: u64, canary: bool, allow: &Allowed) -> Result<()> {
    let now = Timestamp::now();
    finish_pending(catalog)?;
    let current = catalog.read()?;
    // The rules first: they say more of a version that is no candidate than its files do.
    current.clone().propose(version, canary, allow, now)?;
    catalog.ensure_files(&current, version)?;
    catalog.commit(|current| current.propose(version, canary, allow, now))?;
    let detail = if canary { "canary hosts serve it" } else { "hosts fetch it" };
    catalog.log().record(Action::Proposed, Some(version), detail);
    Ok(())
}

/// Ends a candidate, so that canary hosts go back to the version that readers see.
///
/// # Errors
/// `Invalid` if the version is none; `Unavailable` when the write fails.
pub fn withdraw(catalog: &Catalog, version: u64) -> Result<()> {
    finish_pending(catalog)?;
    catalog.commit(|current| current.withdraw(version))?;
    catalog.log().record(Action::Withdrawn, Some(version), "it is not the candidate any more");
    Ok(())
}

/// Waits until hosts serve a version of the store, and returns their names.
///
/// # Errors
/// `Invalid` for a local store and for a version that does not exist; `Unavailable` when they do not in time, naming
/// others.
pub fn wait_for_replicas(catalog: &Catalog, version: u64, replicas: Replicas) -> Result<Vec<String>> {
    wait(catalog, version, replicas, Step::Serving)
}

fn ensure_remote(catalog: &Catalog) -> Result<&Remote> {
    catalog.remote().ok_or_else(|| {
        Error::invalid("this store is a local directory, from which no host pulls: leave --wait-replicas out")
    })
}

fn wait(catalog: &Catalog, version: u64, replicas: Replicas, step: Step) -> Result<Vec<String>> {
    let remote = ensure_remote(catalog)?;
    let current = catalog.read()?;
    let entry = current.versions.get(&version);
    let entry = entry.ok_or_else(|| Error::invalid(format!("there is no version {version} any more")))?;
    let is_build = |build: &Option<String>| build.as_deref() == Some(entry.build_id.as_str());
    let deadline = Instant::now() + replicas.patience;
    loop {
        shutdown::check()?;
        let reports = remote.replicas(MAX_REPLICAS)?;
        let is_there = |replica: &&Replica| {
            let serves = replica.state == ReplicaState::Serving && is_build(&replica.build_id);
            !replica.is_silent() && (serves || step == Step::Ready && is_build(&replica.ready_build_id))
        };
        let there: Vec<String> = reports.iter().filter(is_there).map(|replica| shortened(&replica.name)).collect();
        if there.len() >= replicas.count {
            return Ok(there);
        }
        if Instant::now() > deadline {
            let (state, has, have) = match step {
                Step::Ready => ("not published", "has it ready", "have it ready"),
                Step::Serving => ("published", "serves it", "serve it"),
            };
            let others = most_telling_first(reports.iter().filter(|replica| !is_there(replica)));
            let others = others.into_iter().take(MAX_NAMED).map(describe);
            let others: Vec<String> = others.chain(there.iter().map(|name| format!("{name} {has}"))).collect();
            return Err(Error::unavailable(format!(
                "version {version} is {state}: after {} s {} of {} hosts {have}; {}",
                replicas.patience.as_secs(),
                there.len(),
                replicas.count,
                if others.is_empty() { "no host has reported".to_owned() } else { others.join(", ") }
            )));
        }
        shutdown::sleep(POLL_INTERVAL.min(deadline.saturating_duration_since(Instant::now())))?;
    }
}

/// Hosts that failed, then those that are behind, then silent ones, which may be gone for good; each by name.
fn most_telling_first<'a>(others: impl Iterator<Item = &'a Replica>) -> Vec<&'a Replica> {
    let mut others: Vec<&Replica> = others.collect();
    others.sort_by_key(|replica| match replica.state {
        _ if replica.is_silent() => 2,
        ReplicaState::Failed => 0,
        _ => 1,
    });
    others
}

fn describe(replica: &Replica) -> String {
    let name = shortened(&replica.name);
    if replica.is_silent() {
        return format!("{name} has reported nothing since {:.0}", replica.at);
    }
    let version = replica.version.map_or("no version".to_owned(), |version| format!("version {version}"));
    match (&replica.state, &replica.error) {
        (ReplicaState::Failed, Some(error)) => format!("{name} serves {version} and failed: {}", shortened(error)),
        (ReplicaState::Staging, _) => format!("{name} serves {version} and downloads another one"),
        _ => format!("{name} serves {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_silent_is_not_counted_and_named_with_its_last_report() {
        let host = |at| Replica {
            name: "a".to_owned(),
            state: ReplicaState::Serving,
            version: Some(1),
            build_id: Some("b".to_owned()),
            ready_build_id: None,
            error: None,
            at,
        };
        assert_eq!(describe(&host(Timestamp::now())), "\"a\" serves version 1");
        let gone = host("2026-01-01T00:00:00Z".parse().unwrap());
        assert!(gone.is_silent());
        assert_eq!(describe(&gone), "\"a\" has reported nothing since 2026-01-01T00:00:00Z");
    }

    #[test]
    fn hosts_that_failed_are_named_before_those_that_are_behind_or_silent() {
        let host = |name: &str, state, at| Replica {
            name: name.to_owned(),
            state,
            version: Some(1),
            build_id: Some("b".to_owned()),
            ready_build_id: None,
            error: None,
            at,
        };
        let now = Timestamp::now();
        let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hosts = [
            host("a", ReplicaState::Serving, long_ago),
            host("b", ReplicaState::Failed, long_ago),
            host("c", ReplicaState::Serving, now),
            host("d", ReplicaState::Staging, now),
            host("e", ReplicaState::Failed, now),
        ];
        let names: Vec<&str> = most_telling_first(hosts.iter()).into_iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["e", "c", "d", "a", "b"]);
    }
}
