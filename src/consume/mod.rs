//! Follows a topic: takes every announced version over into a local store of the same format, whole or not at all.
//!
//! ```text
//! control topic ─▶ announced version ─▶ is it here? ─no─▶ stage: tables, invisible ─▶ count, digest ─▶ install ─▶ flip
//!       ▲                                     └──yes──────────────────────────────────────────────────────────▶ flip
//!       └── reports: what this consumer serves
//! ```
//! Versions are told apart by their build, not by their number. A newer announcement stops the staging of an older one;
//! a version that does not match what was announced is thrown away, and readers stay where they are.
//!
//! | file | what it holds |
//! |---|---|
//! | `stage` | from partitions to a version in staging, on several threads |
//! | `partition` | one partition: its records against what was announced, its tables |
//! | `journal` | which tables of a partition are finished, for whoever goes on after a crash |
//! | `limit` | at most so many bytes a second |
//!
//! Not for: the protocol (`kafka`), or the format of a store (`build`, `catalog`).

pub(crate) mod journal;
mod partition;
mod rate_limit;
mod staging;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::staging::{StagedVersion, VersionStager};
use crate::catalog::Catalog;
use crate::catch_panic::contain;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::{Announcement, Current, PROTOCOL, Retention, State, StreamedVersion};
use crate::kafka::{self, CompactedTopic, Connection, ConsumerReport, ConsumerState, Reporter};
use crate::progress::Progress;
use crate::publish;
use crate::shutdown;

/// How long one look at the control topic waits.
const LOOK: Duration = Duration::from_secs(1);
/// The same while a version is staged, whose end must not wait for it.
const LOOK_WHILE_STAGING: Duration = Duration::from_millis(20);
/// How often a consumer says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(3);
/// How long a consumer that failed waits before it tries again: twice as long each time, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What is followed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster.
    pub connection: Connection,
    /// Name that the names of the dataset's topics begin with.
    pub topic: String,
    /// Directory of the local store.
    pub store: PathBuf,
    /// Name under which this consumer reports.
    pub name: String,
    /// Whether to end once the announced version is served.
    pub once: bool,
    /// Bytes a second that are read at most.
    pub rate_limit: Option<u64>,
    /// Versions to keep.
    pub retention: Retention,
    /// Threads that read and write.
    pub threads: usize,
    /// How progress is shown.
    pub progress: Progress,
}

/// A version that readers of the local store see now.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Takeover {
    /// Its number in the local store.
    pub version: u64,
    /// The version they saw before.
    pub previous: Option<u64>,
    /// Its entries.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Entries that an earlier attempt had staged already.
    pub resumed_rows: u64,
    /// Whether it was in the local store already.
    pub was_here: bool,
    /// Seconds from the announcement's being seen to the flip.
    pub seconds: f64,
}

/// Follows the topic and tells every version it takes over; ends after the first one that is served, if asked to.
///
/// # Errors
/// With `once`, what stops the announced version from being taken over: `Unavailable` when nothing is announced or the
/// cluster does not answer, `Corrupt` when the version is not what was announced, `Conflict` when its topic is deleted
/// or the local store pinned or in use. Without, only what stops all following: `Invalid` settings or a store that is
/// not this topic's, `Conflict` when another consumer uses the store, and what `tell` returns; nothing that is written
/// to a topic ends it. `Stopped` when that is asked for: what is staged so far is taken up again by the next one.
pub fn consume(options: &Options, mut on_takeover: impl FnMut(&Takeover) -> Result<()>) -> Result<()> {
    let known = Catalog::followed_dataset(&options.store, &options.topic)?;
    let reporter = Reporter::new(&options.connection, &options.topic)?;
    let (mut latest, dataset) = first_announcement(options, known.as_deref())?;
    let catalog = Catalog::open_or_follow(&options.store, &dataset, &options.topic)?;
    let _building = catalog.lock_build().map_err(|error| error.during("another consumer uses this store"))?;
    let mut follower = Follower { options, catalog, reporter, dataset, told_of: None };
    let mut retry = FIRST_RETRY;
    loop {
        follower.tell_of_others(&latest);
        let announcement = follower.announced(&latest);
        let outcome = match &announcement {
            Ok(Some(announcement)) => contained(|| follower.take_over(announcement, &mut latest)),
            Ok(None) if options.once => Err(nothing_announced(options, follower.told_of.as_deref())),
            Ok(None) => Ok(Outcome::Nothing),
            Err(error) => Err(Error::new(error.kind(), error.chain().join(": "))),
        };
        let wait = match outcome {
            Ok(Outcome::Overtaken) => continue,
            Ok(Outcome::Takeover(taken)) => {
                on_takeover(&taken)?;
                None
            }
            Ok(Outcome::Nothing) => None,
            Err(error) if options.once || error.kind() == Kind::Stopped => return Err(error),
            Err(error) => {
                tracing::error!("readers stay where they are: {}", error.chain().join(": "));
                follower.usable()?;
                let wait = retry;
                retry = (2 * retry).min(LONGEST_RETRY);
                // What cannot be read is told once: only another announcement helps.
                announcement.is_ok().then_some(wait)
            }
        };
        if options.once {
            return Ok(());
        }
        if wait.is_none() {
            retry = FIRST_RETRY;
        }
        follower.wait(&mut latest, &told(announcement), wait)?;
    }
}

