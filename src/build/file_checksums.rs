//! Sizes and checksums of a database's files as they are read back from the disk, those of tables while other tables
//! are still being built: the disk has little else to do by then, and whoever builds need not wait for it.
//!
//! A file is known by its number on its device, as ingesting a table gives it another name. One that RocksDB had to
//! copy is another file, and read back like any that was not seen before.
//!
//! Not for: comparing checksums (see `checksum` and the ledger).

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
    /// Gives all that `work` sends to `finish`, on a thread of its own while it works; returns all of it.
    ///
    /// # Errors
    /// The first of `finish`, after which nothing more can be sent; else that of `work`.
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
            let finished =
                finishing.join().unwrap_or_else(|_| Err(Error::internal("the reading back of tables panicked")));
            finished.and_then(|finished| worked.map(|()| finished))
        })
    }

    /// Reads back a file.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be synced or read; `Stopped` when that is asked for.
    pub(super) fn add(&mut self, path: &Path) -> Result<ReadBack> {
        let read = read_back(path)?;
        self.0.insert(number(path)?, read);
        Ok(read)
    }

    /// What is at `path`, read back now unless it was before.
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

/// The number of a file's device, and its own there.
fn number(path: &Path) -> Result<(u64, u64)> {
    let found = std::fs::metadata(path).io("look at", path)?;
    Ok((found.dev(), found.ino()))
}

/// Syncs a file and reads it from the disk, not from memory.
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
    fn a_table_is_known_under_another_name_and_anything_else_is_read() {
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
    fn the_first_failure_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let add = |name: &&str, hashed: &mut FileChecksums| hashed.add(&directory.path().join(name)).map(drop);
        let send_until_nobody_takes_it = |sender: &Sender<&'static str>| {
            while sender.send("lost").is_ok() {}
            Err(Error::internal("nobody takes it"))
        };
        let lost = FileChecksums::hash_concurrently(send_until_nobody_takes_it, add).unwrap_err();
        assert_eq!(lost.kind(), crate::error::Kind::Unavailable);
        let failed = FileChecksums::hash_concurrently(|_| Err(Error::input("two rows of one key")), add).unwrap_err();
        assert_eq!(failed.message(), "two rows of one key");
    }
}
