//! What several machines share while they build one version of a remote store: small objects that are written once, the
//! runs of the shuffle, and the shards that attempts upload.
//!
//! ```text
//! building.json                               the build that is unfinished, and the work that it is (a fingerprint)
//! versions/<build id>/work/….json             records: put-if-absent, so that the first attempt at a task wins
//!                     work/runs/….run         sorted runs: their names are used once
//!                     attempt-<hex>/shard-…   the files of one attempt at a shard
//! ```
//! Everything is below the build's own prefix, so that `sweep` deletes it with the build. Objects are written before
//! the record that names them: a process that finds a record finds what it names.
//!
//! Not for: what records mean (`pipeline`), and the manifest, which the builder alone writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Remote, build_key, parallel};
use crate::error::{Error, IoContext, Result};
use crate::format::{Manifest, ShardEntry, is_attempt, to_json};
use crate::objects::{Condition, Entry, Key, Put};
use crate::shutdown;

/// No record is larger, in bytes.
const MAX_RECORD: u64 = 256 << 20;
/// No pointer to an unfinished build is larger, in bytes.
const MAX_BUILDING: u64 = 64 << 10;
/// The directory of records and runs below a build.
pub(super) const WORK: &str = "work";

/// The content of `building.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Building {
    /// The build's ID.
    pub build_id: String,
    /// What the build has to be made from for another run to continue it.
    pub fingerprint: String,
}

/// A part of an object, and the file that it is downloaded to.
#[derive(Clone, Debug)]
pub struct PartDownload {
    /// The object's path below the work.
    pub path: String,
    /// Its bytes.
    pub range: Range<u64>,
    /// The file, which is made.
    pub local: PathBuf,
}

/// The objects of one unfinished build.
#[derive(Clone, Debug)]
pub struct SharedWork {
    remote: Remote,
    build_id: String,
    /// Objects of which parts were read, by their paths: each is asked for once, as its name is used once.
    known: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl Remote {
    /// The objects of one build.
    pub fn shared_work(&self, build_id: &str) -> SharedWork {
        SharedWork { remote: self.clone(), build_id: build_id.to_owned(), known: Arc::default() }
    }

    /// The build that is unfinished, if there is one.
    ///
    /// # Errors
    /// As [`Remote::read`].
    pub fn building(&self) -> Result<Option<Building>> {
        let object = self.bucket.get(&building_key()?, MAX_BUILDING)?;
        Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
    }

    /// Names the unfinished build. The caller holds the lease.
    ///
    /// # Errors
    /// As those of a write.
    pub fn set_building(&self, building: &Building) -> Result<()> {
        self.bucket.put(&building_key()?, to_json(building)?).map(drop)
    }

    /// Deletes everything of an unfinished build, and its name. The caller is the store's builder.
    ///
    /// # Errors
    /// `Conflict` when another builder took over, whose build it may be now; as those of a deletion.
    pub fn discard_unfinished(&self, build_id: &str) -> Result<()> {
        self.check_not_replaced()?;
        self.shared_work(build_id).delete_where(|_| true)?;
        self.clear_building()
    }

    /// Whether this process is still the store's builder.
    ///
    /// # Errors
    /// `Conflict` when another one took over; as [`Remote::read`].
    pub fn check_not_replaced(&self) -> Result<()> {
        self.check_builder(&self.current()?)
    }

    /// Deletes the name of the unfinished build.
    ///
    /// # Errors
    /// As those of a deletion.
    pub fn clear_building(&self) -> Result<()> {
        self.bucket.delete([building_key()?])
    }
}

impl SharedWork {
    /// The build's ID.
    pub fn build_id(&self) -> &str {
        &self.build_id
    }

    /// Writes a record unless there is one; returns whether it was written. Its content must differ from what any
    /// other process may write there.
    ///
    /// # Errors
    /// As those of a conditional put; `Unavailable` when it is unknown whether it was written.
    pub fn put_once(&self, path: &str, record: &impl Serialize) -> Result<bool> {
        match self.remote.bucket.settle(&self.key(path)?, &to_json(record)?, &Condition::Absent)? {
            Put::Applied(_) => Ok(true),
            Put::Lost => Ok(false),
            Put::Unknown(error) => Err(error.during(format!("unknown whether {path} was written"))),
        }
    }

    /// A record; none where there is none.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be read as one; as those of a read.
    pub fn get<T: for<'d> Deserialize<'d>>(&self, path: &str) -> Result<Option<T>> {
        let key = self.key(path)?;
        let Some(object) = self.remote.bucket.get(&key, MAX_RECORD)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&object.bytes);
        parsed.map(Some).map_err(|error| {
            self.unusable(format!("{} is not a record of Cutover", self.remote.bucket.url(&key))).because(error)
        })
    }

    /// Whether there is a record.
    ///
    /// # Errors
    /// As those of a read.
    pub fn has(&self, path: &str) -> Result<bool> {
        Ok(self.remote.bucket.head(&self.key(path)?)?.is_some())
    }

