//! The directory in which a job is killed: a store, and the last output of its processes.
//!
//! It is a new directory with a unique name, so nothing existing is touched; dropping it removes it with its content.
//!
//! Not for: what happens in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::random;

/// Prefix of the names of sandboxes.
const PREFIX: &str = "verify-crash-";

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Sandbox {
    path: PathBuf,
}

impl Sandbox {
    /// Creates one in `directory`.
    ///
    /// # Errors
    /// `Invalid` for a URL, and when there is no such directory; `Unavailable` when it cannot be written.
    pub(super) fn create(directory: &Path) -> Result<Self> {
        if directory.to_string_lossy().contains("://") {
            return Err(Error::invalid(format!(
                "verify-crash kills a job that builds into a store in a local directory, and {} is a URL: name a local \
                 directory by --dir",
                directory.display()
            )));
        }
        if !directory.is_dir() {
            return Err(Error::invalid(format!(
                "{} is not a directory, so no sandbox can be created in it",
                directory.display()
            )));
        }
        let path = directory.join(format!("{PREFIX}{:016x}", random::u64()?));
        fs::create_dir(&path).io("create the sandbox", &path)?;
        Ok(Self { path })
    }

    /// The store in it.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// A file next to the store.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Deletes the store.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    pub(super) fn clear(&self) -> Result<()> {
        fs::remove_dir_all(self.store()).io("delete", &self.store())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(directory = %self.path.display(), %error, "the sandbox is left behind; delete it by hand");
        }
    }
}
