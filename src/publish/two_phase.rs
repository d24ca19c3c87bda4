//! Commits a change: to this store alone, or to the store and Kafka together, as a two-phase commit.
//!
//! ```text
//! store alone:   decide ─▶ check the files ─▶ current.json: the change
//! with Kafka:    publish.lock ─▶ finish a pending intent ─▶ decide ─▶ check the files ─▶ lease ─▶ stream, if necessary
//!                ─▶ current.json: the intent ─▶ announcement: consumers flip ─▶ current.json: the change, no intent
//! ```
//! A crash before the intent leaves at most an unannounced topic. After a crash with an intent, the next command that
//! changes the store completes the change. If it was not announced yet, and another publisher announced in between or
//! the version's topic is gone, the change is dropped: then neither side has flipped.
//!
//! Not for: choosing the change; that is the callers'.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::announcer::{Announcer, Cluster, connect};
use crate::catalog::{Action, Catalog, Flip};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::{Allowed, Change, Current, Intent, KafkaState, StreamedVersion};
use crate::kafka::AnnounceError;
use crate::progress::Progress;
use crate::random;
use crate::shutdown;

/// How a version is streamed, if it has to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streaming {
    /// Stream it even if it is on Kafka already.
    pub(super) again: bool,
    /// How progress is shown.
    pub(super) progress: Progress,
}

/// The outcome of a committed change.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) change: Change,
    /// The versions readers see before and after; `None` if the change does not set them.
    pub(super) flip: Option<Flip>,
    /// The version as it is announced to consumers, if the store is streamed and the change concerns them.
    pub(super) announced: Option<StreamedVersion>,
    /// Time from its first record to the announcement, if it was streamed by this change.
    pub(super) streaming: Option<Duration>,
}

/// Decides a change and commits it. `decide` is called again at the commit, as the store may have changed.
///
/// # Errors
/// Those of `decide` and of the change's rules; `Corrupt` when the files of the version that readers would be sent to
/// are damaged; `Conflict` when another command changed the store meanwhile or publishes to Kafka; `Unavailable` when
/// the disk or Kafka fails, with the message saying whether the change was applied.
pub(super) fn commit_change(
    catalog: &Catalog,
    streaming: Streaming,
    decide: impl Fn(&Current) -> Result<Change>,
) -> Result<Committed> {
    let now = Timestamp::now();
    let current = catalog.read()?;
    let decide = |current: &Current| {
        let change = decide(current)?;
        refuse_if_follower(current, &change)?;
        Ok(change)
    };
    if current.targets.kafka.is_none() && current.pending.is_none() {
        return commit_local(catalog, &current, now, decide);
    }
    let _lock = catalog.lock_publish()?;
    finish(catalog)?;
    let current = catalog.read()?;
    let change = decide(&current)?;
    if !concerns_consumers(&current, &change) {
        try_to_catch_up(catalog);
    }
    let current = catalog.read()?;
    match &current.targets.kafka {
        Some(ledger) if concerns_consumers(&current, &change) => {
            let in_effect =
                || "not applied: readers and consumers are unaffected; run the same command again".to_owned();
            commit_with_kafka(catalog, &current, ledger, (now, streaming), decide)
                .map_err(|error| shutdown::explain_stop(error, in_effect))
        }
        _ => commit_local(catalog, &current, now, decide),
    }
}

/// Completes a change that was interrupted after its intent, or drops it if it can no longer be made.
///
/// # Errors
/// `Conflict` when another command is still committing it; `Unavailable` when Kafka or the disk fails.
pub fn finish_pending(catalog: &Catalog) -> Result<()> {
    let current = catalog.read()?;
    if current.pending.is_none() && current.behind().is_none() {
        return Ok(());
    }
    let _lock = catalog.lock_publish()?;
    finish(catalog)?;
    try_to_catch_up(catalog);
    Ok(())
}

