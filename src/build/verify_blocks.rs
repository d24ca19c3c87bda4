//! RocksDB's own verification of the checksums of all blocks of a database, which the Rust crate does not wrap.
//!
//! One of the two files of the library with unsafe code; the other is `shuffle/prefetch.rs`.
//!
//! Not for: whole-file checksums (`durable_file`), or the entries in the blocks.

#![expect(unsafe_code, reason = "calls RocksDB's C interface, which the Rust crate does not wrap")]

use std::ffi::CStr;
use std::ptr;

use rocksdb::{AsRawPtr, DB};

/// Reads every block of every table and compares its checksum.
///
/// # Errors
/// RocksDB's own message, naming the table and the offset, when a block is damaged or cannot be read.
pub fn verify_checksums(db: &DB) -> Result<(), String> {
    let mut message: *mut std::ffi::c_char = ptr::null_mut();
    // SAFETY: `db` is borrowed, so its pointer is valid during the call. RocksDB leaves `message` null or sets it to a
    // NUL-terminated string that the caller owns and releases with `rocksdb_free`, once, after its last use.
    unsafe {
        librocksdb_sys::rocksdb_verify_checksum(db.as_raw_ptr(), &raw mut message);
        if message.is_null() {
            return Ok(());
        }
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        librocksdb_sys::rocksdb_free(message.cast());
        Err(text)
    }
}
