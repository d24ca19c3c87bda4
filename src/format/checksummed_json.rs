//! JSON files with their own checksum: an object whose first field is the checksum of the whole file.
//!
//! ```text
//! {
//!   "checksum": "8f3c0d6b5a1e2f47",      ← XXH3-64 of the file's bytes with these 16 digits written as zeros
//!   "format_version": 1,
//!   …
//! ```
//! A checksum over the bytes needs no canonical form of JSON, so any program can verify it. Unknown fields are ignored
//! on reading; a format version above what this program knows is refused.
//!
//! Not for: authenticity; any writer of the file can write a valid checksum.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use super::hex::hex_checksum;
use crate::error::{Error, Result};

/// The first bytes of every checksummed file.
const HEAD: &[u8] = b"{\n  \"checksum\": \"";
/// The placeholder for the checksum's digits.
const ZEROS: &[u8] = b"0000000000000000";

/// The field that determines whether the rest can be read.
#[derive(serde::Deserialize)]
struct Format {
    format_version: u32,
}

/// The bytes of `value` as JSON, without a checksum.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal("cannot write JSON").because(error))
}

/// The bytes of the checksummed file that holds `value`, an object with a field `format_version`.
pub(crate) fn to_checksummed_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let internal = |error| Error::internal("cannot write a store file as JSON").because(error);
    let body = serde_json::to_vec_pretty(value).map_err(internal)?;
    let rest = body.strip_prefix(b"{".as_slice()).ok_or_else(|| Error::internal("a store file must be an object"))?;
    let mut bytes = [HEAD, ZEROS, b"\",", rest, b"\n"].concat();
    stamp(&mut bytes);
    Ok(bytes)
}

/// Sets the checksum in bytes that begin like a checksummed file; leaves other bytes unchanged.
pub(crate) fn stamp(bytes: &mut [u8]) {
    let digits = HEAD.len()..HEAD.len() + ZEROS.len();
    if bytes.starts_with(HEAD) && bytes.len() >= digits.end {
        bytes[digits.clone()].copy_from_slice(ZEROS);
        let sum = hex_checksum(xxh3_64(bytes));
        bytes[digits].copy_from_slice(sum.as_bytes());
    }
}

/// Verifies and parses the bytes of a checksummed file, read from `path`, whose format version is at most `newest`.
///
/// # Errors
/// `Corrupt` when the bytes do not match their checksum or are not a checksummed file; `Invalid` when a newer program
/// wrote them.
pub(crate) fn from_checksummed_json<T: DeserializeOwned>(bytes: &[u8], path: &Path, newest: u32) -> Result<T> {
    let damaged = |what: &str| Error::corrupt(format!("{} is damaged: {what}", path.display()));
    let format: Format =
        serde_json::from_slice(bytes).map_err(|error| damaged("it is not a complete JSON object").because(error))?;
    if format.format_version > newest {
        return Err(Error::invalid(format!(
            "{} has format version {}, this program knows up to {newest}: upgrade cutover",
            path.display(),
            format.format_version
        )));
    }
    let digits = HEAD.len()..HEAD.len() + ZEROS.len();
    let stored = bytes.get(digits.clone()).filter(|_| bytes.starts_with(HEAD));
    let stored = stored.ok_or_else(|| damaged("it does not begin with its checksum"))?;
    let mut zeroed = bytes.to_vec();
    zeroed[digits].copy_from_slice(ZEROS);
    let found = hex_checksum(xxh3_64(&zeroed));
    if found.as_bytes() != stored {
        return Err(damaged(&format!("its checksum is {found}, it says {}", stored.escape_ascii())));
    }
    serde_json::from_slice(bytes).map_err(|error| damaged("it has missing or invalid fields").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct File {
        format_version: u32,
        name: String,
    }

    fn checksummed(format_version: u32) -> Vec<u8> {
        to_checksummed_json(&File { format_version, name: "views".into() }).unwrap()
    }

    fn open(bytes: &[u8]) -> Result<File> {
        from_checksummed_json(bytes, Path::new("current.json"), 1)
    }

    #[test]
    fn a_checksummed_file_opens_again_and_is_plain_json() {
        let bytes = checksummed(1);
        assert_eq!(open(&bytes).unwrap().name, "views");
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["checksum"].as_str().unwrap().len(), 16);
    }

    #[test]
    fn every_changed_missing_or_added_byte_is_noticed() {
        let bytes = checksummed(1);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(open(&flipped).is_err(), "flipped {at}");
            assert_eq!(open(&bytes[..at]).unwrap_err().kind(), Kind::Corrupt, "cut at {at}");
        }
        assert_eq!(open(&[&bytes[..], b"\n"].concat()).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn a_newer_format_asks_for_an_upgrade() {
        let error = open(&checksummed(2)).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains("upgrade cutover"), "{error}");
    }
}