/// Takes readers of this store back without Kafka. Safe without the lease and the publish lock: with an intent recorded
/// the commit fails, and a publisher that has not recorded its intent yet finds the store changed when it does.
///
/// # Errors
/// As [`super::rollback_locally`].
pub(super) fn back_on_store(catalog: &Catalog, to: Option<u64>) -> Result<Flip> {
    let now = Timestamp::now();
    let before = catalog.read()?;
    if let Some(pending) = &before.pending {
        return Err(Error::conflict(format!(
            "not applied: {} was interrupted at {:.0}, and it may or may not have been announced to consumers, so nothing \
             else can change before it is finished or dropped, which needs Kafka; readers of this store still see the \
             version before it",
            pending.change, pending.at
        )));
    }
    let target = before.rollback_target(to)?;
    refuse_if_follower(&before, &Change::Rollback { to: target })?;
    check_target_files(catalog, &before, Some(before.clone().rollback_locally(target, now)?))?;
    catalog.commit(|latest| {
        let same = latest.current == before.current && latest.rollback_target(to)? == target;
        if same { latest.rollback_locally(target, now) } else { Err(changed()) }
    })
}

/// Announces a local rollback to consumers; if that fails, the next command tries again.
fn try_to_catch_up(catalog: &Catalog) {
    let tried = catalog.read().and_then(|current| {
        let (Some(_), Some(ledger), Some(version)) = (current.behind(), &current.targets.kafka, current.current) else {
            return Ok(false);
        };
        let republish = |_: &Current| Ok(Change::Publish { version, allow: Allowed::new() });
        commit_with_kafka(catalog, &current, ledger, (Timestamp::now(), Streaming::default()), republish).map(|_| true)
    });
    match tried {
        Ok(false) => {}
        Ok(true) => {
            let what = "the local rollback was announced to consumers of the topic";
            catalog.log().record(Action::Finished, None, what);
            tracing::warn!("{what}");
        }
        Err(error) => tracing::warn!(
            "the local rollback could not be announced to consumers of the topic; the next command tries again: {}",
            error.chain().join(": ")
        ),
    }
}

/// Refuses to publish or roll back in a store that follows a topic or another store.
fn refuse_if_follower(current: &Current, change: &Change) -> Result<()> {
    match (current.followed(), change) {
        (Some(followed), Change::Publish { .. } | Change::Rollback { .. }) => Err(Error::invalid(format!(
            "this store follows {followed}: publish or roll back where its versions are built; `cutover pin` holds \
             readers of this store alone"
        ))),
        _ => Ok(()),
    }
}

/// Whether consumers of the topic see a change.
fn concerns_consumers(current: &Current, change: &Change) -> bool {
    match change {
        Change::Publish { .. } | Change::Rollback { .. } => true,
        Change::Pin { version, .. } => current.current != Some(*version),
        Change::Remove { versions } => {
            // If the current version is not on Kafka, nothing of this store was ever announced.
            let is_announced = current.streamed().any(|streamed| Some(streamed.version) == current.current);
            is_announced && current.streamed().any(|streamed| versions.contains(&streamed.version))
        }
    }
}

fn commit_local(
    catalog: &Catalog,
    before: &Current,
    now: Timestamp,
    decide: impl Fn(&Current) -> Result<Change>,
) -> Result<Committed> {
    let change = decide(before)?;
    let flip = before.clone().apply(&change, now)?;
    check_target_files(catalog, before, flip)?;
    let (change, flip) = catalog.commit(|latest| {
        let change = replan(before, &change, latest, &decide)?;
        let flip = latest.apply(&change, now)?;
        Ok((change, flip))
    })?;
    Ok(Committed { change, flip, announced: None, streaming: None })
}

/// Decides the change again. It may differ from the first decision only if it moves no reader.
fn replan(
    before: &Current,
    change: &Change,
    latest: &Current,
    decide: impl Fn(&Current) -> Result<Change>,
) -> Result<Change> {
    let again = decide(latest)?;
    let same = match &again {
        Change::Rollback { .. } => again == *change && latest.current == before.current,
        Change::Remove { .. } => true,
        Change::Publish { .. } | Change::Pin { .. } => again == *change,
    };
    if same { Ok(again) } else { Err(changed()) }
}

