//! The name of an object below a location.
//!
//! A key that exists is one that is safe to print and, joined to a local directory, stays below it: it has no empty
//! segment, no `.` or `..`, no slash at its ends and no control character. Listed names must satisfy the same rules.
//!
//! Not for: which objects there are.

use std::fmt;

use object_store::path::Path;

use crate::error::{Error, Result};
use crate::escape;

/// Bytes of a key at most, its prefix included, as S3 has it.
const LONGEST: usize = 1024;

/// A key: segments between slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// A key.
    ///
    /// # Errors
    /// `Invalid`, naming what no key may have.
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        match check(&key) {
            Ok(()) => Ok(Self(key)),
            Err(why) => Err(Error::invalid(format!("{} is no key of an object: {why}", escape::shortened(&key)))),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its place below a prefix.
    ///
    /// # Errors
    /// `Invalid` when the store's client does not take it.
    pub(super) fn below(&self, prefix: &str) -> Result<Path> {
        let path = match prefix {
            "" => Path::parse(&self.0),
            _ => Path::parse(format!("{prefix}/{}", self.0)),
        };
        path.map_err(|error| Error::invalid(format!("{self} is no key of an object")).because(error))
    }

    /// The key below a prefix of a place that a store named.
    pub(super) fn of(path: &Path, prefix: &str) -> Result<Self> {
        let whole = path.as_ref();
        let below = match prefix {
            "" => Some(whole),
            _ => whole.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
        };
        let below = below.ok_or_else(|| {
            Error::unavailable(format!("the store listed {}, which was not asked for", escape::shortened(whole)))
        })?;
        Self::new(below)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::escaped(&self.0))
    }
}

/// Why a text is no key.
pub(super) fn check(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("it is empty".to_owned());
    }
    if key.len() > LONGEST {
        return Err(format!("it has {} bytes, and {LONGEST} is the most", key.len()));
    }
    if escape::escaped(key) != key {
        return Err("it has a control character".to_owned());
    }
    for segment in key.split('/') {
        match segment {
            "" => return Err("one of its segments is empty".to_owned()),
            "." | ".." => return Err(format!("one of its segments is {segment}")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_below_a_directory_is_a_key() {
        for key in ["current.json", "versions/a/shard-00000/000012.sst", "day=1/ü %2F*?.parquet", "...", "a/.b"] {
            assert_eq!(Key::new(key).unwrap().below("x/y").unwrap().as_ref(), format!("x/y/{key}"));
            assert_eq!(Key::of(&Key::new(key).unwrap().below("x/y").unwrap(), "x/y").unwrap().as_str(), key);
        }
        let long = "a".repeat(LONGEST + 1);
        for key in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\nb", "a\u{202e}b", "a\0", &long] {
            assert!(Key::new(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn listed_keys_outside_the_prefix_are_ignored() {
        let path = |text: &str| Path::parse(text).unwrap();
        assert!(Key::of(&path("xy/a"), "x").is_err());
        assert!(Key::of(&path("x"), "x").is_err());
        assert_eq!(Key::of(&path("x/a"), "x").unwrap().as_str(), "a");
        assert_eq!(Key::of(&path("x/a"), "").unwrap().as_str(), "x/a");
    }
}
