//! The objects below a URL as a tree of files and directories.
//!
//! ```text
//! s3://lake/events/date=2026-11-*/*.parquet
//!           └─────┘ listed once, page by page; everything else is looked up in the listing
//! ```
//! Directories that can hold nothing of the input are not listed (`narrowing`).
//!
//! A URL without wildcards is looked at first; it is listed unless it is an object. https has no listing: its URLs name
//! one file each.
//!
//! Stores have no directories. Tools mark them by empty objects, which are no files here: those with objects below
//! them, those without an extension, and `name_$folder$` of Hadoop.
//!
//! Not for: which of the files are inputs (`resolve`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::Source;
use super::narrowing::{Narrowing, WILDCARDS};
use super::tree::{Node, Tree, TreeEntry, TreeFile};
use crate::error::{Error, Kind, Result};
use crate::objects::{Bucket, Entry, Key, Location, Scheme};

/// Maximum number of objects that are listed for an input.
const MAX_LISTED: usize = 1_000_000;
/// Maximum number of objects among which the log of a table is looked for.
const MAX_LOOKED: usize = 10_000;
/// How the names of Hadoop's markers of directories end.
const HADOOP_MARKER: &str = "_$folder$";

/// The objects below a URL.
pub(super) struct ObjectTree {
    bucket: Bucket,
    entries: BTreeMap<String, Entry>,
    /// The directory whose objects are all in `entries`, but for those that are `skipped`; none if only one was looked at.
    listed: Option<String>,
    /// Directories that hold nothing of the input.
    skipped: BTreeSet<String>,
}

impl ObjectTree {
    /// Finds out what is at a URL, whose bucket is opened at its root.
    ///
    /// # Errors
    /// `Invalid` for what cannot be listed, and for missing buckets, credentials and rights; `Input` for too many objects;
    /// `Unavailable` when the store does not answer.
    pub(super) fn look(bucket: &Bucket, url: &str, location: &Location, narrowing: &Narrowing<'_>) -> Result<Self> {
        let path = location.prefix();
        let one = |entry: Entry| Self {
            bucket: bucket.clone(),
            entries: BTreeMap::from([(entry.key.as_str().to_owned(), entry)]),
            listed: None,
            skipped: BTreeSet::new(),
        };
        let nothing =
            || Self { bucket: bucket.clone(), entries: BTreeMap::new(), listed: None, skipped: BTreeSet::new() };
        if location.scheme() == Scheme::Http {
            if path.is_empty() || path.contains('*') || url.ends_with('/') {
                return Err(Error::invalid(format!(
                    "{location} cannot be listed: by https each URL names one file; make each an input"
                )));
            }
            return Ok(bucket.head(&Key::new(path)?)?.map_or_else(nothing, one));
        }
        if let Some(wildcard) = path.find(WILDCARDS) {
            let directory = path[..wildcard].rfind('/').map_or("", |end| &path[..end]);
            return Self::list(bucket, directory, narrowing);
        }
        let named = if path.is_empty() || url.ends_with('/') { None } else { bucket.head(&Key::new(path)?)? };
        match named {
            Some(entry) if entry.bytes > 0 => Ok(one(entry)),
            Some(entry) => {
                let tree = Self::list(bucket, path, narrowing)?;
                Ok(if tree.entries.is_empty() { one(entry) } else { tree })
            }
            None => Self::list(bucket, path, narrowing),
        }
    }

