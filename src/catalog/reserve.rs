//! Disk space that a store reserves, so that `gc` can work on a full disk.
//!
//! To forget a version, `current.json` is replaced, and that needs space for the new file before the old one is gone. On a
//! disk without a free byte a store could then delete nothing. So it keeps a file that is never read: `gc` deletes it
//! where it must, and writes it again when it is done.
//!
//! On file systems that write every change to a new place, or count a quota of several stores, it may be too little;
//! then something else has to go first.
//!
//! Not for: deciding what is deleted (`retention`), or deleting it (`gc`).

use std::io::ErrorKind;

use super::store::Catalog;
use crate::durable_file::{self, fs};
use crate::error::{IoContext, Result};

/// Bytes that are set aside in addition to those of the next `current.json`.
const BYTES: u64 = 64 << 10;

impl Catalog {
    /// Sets the reserve aside, where it is missing or too small; a remote store has none. A disk that has no room for
    /// it is no error.
    pub fn keep_reserve(&self) {
        if self.remote().is_some() {
            return;
        }
        let current = fs::metadata(self.layout().current()).map_or(0, |meta| meta.len());
        let reserve = self.layout().reserve();
        // In large steps, so that it is not rewritten as `current.json` grows by a version.
        let wanted = (BYTES + current).next_power_of_two();
        if fs::metadata(&reserve).is_ok_and(|meta| meta.len() >= wanted) {
            return;
        }
        // Bytes that do not compress well, for file systems that compress.
        let bytes: Vec<u8> = (0..wanted).map(|byte| (byte.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let written = durable_file::write_synced(&reserve, &bytes);
        if written.is_err() {
            let _ = fs::remove_file(&reserve);
        }
    }

    /// Gives the reserve up; whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be deleted.
    pub fn give_up_reserve(&self) -> Result<bool> {
        let reserve = self.layout().reserve();
        match fs::remove_file(&reserve) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            deleted => deleted.io("delete", &reserve).map(|()| true),
        }
    }
}
