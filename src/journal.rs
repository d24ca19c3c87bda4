//! An append-only journal of the finished units of a long piece of work, so that it can be resumed after a crash.
//!
//! ```text
//! one line a unit:   8f3c0d6b5a1e2f47 {"range":3, …}
//!                    └ XXH3-64 of the JSON, in hexadecimal digits
//! ```
//! A unit counts once its line is synced; what the line describes is synced before it. Reading stops at the first line
//! that is torn, damaged or not accepted by the caller, and the file is truncated there.
//!
//! Not for: what a line means; its writer defines that (`build`, `consume`, `pipeline`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::durable_file;
use crate::error::{Error, IoContext, Result};

/// Largest size of a journal: a line for each of a hundred thousand tables.
const MAX_BYTES: u64 = 256 << 20;

/// A journal that is open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or creates the journal at `path` and returns its valid lines: `holds` is asked about each, with the one
    /// before it.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be read or written; `Corrupt` when the file is larger than a journal can be.
    pub fn open<T: DeserializeOwned>(
        path: PathBuf,
        holds: impl FnMut(&T, Option<&T>) -> bool,
    ) -> Result<(Self, Vec<T>)> {
        let (lines, good_bytes) = read(&path, holds)?;
        let directory = path.parent().unwrap_or(&path);
        durable_file::create_dir_durable(directory)?;
        let file = OpenOptions::new().append(true).create(true).open(&path).io("open", &path)?;
        file.set_len(good_bytes).and_then(|()| file.sync_all()).io("write", &path)?;
        durable_file::sync_dir(directory)?;
        Ok((Self { path, file }, lines))
    }

    /// Appends a line; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// `Unavailable` when the write fails.
    pub fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(line).map_err(|error| Error::internal("cannot write JSON").because(error))?;
        self.file.write_all(stamp(json).as_bytes()).and_then(|()| self.file.sync_all()).io("write", &self.path)
    }
}

/// The lines of the journal at `path` up to the first that cannot be read; none if there is no journal. Writes nothing.
///
/// # Errors
/// As [`Journal::open`].
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    Ok(read(path, |_, _| true)?.0)
}

/// The valid lines, and their bytes.
fn read<T: DeserializeOwned>(path: &Path, mut holds: impl FnMut(&T, Option<&T>) -> bool) -> Result<(Vec<T>, u64)> {
    let mut good: Vec<T> = Vec::new();
    let mut good_bytes = 0;
    if !path.try_exists().io("stat", path)? {
        return Ok((good, good_bytes));
    }
    let bytes = durable_file::read_bounded(path, MAX_BYTES)?;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse(text).filter(|line| holds(line, good.last())) {
            Some(line) => good.push(line),
            None => break,
        }
        good_bytes += text.len() as u64;
    }
    Ok((good, good_bytes))
}

/// The line for `json`, with its checksum.
pub(crate) fn stamp(mut json: String) -> String {
    json.insert_str(0, &format!("{} ", checksum(json.as_bytes())));
    json.push('\n');
    json
}

/// The value of a complete line; `None` if it is torn, damaged or something else.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(bytes: &[u8]) -> String {
    crate::format::hex_checksum(xxh3_64(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Vec<u64> {
        Journal::open(path.to_owned(), |line: &u64, before| before.is_none_or(|before| before < line)).unwrap().1
    }

    #[test]
    fn lines_are_read_up_to_the_first_damaged_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal/one.jsonl");
        let (mut journal, none) = Journal::open::<u64>(path.clone(), |_, _| true).unwrap();
        assert!(none.is_empty());
        [10, 20, 30].iter().for_each(|line| journal.add(line).unwrap());
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(open(&path), [10, 20, 30]);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            for bytes in [&damaged[..], &whole[..at]] {
                std::fs::write(&path, bytes).unwrap();
                let line = at / (whole.len() / 3);
                assert_eq!(open(&path), [10, 20, 30][..line], "byte {at}");
                assert_eq!(std::fs::read(&path).unwrap(), whole[..line * whole.len() / 3], "it is cut there");
            }
        }
    }

    #[test]
    fn a_line_that_is_refused_ends_the_journal_and_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.jsonl");
        let (mut journal, _) = Journal::open::<u64>(path.clone(), |_, _| true).unwrap();
        [10, 5, 30].iter().for_each(|line| journal.add(line).unwrap());
        assert_eq!(open(&path), [10]);
        journal.add(&40).unwrap();
        assert_eq!(open(&path), [10, 40]);
    }
}
