//! A version as it is served: open, with what every answer says about it.
//!
//! Not for: which version is served (`dataset`).

use super::budget::Reserved;
use crate::serve::Version;

/// An open version and the headers of its answers.
#[derive(Debug)]
pub struct Served {
    /// The version.
    pub version: Version,
    /// Identifies its content: its number and the digest of its entries, in quotes.
    pub etag: String,
    /// The time its data is as of.
    pub as_of: String,
    /// The memory of its filters and indexes.
    _reserved: Reserved,
}

impl Served {
    /// A version that was opened just now.
    pub fn new(version: Version, reserved: Reserved) -> Self {
        let digest = version.manifest().digest.to_string();
        let etag = format!("\"{}-{}\"", version.number(), digest.get(..16).unwrap_or(&digest));
        Self { etag, as_of: version.manifest().as_of.to_string(), version, _reserved: reserved }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.version.number()
    }

    /// The build that made it: a number may be given again in a store that was created again.
    pub fn build_id(&self) -> &str {
        &self.version.manifest().build_id
    }

    /// Whether it is this build of this version.
    pub fn is(&self, number: u64, build_id: &str) -> bool {
        self.number() == number && self.build_id() == build_id
    }
}
