//! The files of a version on this host: in a local store they are there; of a remote store a copy is downloaded.
//!
//! A copy is in the store's working directory under the version's number, with its manifest, so that a later command
//! finds it; `sweep` deletes the copies that are not of the current version.
//!
//! Not for: hosts that serve (`pull` gives them a store of their own).

use std::path::PathBuf;

use super::finding::FileDepth;
use super::integrity::inspect;
use super::remote::{DownloadOptions, Remote};
use super::store::Catalog;
use crate::durable_file::{self, fs};
use crate::error::{IoContext, Result};
use crate::format::{Current, Manifest};

impl Catalog {
    /// The directory with the files of a version that `current` lists. Of a remote store it is downloaded first, unless
    /// that was done before and all of it is still there.
    ///
    /// # Errors
    /// As [`Catalog::manifest`]; as [`Remote::download`].
    pub fn local_copy(&self, current: &Current, version: u64) -> Result<PathBuf> {
        self.checked_copy(current, version, FileDepth::SmallFiles)
    }

    /// As [`Catalog::local_copy`]; a copy that `depth` finds damaged is downloaded again, as it says nothing about the
    /// store.
    ///
    /// # Errors
    /// As [`Catalog::local_copy`].
    pub fn checked_copy(&self, current: &Current, version: u64, depth: FileDepth) -> Result<PathBuf> {
        let directory = self.layout().version_dir(version);
        let Some(remote) = self.remote() else { return Ok(directory) };
        let manifest = self.manifest(current, version)?;
        let has_it = || {
            let is_of_it = Manifest::read(&directory).is_ok_and(|copy| copy.build_id == manifest.build_id);
            is_of_it && inspect(&directory, &manifest, depth).is_empty()
        };
        if !has_it() {
            // Commands that want the same copy wait for each other.
            let _lock = self.lock_commit()?;
            if !has_it() {
                self.copy(remote, &manifest)?;
            }
        }
        Ok(directory)
    }

    fn copy(&self, remote: &Remote, manifest: &Manifest) -> Result<()> {
        let directory = self.layout().version_dir(manifest.version);
        let staged = self.layout().staging_dir(&format!("copy-{}", manifest.build_id))?;
        durable_file::create_dir_durable(&staged)?;
        let options = DownloadOptions { local: &[], limit: None, progress: &|_| Ok(()) };
        remote.download(manifest, &staged, &options)?;
        manifest.write(&staged)?;
        self.put_copy(&staged, &directory)
    }

    /// Makes a complete directory in staging the local copy of a version.
    pub(super) fn put_copy(&self, staged: &std::path::Path, directory: &std::path::Path) -> Result<()> {
        if fs::symlink_metadata(directory).is_ok() {
            self.discard(directory)?;
        }
        fs::rename(staged, directory).io("move the copy to", directory)
    }
}
