//! A store, local or on an object store: opening it, reading `current.json`, and changing it.
//!
//! ```text
//! commit:  take commit.lock ─▶ read ─▶ change in memory ─▶ check ─▶ one atomic replace ─▶ release
//!                               ▲                                        │ object store: another host was faster
//!                               └────────────────────────────────────────┘
//! read:    without a lock: the file is always complete, either the old one or the new one
//! ```
//! A store on an object store has a working directory on this host with the same layout: for locks, staging and local
//! copies of versions. What readers and other hosts need is on the object store (`remote`).
//!
//! Invariants: only a commit writes `current.json`; a change that fails leaves it untouched; when the outcome of a
//! commit is unknown, the error says so.
//!
//! Not for: which changes are allowed (`transitions`) or the files of versions (`install`, `gc`).

use std::path::PathBuf;
use std::time::Duration;

use super::event::Action;
use super::event_log::Log;
use super::file_system;
use super::layout::Layout;
use super::lock::Lock;
use super::remote::{Lease, Remote, Replaced};
use super::work_dir;
use crate::durable_file::{self, fs};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::{Current, Manifest, VersionEntry};
use crate::objects::Settings;

/// How long a commit waits for another one; each takes milliseconds.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a build waits for its lock: long enough for a `gc` that only checks whether a build is running.
const BUILD_PATIENCE: Duration = Duration::from_millis(500);
/// Attempts to commit a change while other hosts keep changing the store.
const COMMIT_ATTEMPTS: usize = 20;

/// A store. Its name is a path, or the URL of an object store.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Paths of the local store, or of the working directory of a remote one.
    layout: Layout,
    remote: Option<Remote>,
}

/// The right to build, held for the duration of a build.
#[derive(Debug)]
pub struct BuildLock {
    /// Released first: another process of this host then finds no lease of ours.
    _lease: Option<Lease>,
    lock: Lock,
}

impl BuildLock {
    /// The lock of this host.
    pub(super) fn local(&self) -> &Lock {
        &self.lock
    }
}

