//! Deletes objects of a remote store that nothing refers to: versions that were removed, builds that died, and uploads
//! in parts that were never completed.
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

impl Remote {
    /// Deletes the objects of versions that were `removed` from `current.json`, and those of builds that it does not
    /// name and that are older than `grace`. The latter only while this process is the builder: `lock_build` makes it
    /// one.
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
        let mut unnamed = self.unnamed_builds(&self.current()?)?;
        for (id, build) in &unnamed {
            let version = self.manifest(id).map(|manifest| manifest.version);
            if version.is_ok_and(|version| removed.contains(&version)) {
                swept.bytes += self.delete_build(build)?;
            }
        }
        unnamed.retain(|_, build| build.written <= oldest);
        let uploads = self.noted_uploads(oldest)?;
        let surplus = self.surplus(&self.current()?, oldest)?;
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
        let mut unnamed = Vec::new();
        self.bucket.list(None, |entry| {
            let key = entry.key.as_str();
            let (first, rest) = key.split_once('/').unwrap_or((key, ""));
            let is_named = match first {
                "current.json" | "lease.json" => rest.is_empty(),
                "log" | "replicas" => true,
                "versions" => builds.contains(rest.split('/').next().unwrap_or_default()),
                _ => false,
            };
            unnamed.extend((!is_named).then(|| key.to_owned()));
            Ok(())
        })?;
        let surplus = self.surplus(current, Timestamp::MAX)?.into_iter().map(|entry| entry.key.as_str().to_owned());
        unnamed.extend(surplus.filter(|key| key.starts_with("versions/")));
        unnamed.sort_unstable();
        Ok(unnamed)
    }

    /// The builds that `current` does not name.
    fn unnamed_builds(&self, current: &Current) -> Result<BTreeMap<String, Build>> {
        let named = build_ids(current);
        let mut unnamed: BTreeMap<String, Build> = BTreeMap::new();
        self.bucket.list(Some(&versions_key()?), |entry| {
            let id = entry.key.as_str().split('/').nth(1).unwrap_or_default();
            if !named.contains(id) {
                let build = unnamed.entry(id.to_owned()).or_default();
                build.written = build.written.max(entry.modified);
                build.bytes += entry.bytes;
                build.keys.push(entry.key);
            }
            Ok(())
        })?;
        Ok(unnamed)
    }

    /// What the work of clusters left in builds that `current` names, and the name of an unfinished build; all of it
    /// written before `oldest`.
    fn surplus(&self, current: &Current, oldest: Timestamp) -> Result<Vec<Entry>> {
        let builds = build_ids(current);
        let mut candidates: BTreeMap<String, Vec<(String, Entry)>> = BTreeMap::new();
        self.bucket.list(Some(&versions_key()?), |entry| {
            let key = entry.key.as_str().to_owned();
            let (id, path) = key.strip_prefix("versions/").and_then(|rest| rest.split_once('/')).unwrap_or_default();
            let may_go = entry.modified <= oldest && builds.contains(id) && is_surplus(path, &BTreeSet::new());
            if may_go {
                candidates.entry(id.to_owned()).or_default().push((path.to_owned(), entry));
            }
            Ok(())
        })?;
        let mut surplus = Vec::new();
        for (id, entries) in candidates {
            let manifest = self.manifest(&id)?;
            let named = manifest.shards.iter().filter_map(|shard| shard.attempt.as_deref()).collect();
            surplus.extend(entries.into_iter().filter(|(path, _)| is_surplus(path, &named)).map(|(_, entry)| entry));
        }
        surplus.extend(self.bucket.head(&building_key()?)?.filter(|entry| entry.modified <= oldest));
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