fn changed() -> Error {
    Error::conflict("not applied: another command changed the store meanwhile; run again")
}

/// Checks the files of the version that readers would be sent to. If it was deleted meanwhile, the error is `Conflict`.
fn check_target_files(catalog: &Catalog, current: &Current, flip: Option<Flip>) -> Result<()> {
    match flip {
        Some(flip) if flip.from != Some(flip.to) => catalog.ensure_files(current, flip.to).or_else(|error| {
            let there = catalog.read()?.versions.contains_key(&flip.to);
            Err(if there { error } else { changed() })
        }),
        _ => Ok(()),
    }
}

fn commit_with_kafka(
    catalog: &Catalog,
    before: &Current,
    ledger: &KafkaState,
    (now, how): (Timestamp, Streaming),
    decide: impl Fn(&Current) -> Result<Change>,
) -> Result<Committed> {
    let change = decide(before)?;
    let flip = before.clone().apply(&change, now)?;
    check_target_files(catalog, before, flip)?;
    // A safe point to stop, as is every record that is streamed; from the intent on there is none.
    shutdown::check()?;
    let cluster = connect(&ledger.target)?;
    let mut lease = take_lease(cluster.as_ref(), ledger, before)?;
    let started = Instant::now();
    // Also if readers stay: the announced current version must be on Kafka.
    let (announced, sent) = match flip.map(|flip| flip.to).or(before.current) {
        Some(version) => {
            let (streamed, sent) = streamed(catalog, before, version, lease.as_ref(), how)?;
            (Some(streamed), sent)
        }
        None => (None, false),
    };
    let announced_topic = lease.last_announcement().and_then(|seen| seen.current()).map(|it| it.topic.as_str());
    if let (Some(flip), Some(streamed)) = (flip, &announced)
        && flip.from == Some(flip.to)
        && ledger.behind.is_none()
        && announced_topic == Some(streamed.topic.as_str())
    {
        // The command that made this change may have crashed before it was durable.
        catalog.read_durable()?;
        return Ok(Committed { change, flip: Some(flip), announced, streaming: None });
    }
    let follows = lease.last_announcement().map(|seen| seen.id.clone());
    let pending = Intent { id: random_id()?, follows, change: change.clone(), at: now };
    let after = catalog.commit(|latest| {
        if replan(before, &change, latest, &decide)? != change || latest.targets.kafka != before.targets.kafka {
            return Err(changed());
        }
        drop_missing_topics(latest, lease.as_ref(), announced.as_ref());
        announced.iter().try_for_each(|streamed| latest.record_streamed(streamed.clone()))?;
        latest.record_intent(pending.clone())?;
        Ok(latest.with_intent_applied()?.0)
    })?;
    failpoint::reach("publish.intent")?;
    announce(catalog, lease.as_mut(), &after, &pending)?;
    let streaming = sent.then(|| started.elapsed());
    let flip = settle(catalog, &pending)?;
    delete_unlisted(lease.as_ref());
    Ok(Committed { change, flip, announced, streaming })
}

fn take_lease<'c>(
    cluster: &'c dyn Cluster,
    ledger: &'c KafkaState,
    current: &Current,
) -> Result<Box<dyn Announcer + 'c>> {
    let ours = |name: &str| ledger.streamed.values().any(|streamed| streamed.topic == name);
    cluster.lease(&ledger.target, &current.dataset, &ours)
}

/// The version on Kafka, streamed first if necessary; the second value says whether it was.
fn streamed(
    catalog: &Catalog,
    current: &Current,
    version: u64,
    lease: &dyn Announcer,
    how: Streaming,
) -> Result<(StreamedVersion, bool)> {
    let build = current.versions.get(&version).map(|entry| entry.build_id.as_str());
    let there = current.streamed().find(|it| it.version == version && Some(it.build_id.as_str()) == build);
    if let Some(there) = there.filter(|_| !how.again)
        && lease.is_fully_readable(there)?
    {
        return Ok((there.clone(), false));
    }
    let streamed = lease.stream(catalog, version, how.progress)?;
    catalog.log().record(
        Action::Streamed,
        Some(version),
        format!("{} rows to topic {}", streamed.rows, streamed.topic),
    );
    Ok((streamed, true))
}

