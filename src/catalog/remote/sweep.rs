//! Deletes objects of a remote store that nothing refers to: versions that were removed, builds that died, and uploads
//! in parts that were never completed.
//!
//! Versions that were just removed go at once. Anything else that `current.json` does not name may be what a slow
//! builder uploads: it is deleted once it is older than a grace time, and only by a process that has become the builder
//! itself, so that no other one can install what is being deleted.
//!
//! Only objects with names that Cutover gives are deleted (`names`); whatever else is below the prefix stays.
//!
//! Not for: which versions are removed (`retention`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::names::is_build_id;
use super::upload::note_key;
use super::work::{building_key, is_surplus};
use super::{Remote, versions_key};
use crate::error::{Error, Kind, Result};
use crate::format::Current;
use crate::objects::{Entry, Key, OpenUpload};

/// No note of an upload is larger, in bytes.
const MAX_NOTE: u64 = 64 << 10;

/// What was deleted.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Swept {
    /// IDs of builds that no version had.
    pub(in crate::catalog) builds: Vec<String>,
    /// Bytes of all objects.
    pub(in crate::catalog) bytes: u64,
}

/// The objects of one build.
#[derive(Debug, Default)]
struct Build {
    keys: Vec<Key>,
    bytes: u64,
    /// When the last one was written.
    written: Timestamp,
}

/// Objects of builds by the builds' IDs, each with its path below its build.
type Work = BTreeMap<String, Vec<(String, Entry)>>;

/// What a listing found that nothing names.
struct Found {
    /// Builds by their IDs.
    unnamed: BTreeMap<String, Build>,
    /// Single objects.
    surplus: Vec<Entry>,
}

impl Remote {
    /// Deletes the objects of versions that were `removed` from `current.json`, and those of builds that it does not
    /// name and that are older than `grace`. The latter only while this process is the builder: `lock_build` makes it
    /// one. Where another process is the builder they stay, which a warning says.
    ///
    /// # Errors
    /// As those of a listing and of a deletion; running it again continues.
    pub(in crate::catalog) fn sweep<L>(
        &self,
        removed: &[u64],
        grace: Duration,
        lock_build: impl FnOnce() -> Result<L>,
    ) -> Result<Swept> {
        let oldest = Timestamp::now().checked_sub(grace).unwrap_or(Timestamp::MIN);
        let mut swept = Swept::default();
        let Found { unnamed, surplus } = self.found(&self.current()?, oldest)?;
        let mut dead = BTreeMap::new();
        for (id, build) in unnamed {
            let version = self.manifest(&id).map(|manifest| manifest.version);
            if version.is_ok_and(|version| removed.contains(&version)) {
                swept.bytes += self.delete_build(&build)?;
            } else if build.written <= oldest {
                dead.insert(id, build);
            }
        }
        let uploads = self.noted_uploads(oldest)?;
        if dead.is_empty() && uploads.is_empty() && surplus.is_empty() {
            return Ok(swept);
        }
        let _building = match lock_build() {
            Err(error) if error.kind() == Kind::Conflict => {
                self.warn_of_rest(&error);
                return Ok(swept);
            }
            building => building?,
        };
        // Read again: from here on no other builder can install.
        let named = build_ids(&self.current()?);
        for (id, build) in dead.into_iter().filter(|(id, _)| !named.contains(id)) {
            swept.bytes += self.delete_build(&build)?;
            swept.builds.push(id);
        }
        for entry in surplus {
            swept.bytes += entry.bytes;
            self.bucket.delete([entry.key])?;
        }
        for (note, open) in uploads {
            self.bucket.abort_upload(&open)?;
            self.bucket.delete([note])?;
        }
        Ok(swept)
    }

    fn warn_of_rest(&self, held: &Error) {
        tracing::warn!(
            "objects of {} that no version names were not deleted; run `cutover gc` again later: {}",
            self.url(),
            held.chain().join(": ")
        );
    }

    /// Every object that neither `current` nor the store itself names, by its key.
    ///
    /// # Errors
    /// As those of a listing.
    pub(in crate::catalog) fn unnamed(&self, current: &Current) -> Result<Vec<String>> {
        let builds = build_ids(current);
        let (mut unnamed, mut work) = (Vec::new(), Work::new());
        self.bucket.list(None, |entry| {
            let key = entry.key.as_str();
            let (first, rest) = key.split_once('/').unwrap_or((key, ""));
            let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
            let is_named = match first {
                "current.json" | "lease.json" => rest.is_empty(),
                "log" | "replicas" => true,
                "versions" => builds.contains(id),
                _ => false,
            };
            if !is_named {
                unnamed.push(key.to_owned());
            } else if first == "versions" && is_surplus(path, &BTreeSet::new()) {
                work.entry(id.to_owned()).or_default().push((path.to_owned(), entry));
            }
            Ok(())
        })?;
        unnamed.extend(self.surplus(work)?.into_iter().map(|entry| entry.key.as_str().to_owned()));
        unnamed.sort_unstable();
        Ok(unnamed)
    }

