//! Patterns of input files, which mean the same in every tree: what they name, found directory by directory.
//!
//! ```text
//! events/date=2026-11-*/**/*.parquet
//! └────┘ the directory that is listed; each further part is compared with the names in a directory
//!
//! *, ?, […]   in a name          a/          at the end: directories only
//! **          any directories, or none; at the end: all that is below
//! ```
//! `.` and `..` are no names in a directory, so no wildcard matches them. `**` does not look into hidden directories.
//!
//! Not for: which of what was found is an input, and which files a directory means (`resolve`).

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use glob::{Pattern, PatternError};

use super::narrowing::{OPTIONS, WILDCARDS};
use super::tree::{Node, Tree, TreeEntry};
use crate::error::{Error, Result};

/// Maximum depth of directories, which also ends cycles of links.
pub(super) const MAX_DEPTH: usize = 32;

/// Whether a name is one that writers of datasets use for files in progress and markers.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// A path with wildcards.
pub(super) struct PathPattern {
    /// The directory that all matches are below.
    directory: PathBuf,
    parts: Vec<Part>,
    only_directories: bool,
}

/// What is between two slashes.
enum Part {
    /// `**`.
    Any,
    Name(Pattern),
}

impl PathPattern {
    /// Reads a path.
    ///
    /// # Errors
    /// `Invalid` if it is no pattern.
    pub(super) fn new(path: &str) -> Result<Self> {
        let before = path.split(WILDCARDS).next().unwrap_or_default();
        let fixed = before.rfind('/').map_or(0, |end| end + 1);
        // As the names of files are written: without `./`, and with single slashes.
        let components = Path::new(&path[..fixed]).components().filter(|part| *part != Component::CurDir);
        Self::read(path, components.collect(), &path[fixed..])
    }

    /// Reads a pattern for names below a directory, in which nothing is a wildcard.
    ///
    /// # Errors
    /// `Invalid` if it is no pattern.
    pub(super) fn below(directory: &Path, pattern: &str) -> Result<Self> {
        Self::read(pattern, directory.to_path_buf(), pattern)
    }

    fn read(whole: &str, directory: PathBuf, pattern: &str) -> Result<Self> {
        let parts = Pattern::new(whole).and_then(|_| parts(pattern));
        let parts = parts.map_err(|error| Error::invalid(format!("{whole} is not a valid pattern")).because(error))?;
        if pattern.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!("{whole} has .. after a wildcard; write the path without it")));
        }
        Ok(Self { directory, parts, only_directories: pattern.ends_with('/') })
    }

    /// The directory before the first wildcard.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it names, in any order; some of it perhaps twice.
    ///
    /// # Errors
    /// `Input` for directories that are nested too deeply; `Unavailable` if one cannot be listed.
    pub(super) fn matching(&self, tree: &dyn Tree) -> Result<Vec<TreeEntry>> {
        let mut search = Search { tree, pattern: self, looked: BTreeSet::new(), found: Vec::new() };
        search.look(&self.directory, &self.parts, 0)?;
        Ok(search.found)
    }
}

fn parts(pattern: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            // One means as many directories as two.
            "**" if matches!(parts.last(), Some(Part::Any)) => {}
            "**" => parts.push(Part::Any),
            name => parts.push(Part::Name(Pattern::new(name)?)),
        }
    }
    Ok(parts)
}

/// A walk through the directories that can hold matches.
struct Search<'s> {
    tree: &'s dyn Tree,
    pattern: &'s PathPattern,
    /// Directories with the number of parts that were left for them, as `**` leads to one by several ways.
    looked: BTreeSet<(PathBuf, usize)>,
    found: Vec<TreeEntry>,
}

impl Search<'_> {
    /// Finds what matches some parts in a directory.
    fn look(&mut self, directory: &Path, parts: &[Part], depth: usize) -> Result<()> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if depth > MAX_DEPTH {
            let shown = self.tree.shown(directory);
            return Err(Error::input(format!("{shown} is more than {MAX_DEPTH} directories deep")));
        }
        if !self.looked.insert((directory.to_path_buf(), parts.len())) || !self.is_there(directory) {
            return Ok(());
        }
        for entry in self.tree.children(directory)? {
            // Names that are no text match nothing.
            let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) else { continue };
            match first {
                // All of it, so also the files of the directory itself where only directories are named.
                Part::Any if rest.is_empty() => self.found.push(entry),
                Part::Any if entry.is_directory && !is_hidden(name) => self.look(&entry.path, parts, depth + 1)?,
                Part::Name(pattern) if pattern.matches_with(name, OPTIONS) => self.matched(entry, rest, depth)?,
                _ => {}
            }
        }
        match first {
            Part::Any => self.look(directory, rest, depth),
            Part::Name(_) => Ok(()),
        }
    }

    /// Continues with a name that matches a part.
    fn matched(&mut self, entry: TreeEntry, rest: &[Part], depth: usize) -> Result<()> {
        if !rest.is_empty() {
            return if entry.is_directory { self.look(&entry.path, rest, depth + 1) } else { Ok(()) };
        }
        if entry.is_directory || !self.pattern.only_directories {
            self.found.push(entry);
        }
        Ok(())
    }

    /// Whether a directory can be listed: the one that the pattern begins with may be missing.
    fn is_there(&self, directory: &Path) -> bool {
        let is_first = directory == self.pattern.directory && !directory.as_os_str().is_empty();
        // With a slash at the end, as an object can have the name of a directory.
        !is_first || self.tree.at(&directory.join("")) == Node::Directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_and_parts() {
        for (path, directory, parts) in [
            ("events/date=*/x.csv", "events", 2),
            ("*.csv", "", 1),
            ("./data//a/./*.csv", "data/a", 1),
            ("/data/x*/**/**/", "/data", 2),
            ("../in/[ab]/*", "../in", 2),
        ] {
            let pattern = PathPattern::new(path).unwrap();
            assert_eq!((pattern.directory(), pattern.parts.len()), (Path::new(directory), parts), "{path}");
            assert_eq!(pattern.only_directories, path.ends_with('/'), "{path}");
        }
        for path in ["a/[.csv", "a/***", "a**/b", "**b", "a/[x/y].csv"] {
            let error = PathPattern::new(path).err().unwrap();
            assert!(error.message().contains("is not a valid pattern"), "{path}: {error}");
        }
        assert!(PathPattern::new("a/*/../b").is_err());
    }
}
