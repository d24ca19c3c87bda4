//! The follower: looks at the remote store, takes over its current version, and reports what it has.
//!
//! Not for: what happens between two looks of a long-running follower in a program (`reader`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::catalog::{BuildLock, Catalog, DownloadOptions, Downloaded, Refreshed, Remote, Replica, ReplicaState};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::follow::{self, Attempt, Follow};
use crate::format::{Current, DEFAULT_KEEP, Manifest, Retention};
use crate::objects::{Patience, Settings, Tag};
use crate::rate_limit::RateLimit;
use crate::serve::Store;
use crate::shutdown;

/// Default time between two looks at the remote store.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long a request is retried by a follower that continues after a failure.
const RETRY_WHILE_FOLLOWING: Duration = Duration::from_secs(10);
/// How often a follower says what it has when nothing changed.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// Versions that are begun and replaced remotely before they are complete, until a single pull fails.
const ATTEMPTS: usize = 10;

/// What is followed, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the remote store.
    pub url: String,
    /// Directory of the local store.
    pub to: PathBuf,
    /// Name under which this host reports.
    pub name: String,
    /// Limit of bytes received per second.
    pub limit_rate: Option<u64>,
    /// Versions to keep.
    pub retention: Retention,
    /// How long a request that fails is sent again before the attempt counts as failed.
    pub retry_for: Duration,
    /// Time between two looks, of which a random part of up to a fifth is taken off or added.
    pub look_every: Duration,
    /// Whether readers of this host see candidates.
    pub canary: bool,
    /// Where the progress of downloads is shown, if anywhere.
    pub progress: Option<Arc<dyn DownloadProgress>>,
}

/// Shows how far a download is.
pub trait DownloadProgress: std::fmt::Debug + Send + Sync {
    /// A download of this many bytes begins.
    fn begin(&self, total: u64);
    /// This many more bytes have arrived.
    fn advance(&self, bytes: u64);
    /// It ended, whether it succeeded or not.
    fn end(&self);
}

impl Options {
    /// The defaults of `cutover pull`.
    pub fn new(url: impl Into<String>, to: impl Into<PathBuf>) -> Self {
        let to = to.into();
        let shown = std::path::absolute(&to).unwrap_or_else(|_| to.clone());
        Self {
            url: url.into(),
            name: format!("{}:{}", crate::catalog::host(), shown.display()),
            to,
            limit_rate: None,
            retention: Retention { keep: DEFAULT_KEEP, keep_for: None },
            retry_for: Patience::default().retry_for,
            look_every: POLL_INTERVAL,
            canary: false,
            progress: None,
        }
    }

    /// The same for a follower that continues after a failure, and so may fail soon.
    #[must_use]
    pub fn following(self) -> Self {
        Self { retry_for: RETRY_WHILE_FOLLOWING, ..self }
    }
}

/// A version that readers of the local store were switched to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Takeover {
    /// Its number, the same as in the remote store.
    pub version: u64,
    /// The version they saw before.
    pub previous: Option<u64>,
    /// Its entries.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that were received, and bytes that were here already.
    #[serde(flatten)]
    pub downloaded: Downloaded,
    /// Seconds from seeing it to the flip.
    pub seconds: f64,
}

/// Follows one remote store into one local store.
#[derive(Debug)]
pub struct Follower {
    options: Options,
    remote: Remote,
    catalog: Catalog,
    building: BuildLock,
    limit: Option<RateLimit>,
    /// The remote store as it was seen last.
    seen: Option<(Current, Tag)>,
    /// What was reported last, and when; none while this host may not write.
    reported: Option<(Replica, Instant)>,
    may_report: bool,
    /// The build of the candidate that is installed here.
    ready: Option<String>,
    is_following: bool,
    stop: Arc<AtomicBool>,
}

