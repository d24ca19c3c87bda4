//! `current.json` of a local store: created once, read without a lock, replaced by a rename.
//!
//! Not for: commits and what they may change (`store`, `transitions`).

use std::io::ErrorKind;
use std::path::Path;

use super::event::Action;
use super::layout;
use super::store::{Catalog, not_applied};
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Kind, Result};
use crate::failpoint;
use crate::format::{Current, to_checksummed_json};

/// Upper bound on the size of `current.json`; a hundred thousand versions fit.
const MAX_BYTES: u64 = 64 << 20;
/// Names that a directory without `current.json` may hold and still become a store: an interrupted or concurrent
/// creation leaves them.
const OWN: [&str; 7] = ["build.lock", "commit.lock", "publish.lock", "versions", "staging", "log", "reserve"];

impl Catalog {
    /// Whether there is a store at a path at which one can be.
    ///
    /// # Errors
    /// `Invalid` for a path at which no store can be.
    pub(super) fn exists_locally(&self) -> Result<bool> {
        check_path(self.layout().root())?;
        is_there(&self.layout().current())
    }

    /// See [`Catalog::read`].
    pub(super) fn read_local(&self) -> Result<Current> {
        let path = self.layout().current();
        if !is_there(&path)? {
            let absent = self.absent();
            // Another process may have created the store, with a version in it, between the two checks.
            if !is_there(&path)? {
                return Err(absent);
            }
        }
        let read = durable_file::read_bounded(&path, MAX_BYTES).and_then(|bytes| Current::parse(&bytes, &path));
        read.map_err(|error| match error.kind() {
            Kind::Corrupt => error.during(format!(
                "the store at {} cannot be trusted: restore its current.json from a backup, or move the store away and \
                 run the job again; its versions stay readable as plain RocksDB databases",
                self.layout().root().display()
            )),
            _ => error,
        })
    }

    /// Fails when one of the store's directories is a link or a file: writes and deletions would go outside the store.
    pub(super) fn real_directories(&self) -> Result<()> {
        for directory in [self.layout().versions(), self.layout().staging(), self.layout().log_dir()] {
            match fs::symlink_metadata(&directory) {
                Ok(meta) if !meta.is_dir() => {
                    return Err(Error::corrupt(format!(
                        "not applied: {} is not a directory but a link or a file; put the directory itself there, then run \
                         again",
                        directory.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Replaces `current.json`; after an error it reads the file again to report whether the change was applied.
    pub(super) fn replace_local(&self, current: &Current) -> Result<()> {
        let path = self.layout().current();
        let bytes = to_checksummed_json(current)?;
        let replaced = failpoint::reach("current.decided")
            .and_then(|()| durable_file::write_atomic(&path, &bytes))
            .and_then(|()| failpoint::reach("current.replaced"));
        replaced.map_err(|error| match durable_file::read_bounded(&path, MAX_BYTES) {
            Ok(found) if found != bytes => not_applied(error),
            Ok(_) => error.during(
                "unknown whether applied: readers see the change now, a power cut may undo it; \
                     `cutover versions STORE` shows the state",
            ),
            Err(_) => error.during("unknown whether applied: `cutover versions STORE` shows the state"),
        })
    }

    /// Creates an empty store in a directory that does not exist or is empty.
    pub(super) fn create_local(&self, dataset: &str) -> Result<()> {
        let root = self.layout().root();
        // Another process may be creating the same store: its `current.json`, or the temporary file for it, is not
        // foreign.
        let foreign = first_entry(root, |name| !OWN.contains(&name) && !name.starts_with(layout::CURRENT))?;
        if let Some(name) = foreign {
            return Err(Error::invalid(format!(
                "{} is not a store but holds {name:?}: choose an empty or a new directory",
                root.display()
            )));
        }
        for directory in [root, &self.layout().versions(), &self.layout().staging(), &self.layout().log_dir()] {
            durable_file::create_dir_durable(directory)?;
        }
        failpoint::reach("store.directories")?;
        // Whichever process created them: the directories above the store must survive a power cut, too.
        durable_file::sync_directories_above(root)?;
        let _lock = self.lock_commit()?;
        if is_there(&self.layout().current())? {
            return Ok(()); // another process created it first
        }
        if first_entry(&self.layout().versions(), |_| true)?.is_some() {
            return Err(self.absent());
        }
        self.replace_local(&Current::new(dataset))?;
        self.log().record(Action::Created, None, format!("store of {dataset:?}"));
        Ok(())
    }

    /// The error for a directory without `current.json`.
    fn absent(&self) -> Error {
        let root = self.layout().root().display();
        match first_entry(&self.layout().versions(), |_| true) {
            Ok(Some(_)) => Error::corrupt(format!(
                "{root} has versions but no current.json: restore it from a backup, or move the store away and run the \
                 job again"
            )),
            _ => Error::invalid(format!("there is no store at {root}: it has no current.json")),
        }
    }
}

/// Whether a path exists, be it as a dangling link.
fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        meta => meta.io("stat", path).map(|_| true),
    }
}

/// Refuses a path at which no store can be created.
fn check_path(root: &Path) -> Result<()> {
    let shown = root.display();
    let wrong = match fs::metadata(root) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => format!("{shown} is not a directory"),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            format!("{shown} is below something that is not a directory")
        }
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(root).is_ok() => {
            format!("{shown} is a dangling link")
        }
        Err(_) => return Ok(()),
    };
    Err(Error::invalid(format!("{wrong}, so no store can be there: choose another directory")))
}

/// The first name in a directory that `wanted` accepts; a missing directory has none.
fn first_entry(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.io("list", directory)?,
    };
    for entry in entries {
        let name = entry.io("list", directory)?.file_name().to_string_lossy().into_owned();
        if wanted(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
