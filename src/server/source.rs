//! Where a served dataset comes from: a local store, or a URL that is followed into a local store.
//!
//! ```text
//! stores/views_by_age              the dataset `views_by_age`, a local store
//! views=stores/views_by_age        the same store as `views`
//! s3://serving/top_pages           the dataset `top_pages`, followed into CACHE/top_pages
//! ```
//! The name is what the user typed, so that it is known before a store can be opened.
//!
//! Not for: opening anything (`watcher`).

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest name of a dataset.
const LONGEST_NAME: usize = 128;

/// One dataset to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name by which clients ask for it.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a dataset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The directory of a local store.
    Local(PathBuf),
    /// The URL of a remote store, and the directory of the local store that follows it.
    Remote {
        /// The URL.
        url: String,
        /// The local store.
        directory: PathBuf,
    },
}

impl Source {
    /// Reads one argument: `PLACE` or `NAME=PLACE`.
    ///
    /// # Errors
    /// `Invalid` when there is no usable name, or a URL is given without a directory for its versions.
    pub fn parse(argument: &str, cache: Option<&Path>) -> Result<Self> {
        let (name, place) = match argument.split_once('=') {
            Some((name, place)) if is_name(name) => (Some(name.to_owned()), place),
            _ => (None, argument),
        };
        let last = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = name.unwrap_or_else(|| last.to_owned());
        if !is_name(&name) {
            return Err(Error::invalid(format!(
                "{name:?} cannot be the name of a dataset: write NAME=STORE with a name of letters, digits, '_', '-' and '.'"
            )));
        }
        let place = match (place.contains("://"), cache) {
            (false, _) => Place::Local(PathBuf::from(place)),
            (true, Some(cache)) => Place::Remote { url: place.to_owned(), directory: cache.join(&name) },
            (true, None) => {
                return Err(Error::invalid(format!("{place} needs a directory to keep versions in: give --cache DIR")));
            }
        };
        Ok(Self { name, place })
    }

    /// The datasets of the stores that are directly in a directory, by name; other files are ignored, and so are stores
    /// whose name one of `named` has.
    ///
    /// # Errors
    /// `Unavailable` when the directory cannot be read.
    pub fn in_directory(directory: &Path, named: &[Self]) -> Result<Vec<Self>> {
        use crate::error::IoContext;
        let mut sources = Vec::new();
        for entry in std::fs::read_dir(directory).io("read", directory)? {
            let path = entry.io("read", directory)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
            if let Some(name) = name
                && named.iter().all(|source| source.name != name)
                && path.join("current.json").is_file()
            {
                sources.push(Self { name: name.to_owned(), place: Place::Local(path.clone()) });
            }
        }
        sources.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(sources)
    }

    /// The directory of the local store that is read.
    pub fn directory(&self) -> &Path {
        match &self.place {
            Place::Local(directory) | Place::Remote { directory, .. } => directory,
        }
    }
}

/// Whether clients can name a dataset like this in keys and paths.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(name: &str, path: &str) -> Source {
        Source { name: name.into(), place: Place::Local(path.into()) }
    }

    #[test]
    fn names_come_from_the_path_or_from_before_the_equals_sign() {
        let parse = |argument| Source::parse(argument, Some(Path::new("/cache")));
        assert_eq!(parse("stores/views").unwrap(), local("views", "stores/views"));
        assert_eq!(parse("stores/views/").unwrap(), local("views", "stores/views/"));
        assert_eq!(parse("v=stores/views").unwrap(), local("v", "stores/views"));
        assert_eq!(parse("a/day=1/views").unwrap(), local("views", "a/day=1/views"));
        let remote = parse("s3://serving/top_pages").unwrap();
        assert_eq!(remote.directory(), Path::new("/cache/top_pages"));
        for wrong in ["", "..", "stores/two words", "a:b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Source::parse("s3://serving/top_pages", None).unwrap_err().message().contains("--cache"));
    }
}