impl Catalog {
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// `Invalid` when there is none; else as [`Catalog::read`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let catalog = Self::at(path.into())?;
        let root = catalog.layout.root();
        if catalog.remote.is_none() && !fs::metadata(root).is_ok_and(|meta| meta.is_dir()) {
            return Err(Error::invalid(format!("there is no store at {}", root.display())));
        }
        catalog.read()?;
        Ok(catalog)
    }

    /// Where this host works on the store that a path or a URL names: its directory, or the working directory for it.
    ///
    /// # Errors
    /// `Invalid` for a URL or settings that cannot be used.
    pub fn directory_for(path: impl Into<PathBuf>) -> Result<PathBuf> {
        Self::at(path.into()).map(|catalog| catalog.layout.root().to_owned())
    }

    /// A simulated remote store, and this host's working directory for it.
    #[cfg(test)]
    pub(super) fn simulated(bucket: crate::objects::Bucket, work_dir: &std::path::Path) -> Self {
        Self { layout: Layout::new(work_dir), remote: Some(Remote::simulated(bucket)) }
    }

    /// The store that a path or a URL names, whether there is one or not.
    fn at(path: PathBuf) -> Result<Self> {
        let url = path.to_str().filter(|text| text.contains("://"));
        let Some(url) = url else { return Ok(Self { layout: Layout::new(path), remote: None }) };
        let remote = Remote::open(url, &Settings::from_env())?;
        Ok(Self { layout: Layout::new(work_dir::of(&remote.url())?), remote: Some(remote) })
    }

    /// Opens the store of `dataset` at `path`, or creates it.
    ///
    /// # Errors
    /// `Invalid` when the store belongs to another dataset, or the path is not an empty directory; `Unavailable` when
    /// it cannot be written; else as [`Catalog::read`].
    pub fn open_or_create(path: impl Into<PathBuf>, dataset: &str) -> Result<Self> {
        let catalog = Self::at(path.into())?;
        if !catalog.exists()? {
            match &catalog.remote {
                None => catalog.create_local(dataset)?,
                Some(remote) => {
                    remote.create(dataset)?;
                    catalog.log().record(Action::Created, None, format!("store of {dataset:?}"));
                }
            }
        }
        catalog.check_dataset(dataset)?;
        Ok(catalog)
    }

    /// Opens the store of `dataset` at `path` that follows the announcements of `topic`, or creates it.
    ///
    /// # Errors
    /// As [`Catalog::open_or_create`]; `Invalid` when the store has locally built versions, or follows another topic.
    pub fn open_or_follow(path: impl Into<PathBuf>, dataset: &str, topic: &str) -> Result<Self> {
        let catalog = Self::open_or_create(path, dataset)?;
        catalog.commit(|current| {
            if !catalog.may_follow(current, topic)? {
                current.follows = Some(topic.to_owned());
            }
            Ok(())
        })?;
        Ok(catalog)
    }

    /// The dataset of the store at `path`, which must follow `topic` or be empty; `None` if there is no store.
    ///
    /// # Errors
    /// `Invalid` when it has locally built versions or follows another topic; else as [`Catalog::read`].
    pub fn followed_dataset(path: impl Into<PathBuf>, topic: &str) -> Result<Option<String>> {
        let catalog = Self::at(path.into())?;
        if !catalog.exists()? {
            return Ok(None);
        }
        let current = catalog.read()?;
        catalog.may_follow(&current, topic).map(|_| Some(current.dataset))
    }

    /// Whether the store already follows `topic`. An empty store may start to; any other one is refused.
    fn may_follow(&self, current: &Current, topic: &str) -> Result<bool> {
        match current.follows.as_deref() {
            Some(known) if known == topic => Ok(true),
            None if current.versions.is_empty() && current.targets.kafka.is_none() => Ok(false),
            _ => Err(Error::invalid(format!(
                "the store at {} {}, so it cannot follow {topic}: choose another directory",
                self.place(),
                current.followed().map_or("has versions of its own".to_owned(), |known| format!("follows {known}"))
            ))),
        }
    }

    /// Opens the store of `dataset` at `path` if there is one.
    ///
    /// # Errors
    /// As [`Catalog::open_or_create`]; never creates the store.
    pub fn try_open(path: impl Into<PathBuf>, dataset: &str) -> Result<Option<Self>> {
        let catalog = Self::at(path.into())?;
        if !catalog.exists()? {
            return Ok(None);
        }
        catalog.check_dataset(dataset).map(|()| Some(catalog))
    }

    /// Whether there is a store.
    fn exists(&self) -> Result<bool> {
        match &self.remote {
            Some(remote) => Ok(remote.read()?.is_some()),
            None => self.exists_locally(),
        }
    }

    fn check_dataset(&self, dataset: &str) -> Result<()> {
        let found = self.read()?.dataset;
        if found == dataset {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the store at {} holds the dataset {found:?}, the job builds {dataset:?}: give each its own store",
            self.place()
        )))
    }

    /// Where the store is, for people: its path or its URL.
    pub fn place(&self) -> String {
        self.remote.as_ref().map_or_else(|| self.layout.root().display().to_string(), Remote::url)
    }

    /// The object store that holds it; none for a local store.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// The paths of the store, or of its working directory on this host.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The store's event log.
    pub fn log(&self) -> Log {
        Log::new(&self.layout, self.remote.as_ref())
    }

    /// Reads `current.json`: the versions, and the one readers see.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged; `Invalid` when the directory is not a store or was written by a newer
    /// program; `Unavailable` when the file cannot be read.
    pub fn read(&self) -> Result<Current> {
        match &self.remote {
            None => self.read_local(),
            Some(remote) => remote.current(),
        }
    }

    /// As [`Catalog::read`], and the state it returns survives a power cut: the process that made the last change may
    /// have died between replacing the file and syncing its directory. Required before anything is announced or
    /// deleted.
    ///
    /// # Errors
    /// As [`Catalog::read`]; `Unavailable` when the directory cannot be synced.
    pub fn read_durable(&self) -> Result<Current> {
        let current = self.read()?;
        match self.remote {
            Some(_) => Ok(current),
            None => durable_file::sync_dir(self.layout.root()).map(|()| current),
        }
    }

    /// Changes the store atomically: `change` edits the current state, which is then committed as a whole or not at
    /// all. `change` is called again when another host changed a remote store first.
    ///
    /// # Errors
    /// Those of `change`, with nothing applied; `Conflict` when another process is committing (the message names it)
    /// or while an intent is recorded; `Unavailable` when the file cannot be replaced, saying whether the change was
    /// applied; else as [`Catalog::read`].
    pub fn commit<T>(&self, mut change: impl FnMut(&mut Current) -> Result<T>) -> Result<T> {
        let lock = self.lock_commit().map_err(not_applied)?;
        self.commit_locked(&lock, |current| {
            current.ensure_no_intent()?;
            change(current)
        })
    }

    /// As [`Catalog::commit`], also while an intent is recorded: to apply or drop it, or for changes that it does not
    /// depend on.
    ///
    /// # Errors
    /// As [`Catalog::commit`].
    pub fn commit_during_intent<T>(&self, change: impl FnMut(&mut Current) -> Result<T>) -> Result<T> {
        let lock = self.lock_commit().map_err(not_applied)?;
        self.commit_locked(&lock, change)
    }

    /// Takes the lock that a publish to Kafka holds for its whole duration.
    ///
    /// # Errors
    /// `Conflict` naming the holder when another publish is running.
    pub fn lock_publish(&self) -> Result<Lock> {
        self.prepare_work_dir()?;
        Lock::acquire(&self.layout.publish_lock(), BUILD_PATIENCE)
            .map_err(|error| held(error, "another publish of this store to Kafka is running"))
    }

    /// Takes the lock that a build holds for its whole duration.
    ///
    /// # Errors
    /// `Conflict` naming the holder when another build is running; `Corrupt` when one of the store's directories is a
    /// link.
    pub fn lock_build(&self) -> Result<BuildLock> {
        self.prepare_work_dir()?;
        self.real_directories()?;
        if self.remote.is_none() {
            file_system::warn(self.layout.root());
        }
        let lock = Lock::acquire(&self.layout.build_lock(), BUILD_PATIENCE)
            .map_err(|error| held(error, "another build of this store is running"))?;
        let lease = self.remote.as_ref().map(|remote| self.become_builder(remote)).transpose()?;
        Ok(BuildLock { _lease: lease, lock })
    }

    /// Takes the lease of a remote store, and makes sure that no earlier builder can install any more.
    fn become_builder(&self, remote: &Remote) -> Result<Lease> {
        let lease = Lease::take(remote, &self.layout.root().display().to_string())?;
        let epoch = self.commit_during_intent(|current| {
            current.builder_epoch += 1;
            Ok(current.builder_epoch)
        })?;
        remote.set_builder(epoch);
        Ok(lease)
    }

    /// Creates the working directory of a remote store where it is missing.
    pub(super) fn prepare_work_dir(&self) -> Result<()> {
        if self.remote.is_none() {
            return Ok(());
        }
        [self.layout.versions(), self.layout.staging()].iter().try_for_each(|dir| durable_file::create_dir_durable(dir))
    }

    /// The manifest of a version that `current.json` lists.
    ///
    /// # Errors
    /// `Invalid` when there is no such version; `Corrupt` when the manifest belongs to another version; else as
    /// [`Manifest::read`].
    pub fn manifest(&self, current: &Current, version: u64) -> Result<Manifest> {
        let entry = current.versions.get(&version).ok_or_else(|| {
            Error::invalid(format!("there is no version {version}; `cutover versions STORE` lists those that exist"))
        })?;
        let checked = self.manifest_of(current, version, entry);
        checked.map_err(|error| match error.kind() {
            Kind::Corrupt => error.during(format!(
                "version {version} cannot be trusted: {}`cutover run JOB.toml --rebuild --allow damaged` builds its data \
                 again",
                if current.current == Some(version) { "`cutover rollback STORE` takes readers off it, " } else { "" }
            )),
            _ => error,
        })
    }

    fn manifest_of(&self, current: &Current, version: u64, entry: &VersionEntry) -> Result<Manifest> {
        if let Some(remote) = &self.remote {
            return remote.version_manifest(current, version);
        }
        let directory = self.layout.version_dir(version);
        let manifest = Manifest::read(&directory)?;
        manifest.ensure_of(current, version, entry, &directory.display().to_string())?;
        Ok(manifest)
    }

    /// Bytes that a version takes on disk, or on its object store.
    ///
    /// # Errors
    /// `Invalid` when there is no such version; `Unavailable` when they cannot be listed.
    pub fn stored_bytes(&self, current: &Current, version: u64) -> Result<u64> {
        match (&self.remote, current.versions.get(&version)) {
            (None, _) => durable_file::disk_usage(&self.layout.version_dir(version)),
            (Some(remote), Some(entry)) => remote.stored_bytes(&entry.build_id),
            (Some(_), None) => Err(Error::invalid(format!("there is no version {version}"))),
        }
    }

    pub(super) fn lock_commit(&self) -> Result<Lock> {
        self.prepare_work_dir()?;
        self.real_directories()?;
        Lock::acquire(&self.layout.commit_lock(), COMMIT_PATIENCE)
            .map_err(|error| held(error, "another command is changing this store"))
    }

    /// As [`Catalog::commit_during_intent`], for a caller that already holds the lock.
    pub(super) fn commit_locked<T>(&self, _: &Lock, mut change: impl FnMut(&mut Current) -> Result<T>) -> Result<T> {
        for _ in 0..COMMIT_ATTEMPTS {
            let (before, tag) = match &self.remote {
                None => (self.read_durable()?, None),
                Some(remote) => {
                    remote.read()?.map(|(current, tag)| (current, Some(tag))).ok_or_else(|| remote.absent())?
                }
            };
            let mut after = before.clone();
            let result = change(&mut after)?;
            if after == before {
                return Ok(result);
            }
            after.epoch = before.epoch + 1;
            if let Some(problem) = after.contradiction() {
                return Err(Error::internal(format!("not applied: the change would break the store: {problem}")));
            }
            let replaced = match &self.remote {
                None => self.replace_local(&after).map(|()| Replaced::Applied),
                Some(remote) => failpoint::reach("current.decided")
                    .and_then(|()| remote.replace(&after, tag.as_ref()))
                    .and_then(|replaced| failpoint::reach("current.replaced").map(|()| replaced)),
            };
            if replaced? == Replaced::Applied {
                return Ok(result);
            }
        }
        Err(Error::conflict(format!("not applied: other commands keep changing {}; run again", self.place())))
    }
}

/// Adds to a `Conflict` over a lock what holds it; other errors stay as they are.
fn held(error: Error, who: &str) -> Error {
    if error.kind() == Kind::Conflict { error.during(who) } else { error }
}

/// Marks an error after which the store is unchanged.
pub(super) fn not_applied(error: Error) -> Error {
    error.during("not applied")
}
