//! The steps that turn a finished build into the version readers see, as types that consume the previous step's.
//!
//! ```text
//! Built ──install──▶ Complete ──publish──▶ Published
//!                       (may be refused: then only `allow` publishes it)
//! ```
//! A thin layer over `catalog`, which holds the rules: it checks the files of a version before readers are sent to it,
//! commits the change (`two_phase`: one commit, or with Kafka an intent, an announcement and a commit), and then writes
//! the log.
//!
//! Not for: checks of the data (`check`), which run before a version is installed and are recorded in its manifest.

pub(crate) mod announcer;
mod lifecycle;
mod replicas;
mod two_phase;

use std::time::Duration;

use jiff::Timestamp;

pub use self::lifecycle::{Built, Complete};
pub use self::replicas::{Replicas, propose, wait_for_replicas, withdraw};
pub use self::two_phase::finish_pending;
use self::two_phase::{Committed, Streaming, commit_change};
use crate::catalog::{Action, Catalog, Flip};
pub use crate::catalog::{GRACE, GcReport};
use crate::error::{Error, Kind, Result};
pub use crate::format::Pin;
use crate::format::{Allowed, Change, Current, Kafka, KafkaState, Retention, StreamedVersion, allow_flag, shown_time};
use crate::kafka::{self, Connection};
use crate::progress::Progress;

/// How a version is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Reasons to refuse it that are overridden.
    pub allow: Allowed,
    /// Why, for the log.
    pub reason: Option<String>,
    /// Stream it to Kafka again even if its topic exists.
    pub restream: bool,
    /// How the progress of streaming to Kafka is shown.
    pub progress: Progress,
    /// Hosts that have to have fetched the version before readers are moved to it.
    pub replicas: Option<Replicas>,
}

/// A version that readers see.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its number.
    pub version: u64,
    /// What readers saw before; equal to `version` when they already saw it.
    pub previous: Option<u64>,
    /// The version as it is announced to consumers, if the store is streamed to Kafka.
    pub announced: Option<StreamedVersion>,
    /// Time from its first record to the announcement; `None` if it was on Kafka already.
    pub streaming: Option<Duration>,
}

impl Published {
    fn new(carried: Committed, flip: Flip) -> Self {
        let Committed { announced, streaming, .. } = carried;
        Self { version: flip.to, previous: flip.from, announced, streaming }
    }

    /// Whether readers see another version than before.
    pub fn flipped(&self) -> bool {
        self.previous != Some(self.version)
    }
}

/// Makes `version` the one readers see, in this store and on its topic. If they see it already, it is streamed again
/// when its topic is gone.
///
/// # Errors
/// As [`Current::publish`]; `Corrupt` when its files differ from its manifest; `Conflict` when another command
/// publishes; `Unavailable` when the disk or Kafka fails, with the message saying whether the change was applied.
pub fn publish(catalog: &Catalog, version: u64, options: &PublishOptions) -> Result<Published> {
    if let Some(replicas) = options.replicas {
        replicas::make_ready(catalog, version, &options.allow, replicas)?;
    }
    let streaming = Streaming { again: options.restream, progress: options.progress };
    let refused = catalog.read()?;
    let refused = refused.versions.get(&version).map(|entry| refused.refusals(version, entry)).unwrap_or_default();
    let published =
        commit_for_readers(catalog, streaming, |_| Ok(Change::Publish { version, allow: options.allow.clone() }))?;
    if published.flipped() {
        let allowed: Allowed = refused.iter().map(|it| it.allow).filter(|it| options.allow.contains(it)).collect();
        let allowed = if allowed.is_empty() { String::new() } else { allow_flag(allowed) };
        let why = options.reason.clone().unwrap_or_default();
        let said = [before(published.previous), allowed, why];
        catalog.log().record(Action::Published, Some(version), join(&said));
    }
    Ok(published)
}

/// Takes readers back to version `to`, or to the last good one before the current.
///
/// # Errors
/// As [`Current::rollback`]; `Corrupt` when the target's files are damaged; `Conflict` when another command changed the
/// store meanwhile; `Unavailable` as [`publish`].
pub fn rollback(catalog: &Catalog, to: Option<u64>, progress: Progress) -> Result<Published> {
    let target = |current: &Current| Ok(Change::Rollback { to: current.rollback_target(to)? });
    let published = commit_for_readers(catalog, Streaming { again: false, progress }, target).map_err(|error| {
        let away = || catalog.read().is_ok_and(|current| current.targets.kafka.is_some() && current.pending.is_none());
        if error.kind() == Kind::Unavailable && away() {
            error.during(
                "not rolled back, as Kafka cannot be reached; `cutover rollback STORE --local` takes readers of this \
                 store back at once, and consumers follow with the next command that reaches Kafka",
            )
        } else {
            error
        }
    })?;
    let said = format!("readers are back on version {}", published.version);
    catalog.log().record(Action::RolledBack, published.previous, said);
    Ok(published)
}

/// As [`rollback`], but only for readers of this store: works while Kafka cannot be reached. The next command that
/// reaches it announces the rollback to consumers.
///
/// # Errors
/// As [`Current::rollback`]; `Corrupt` when the target's files are damaged; `Conflict` when another command changed the
/// store meanwhile, or an intent is recorded; `Invalid` for a store that follows a topic.
pub fn rollback_locally(catalog: &Catalog, to: Option<u64>) -> Result<Published> {
    let flip = two_phase::back_on_store(catalog, to)?;
    let behind = catalog.read()?.behind().map(|_| "not yet announced to consumers of the topic".to_owned());
    let said = [format!("readers are back on version {}", flip.to), behind.unwrap_or_default()];
    catalog.log().record(Action::RolledBack, flip.from, join(&said));
    Ok(Published { version: flip.to, previous: flip.from, announced: None, streaming: None })
}