    /// Lists what can be of the input in a directory; the empty one is the whole bucket.
    fn list(bucket: &Bucket, directory: &str, narrowing: &Narrowing<'_>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut each = |entry: Entry| {
            if entries.len() == MAX_LISTED {
                return Err(Error::input(format!(
                    "{}/{directory} has more than {MAX_LISTED} objects; name a directory in it",
                    bucket.location()
                )));
            }
            entries.insert(entry.key.as_str().to_owned(), entry);
            Ok(())
        };
        let mut skipped = BTreeSet::new();
        let mut directories = vec![directory.to_owned()];
        if let Some(narrowed) = narrowing.narrow(bucket, directory)? {
            narrowed.entries.into_iter().try_for_each(&mut each)?;
            (directories, skipped) = (narrowed.directories, narrowed.skipped);
        }
        for directory in directories {
            let prefix = if directory.is_empty() { None } else { Some(Key::new(directory)?) };
            bucket.list(prefix.as_ref(), &mut each)?;
        }
        let mut tree = Self { bucket: bucket.clone(), entries, listed: Some(directory.to_owned()), skipped };
        let markers: Vec<String> = tree.entries.values().filter(|entry| tree.is_marker(entry)).map(key).collect();
        markers.iter().for_each(|marker| drop(tree.entries.remove(marker)));
        Ok(tree)
    }

    /// Whether an object only says that there is a directory. Names with `_` or `.` in front are left for the rules.
    fn is_marker(&self, entry: &Entry) -> bool {
        let key = entry.key.as_str();
        let name = key.rsplit('/').next().unwrap_or_default();
        let is_plain = !name.contains('.') && !name.starts_with('_');
        entry.bytes == 0 && (self.is_directory(key) || is_plain || name.ends_with(HADOOP_MARKER))
    }

    fn is_directory(&self, path: &str) -> bool {
        path.is_empty() && self.listed.is_some() || self.below(path).next().is_some()
    }

    /// The keys below a directory, in order.
    fn below<'t>(&'t self, directory: &str) -> impl Iterator<Item = &'t str> + use<'t> {
        let start = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let from = (Bound::Included(start.clone()), Bound::Unbounded);
        self.entries
            .range::<String, _>(from)
            .map(|(key, _)| key.as_str())
            .take_while(move |key| key.starts_with(&start))
    }

    /// Whether all that is at a path was listed.
    fn is_listed(&self, path: &str) -> bool {
        let is_listed = self.listed.as_ref().is_some_and(|listed| is_within(path, listed));
        is_listed && !self.skipped.iter().any(|skipped| is_within(path, skipped))
    }

    /// Looks for a file in a directory that was not listed.
    fn finds(&self, directory: &str, ending: &str) -> Result<bool> {
        let (mut found, mut seen) = (false, 0);
        let listed = self.bucket.list(Some(&Key::new(directory)?), |entry| {
            seen += 1;
            found |= is_file_of(entry.key.as_str(), directory, ending);
            if found || seen == MAX_LOOKED { Err(Error::internal("the listing ends here")) } else { Ok(()) }
        });
        match listed {
            _ if found || seen == MAX_LOOKED => Ok(found),
            // Rights often end at the directory of the data.
            Err(error) if error.kind() == Kind::Invalid => Ok(false),
            listed => listed.map(|()| false),
        }
    }

    fn url(&self, path: &str) -> String {
        match Key::new(path) {
            Ok(key) => self.bucket.url(&key),
            Err(_) => self.bucket.location().to_string(),
        }
    }
}

fn key(entry: &Entry) -> String {
    entry.key.as_str().to_owned()
}

/// Whether a path is a directory, or below it; the empty one is the whole bucket.
fn is_within(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a key is directly in a directory, and ends so.
fn is_file_of(key: &str, directory: &str, ending: &str) -> bool {
    let name = key.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.contains('/') && name.ends_with(ending))
}

/// A path as the text of a key: what a tree of objects gives is UTF-8, and has no slash at its end.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default().trim_end_matches('/')
}

impl Tree for ObjectTree {
    fn at(&self, path: &Path) -> Node {
        let names_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let path = text(path);
        match (!names_directory && self.entries.contains_key(path), self.is_directory(path)) {
            (true, _) => Node::File,
            (false, true) => Node::Directory,
            (false, false) => Node::Nothing,
        }
    }

    fn children(&self, directory: &Path) -> Result<Vec<TreeEntry>> {
        let directory = text(directory);
        let start = if directory.is_empty() { 0 } else { directory.len() + 1 };
        let mut found = Vec::new();
        let mut last = "";
        for key in self.below(directory) {
            match key[start..].find('/').map(|end| &key[..start + end]) {
                None => found.push(TreeEntry { path: PathBuf::from(key), is_directory: false }),
                Some(inner) if inner != last => {
                    found.push(TreeEntry { path: PathBuf::from(inner), is_directory: true });
                    last = inner;
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let path = text(path);
        if self.entries.contains_key(path) || self.is_directory(path) {
            return Ok(true);
        }
        if self.is_listed(path) {
            return Ok(false);
        }
        Ok(self.bucket.head(&Key::new(path)?)?.is_some())
    }

    fn has_file(&self, directory: &Path, ending: &str) -> Result<bool> {
        let directory = text(directory);
        if self.below(directory).any(|key| is_file_of(key, directory, ending)) {
            return Ok(true);
        }
        if self.is_listed(directory) || self.bucket.location().scheme() == Scheme::Http {
            return Ok(false);
        }
        self.finds(directory, ending)
    }

    fn has_skipped(&self) -> bool {
        !self.skipped.is_empty()
    }

    fn file(&self, path: &Path) -> Result<TreeFile> {
        let entry = self.entries.get(text(path));
        let entry = entry.ok_or_else(|| Error::internal(format!("{} was not listed", self.shown(path))))?;
        let (bytes, modified) = (entry.bytes, entry.modified);
        Ok(TreeFile { source: Source::object(&self.bucket, entry.clone()), bytes, modified })
    }

    fn shown(&self, path: &Path) -> String {
        self.url(text(path))
    }
}
