//! Follows a topic: takes over every announced version into a local store of the same format, completely or not at all.
//!
//! ```text
//! control topic ─▶ announced version ─▶ is it here? ─no─▶ stage: tables, invisible ─▶ count, digest ─▶ install ─▶ flip
//!                                             └──yes──────────────────────────────────────────────────────────▶ flip
//! consumers topic ◀── reports: what this consumer serves
//! ```
//! Versions are identified by their build, not by their number. A newer announcement stops the staging of an older one;
//! a version that does not match its announcement is discarded, and readers stay on their version.
//!
//! | file | what it holds |
//! |---|---|
//! | `staging` | from partitions to a version in staging, on several threads |
//! | `partition` | one partition: checks its records against the announcement and writes its tables |
//! | `journal` | which tables of a partition are finished, for resuming after a crash |
//!
//! Not for: the protocol (`kafka`), or the format of a store (`build`, `catalog`).

pub(crate) mod journal;
mod partition;
mod staging;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::staging::{ReceivedVersion, VersionStager};
use crate::catalog::Catalog;
use crate::catch_panic::contain;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::follow::{self, Attempt, Follow};
use crate::format::{Announcement, Current, PROTOCOL, Retention, StreamedVersion};
use crate::kafka::{self, CompactedTopic, Connection, ConsumerReport, ConsumerState, Reporter};
use crate::progress::Progress;
use crate::shutdown;

/// How long one poll of the control topic waits.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);
/// The same while a version is staged: short, as the end of staging must not wait for it.
const POLL_TIMEOUT_WHILE_STAGING: Duration = Duration::from_millis(20);
/// How often a consumer reports its progress.
const REPORT_EVERY: Duration = Duration::from_secs(3);

/// What is followed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster.
    pub connection: Connection,
    /// Prefix of the names of the dataset's topics.
    pub topic: String,
    /// Directory of the local store.
    pub store: PathBuf,
    /// Name under which this consumer reports.
    pub name: String,
    /// Whether to return once the announced version is served.
    pub once: bool,
    /// Limit of bytes read per second.
    pub rate_limit: Option<u64>,
    /// Versions to keep.
    pub retention: Retention,
    /// Threads that read and write.
    pub threads: usize,
    /// How progress is shown.
    pub progress: Progress,
}

/// A version that readers of the local store were switched to.
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
    /// Entries that an earlier attempt had already staged.
    pub resumed_rows: u64,
    /// Whether it was in the local store already.
    pub was_here: bool,
    /// Seconds from seeing the announcement to the flip.
    pub seconds: f64,
}

/// Follows the topic and calls `on_takeover` for every version it takes over. With `once`, returns as soon as the
/// announced version is served.
///
/// # Errors
/// With `once`, what prevents the takeover: `Unavailable` when nothing is announced or the cluster does not answer,
/// `Corrupt` when the version is not what was announced, `Conflict` when its topic is deleted or the local store is
/// pinned or in use. Without, only what prevents all following: `Invalid` settings or a store of another topic,
/// `Conflict` when another consumer uses the store, and errors of `on_takeover`; no record of a topic ends it.
/// `Stopped` when a stop is requested: the next consumer resumes from what is staged.
pub fn consume(options: &Options, mut on_takeover: impl FnMut(&Takeover) -> Result<()>) -> Result<()> {
    let known = Catalog::followed_dataset(&options.store, &options.topic)?;
    let reporter = Reporter::new(&options.connection, &options.topic)?;
    let (latest, dataset) = first_announcement(options, known.as_deref())?;
    let catalog = Catalog::open_or_follow(&options.store, &dataset, &options.topic)?;
    let _building = catalog.lock_build().map_err(|error| error.during("another consumer uses this store"))?;
    let follower = Follower { options, catalog, reporter, dataset, reported_others: None };
    let mut following = Following { follower, latest, read: Ok(None) };
    if options.once {
        return loop {
            match following.attempt()? {
                Attempt::Takeover(taken) => break on_takeover(&taken),
                Attempt::Nothing => break Ok(()),
                Attempt::Overtaken => {}
            }
        };
    }
    follow::follow(&mut following, |ended| match ended {
        Ok(taken) => taken.map_or(Ok(()), &mut on_takeover),
        Err(error) => {
            tracing::error!("readers stay on their version: {}", error.chain().join(": "));
            Ok(())
        }
    })
}

