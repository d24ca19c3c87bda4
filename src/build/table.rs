//! What is known of a finished table: its file, and what is counted of its entries.
//!
//! Not for: writing tables (`sst_writer`).

use serde::{Deserialize, Serialize};

use crate::format::Digest;

/// A finished table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its file, in the directory for tables.
    pub name: String,
    /// Entries in it.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Digest of its entries.
    pub digest: Digest,
    /// Its smallest key.
    #[serde(with = "crate::format::as_text")]
    pub first_key: Vec<u8>,
    /// Its largest key.
    #[serde(with = "crate::format::as_text")]
    pub last_key: Vec<u8>,
    /// Key of the largest record, by bytes of key and value.
    #[serde(with = "crate::format::as_text")]
    pub largest_key: Vec<u8>,
    /// Bytes of that record's key and value.
    pub largest_bytes: u64,
}
