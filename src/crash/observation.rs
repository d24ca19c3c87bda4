//! What a reader sees of a store after a kill: the complete old version, the complete new one, or something else.
//!
//! Opens the store as a serving program does, then compares every byte of the version with its manifest and every entry
//! with the digest.
//!
//! Not for: repairing anything.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::serve::{Depth, Store, verify};

/// Bytes of the cache for data blocks: everything is read once.
const CACHE: usize = 1 << 20;

/// What a reader sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderView {
    /// The complete version from before the run.
    Old,
    /// A complete version that came after it.
    New,
    /// Neither, and why.
    Broken(String),
}

impl ReaderView {
    /// Its name: `old`, `new` or `broken`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Broken(_) => "broken",
        }
    }
}

impl Serialize for ReaderView {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Reads the store, where readers saw version `old` before, and where every version has this digest.
pub(super) fn observe(store: &Path, old: u64, digest: &str) -> ReaderView {
    match whole_version(store, digest) {
        Err(error) => ReaderView::Broken(error.chain().join(": ")),
        Ok(version) if version < old => ReaderView::Broken(format!("version {version}, from before version {old}")),
        Ok(version) if version == old => ReaderView::Old,
        Ok(_) => ReaderView::New,
    }
}

/// The number of the version that readers see, after checking that all of it is as it was built.
fn whole_version(store: &Path, digest: &str) -> Result<u64> {
    let store = Store::with_cache(store, CACHE)?;
    let version = store.current()?.ok_or_else(|| Error::corrupt("nothing is published any more"))?;
    let number = version.number();
    let found = version.manifest().digest.to_string();
    drop(version);
    if found != digest {
        return Err(Error::corrupt(format!("version {number} has the digest {found} instead of {digest}")));
    }
    match verify(&store, number, Depth::Full)?.findings.first() {
        None => Ok(number),
        Some(finding) => Err(Error::corrupt(format!("version {number} is damaged: {finding}"))),
    }
}