/// Pins readers to `version`, or to the one they see.
///
/// # Errors
/// As [`Current::pin`]; `Corrupt` when its files are damaged; `Unavailable` as [`publish`].
pub fn pin(catalog: &Catalog, version: Option<u64>, reason: &str, progress: Progress) -> Result<Published> {
    let published = commit_for_readers(catalog, Streaming { again: false, progress }, |current| {
        let version = version
            .or(current.current)
            .ok_or_else(|| Error::invalid("nothing is published, so nothing can be pinned"))?;
        Ok(Change::Pin { version, reason: reason.to_owned() })
    })?;
    let from = if published.flipped() { before(published.previous) } else { String::new() };
    catalog.log().record(Action::Pinned, Some(published.version), join(&[from, reason.trim().to_owned()]));
    Ok(published)
}

/// Commits a change that sets the version readers see.
fn commit_for_readers(
    catalog: &Catalog,
    streaming: Streaming,
    decide: impl Fn(&Current) -> Result<Change>,
) -> Result<Published> {
    let carried = commit_change(catalog, streaming, decide)?;
    let flip = carried.flip.ok_or_else(|| Error::internal(format!("{} moved no reader", carried.change)))?;
    Ok(Published::new(carried, flip))
}

/// Checks that a target's cluster can be reached with its settings.
///
/// # Errors
/// `Invalid` when the settings or credentials are refused; `Unavailable` when the cluster does not answer.
pub fn check_connection(target: &Kafka) -> Result<()> {
    Connection::new(&target.brokers, target.properties.as_deref())?.check()
}

/// Waits until `consumers` consumers of the topic serve an announced version, and returns their names.
///
/// # Errors
/// `Unavailable` when they do not within `patience`, naming the others; `Invalid` when the store is not streamed.
pub fn wait_for_consumers(
    catalog: &Catalog,
    announced: &StreamedVersion,
    consumers: usize,
    patience: Duration,
) -> Result<Vec<String>> {
    let Some(KafkaState { target, .. }) = catalog.read()?.targets.kafka else {
        return Err(Error::invalid("this store is not streamed to Kafka, so there is no consumer to wait for"));
    };
    let connection = Connection::new(&target.brokers, target.properties.as_deref())?;
    kafka::wait_for_consumers(&connection, &target.topic, announced, consumers, patience)
}

/// Sets where versions of this store are streamed to from now on.
///
/// # Errors
/// `Conflict` while another command publishes to Kafka; `Unavailable` as [`publish`].
pub fn set_target(catalog: &Catalog, target: Option<&Kafka>) -> Result<()> {
    finish_pending(catalog)?;
    let known = catalog.read()?.targets.kafka.map(|ledger| ledger.target);
    if known.as_ref() == target {
        return Ok(());
    }
    let place = |target: &Kafka| (target.brokers.clone(), target.topic.clone());
    let moved = known.as_ref().map(place) != target.map(place);
    catalog.commit(|current| {
        let known = current.targets.kafka.take().filter(|_| !moved);
        let (streamed, behind) = known.map(|ledger| (ledger.streamed, ledger.behind)).unwrap_or_default();
        current.targets.kafka = target.map(|target| KafkaState { target: target.clone(), streamed, behind });
        Ok(())
    })?;
    if let Some(known) = known.filter(|_| moved) {
        tracing::warn!("versions are no longer streamed to topic {}; its consumers stay where they are", known.topic);
    }
    let to = target.map_or("nowhere".to_owned(), |target| format!("topic {} at {}", target.topic, target.brokers));
    catalog.log().record(Action::Target, None, format!("versions are streamed to {to}"));
    Ok(())
}

/// Removes the pin and returns it.
///
/// # Errors
/// As [`Current::unpin`]; `Unavailable` as [`publish`].
pub fn unpin(catalog: &Catalog) -> Result<Pin> {
    finish_pending(catalog)?;
    let pin = catalog.commit(Current::unpin)?;
    catalog.log().record(Action::Unpinned, Some(pin.version), format!("it was pinned since {}", shown_time(pin.since)));
    Ok(pin)
}

/// What [`gc`] would delete now: versions, and their bytes on disk.
///
/// # Errors
/// As [`Catalog::read`]; `Unavailable` when the disk cannot be read.
pub fn would_free(catalog: &Catalog, retention: &Retention) -> Result<(Vec<u64>, u64)> {
    let current = catalog.read()?;
    let versions = current.expired(retention, Timestamp::now());
    let bytes = versions.iter().map(|&version| catalog.stored_bytes(&current, version)).sum::<Result<u64>>()?;
    Ok((versions, bytes))
}

/// Deletes the versions that `retention` no longer keeps, and what crashed commands left behind. A version's topic is
/// deleted only after an announcement without it. What no version of a remote store names is kept while it is younger
/// than `grace`.
///
/// # Errors
/// `Conflict` when another command publishes or commits; as [`Catalog::sweep`]; `Unavailable` as [`publish`].
pub fn gc(catalog: &Catalog, retention: &Retention, grace: Duration) -> Result<GcReport> {
    let now = Timestamp::now();
    let expired = |current: &Current| Ok(Change::Remove { versions: current.expired(retention, now) });
    // A pending intent may remove versions; `commit_change` completes it first.
    catalog.clean(grace, || match commit_change(catalog, Streaming::default(), expired)?.change {
        Change::Remove { versions } => Ok(versions),
        other => Err(Error::internal(format!("{other} is not a removal"))),
    })
}

fn before(previous: Option<u64>) -> String {
    previous.map_or("the first one".to_owned(), |previous| format!("after version {previous}"))
}

fn join(parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests;