/// A panic over what was announced ends this attempt, not the consumer.
fn contained(attempt: impl FnOnce() -> Result<Outcome>) -> Result<Outcome> {
    let panicked = |panic: String| Err(Error::internal("taking the announced version over panicked").because(panic));
    contain(attempt).unwrap_or_else(panicked)
}

/// What a look at the control topic gave: an announcement, none, or what is wrong with it.
type Told = std::result::Result<Option<Announcement>, String>;

fn told(announced: Result<Option<Announcement>>) -> Told {
    announced.map_err(|error| error.chain().join(": "))
}

enum Outcome {
    /// Readers see another version now.
    Takeover(Takeover),
    /// They see the announced one already, or are held elsewhere.
    Nothing,
    /// Another version was announced meanwhile.
    Overtaken,
}

struct Follower<'o> {
    options: &'o Options,
    catalog: Catalog,
    reporter: Reporter,
    dataset: String,
    /// The keys of others in the control topic, as they were told last.
    told_of: Option<String>,
}

impl Follower<'_> {
    /// The last announcement of the dataset.
    fn announced(&self, latest: &CompactedTopic<Announcement>) -> Result<Option<Announcement>> {
        kafka::only_announcement(latest.values(), &self.options.topic, Some(&self.dataset))
    }

    /// Warns of keys in the control topic that are no business of this consumer's, once.
    fn tell_of_others(&mut self, latest: &CompactedTopic<Announcement>) {
        let others = latest.values().others(&self.dataset);
        if let Some(others) = &others
            && self.told_of.is_none()
        {
            let control = kafka::control_topic(&self.options.topic);
            let way_out = kafka::tombstone(&control);
            tracing::warn!("topic {control} has keys of others, which are ignored: {others}; {way_out}");
        }
        self.told_of = others;
    }

    /// Whether the local store can be used at all.
    ///
    /// # Errors
    /// `Invalid` when it cannot, which nothing that is announced will change.
    fn usable(&self) -> Result<()> {
        match self.catalog.read() {
            Err(error) if error.kind() == Kind::Invalid => Err(error),
            _ => Ok(()),
        }
    }

    fn take_over(&mut self, announcement: &Announcement, latest: &mut CompactedTopic<Announcement>) -> Result<Outcome> {
        let Some(wanted) = announcement.current().cloned() else { return Ok(Outcome::Nothing) };
        let outcome = self.switch_to(announcement, &wanted, latest);
        match &outcome {
            Ok(Outcome::Overtaken) => {}
            Err(error) if error.kind() == Kind::Stopped => {}
            Ok(_) => self.report(&wanted, ConsumerState::Serving, wanted.rows, None),
            Err(error) => self.report(&wanted, ConsumerState::Failed, 0, Some(error.chain().join(": "))),
        }
        outcome
    }

    fn switch_to(
        &mut self,
        announcement: &Announcement,
        wanted: &StreamedVersion,
        latest: &mut CompactedTopic<Announcement>,
    ) -> Result<Outcome> {
        let started = Instant::now();
        let current = self.catalog.read()?;
        let serves = current.current_entry().is_some_and(|(_, entry)| entry.build_id == wanted.build_id);
        if serves {
            return Ok(Outcome::Nothing);
        }
        let mut resumed_rows = 0;
        let here = find(&current, wanted);
        let version = match here {
            Some(version) => version,
            None => {
                self.report(wanted, ConsumerState::Staging, 0, None);
                let staged = match self.stage(announcement, wanted, latest)? {
                    Some(staged) => staged,
                    None => return Ok(Outcome::Overtaken),
                };
                resumed_rows = staged.resumed_rows;
                let number =
                    if current.versions.contains_key(&wanted.version) { current.next_version } else { wanted.version };
                let version = staged.install(&self.catalog, number)?;
                failpoint::reach("consume.installed")?;
                version
            }
        };
        let left = left_behind(announcement, &current);
        let flip = publish::follow(&self.catalog, version, left)?;
        failpoint::reach("consume.flipped")?;
        self.run_gc();
        Ok(Outcome::Takeover(Takeover {
            version,
            previous: flip.from,
            rows: wanted.rows,
            bytes: wanted.bytes,
            resumed_rows,
            was_here: here.is_some(),
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// Stages the announced version. `None` when another one is announced meanwhile.
    fn stage(
        &self,
        announcement: &Announcement,
        wanted: &StreamedVersion,
        latest: &mut CompactedTopic<Announcement>,
    ) -> Result<Option<StagedVersion>> {
        if !kafka::is_data_topic(&wanted.topic, &self.options.topic) {
            return Err(Error::corrupt(format!(
                "version {} is announced in topic {:?}, which is none of {}'s",
                wanted.version, wanted.topic, self.options.topic
            )));
        }
        let staging = VersionStager {
            catalog: &self.catalog,
            connection: &self.options.connection,
            dataset: &announcement.dataset,
            wanted,
            rate_limit: self.options.rate_limit,
            threads: self.options.threads,
            progress: self.options.progress,
        };
        let mut reported = Instant::now();
        staging.run(|rows| {
            shutdown::check()?;
            if latest.follow(LOOK_WHILE_STAGING)? {
                // What cannot be read changes nothing.
                let now = self.announced(latest).ok().flatten();
                let topic = now.as_ref().and_then(Announcement::current).map(|current| current.topic.as_str());
                return Ok(topic.is_none_or(|topic| topic == wanted.topic));
            }
            if reported.elapsed() > REPORT_EVERY {
                self.report(wanted, ConsumerState::Staging, rows, None);
                reported = Instant::now();
            }
            Ok(true)
        })
    }

    /// Waits for another announcement, for the end of `retry`, or for the end of a local pin.
    fn wait(&self, latest: &mut CompactedTopic<Announcement>, known: &Told, retry: Option<Duration>) -> Result<()> {
        let deadline = retry.map(|retry| Instant::now() + retry);
        let is_pinned = || self.catalog.read().is_ok_and(|current| current.pin.is_some());
        let pinned = is_pinned();
        loop {
            shutdown::check()?;
            match latest.follow(LOOK) {
                // What cannot be used is news, too: it is told once, and what comes after it is looked at again.
                Ok(true) if told(self.announced(latest)) != *known => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("announcements cannot be read: {}", error.chain().join(": "));
                    shutdown::sleep(LOOK)?;
                }
            }
            let unpinned = pinned && !is_pinned();
            if unpinned || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(());
            }
        }
    }

    fn report(&self, wanted: &StreamedVersion, state: ConsumerState, rows: u64, error: Option<String>) {
        let current = self.catalog.read().ok();
        let serving = current.as_ref().and_then(Current::current_entry);
        self.reporter.report(&ConsumerReport {
            protocol: PROTOCOL,
            consumer: self.options.name.clone(),
            dataset: current.as_ref().map(|current| current.dataset.clone()).unwrap_or_default(),
            state,
            version: serving.map(|(version, _)| version),
            build_id: serving.map(|(_, entry)| entry.build_id.clone()),
            announced: wanted.version,
            rows,
            rows_total: wanted.rows,
            error,
            at: Timestamp::now().to_string(),
        });
    }

    /// Deletes what retention no longer keeps; what fails is left to the next flip.
    fn run_gc(&self) {
        if let Err(error) = publish::gc(&self.catalog, &self.options.retention) {
            tracing::warn!("old versions were not removed: {}", error.chain().join(": "));
        }
    }
}

/// The local version of a build.
fn find(current: &Current, wanted: &StreamedVersion) -> Option<u64> {
    current.versions.iter().find(|(_, entry)| entry.build_id == wanted.build_id).map(|(&version, _)| version)
}

/// What becomes of the version that readers leave, as its publisher sees it.
fn left_behind(announcement: &Announcement, current: &Current) -> State {
    let left = current.current_entry().map(|(_, entry)| entry.build_id.as_str());
    let told = announcement.versions.iter().find(|it| Some(it.streamed.build_id.as_str()) == left);
    if told.is_some_and(|it| it.state == State::RolledBack) { State::RolledBack } else { State::Retired }
}

/// Waits for the first announcement, or fails with `once` where there is none. Returns the dataset, too: the one that
/// the local store has, or else the one that is announced.
fn first_announcement(options: &Options, known: Option<&str>) -> Result<(CompactedTopic<Announcement>, String)> {
    let control = kafka::control_topic(&options.topic);
    loop {
        if let Some(mut latest) = CompactedTopic::open(&options.connection, &control, known)? {
            let mut told = String::new();
            loop {
                shutdown::check()?;
                if let Some(known) = known {
                    return Ok((latest, known.to_owned()));
                }
                match kafka::only_announcement(latest.values(), &options.topic, None) {
                    Ok(Some(announcement)) => return Ok((latest, announcement.dataset)),
                    Ok(None) => {}
                    Err(error) if options.once => return Err(error),
                    Err(error) => {
                        let problem = error.chain().join(": ");
                        if problem != told {
                            tracing::error!("nothing can be served yet: {problem}");
                        }
                        told = problem;
                    }
                }
                if options.once {
                    break;
                }
                if let Err(error) = latest.follow(LOOK) {
                    tracing::error!("announcements cannot be read: {}", error.chain().join(": "));
                    break;
                }
            }
        }
        if options.once {
            return Err(nothing_announced(options, None));
        }
        tracing::info!(topic = control, "waiting for the first announcement");
        shutdown::sleep(LOOK)?;
    }
}

fn nothing_announced(options: &Options, others: Option<&str>) -> Error {
    let others = others.map_or(String::new(), |others| format!(" (there are keys of others: {others})"));
    Error::unavailable(format!(
        "nothing is announced in topic {} at {}{others}: `cutover run JOB.toml` with [kafka] announces a version",
        kafka::control_topic(&options.topic),
        options.connection.brokers()
    ))
}
