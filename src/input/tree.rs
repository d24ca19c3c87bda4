//! Files and directories where the rules of `resolve` look for inputs: those of this machine, or of an object store.
//!
//! ```text
//! Tree ┬ LocalTree    the file system
//!      └ ObjectTree   a listing (`object_tree`)
//! ```
//! Paths in a tree are names within it, which are never opened: only [`Tree::file`] gives what can be read.
//!
//! Not for: which of the files are inputs (`resolve`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Source;
use crate::error::{Error, IoContext, Result};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A directory.
    Directory,
    /// Anything else; what cannot be an input is refused by [`Tree::file`].
    File,
    /// Nothing.
    Nothing,
}

/// A name that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeEntry {
    /// Its path in the tree.
    pub(super) path: PathBuf,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
}

/// A file that can be read.
#[derive(Debug)]
pub(super) struct TreeFile {
    pub(super) source: Source,
    pub(super) bytes: u64,
    pub(super) modified: jiff::Timestamp,
}

/// Files and directories by their paths.
pub(super) trait Tree {
    /// What is at a path.
    fn at(&self, path: &Path) -> Node;

    /// What a directory holds, in any order.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be listed.
    fn children(&self, directory: &Path) -> Result<Vec<TreeEntry>>;

    /// Whether something is at a path, which may be beyond what was listed.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Whether a directory, which may be beyond what was listed, has a file whose name ends so; not if it may not be
    /// listed.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer.
    fn has_file(&self, directory: &Path, ending: &str) -> Result<bool>;

    /// Whether there are directories that were not listed, as they hold nothing of the input.
    fn has_skipped(&self) -> bool {
        false
    }

    /// A file that can be read.
    ///
    /// # Errors
    /// `Input`, beginning with the path, if it is none.
    fn file(&self, path: &Path) -> Result<TreeFile>;

    /// A path, for people.
    fn shown(&self, path: &Path) -> String;
}

/// The file system.
pub(super) struct LocalTree;

impl Tree for LocalTree {
    fn at(&self, path: &Path) -> Node {
        if path.is_dir() {
            Node::Directory
        } else if fs::symlink_metadata(path).is_ok() {
            Node::File
        } else {
            Node::Nothing
        }
    }

    fn children(&self, directory: &Path) -> Result<Vec<TreeEntry>> {
        let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let entries = fs::read_dir(listed).io("list", listed)?;
        entries.map(|entry| Ok(found(directory.join(entry.io("list", listed)?.file_name())))).collect()
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        Ok(path.exists())
    }

    fn has_file(&self, directory: &Path, ending: &str) -> Result<bool> {
        let Ok(entries) = fs::read_dir(directory) else { return Ok(false) };
        let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        Ok(names.any(|name| name.as_encoded_bytes().ends_with(ending.as_bytes())))
    }

    /// Anything but a regular file is refused before it is opened: opening a pipe waits for a writer that may never
    /// come.
    fn file(&self, path: &Path) -> Result<TreeFile> {
        let shown = path.display();
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                return Err(Error::input(format!("{shown} is a dangling link")));
            }
            metadata => metadata.io("stat", path)?,
        };
        if !metadata.is_file() {
            return Err(Error::input(format!("{shown} is a pipe, socket or device, and not a file")));
        }
        let modified = jiff::Timestamp::try_from(metadata.modified().io("stat", path)?)
            .map_err(|error| Error::input(format!("{shown} has an invalid modification time")).because(error))?;
        Ok(TreeFile { source: Source::Local(path.to_owned()), bytes: metadata.len(), modified })
    }

    fn shown(&self, path: &Path) -> String {
        path.display().to_string()
    }
}

fn found(path: PathBuf) -> TreeEntry {
    TreeEntry { is_directory: path.is_dir(), path }
}
