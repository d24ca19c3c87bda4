//! Installs a finished directory from staging as the next version.
//!
//! ```text
//! sync all files ─▶ under commit.lock:  n = next version ─▶ write and sync manifest.json ─▶ rename to versions/n, sync
//!                                       ─▶ current.json lists n as complete or rejected
//! ```
//! A crash before the last step leaves a directory that `current.json` does not list. The next install of that number
//! moves it into the trash, and `gc` deletes it.
//!
//! Not for: publishing. No reader sees a version that is only installed.

use std::path::Path;

use super::store::{Catalog, not_applied};
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::format::{Allow, Manifest, Reasons, State, VersionEntry};

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
        let lock = self.lock_commit().map_err(not_applied)?;
        self.commit_locked(&lock, |current| {
            let version = announced.unwrap_or(current.next_version);
            let manifest = manifest(version);
            if manifest.version != version || manifest.dataset != current.dataset {
                return Err(Error::internal(format!("the manifest is not that of version {version}")));
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
            let state = current.add(version, VersionEntry::new(&manifest))?;
            let entry = current.versions.get(&version);
            let (rejected, failed) =
                entry.map(|entry| (entry.rejected.clone(), entry.failed.clone())).unwrap_or_default();
            Ok(Installed { version, state, rejected, failed })
        })
    }
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
