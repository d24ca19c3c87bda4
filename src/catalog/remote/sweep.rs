//! Deletes objects of a remote store that nothing names: versions that were removed, builds that died, and uploads in
//! parts that were never completed.
//!
//! Versions that were just removed go at once. Anything else that `current.json` does not name may be what a slow
//! builder uploads: it is deleted once it is older than a grace time, and only by a process that has become the builder
//! itself, so that no other one can install what is being deleted.
//!
//! Not for: which versions are removed (`retention`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::work::{building_key, is_surplus};
use super::{Remote, versions_key};
use crate::error::{Kind, Result};
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
    /// name and that are older than `grace`. The latter only while this process is the builder: `lock_build` makes it one.
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
        let Found { mut unnamed, surplus } = self.found(&self.current()?, oldest)?;
        for (id, build) in &unnamed {
            let version = self.manifest(id).map(|manifest| manifest.version);
            if version.is_ok_and(|version| removed.contains(&version)) {
                swept.bytes += self.delete_build(build)?;
            }
        }
        unnamed.retain(|_, build| build.written <= oldest);
        let uploads = self.noted_uploads(oldest)?;
        if unnamed.is_empty() && uploads.is_empty() && surplus.is_empty() {
            return Ok(swept);
        }
        let _building = match lock_build() {
            Err(error) if error.kind() == Kind::Conflict => return Ok(swept),
            building => building?,
        };
        // Read again: from here on no other builder can install.
        let named = build_ids(&self.current()?);
        for (id, build) in unnamed.into_iter().filter(|(id, _)| !named.contains(id)) {
            swept.bytes += self.delete_build(&build)?;
            swept.builds.push(id);
        }
        for entry in surplus {
            swept.bytes += entry.bytes;
            self.bucket.delete([entry.key])?;
        }
        for note in uploads {
            let object = self.bucket.get(&note, MAX_NOTE)?;
            if let Some(open) = object.and_then(|object| serde_json::from_slice::<OpenUpload>(&object.bytes).ok()) {
                self.bucket.abort_upload(&open)?;
            }
            self.bucket.delete([note])?;
        }
        Ok(swept)
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

    /// Notes of uploads in parts that are not complete, written before `oldest`.
    fn noted_uploads(&self, oldest: Timestamp) -> Result<Vec<Key>> {
        let mut notes = Vec::new();
        self.bucket.list(Some(&Key::new("uploads")?), |entry| {
            notes.extend((entry.modified <= oldest).then_some(entry.key));
            Ok(())
        })?;
        Ok(notes)
    }
}

fn build_ids(current: &Current) -> BTreeSet<String> {
    current.versions.values().map(|entry| entry.build_id.clone()).collect()
}
