//! The calls to the file system below durable files, locks and the catalog: the names of `std::fs`.
//!
//! ```text
//! durable_file, catalog ──▶ fs ──▶ std::fs
//!                               └▶ in this crate's unit tests: the disk of the thread, where a test gave it one
//! ```
//! A release build uses the standard library directly. In unit tests the same names lead to [`Disk`], so that the code
//! above runs unchanged on a disk that fails, fills up and loses power.
//!
//! Not for: what RocksDB, spills and Parquet read and write.

#[cfg(not(test))]
pub(crate) use std::fs::{
    File, OpenOptions, create_dir, exists, metadata, read_dir, remove_dir, remove_file, rename, symlink_metadata,
};
#[cfg(not(test))]
pub(crate) use std::thread::sleep;

#[cfg(test)]
pub(crate) use super::simulated_fs::{
    Disk, File, Look, Mode, OpenOptions, bytes_on_disk, create_dir, exists, metadata, now, on_disk, read_dir,
    remove_dir, remove_file, rename, sleep, symlink_metadata,
};

/// Bytes of a block of a disk, by which the system counts.
pub(crate) const BLOCK: u64 = 512;

/// Bytes that a file, or a directory without its content, takes on disk.
#[cfg(not(test))]
pub(crate) fn bytes_on_disk(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * BLOCK
}

/// The clock of waits for a lock.
#[cfg(not(test))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
