//! The directory for spill files, and the removal of those that killed runs left.
//!
//! In the store's staging it is part of the build's directory, which `gc` removes. In a directory of the user's
//! (`--spill-dir`) no command would find it again, so a run locks its directory there, and every later run removes
//! those that no process holds. The lock file contains the path of the build's journal: while that file exists, a later
//! run may resume from the directory, and it is kept.
//!
//! Not for: what is written in it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::durable_file;
use crate::error::{IoContext, Result};

/// Prefix of the names of spill directories in a directory of the user's.
const PREFIX: &str = "cutover-spill-";
/// The file in it that its run keeps locked.
const LOCK: &str = "lock";
/// Longest path, in bytes.
const MAX_PATH: u64 = 4096;

/// A spill directory; dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(super) struct SpillDir {
    path: PathBuf,
    lock: Option<File>,
    keep: bool,
}

impl SpillDir {
    /// The directory `path` in the directory of a build.
    pub(super) fn in_staging(path: PathBuf) -> Self {
        Self { path, lock: None, keep: false }
    }

    /// A directory of this run in the user's directory `root`, kept for other runs while `journal` exists.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be created.
    pub(super) fn in_directory(root: &Path, run: &str, journal: Option<&Path>) -> Result<Self> {
        fs::create_dir_all(root).io("create the spill directory", root)?;
        sweep(root)?;
        let path = root.join(format!("{PREFIX}{run}"));
        fs::create_dir(&path).io("create the spill directory", &path)?;
        let lock = path.join(LOCK);
        let mut file = File::create(&lock).io("create", &lock)?;
        file.try_lock().map_err(std::io::Error::from).io("lock", &lock)?;
        if let Some(journal) = journal {
            let journal = std::path::absolute(journal).io("find", journal)?;
            file.write_all(journal.as_os_str().as_bytes()).io("write", &lock)?;
        }
        Ok(Self { path, lock: Some(file), keep: false })
    }

    /// The directory that the dead run `run` left in the user's directory `root`; `None` if there is none.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened.
    pub(super) fn left_in_directory(root: &Path, run: &str) -> Result<Option<Self>> {
        let path = root.join(format!("{PREFIX}{run}"));
        let lock = path.join(LOCK);
        let file = match File::open(&lock) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.io("open", &lock)?,
        };
        if file.try_lock().is_err() {
            return Ok(None);
        }
        sweep(root)?;
        Ok(Some(Self { path, lock: Some(file), keep: false }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets whether dropping keeps the directory.
    pub(super) fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }

    /// Makes the directory itself survive a power cut; its files are synced by their writers.
    ///
    /// # Errors
    /// `Unavailable` when the sync fails.
    pub(super) fn sync(&self) -> Result<()> {
        if let Some(file) = &self.lock {
            file.sync_all().io("sync", &self.path.join(LOCK))?;
        }
        durable_file::sync_dir(&self.path)?;
        self.path.parent().map_or(Ok(()), durable_file::sync_dir)
    }

    /// The directory that contains it, which exists before anything is spilled.
    pub(super) fn root(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.path);
        }
    }
}

/// Removes the spill directories in `root` whose runs have ended and that no run can resume from.
fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).io("list", root)? {
        let entry = entry.io("list", root)?;
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // A directory without a lock file is being created by another run.
        let path = entry.path().join(LOCK);
        let lock = ours.then(|| File::open(&path).ok()).flatten();
        if let Some(lock) = lock.filter(|lock| lock.try_lock().is_ok() && !is_of_use(&path)) {
            remove(&entry.path());
            drop(lock);
        }
    }
    Ok(())
}

/// Whether the journal that a lock file names exists. Only its existence is checked, nothing is read or written there.
fn is_of_use(lock: &Path) -> bool {
    let named = durable_file::read_bounded(lock, MAX_PATH).unwrap_or_default();
    let journal = Path::new(OsStr::from_bytes(&named));
    journal.is_absolute() && journal.is_file()
}

/// Removes the directory of a run; if that fails, warns and leaves it to the next run or to `gc`.
pub(super) fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(directory = %path.display(), %error, "left behind; the next run or `cutover gc` removes it");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_dead_runs_are_removed_and_those_of_live_ones_kept() {
        let root = tempfile::tempdir().unwrap();
        let dead = root.path().join("cutover-spill-dead");
        let foreign = root.path().join("photos");
        for directory in [&dead, &foreign] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join(LOCK), b"").unwrap();
        }
        let living = SpillDir::in_directory(root.path(), "one", None).unwrap();
        let other = SpillDir::in_directory(root.path(), "two", None).unwrap();
        assert!(!dead.exists() && foreign.exists() && living.path().exists() && other.path().exists());
        let path = living.path().to_path_buf();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_is_kept_as_long_as_its_journal() {
        let root = tempfile::tempdir().unwrap();
        let journal = tempfile::NamedTempFile::new().unwrap();
        let mut dead = SpillDir::in_directory(root.path(), "dead", Some(journal.path())).unwrap();
        assert!(SpillDir::left_in_directory(root.path(), "dead").unwrap().is_none(), "its run holds it");
        dead.keep(true);
        let path = dead.path().to_path_buf();
        drop(dead);
        drop(SpillDir::in_directory(root.path(), "other", None).unwrap());
        assert!(path.exists());
        let mut taken = SpillDir::left_in_directory(root.path(), "dead").unwrap().unwrap();
        assert_eq!(taken.path(), path);
        taken.keep(true);
        drop(taken);
        journal.close().unwrap();
        drop(SpillDir::in_directory(root.path(), "other", None).unwrap());
        assert!(!path.exists());
        assert!(SpillDir::left_in_directory(root.path(), "dead").unwrap().is_none());
    }
}