    /// What `current` does not name, by one listing of `versions/`: whole builds; and what the work of clusters left, in
    /// builds that it names and of an unfinished one, written before `oldest`.
    fn found(&self, current: &Current, oldest: Timestamp) -> Result<Found> {
        let named = build_ids(current);
        let (mut unnamed, mut work): (BTreeMap<String, Build>, _) = (BTreeMap::new(), Work::new());
        self.bucket.list(Some(&versions_key()?), |entry| {
            let below = entry.key.as_str().strip_prefix("versions/").unwrap_or_default();
            let (id, path) = below.split_once('/').unwrap_or((below, ""));
            if !named.contains(id) {
                if path.is_empty() || !is_build_id(id) {
                    return Ok(());
                }
                let build = unnamed.entry(id.to_owned()).or_default();
                build.written = build.written.max(entry.modified);
                build.bytes += entry.bytes;
                build.keys.push(entry.key);
            } else if entry.modified <= oldest && is_surplus(path, &BTreeSet::new()) {
                work.entry(id.to_owned()).or_default().push((path.to_owned(), entry));
            }
            Ok(())
        })?;
        let mut surplus = self.surplus(work)?;
        surplus.extend(self.bucket.head(&building_key()?)?.filter(|entry| entry.modified <= oldest));
        Ok(Found { unnamed, surplus })
    }

    /// Of the work of clusters in builds, what their manifests do not name.
    fn surplus(&self, work: Work) -> Result<Vec<Entry>> {
        let mut surplus = Vec::new();
        for (id, entries) in work {
            let manifest = self.manifest(&id)?;
            let named = manifest.shards.iter().filter_map(|shard| shard.attempt.as_deref()).collect();
            surplus.extend(entries.into_iter().filter(|(path, _)| is_surplus(path, &named)).map(|(_, entry)| entry));
        }
        Ok(surplus)
    }

    /// Deletes a build's objects and returns their bytes. The manifest goes first: what is left after a crash is
    /// incomplete for everyone.
    fn delete_build(&self, build: &Build) -> Result<u64> {
        let is_manifest = |key: &&Key| key.as_str().ends_with("/manifest.json");
        self.bucket.delete(build.keys.iter().filter(is_manifest).cloned())?;
        self.bucket.delete(build.keys.iter().filter(|key| !is_manifest(key)).cloned())?;
        Ok(build.bytes)
    }

    /// Notes of uploads in parts that are not complete, written before `oldest`, with what they say.
    fn noted_uploads(&self, oldest: Timestamp) -> Result<Vec<(Key, OpenUpload)>> {
        let mut candidates = Vec::new();
        self.bucket.list(Some(&Key::new("uploads")?), |entry| {
            let may_be_note = entry.modified <= oldest && entry.bytes <= MAX_NOTE && build_of(&entry.key).is_some();
            candidates.extend(may_be_note.then_some(entry.key));
            Ok(())
        })?;
        let mut notes = Vec::new();
        for key in candidates {
            let open = self.note(&key)?;
            notes.extend(open.map(|open| (key, open)));
        }
        Ok(notes)
    }

    /// The upload that an object below `uploads/` notes; none where it is no note, or is gone.
    fn note(&self, key: &Key) -> Result<Option<OpenUpload>> {
        let object = match self.bucket.get(key, MAX_NOTE) {
            // Larger than when it was listed.
            Err(error) if error.kind() == Kind::Corrupt => None,
            object => object?,
        };
        let open = object.and_then(|object| serde_json::from_slice::<OpenUpload>(&object.bytes).ok());
        let is_note = |open: &OpenUpload| {
            let name = build_of(key).map(|build_id| note_key(build_id, open));
            name.is_some_and(|name| name.is_ok_and(|name| name == *key))
        };
        Ok(open.filter(is_note))
    }
}

/// The build whose upload an object below `uploads/` notes, if it is a note by its key.
fn build_of(key: &Key) -> Option<&str> {
    let (id, name) = key.as_str().strip_prefix("uploads/")?.split_once('/')?;
    (is_build_id(id) && name.ends_with(".json")).then_some(id)
}

fn build_ids(current: &Current) -> BTreeSet<String> {
    current.versions.values().map(|entry| entry.build_id.clone()).collect()
}
