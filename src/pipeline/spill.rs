//! The folder for what does not fit into memory, and the end of those that a killed run left behind.
//!
//! In the store's staging the folder is part of the build's own, and `gc` knows it. In a folder of the user's
//! (`--spill-dir`) nobody would ever look again, so a run locks its folder there, and every later run removes those
//! that nobody holds any more.
//!
//! Not for: what is written there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

/// Names of spill folders in a folder of the user's begin so.
const PREFIX: &str = "cutover-spill-";
/// The file in it that its run holds locked.
const LOCK: &str = "lock";

/// A spill folder; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SpillDir {
    path: PathBuf,
    _lock: Option<File>,
}

impl SpillDir {
    /// The folder `path` in a build's own folder.
    pub(super) fn in_staging(path: PathBuf) -> Self {
        Self { path, _lock: None }
    }

    /// A folder of this run in the user's folder `root`.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be made.
    pub(super) fn in_folder(root: &Path, run: &str) -> Result<Self> {
        fs::create_dir_all(root).io("create the spill folder", root)?;
        sweep(root)?;
        let path = root.join(format!("{PREFIX}{run}"));
        fs::create_dir(&path).io("create the spill folder", &path)?;
        let lock = path.join(LOCK);
        let file = File::create(&lock).io("create", &lock)?;
        file.try_lock().map_err(std::io::Error::from).io("lock", &lock)?;
        Ok(Self { path, _lock: Some(file) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder it is in, which is there before anything is spilled.
    pub(super) fn root(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes the spill folders in `root` whose runs are gone.
fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).io("list", root)? {
        let entry = entry.io("list", root)?;
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // A folder without a lock file is one that a run is just making.
        let lock = ours.then(|| File::open(entry.path().join(LOCK)).ok()).flatten();
        if let Some(lock) = lock.filter(|lock| lock.try_lock().is_ok()) {
            remove(&entry.path());
            drop(lock);
        }
    }
    Ok(())
}

/// Removes a folder of a run's; one that stays is told, and left to the next run or to `gc`.
pub(super) fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %path.display(), %error, "left behind; the next run or `cutover gc` removes it");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_runs_are_removed_and_those_of_living_ones_kept() {
        let root = tempfile::tempdir().unwrap();
        let dead = root.path().join("cutover-spill-dead");
        let foreign = root.path().join("photos");
        for folder in [&dead, &foreign] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(LOCK), b"").unwrap();
        }
        let living = SpillDir::in_folder(root.path(), "one").unwrap();
        let other = SpillDir::in_folder(root.path(), "two").unwrap();
        assert!(!dead.exists() && foreign.exists() && living.path().exists() && other.path().exists());
        let path = living.path().to_path_buf();
        drop(living);
        assert!(!path.exists());
    }
}