/// A panic while taking over a version ends this attempt, not the consumer.
fn contained(attempt: impl FnOnce() -> Result<Attempt<Takeover>>) -> Result<Attempt<Takeover>> {
    let panicked = |panic: String| Err(Error::internal("taking over the announced version panicked").because(panic));
    contain(attempt).unwrap_or_else(panicked)
}

/// What was read from the control topic: an announcement, none, or why it cannot be used.
type ControlRead = std::result::Result<Option<Announcement>, String>;

fn as_comparable(announced: Result<Option<Announcement>>) -> ControlRead {
    announced.map_err(|error| error.chain().join(": "))
}

/// A follower and the topic it follows.
struct Following<'o> {
    follower: Follower<'o>,
    latest: CompactedTopic<Announcement>,
    /// What the last attempt was about.
    read: ControlRead,
}

impl Follow for Following<'_> {
    type Takeover = Takeover;

    fn catalog(&self) -> &Catalog {
        &self.follower.catalog
    }

    fn attempt(&mut self) -> Result<Attempt<Takeover>> {
        let Self { follower, latest, .. } = self;
        follower.warn_of_others(latest);
        let announced = follower.announced(latest);
        let outcome = match &announced {
            Ok(Some(announcement)) => contained(|| follower.take_over(announcement, latest)),
            Ok(None) if follower.options.once => {
                Err(nothing_announced(follower.options, follower.reported_others.as_deref()))
            }
            Ok(None) => Ok(Attempt::Nothing),
            Err(error) => Err(Error::new(error.kind(), error.chain().join(": "))),
        };
        self.read = as_comparable(announced);
        outcome
    }

    /// An unusable announcement is reported once and not retried: only another announcement helps.
    fn is_worth_retrying(&self) -> bool {
        self.read.is_ok()
    }

    fn wait(&mut self, retry: Option<Duration>) -> Result<()> {
        self.follower.wait(&mut self.latest, &self.read, retry)
    }
}

struct Follower<'o> {
    options: &'o Options,
    catalog: Catalog,
    reporter: Reporter,
    dataset: String,
    /// The other keys in the control topic, as described last.
    reported_others: Option<String>,
}