    /// Records of one directory, by their paths, in that order; several are read at a time.
    ///
    /// # Errors
    /// `Corrupt` when one is missing; as [`SharedWork::get`].
    pub fn get_all<T: for<'d> Deserialize<'d> + Send>(&self, paths: &[String]) -> Result<Vec<T>> {
        let slots: Vec<(&String, Mutex<Option<T>>)> = paths.iter().map(|path| (path, Mutex::new(None))).collect();
        parallel::for_each(&slots, |(path, slot)| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = self.get(path)?;
            Ok(())
        })?;
        let found = slots.into_iter().map(|(path, slot)| {
            let found = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            found.ok_or_else(|| self.unusable(format!("the record {path} of build {} is missing", self.build_id)))
        });
        found.collect()
    }

    /// Writes records, several at a time, each unless there is one.
    ///
    /// # Errors
    /// As [`SharedWork::put_once`].
    pub fn put_all_once<T: Serialize + Sync>(&self, records: &[(String, T)]) -> Result<()> {
        parallel::for_each(records, |(path, record)| self.put_once(path, record).map(drop))
    }

    /// Numbers of the records in a directory.
    ///
    /// # Errors
    /// As those of a listing.
    pub fn numbers(&self, directory: &str) -> Result<BTreeSet<u64>> {
        let mut numbers = BTreeSet::new();
        self.remote.bucket.list(Some(&self.key(directory)?), |entry| {
            let name = entry.key.as_str().rsplit('/').next().unwrap_or_default();
            numbers.extend(name.strip_suffix(".json").and_then(|number| number.parse::<u64>().ok()));
            Ok(())
        })?;
        Ok(numbers)
    }

    /// Uploads a file under a name that no other process uses.
    ///
    /// # Errors
    /// As [`Remote::upload`].
    pub fn upload(&self, local: &Path, path: &str) -> Result<()> {
        self.remote.upload_file(local, &self.key(path)?, &self.build_id, None)
    }

    /// Downloads parts of objects, several at a time.
    ///
    /// # Errors
    /// `Corrupt` when there is no such object; `Unavailable` when a file cannot be written; as those of a read.
    pub fn download_parts(&self, parts: &[PartDownload]) -> Result<()> {
        parallel::for_each(parts, |part| {
            let entry = self.entry(&part.path)?;
            let mut file = File::create(&part.local).io("create", &part.local)?;
            self.remote.bucket.read(&entry, part.range.clone(), |piece| {
                shutdown::check()?;
                file.write_all(piece).io("write", &part.local)
            })
        })
    }

    fn unusable(&self, what: String) -> Error {
        Error::corrupt(what).during(format!(
            "the unfinished build {} cannot go on: `cutover gc {} --unfinished` removes it, then run again",
            self.build_id,
            self.remote.url()
        ))
    }

    /// An object that does not change.
    fn entry(&self, path: &str) -> Result<Entry> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known().get(path) {
            return Ok(entry.clone());
        }
        let key = self.key(path)?;
        let entry: Option<Entry> = self.remote.bucket.head(&key)?;
        let entry = entry.ok_or_else(|| self.unusable(format!("{} is missing", self.remote.bucket.url(&key))))?;
        known().insert(path.to_owned(), entry.clone());
        Ok(entry)
    }

    /// The paths below the work of all objects in a directory.
    ///
    /// # Errors
    /// As those of a listing.
    pub fn paths(&self, directory: &str) -> Result<BTreeSet<String>> {
        let prefix = format!("{WORK}/");
        let mut paths = BTreeSet::new();
        self.each(|rest, _| {
            let path = rest.strip_prefix(&prefix).filter(|path| path.split('/').next() == Some(directory));
            paths.extend(path.map(str::to_owned));
        })?;
        Ok(paths)
    }

    /// Uploads the files of a shard that its attempt built in `version_dir`.
    ///
    /// # Errors
    /// As [`Remote::upload`].
    pub fn upload_shard(&self, version_dir: &Path, shard: &ShardEntry) -> Result<()> {
        self.remote.upload_shard(&self.build_id, version_dir, shard)
    }

    /// Deletes an object of the work.
    ///
    /// # Errors
    /// As those of a deletion.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.remote.bucket.delete([self.key(path)?])
    }

    /// Deletes everything that an attempt at a shard uploaded.
    ///
    /// # Errors
    /// As those of a deletion.
    pub fn delete_attempt(&self, attempt: &str) -> Result<()> {
        self.delete_where(|rest| rest.split('/').next() == Some(attempt))
    }

    /// Deletes everything of the build that `manifest` does not name, once it is installed.
    ///
    /// # Errors
    /// As those of a deletion.
    pub fn tidy(&self, manifest: &Manifest) -> Result<()> {
        let named: BTreeSet<&str> = manifest.shards.iter().filter_map(|shard| shard.attempt.as_deref()).collect();
        self.delete_where(|rest| is_surplus(rest, &named))
    }

    /// The attempts of which there are objects.
    ///
    /// # Errors
    /// As those of a listing.
    pub fn attempts(&self) -> Result<BTreeSet<String>> {
        let mut attempts = BTreeSet::new();
        self.each(|rest, _| {
            let first = rest.split('/').next().unwrap_or_default();
            attempts.extend(is_attempt(first).then(|| first.to_owned()));
        })?;
        Ok(attempts)
    }

    fn delete_where(&self, goes: impl Fn(&str) -> bool) -> Result<()> {
        let mut keys = Vec::new();
        self.each(|rest, entry| keys.extend(goes(rest).then_some(entry.key)))?;
        self.remote.bucket.delete(keys)
    }

    /// Calls `each` with every object of the build and its path below it.
    fn each(&self, mut each: impl FnMut(&str, Entry)) -> Result<()> {
        let prefix = format!("versions/{}", self.build_id);
        self.remote.bucket.list(Some(&Key::new(prefix.as_str())?), |entry| {
            let key = entry.key.as_str().to_owned();
            each(key.strip_prefix(&prefix).unwrap_or_default().trim_start_matches('/'), entry);
            Ok(())
        })
    }

    fn key(&self, path: &str) -> Result<Key> {
        build_key(&self.build_id, &format!("{WORK}/{path}"))
    }
}

/// Whether a path below an installed build is left of its work: records, runs and attempts that did not win.
pub(super) fn is_surplus(path: &str, named: &BTreeSet<&str>) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    first == WORK || (is_attempt(first) && !named.contains(first))
}

pub(super) fn building_key() -> Result<Key> {
    Key::new("building.json")
}
