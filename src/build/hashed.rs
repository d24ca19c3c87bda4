//! Sizes and checksums of a database's files as they are read back from the disk, those of tables while other tables are
//! still being built: the disk has little else to do by then.
//!
//! A file is known by its number on its device, as ingesting a table gives it another name. One that RocksDB had to copy
//! is another file, and read back like any that was not seen before.
//!
//! Not for: comparing checksums (see `checksum` and the ledger).

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};

use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::stop;
use crate::storage;

/// What was read back of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBack {
    pub(super) bytes: u64,
    pub(super) xxh3: u64,
}

/// Files that were read back.
#[derive(Debug, Default)]
pub(super) struct Hashed(HashMap<(u64, u64), ReadBack>);

impl Hashed {
    /// Reads back the tables that `work` names, on a thread of its own while it works.
    ///
    /// # Errors
    /// Those of `work`, else `Unavailable` when a table cannot be synced or read; `Stopped` when that is asked for.
    pub(super) fn beside<T>(work: impl FnOnce(&Sender<PathBuf>) -> Result<T>) -> Result<(T, Self)> {
        let (finished, tables) = mpsc::channel::<PathBuf>();
        std::thread::scope(|scope| {
            let hashing = scope.spawn(move || {
                let hash = |path: PathBuf| Ok((number(&path)?, read_back(&path)?));
                tables.into_iter().map(hash).collect::<Result<HashMap<_, _>>>()
            });
            let done = work(&finished);
            drop(finished);
            let hashed = hashing.join().unwrap_or_else(|_| Err(Error::internal("the reading back of tables panicked")));
            Ok((done?, Self(hashed?)))
        })
    }

    /// What is at `path`, read back now unless it was before.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be synced or read; `Stopped` when that is asked for.
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
    stop::check()?;
    storage::sync_file(path)?;
    failpoint::reach("build.synced")?;
    storage::drop_page_cache(path)?;
    let (bytes, xxh3) = storage::hash_file(path)?;
    Ok(ReadBack { bytes, xxh3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_known_under_another_name_and_anything_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("table"), "table").unwrap();
        let ((), hashed) = Hashed::beside(|finished| {
            finished.send(path("table")).unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(hashed.0.len(), 1);
        std::fs::hard_link(path("table"), path("ingested")).unwrap();
        std::fs::write(path("copied"), "other").unwrap();
        let sum = |name| hashed.get(&path(name)).unwrap().xxh3;
        assert_eq!(sum("ingested"), xxhash_rust::xxh3::xxh3_64(b"table"));
        assert_eq!(sum("copied"), xxhash_rust::xxh3::xxh3_64(b"other"));
    }

    #[test]
    fn the_first_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lost = Hashed::beside(|finished| {
            finished.send(folder.path().join("lost")).unwrap();
            Ok(())
        });
        assert_eq!(lost.unwrap_err().kind(), crate::error::Kind::Unavailable);
        let failed = Hashed::beside(|_| Err::<(), _>(Error::input("two rows of one key"))).unwrap_err();
        assert_eq!(failed.message(), "two rows of one key");
    }
}
