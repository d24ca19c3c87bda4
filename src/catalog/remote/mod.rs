//! A store on an object store: its layout, `current.json` under conditions, and manifests.
//!
//! ```text
//! s3://bucket/prefix/
//!   current.json                               changed only by a conditional put
//!   lease.json                                 who builds now (lease.rs)
//!   building.json                              a cluster's unfinished build (work.rs)
//!   versions/<build id>/manifest.json          written last; never changed once current.json names it
//!                       shard-00000/…          immutable (upload.rs, download.rs, inspect.rs)
//!   uploads/<build id>/….json                  uploads in parts that are not complete (upload.rs)
//!   log/<time>-<random>.json                   one object per event (events.rs)
//!   replicas/<name>.json                       what a host that pulls has (replicas.rs)
//! ```
//! There is no rename: a version's objects have its build's ID in their keys, and `current.json` says which number it
//! has. The rules of versions are those of local stores; only reading and replacing `current.json` and moving files
//! differ.
//!
//! Not for: requests, retries and credentials (`objects`).

mod download;
mod events;
mod inspect;
mod lease;
#[cfg(test)]
mod model_test;
mod names;
mod parallel;
mod replicas;
mod sweep;
mod upload;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use download::{DownloadOptions, Downloaded};
pub(super) use events::RemoteLog;
pub(super) use lease::Lease;
pub use replicas::{MAX_REPLICAS, Replica, ReplicaState};
pub use work::{Building, PartDownload, SharedWork};

use crate::error::{Error, Result};
use crate::escape::shortened;
use crate::format::{Current, Manifest, to_checksummed_json};
use crate::objects::{Bucket, Changed, Condition, Key, Location, Put, Scheme, Settings, Tag, Traffic};

/// Upper bound on the size of `current.json`, as in local stores.
const MAX_CURRENT: u64 = 64 << 20;
/// Changes whose IDs are kept in `current.json`: more than others can make while one waits for its answer.
const MAX_CHANGES: usize = 256;
/// Upper bound on the size of a manifest, as in local stores.
const MAX_MANIFEST: u64 = 256 << 20;

/// A store on an object store. Clones share the client.
#[derive(Clone, Debug)]
pub struct Remote {
    bucket: Bucket,
    /// The epoch of the builder that this process is; 0 while it builds nothing.
    builder: Arc<AtomicU64>,
    /// What this process has uploaded.
    uploaded: Arc<Mutex<BTreeSet<Key>>>,
}

/// `current.json`, compared with what was known of it.
#[derive(Debug)]
pub enum Refreshed {
    /// It is as it was.
    Same,
    /// It changed; with its new tag.
    Changed(Box<Current>, Tag),
}

/// What became of a replace of `current.json` that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Replaced {
    /// It is applied.
    Applied,
    /// It is not: another process replaced the file first.
    Lost,
}

impl Remote {
    /// The store at a URL. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` for a URL or settings that cannot be used.
    pub fn open(url: &str, settings: &Settings) -> Result<Self> {
        let location = Location::parse(url)?;
        if location.scheme() == Scheme::File {
            return Err(Error::invalid(format!("{location} is a local directory: name it by its path")));
        }
        Ok(Self { bucket: Bucket::open(&location, settings)?, builder: Arc::default(), uploaded: Arc::default() })
    }

    /// A store that is simulated.
    #[cfg(test)]
    pub(super) fn simulated(bucket: Bucket) -> Self {
        Self { bucket, builder: Arc::default(), uploaded: Arc::default() }
    }