impl Follow for Follower {
    type Takeover = Takeover;

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn attempt(&mut self) -> Result<Attempt<Takeover>> {
        let attempt = self.look_and_take_over();
        match &attempt {
            // A single pull that finds nothing new makes one request.
            Ok(Attempt::Nothing) if self.reported.is_none() && !self.is_following => {}
            Ok(Attempt::Overtaken) => {}
            Ok(Attempt::Takeover(_) | Attempt::Nothing) => self.report(ReplicaState::Serving, None),
            Err(error) if error.kind() == Kind::Stopped => {}
            Err(error) => self.report(ReplicaState::Failed, Some(error.chain().join(": "))),
        }
        attempt
    }

    fn wait(&mut self, retry: Option<Duration>) -> Result<()> {
        let until = Instant::now() + jittered(retry.unwrap_or(self.options.look_every));
        while Instant::now() < until && !self.is_stopped() {
            shutdown::sleep(until.saturating_duration_since(Instant::now()).min(shutdown::POLL_INTERVAL))?;
        }
        Ok(())
    }
}

impl Follower {
    /// Whether a directory has the versions of another place than this URL, which a follower would refuse.
    ///
    /// # Errors
    /// `Invalid` if it has; nothing else that is wrong is looked at.
    pub fn check_directory(url: &str, to: &Path) -> Result<()> {
        let Ok(remote) = Remote::open(url, &Settings::from_env()) else { return Ok(()) };
        match Catalog::followed_dataset(to, &remote.url()) {
            Err(error) if error.kind() == Kind::Invalid => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the local store, creating it if need be, and locks it for this follower.
    ///
    /// # Errors
    /// `Invalid` for a URL, settings or a directory that cannot be used; `Conflict` when another follower uses the
    /// directory; `Unavailable` when there is no local store yet and the object store does not answer.
    pub fn open(options: Options) -> Result<Self> {
        let settings = Settings::from_env();
        let patience = Patience { retry_for: options.retry_for, ..settings.patience() };
        let remote = Remote::open(&options.url, &settings.with_patience(patience))?;
        let url = remote.url();
        let mut seen = None;
        let dataset = match Catalog::followed_dataset(&options.to, &url)? {
            Some(known) => known,
            None => match remote.refresh(None)? {
                Refreshed::Changed(current, tag) => seen.insert((*current, tag)).0.dataset.clone(),
                Refreshed::Same => return Err(Error::internal("a store that was not known is the same")),
            },
        };
        let catalog = Catalog::open_or_follow(&options.to, &dataset, &url)?;
        let building = catalog.lock_build().map_err(|error| error.during("another follower uses this directory"))?;
        let limit = options.limit_rate.map(RateLimit::new);
        Ok(Self {
            options,
            remote,
            catalog,
            building,
            limit,
            seen,
            reported: None,
            may_report: true,
            ready: None,
            is_following: false,
            stop: Arc::default(),
        })
    }

    /// The local store.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The remote store.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Requests and bytes so far.
    pub fn traffic(&self) -> crate::objects::Traffic {
        self.remote.traffic()
    }

    /// A flag that ends [`Follower::follow`] soon once it is set.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Takes over the current version, if readers do not see it yet.
    ///
    /// # Errors
    /// `Corrupt` when the version is not what its manifest says; `Conflict` when the local store is pinned, or the
    /// remote one was created again; `Unavailable` when the object store or the disk fails; `Stopped` after a signal.
    /// Readers are then unaffected.
    pub fn pull(&mut self) -> Result<Option<Takeover>> {
        for _ in 0..ATTEMPTS {
            match self.attempt()? {
                Attempt::Takeover(taken) => return Ok(Some(taken)),
                Attempt::Nothing => return Ok(None),
                Attempt::Overtaken => {}
            }
        }
        Err(Error::conflict(format!("versions of {} are replaced faster than they can be pulled", self.remote.url())))
    }

    /// Pulls every version that becomes current, until it is stopped. Failures are tried again.
    ///
    /// # Errors
    /// `Stopped` after a signal; `Invalid` when the local store cannot be used any more; those of `on_attempt`.
    pub fn follow(
        &mut self,
        on_attempt: impl FnMut(std::result::Result<Option<&Takeover>, &Error>) -> Result<()>,
    ) -> Result<()> {
        self.is_following = true;
        follow::follow(self, on_attempt)
    }

    fn look_and_take_over(&mut self) -> Result<Attempt<Takeover>> {
        let current = self.look()?;
        let attempt = self.take_over(&current)?;
        if matches!(attempt, Attempt::Nothing) {
            self.fetch_candidate(&current)?;
        }
        Ok(attempt)
    }

    /// The remote store as it is now.
    fn look(&mut self) -> Result<Current> {
        match (self.remote.refresh(self.seen.as_ref().map(|(_, tag)| tag))?, &self.seen) {
            (Refreshed::Changed(current, tag), _) => Ok(self.seen.insert((*current, tag)).0.clone()),
            (Refreshed::Same, Some((current, _))) => Ok(current.clone()),
            (Refreshed::Same, None) => Err(Error::internal("a store that was not known is the same")),
        }
    }

    fn take_over(&mut self, wanted: &Current) -> Result<Attempt<Takeover>> {
        let started = Instant::now();
        let local = self.catalog.read()?;
        if wanted.dataset != local.dataset {
            return Err(Error::conflict(format!(
                "{} now holds the dataset {:?}, the local store {:?}: pull it into another directory",
                self.remote.url(),
                wanted.dataset,
                local.dataset
            )));
        }
        let Some((version, entry)) = wanted.entry_seen(self.options.canary) else {
            return Ok(Attempt::Nothing);
        };
        if local.current_entry().is_some_and(|(_, here)| here.build_id == entry.build_id) {
            return Ok(Attempt::Nothing);
        }
        let mut downloaded = Downloaded::default();
        let manifest = match local.versions.get(&version) {
            Some(here) if here.build_id != entry.build_id => {
                return Err(Error::conflict(format!(
                    "{} was created again: its version {version} is another build than the local one; pull it into another \
                     directory",
                    self.remote.url()
                )));
            }
            Some(_) => self.catalog.manifest(&local, version)?,
            None => match self.stage(wanted, version)? {
                Some((manifest, came)) => {
                    downloaded = came;
                    manifest
                }
                None => return Ok(Attempt::Overtaken),
            },
        };
        // Whatever could keep readers from opening it is found before they are sent to it.
        Store::of(self.catalog.clone()).version(version)?;
        let states = wanted.versions.values().map(|entry| (entry.build_id.as_str(), entry.state));
        let left = follow::left_behind(&local, states);
        let flip = follow::flip(&self.catalog, version, left, &format!("as in {}", self.remote.url()))?;
        if let Err(error) = self.catalog.clear_staging(&self.building, None) {
            tracing::warn!("unfinished downloads were not removed: {}", error.chain().join(": "));
        }
        follow::retain(&self.catalog, &self.options.retention);
        Ok(Attempt::Takeover(Takeover {
            version,
            previous: flip.from,
            rows: manifest.rows,
            bytes: manifest.disk_bytes(),
            downloaded,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// Downloads the candidate and installs it, so that it is there when it is published.
    fn fetch_candidate(&mut self, wanted: &Current) -> Result<()> {
        let candidate = wanted.candidate.as_ref().and_then(|it| Some((it.version, wanted.versions.get(&it.version)?)));
        let Some((version, entry)) = candidate else {
            self.ready = None;
            return Ok(());
        };
        let local = self.catalog.read()?;
        let is_here = local.versions.get(&version).is_some_and(|here| here.build_id == entry.build_id);
        let is_free = !local.versions.contains_key(&version);
        if is_here || is_free && self.stage(wanted, version)?.is_some() {
            Store::of(self.catalog.clone()).version(version)?;
            self.ready = Some(entry.build_id.clone());
        }
        Ok(())
    }

    /// Downloads a version and installs it. None when another one became the current one meanwhile.
    fn stage(&mut self, wanted: &Current, version: u64) -> Result<Option<(Manifest, Downloaded)>> {
        let staged = self.download(wanted, version);
        let (manifest, directory, downloaded) = match staged {
            Ok(staged) => staged,
            // It may have been deleted because another one is current.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Corrupt) => {
                return if self.is_still_current(wanted)? { Err(error) } else { Ok(None) };
            }
            Err(error) => return Err(error),
        };
        failpoint::reach("pull.downloaded")?;
        if !self.is_still_current(wanted)? {
            return Ok(None);
        }
        let installed = manifest.clone();
        self.catalog.install_as(&directory, Some(version), |_| installed)?;
        failpoint::reach("pull.installed")?;
        Ok(Some((manifest, downloaded)))
    }

    fn download(&mut self, wanted: &Current, version: u64) -> Result<(Manifest, PathBuf, Downloaded)> {
        let manifest = self.remote.version_manifest(wanted, version)?;
        self.report(ReplicaState::Staging, None);
        let dirs = self.catalog.layout().build_dirs(&format!("pull-{}", manifest.build_id))?;
        self.catalog.clear_staging(&self.building, dirs.root().file_name().and_then(|name| name.to_str()))?;
        let local = self.local_versions()?;
        let progress = self.options.progress.as_deref();
        progress.inspect(|progress| progress.begin(manifest.disk_bytes()));
        let options = DownloadOptions {
            local: &local,
            limit: self.limit.as_ref(),
            progress: &|bytes| {
                progress.inspect(|progress| progress.advance(bytes));
                if self.stop.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
            },
        };
        let downloaded = self.remote.download(&manifest, dirs.root(), &options);
        progress.inspect(|progress| progress.end());
        let downloaded = downloaded.map_err(|error| match error.kind() {
            Kind::Stopped => error,
            _ => error.during(format!("version {version} is not installed; finished work is kept for the next pull")),
        })?;
        Ok((manifest, dirs.root().to_owned(), downloaded))
    }

    /// The versions that are here, for files that did not change.
    fn local_versions(&self) -> Result<Vec<(PathBuf, Manifest)>> {
        let current = self.catalog.read()?;
        let manifests = current.versions.keys().filter_map(|&version| {
            let manifest = self.catalog.manifest(&current, version).ok()?;
            Some((self.catalog.layout().version_dir(version), manifest))
        });
        Ok(manifests.collect())
    }

    /// Whether the remote store still has the current version and the candidate that `wanted` names.
    fn is_still_current(&mut self, wanted: &Current) -> Result<bool> {
        let build = |current: &Current| current.current_entry().map(|(_, entry)| entry.build_id.clone());
        let now = self.look()?;
        Ok(build(&now) == build(wanted) && now.candidate == wanted.candidate)
    }

    /// Says what this host has; a host that may not write says so once, and still pulls.
    fn report(&mut self, state: ReplicaState, error: Option<String>) {
        if !self.may_report {
            return;
        }
        let local = self.catalog.read().ok();
        let serving = local.as_ref().and_then(Current::current_entry);
        let replica = Replica {
            name: self.options.name.clone(),
            state,
            version: serving.map(|(version, _)| version),
            build_id: serving.map(|(_, entry)| entry.build_id.clone()),
            ready_build_id: self.ready.clone(),
            error,
            at: Timestamp::now(),
        };
        let is_known = self.reported.as_ref().is_some_and(|(known, when)| {
            when.elapsed() < REPORT_EVERY && Replica { at: replica.at, ..known.clone() } == replica
        });
        if is_known {
            return;
        }
        match self.remote.report(&replica) {
            Ok(()) => self.reported = Some((replica, Instant::now())),
            Err(error) => {
                self.may_report = error.kind() == Kind::Unavailable;
                tracing::info!("this host is not reported in {}: {}", self.remote.url(), error.chain().join(": "));
            }
        }
    }
}

/// A time with up to a fifth of it taken off or added, so that many hosts do not ask at once.
fn jittered(time: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let share = RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64;
    time.mul_f64(0.8 + 0.4 * share)
}

fn stopped() -> Error {
    Error::new(Kind::Stopped, "the follower was stopped")
}
