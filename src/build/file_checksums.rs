//! Sizes and checksums of a database's files, read back from the disk. Tables are read back on a thread of their own
//! while other tables are still being built.
//!
//! A file is identified by device and inode, because ingesting a table gives it another name. If RocksDB had to copy a
//! table, the copy is another file, and is read back like any file that was not seen before.
//!
//! Not for: comparing checksums (`range_journal`, `verify_blocks`).

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{self, Sender};

use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::shutdown;

/// What was read back of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBack {
    pub(super) bytes: u64,
    pub(super) xxh3: u64,
}

/// Files that were read back.
#[derive(Debug, Default)]
pub(super) struct FileChecksums(HashMap<(u64, u64), ReadBack>);

impl FileChecksums {
    /// Runs `work`, and passes everything it sends to `finish` on a concurrent thread; returns everything that was
    /// sent.
    ///
    /// # Errors
    /// The first error of `finish`, after which sending fails; else that of `work`.
    pub(super) fn hash_concurrently<T: Send>(
        work: impl FnOnce(&Sender<T>) -> Result<()>,
        mut finish: impl FnMut(&T, &mut Self) -> Result<()> + Send,
    ) -> Result<(Vec<T>, Self)> {
        let (sender, sent) = mpsc::channel::<T>();
        std::thread::scope(|scope| {
            let finishing = scope.spawn(move || {
                let mut hashed = Self::default();
                let finished = sent.into_iter().map(|one| finish(&one, &mut hashed).map(|()| one));
                finished.collect::<Result<Vec<T>>>().map(|all| (all, hashed))
            });
            let worked = work(&sender);
            drop(sender);
            let finished = finishing.join().unwrap_or_else(|_| Err(Error::internal("the checksum thread panicked")));
            finished.and_then(|finished| worked.map(|()| finished))
        })
    }

    /// Reads back a file.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be synced or read; `Stopped` after a request to stop.
    pub(super) fn add(&mut self, path: &Path) -> Result<ReadBack> {
        let read = read_back(path)?;
        self.0.insert(number(path)?, read);
        Ok(read)
    }

    /// Size and checksum of the file at `path`, which is read back unless it was before.
    ///
    /// # Errors
    /// As [`FileChecksums::add`].
    pub(super) fn get(&self, path: &Path) -> Result<ReadBack> {
        match self.0.get(&number(path)?) {
            Some(known) => Ok(*known),
            None => read_back(path),
        }
    }
}

/// Device and inode of a file.
fn number(path: &Path) -> Result<(u64, u64)> {
    let found = std::fs::metadata(path).io("stat", path)?;
    Ok((found.dev(), found.ino()))
}

/// Syncs a file, drops it from the page cache and hashes it as it is read from the disk.
fn read_back(path: &Path) -> Result<ReadBack> {
    shutdown::check()?;
    durable_file::sync_file(path)?;
    failpoint::reach("build.synced")?;
    durable_file::drop_page_cache(path)?;
    let (bytes, xxh3) = durable_file::hash_file(path)?;
    Ok(ReadBack { bytes, xxh3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_table_keeps_its_checksum_and_any_other_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("table"), "table").unwrap();
        let add = |name: &&str, hashed: &mut FileChecksums| hashed.add(&path(name)).map(drop);
        let send = |sender: &Sender<&'static str>| {
            sender.send("table").unwrap();
            Ok(())
        };
        let (sent, hashed) = FileChecksums::hash_concurrently(send, add).unwrap();
        assert_eq!(sent, ["table"]);
        assert_eq!(hashed.0.len(), 1);
        std::fs::hard_link(path("table"), path("ingested")).unwrap();
        std::fs::write(path("copied"), "other").unwrap();
        let sum = |name| hashed.get(&path(name)).unwrap().xxh3;
        assert_eq!(sum("ingested"), xxhash_rust::xxh3::xxh3_64(b"table"));
        assert_eq!(sum("copied"), xxhash_rust::xxh3::xxh3_64(b"other"));
    }

    #[test]
    fn the_first_failure_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let add = |name: &&str, hashed: &mut FileChecksums| hashed.add(&directory.path().join(name)).map(drop);
        let send_until_it_fails = |sender: &Sender<&'static str>| {
            while sender.send("lost").is_ok() {}
            Err(Error::internal("the receiver is closed"))
        };
        let lost = FileChecksums::hash_concurrently(send_until_it_fails, add).unwrap_err();
        assert_eq!(lost.kind(), crate::error::Kind::Unavailable);
        let failed = FileChecksums::hash_concurrently(|_| Err(Error::input("two rows of one key")), add).unwrap_err();
        assert_eq!(failed.message(), "two rows of one key");
    }
}