    /// Requests and bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.bucket.traffic()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.bucket.location().to_string()
    }

    /// `current.json` and its tag; none where there is no store.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged; `Invalid` when a newer program wrote it, and for credentials and rights;
    /// `Unavailable` when the object store does not answer.
    pub(super) fn read(&self) -> Result<Option<(Current, Tag)>> {
        let key = current_key()?;
        let Some(object) = self.bucket.get(&key, MAX_CURRENT)? else { return Ok(None) };
        let current = Current::parse(&object.bytes, Path::new(&self.bucket.url(&key)))?;
        Ok(Some((current, object.entry.tag)))
    }

    /// `current.json` of a store that exists.
    ///
    /// # Errors
    /// As [`Remote::read`]; `Invalid` when there is no store.
    pub(super) fn current(&self) -> Result<Current> {
        self.read()?.map(|(current, _)| current).ok_or_else(|| self.absent())
    }

    /// `current.json`, if it is not as `tag` says: one request either way.
    ///
    /// # Errors
    /// As [`Remote::read`]; `Invalid` when there is no store any more.
    pub fn refresh(&self, tag: Option<&Tag>) -> Result<Refreshed> {
        let key = current_key()?;
        let object = match tag {
            None => self.bucket.get(&key, MAX_CURRENT)?,
            Some(tag) => match self.bucket.get_if_changed(&key, tag, MAX_CURRENT)? {
                Changed::No => return Ok(Refreshed::Same),
                Changed::Yes(object) => Some(object),
                Changed::Gone => None,
            },
        };
        let object = object.ok_or_else(|| self.absent())?;
        let current = Current::parse(&object.bytes, Path::new(&self.bucket.url(&key)))?;
        Ok(Refreshed::Changed(Box::new(current), object.entry.tag))
    }

    /// Replaces `current.json`, which must be as `tag` says, or creates it where none is given. The change gets an ID,
    /// by which it is recognized where its answer is lost, also below later changes of other hosts.
    ///
    /// # Errors
    /// `Unavailable` when it is unknown whether the change was applied, or the object store does not answer; as
    /// [`Remote::read`].
    pub(super) fn replace(&self, current: &Current, tag: Option<&Tag>) -> Result<Replaced> {
        let condition = tag.map_or(Condition::Absent, |tag| Condition::Match(tag.clone()));
        let (key, id) = (current_key()?, format!("{:016x}", random()));
        let mut current = current.clone();
        let surplus = (current.latest_changes.len() + 1).saturating_sub(MAX_CHANGES);
        current.latest_changes.drain(..surplus);
        current.latest_changes.push(id.clone());
        let is_in = |found: &[u8]| {
            let found = Current::parse(found, Path::new(key.as_str()));
            found.is_ok_and(|found| found.latest_changes.contains(&id))
        };
        match self.bucket.settle_by(&key, &to_checksummed_json(&current)?, &condition, MAX_CURRENT, &is_in)? {
            Put::Applied(_) => Ok(Replaced::Applied),
            Put::Lost => Ok(Replaced::Lost),
            Put::Unknown(error) => {
                Err(error.during("unknown whether applied: `cutover versions STORE` shows the state"))
            }
        }
    }

    /// Creates an empty store where there is nothing else.
    ///
    /// # Errors
    /// `Invalid` when there are other objects, or the object store does not enforce conditions; `Corrupt` when there
    /// are versions without `current.json`; as [`Remote::read`].
    pub(super) fn create(&self, dataset: &str) -> Result<()> {
        if let Err(refused) = self.check_free() {
            // Another process may have created the store meanwhile, with a version in it.
            return if matches!(self.read(), Ok(Some(_))) { Ok(()) } else { Err(refused) };
        }
        self.bucket.check_conditions(&Key::new(format!("probe-{:016x}", random()))?)?;
        // Lost: another process created it first.
        self.replace(&Current::new(dataset), None).map(drop)
    }

    /// Refuses a place that holds versions, or objects that are no store's; both listings end at the first one. What
    /// an interrupted or concurrent creation leaves is neither.
    fn check_free(&self) -> Result<()> {
        self.bucket.list(Some(&versions_key()?), |entry| {
            let is_version = names::is_of_store(entry.key.as_str()) && entry.bytes > 0;
            if is_version { Err(self.absent_with_versions()) } else { Ok(()) }
        })?;
        self.bucket.list(None, |entry| {
            let key = entry.key.as_str();
            if names::is_of_store(key) || names::may_be_directory(key, entry.bytes) {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "{} is not a store but holds {}: choose an empty or a new directory",
                self.url(),
                shortened(key)
            )))
        })
    }

    /// The manifest of a build.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or damaged; else as [`Remote::read`].
    pub(super) fn manifest(&self, build_id: &str) -> Result<Manifest> {
        let key = build_key(build_id, "manifest.json")?;
        let url = self.bucket.url(&key);
        match self.bucket.get(&key, MAX_MANIFEST)? {
            Some(object) => Manifest::parse(&object.bytes, Path::new(&url)),
            None => Err(Error::corrupt(format!("{url} is missing: the version is incomplete"))),
        }
    }

    /// The manifest of a version that `current` lists.
    ///
    /// # Errors
    /// `Invalid` when there is no such version; `Corrupt` when the manifest is missing, damaged or another version's;
    /// else as [`Remote::read`].
    pub fn version_manifest(&self, current: &Current, version: u64) -> Result<Manifest> {
        let entry = current
            .versions
            .get(&version)
            .ok_or_else(|| Error::invalid(format!("{} has no version {version}", self.url())))?;
        let manifest = self.manifest(&entry.build_id)?;
        manifest.ensure_of(current, version, entry, &self.build_url(&entry.build_id)?)?;
        Ok(manifest)
    }

    /// The URL below which a build's objects are.
    ///
    /// # Errors
    /// `Invalid` for an ID that no build has.
    pub fn build_url(&self, build_id: &str) -> Result<String> {
        Ok(self.bucket.url(&Key::new(format!("versions/{build_id}"))?))
    }

    /// Bytes of all objects of a build.
    ///
    /// # Errors
    /// As [`Remote::read`].
    pub(super) fn stored_bytes(&self, build_id: &str) -> Result<u64> {
        let mut bytes = 0;
        self.bucket.list(Some(&Key::new(format!("versions/{build_id}"))?), |entry| {
            bytes += entry.bytes;
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Makes this process the builder whose epoch is `epoch`.
    pub(super) fn set_builder(&self, epoch: u64) {
        self.builder.store(epoch, Ordering::Relaxed);
    }

    /// Refuses to install for a builder that another one replaced.
    ///
    /// # Errors
    /// `Conflict`.
    pub(super) fn check_builder(&self, current: &Current) -> Result<()> {
        match self.builder.load(Ordering::Relaxed) {
            0 => Ok(()),
            ours if ours == current.builder_epoch => Ok(()),
            _ => Err(Error::conflict(format!(
                "not applied: another builder of {} took over while this one did not renew its lease; run again",
                self.url()
            ))),
        }
    }

    /// The error where there is no store.
    pub(super) fn absent(&self) -> Error {
        Error::invalid(format!("there is no store at {}: it has no current.json", self.url()))
    }

    fn absent_with_versions(&self) -> Error {
        Error::corrupt(format!(
            "{} has versions but no current.json: restore it, or give the job another place",
            self.url()
        ))
    }
}

fn current_key() -> Result<Key> {
    Key::new("current.json")
}

fn versions_key() -> Result<Key> {
    Key::new("versions")
}

/// The key of a file of a build.
fn build_key(build_id: &str, path: &str) -> Result<Key> {
    Key::new(format!("versions/{build_id}/{path}"))
}

/// A number for names that no other process uses.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