/// Removes deleted topics from the store's Kafka state, so that they are not announced.
fn drop_missing_topics(current: &mut Current, lease: &dyn Announcer, just_made: Option<&StreamedVersion>) {
    if let Some(ledger) = &mut current.targets.kafka {
        let made = |it: &StreamedVersion| just_made.is_some_and(|made| made.topic == it.topic);
        ledger.streamed.retain(|_, it| made(it) || lease.has_topic(&it.topic));
    }
}

/// Announces the state that a change leads to. If it is certain that this failed, the intent is dropped.
fn announce(catalog: &Catalog, lease: &mut dyn Announcer, after: &Current, pending: &Intent) -> Result<()> {
    let announced = match after.announcement(&pending.id) {
        Ok(announcement) => lease.announce(&announcement),
        Err(error) => Err(AnnounceError { error, unknown: false }),
    };
    match announced {
        Ok(()) => failpoint::reach("publish.announced"),
        Err(AnnounceError { error, unknown: true }) => Err(error),
        Err(AnnounceError { error, unknown: false }) => {
            catalog.commit_during_intent(|latest| {
                latest.drop_intent(&pending.id);
                Ok(())
            })?;
            Err(error)
        }
    }
}

fn settle(catalog: &Catalog, pending: &Intent) -> Result<Option<Flip>> {
    let flip = catalog.commit_during_intent(|latest| latest.apply_intent(&pending.id))?;
    failpoint::reach("publish.settled")?;
    Ok(flip)
}

fn delete_unlisted(lease: &dyn Announcer) {
    if let Err(error) = lease.delete_unlisted() {
        tracing::warn!("old topics are left for the next publish to delete: {}", error.chain().join(": "));
    }
}

/// Completes or drops a pending intent; the caller holds the publish lock.
fn finish(catalog: &Catalog) -> Result<()> {
    let current = catalog.read()?;
    let (Some(pending), Some(ledger)) = (&current.pending, &current.targets.kafka) else { return Ok(()) };
    let cluster = connect(&ledger.target)?;
    let unfinished = |error: Error| {
        error.during(format!("{} was interrupted at {} and has to be finished first", pending.change, pending.at))
    };
    let mut lease = take_lease(cluster.as_ref(), ledger, &current).map_err(unfinished)?;
    let (after, _) = current.with_intent_applied()?;
    let seen = lease.last_announcement().map(|seen| seen.id.clone());
    let readable = match after.streamed().find(|it| Some(it.version) == after.current) {
        Some(streamed) => lease.is_fully_readable(streamed)?,
        None => false,
    };
    let is_announced = seen.as_deref() == Some(pending.id.as_str());
    if !is_announced && (seen != pending.follows || !readable) {
        catalog.commit_during_intent(|latest| {
            latest.drop_intent(&pending.id);
            Ok(())
        })?;
        let why = if readable { "another publisher announced meanwhile" } else { "its topic is gone" };
        catalog.log().record(Action::GivenUp, None, format!("{} was interrupted, and {why}", pending.change));
        tracing::warn!("{} was interrupted and is dropped: {why}", pending.change);
        return Ok(());
    }
    if !is_announced {
        let after = catalog.commit_during_intent(|latest| {
            drop_missing_topics(latest, lease.as_ref(), None);
            Ok(latest.with_intent_applied()?.0)
        })?;
        announce(catalog, lease.as_mut(), &after, pending).map_err(unfinished)?;
    }
    let flip = settle(catalog, pending)?;
    delete_unlisted(lease.as_ref());
    let version = flip.map(|flip| flip.to);
    catalog.log().record(Action::Finished, version, format!("{}, which was interrupted", pending.change));
    tracing::warn!("{} was interrupted and is now finished", pending.change);
    Ok(())
}

/// A random id of an announcement.
fn random_id() -> Result<String> {
    Ok(format!("{:016x}{:016x}", random::u64()?, random::u64()?))
}