impl Follower<'_> {
    /// The last announcement of the dataset.
    fn announced(&self, latest: &CompactedTopic<Announcement>) -> Result<Option<Announcement>> {
        kafka::only_announcement(latest.values(), &self.options.topic, Some(&self.dataset))
    }

    /// Warns once about other keys in the control topic.
    fn warn_of_others(&mut self, latest: &CompactedTopic<Announcement>) {
        let others = latest.values().others(&self.dataset);
        if let Some(others) = &others
            && self.reported_others.is_none()
        {
            let control = kafka::control_topic(&self.options.topic);
            let way_out = kafka::tombstone(&control);
            tracing::warn!("topic {control} has other keys, which are ignored: {others}; {way_out}");
        }
        self.reported_others = others;
    }

    fn take_over(
        &mut self,
        announcement: &Announcement,
        latest: &mut CompactedTopic<Announcement>,
    ) -> Result<Attempt<Takeover>> {
        let Some(wanted) = announcement.current().cloned() else { return Ok(Attempt::Nothing) };
        let outcome = self.switch_to(announcement, &wanted, latest);
        match &outcome {
            Ok(Attempt::Overtaken) => {}
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
    ) -> Result<Attempt<Takeover>> {
        let started = Instant::now();
        let current = self.catalog.read()?;
        let serves = current.current_entry().is_some_and(|(_, entry)| entry.build_id == wanted.build_id);
        if serves {
            return Ok(Attempt::Nothing);
        }
        let mut resumed_rows = 0;
        let here = find(&current, wanted);
        let version = match here {
            Some(version) => version,
            None => {
                self.report(wanted, ConsumerState::Staging, 0, None);
                let staged = match self.stage(announcement, wanted, latest)? {
                    Some(staged) => staged,
                    None => return Ok(Attempt::Overtaken),
                };
                resumed_rows = staged.resumed_rows;
                let number =
                    if current.versions.contains_key(&wanted.version) { current.next_version } else { wanted.version };
                let version = staged.install(&self.catalog, number)?;
                failpoint::reach("consume.installed")?;
                version
            }
        };
        let states = announcement.versions.iter().map(|it| (it.streamed.build_id.as_str(), it.state));
        let left = follow::left_behind(&current, states);
        let flip = follow::flip(&self.catalog, version, left, "as announced")?;
        failpoint::reach("consume.flipped")?;
        follow::retain(&self.catalog, &self.options.retention);
        Ok(Attempt::Takeover(Takeover {
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
    ) -> Result<Option<ReceivedVersion>> {
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
            if latest.follow(POLL_TIMEOUT_WHILE_STAGING)? {
                // An announcement that cannot be used does not stop staging.
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

    /// Waits for another announcement, until `retry` has passed, or until a local pin is removed.
    fn wait(
        &self,
        latest: &mut CompactedTopic<Announcement>,
        known: &ControlRead,
        retry: Option<Duration>,
    ) -> Result<()> {
        let deadline = retry.map(|retry| Instant::now() + retry);
        let is_pinned = || self.catalog.read().is_ok_and(|current| current.pin.is_some());
        let pinned = is_pinned();
        loop {
            shutdown::check()?;
            match latest.follow(POLL_TIMEOUT) {
                // An announcement that cannot be used counts as a change, too: it is reported once.
                Ok(true) if as_comparable(self.announced(latest)) != *known => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("announcements cannot be read: {}", error.chain().join(": "));
                    shutdown::sleep(POLL_TIMEOUT)?;
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
}

/// The local version of a build.
fn find(current: &Current, wanted: &StreamedVersion) -> Option<u64> {
    current.versions.iter().find(|(_, entry)| entry.build_id == wanted.build_id).map(|(&version, _)| version)
}

/// Waits for the first announcement; with `once`, fails if there is none. Also returns the dataset: that of the local
/// store, or else the announced one.
fn first_announcement(options: &Options, known: Option<&str>) -> Result<(CompactedTopic<Announcement>, String)> {
    let control = kafka::control_topic(&options.topic);
    loop {
        if let Some(mut latest) = CompactedTopic::open(&options.connection, &control, known)? {
            let mut last_problem = String::new();
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
                        if problem != last_problem {
                            tracing::error!("nothing can be served yet: {problem}");
                        }
                        last_problem = problem;
                    }
                }
                if options.once {
                    break;
                }
                if let Err(error) = latest.follow(POLL_TIMEOUT) {
                    tracing::error!("announcements cannot be read: {}", error.chain().join(": "));
                    break;
                }
            }
        }
        if options.once {
            return Err(nothing_announced(options, None));
        }
        tracing::info!(topic = control, "waiting for the first announcement");
        shutdown::sleep(POLL_TIMEOUT)?;
    }
}

fn nothing_announced(options: &Options, others: Option<&str>) -> Error {
    let others = others.map_or(String::new(), |others| format!(" (there are other keys: {others})"));
    Error::unavailable(format!(
        "nothing is announced in topic {} at {}{others}: `cutover run JOB.toml` with [kafka] announces a version",
        kafka::control_topic(&options.topic),
        options.connection.brokers()
    ))
}
