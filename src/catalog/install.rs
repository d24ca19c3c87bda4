//! Installs a finished directory from staging as the next version.
//!
//! ```text
//! sync all files ─▶ under commit.lock:  n = next version ─▶ write and sync manifest.json ─▶ rename to versions/n, sync
//!                                       ─▶ current.json lists n as complete or rejected
//! ```
//! A crash before the last step leaves a directory that `current.json` does not list. The next install of that number
//! moves it into the trash, and `gc` deletes it.
//!
//! In a remote store the directory is uploaded under the build's ID instead, the manifest last, and what stays here
//! becomes the local copy.
//!
//! Not for: publishing. No reader sees a version that is only installed.

use std::path::Path;

use super::remote::Remote;
use super::store::{Catalog, not_applied};
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::format::{Allow, Current, Manifest, Reasons, ShardEntry, State, VersionEntry};

/// A version that readers do not see yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// Its number.
    pub version: u64,
    /// Complete, or rejected.
    pub state: State,
    /// Why it was rejected, if it was.
    pub rejected: Option<Reasons>,
    /// The kinds of those reasons.
    pub failed: Vec<Allow>,
}

impl Catalog {
    /// Makes the directory `staged` the next version. It must be in the store's staging directory and complete except
    /// for its manifest, which `manifest` makes from the version's number.
    ///
    /// # Errors
    /// `Conflict` when another process is committing (the message names it); `Unavailable` when a write fails, with the
    /// version not installed unless the message says that this is unknown; `Internal` when the manifest is wrong.
    pub fn install(&self, staged: &Path, manifest: impl FnOnce(u64) -> Manifest) -> Result<Installed> {
        self.install_as(staged, None, manifest)
    }

    /// As [`Catalog::install`], for a store that follows a topic: the version gets its announced number.
    ///
    /// # Errors
    /// As [`Catalog::install`].
    pub fn install_as(
        &self,
        staged: &Path,
        announced: Option<u64>,
        manifest: impl FnOnce(u64) -> Manifest,
    ) -> Result<Installed> {
        if !staged.starts_with(self.layout().staging()) {
            return Err(Error::internal(format!("{} is not in the store's staging", staged.display())));
        }
        sync_tree(staged)?;
        failpoint::reach("install.synced")?;
        let mut manifest = manifest(announced.unwrap_or_default());
        if let Some(remote) = self.remote() {
            return self.install_remotely(remote, staged, manifest);
        }
        let lock = self.lock_commit().map_err(not_applied)?;
        self.commit_locked(&lock, |current| {
            let version = announced.unwrap_or(current.next_version);
            manifest.version = version;
            if manifest.dataset != current.dataset {
                return Err(Error::internal(format!("the manifest is of the dataset {:?}", manifest.dataset)));
            }
            manifest.write(staged)?;
            durable_file::sync_dir(staged)?;
            failpoint::reach("install.manifest")?;
            let directory = self.layout().version_dir(version);
            if fs::symlink_metadata(&directory).is_ok() {
                self.discard(&directory)?;
            }
            fs::rename(staged, &directory).io("move the finished version to", &directory)?;
            failpoint::reach("install.renamed")?;
            durable_file::sync_dir(&self.layout().versions())?;
            add(current, &manifest)
        })
    }

    /// Uploads a finished shard of a build in a remote store, so that less is left to do at the install; does nothing
    /// in a local one.
    ///
    /// # Errors
    /// As those of the install.
    pub fn upload_shard(&self, build_id: &str, directory: &Path, shard: &ShardEntry) -> Result<()> {
        match self.remote() {
            Some(remote) => remote.upload_shard(build_id, directory, shard).map_err(not_applied),
            None => Ok(()),
        }
    }

    /// Uploads what is left of a version, and adds it to `current.json` under the next number. When another host takes
    /// that number first, only the manifest is written again: nothing names it yet.
    fn install_remotely(&self, remote: &Remote, staged: &Path, mut manifest: Manifest) -> Result<Installed> {
        remote.upload(staged, &manifest).map_err(not_applied)?;
        failpoint::reach("install.manifest")?;
        let lock = self.lock_commit().map_err(not_applied)?;
        let installed = self.commit_locked(&lock, |current| {
            remote.check_builder(current)?;
            manifest.version = current.next_version;
            remote.put_manifest(&manifest).map_err(not_applied)?;
            failpoint::reach("install.renamed")?;
            add(current, &manifest)
        })?;
        // What a cluster built is not here: a host that needs a copy downloads it.
        if manifest.shards.iter().all(|shard| shard.attempt.is_none()) {
            manifest.write(staged)?;
            self.put_copy(staged, &self.layout().version_dir(installed.version))?;
        }
        Ok(installed)
    }
}

/// Adds a version whose files are in place.
fn add(current: &mut Current, manifest: &Manifest) -> Result<Installed> {
    let version = manifest.version;
    let state = current.add(version, VersionEntry::new(manifest))?;
    let entry = current.versions.get(&version);
    let (rejected, failed) = entry.map(|entry| (entry.rejected.clone(), entry.failed.clone())).unwrap_or_default();
    Ok(Installed { version, state, rejected, failed })
}

/// Syncs every file and directory below `directory`, and refuses anything else, such as links.
fn sync_tree(directory: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(directory).io("stat", directory)?;
    if !meta.is_dir() {
        return Err(Error::corrupt(format!("{} is not a directory", directory.display())));
    }
    for entry in fs::read_dir(directory).io("list", directory)? {
        let path = entry.io("list", directory)?.path();
        let kind = fs::symlink_metadata(&path).io("stat", &path)?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            durable_file::sync_file(&path)?;
        } else {
            return Err(Error::corrupt(format!("{} is neither a file nor a directory", path.display())));
        }
    }
    durable_file::sync_dir(directory)
}
