//! An append-only journal: what of a long piece of work is finished, for whoever goes on with it after a crash.
//!
//! ```text
//! one line a unit:   8f3c0d6b5a1e2f47 {"range":3, …}
//!                    └ XXH3-64 of the JSON, in hexadecimal digits
//! ```
//! A unit counts once its line is synced; what the line speaks of is synced before. On reading, lines are taken up to
//! the first that is torn, damaged or does not hold, and the file is cut there.
//!
//! Not for: what a line means, which is its writer's (`build`, `consume`, `pipeline`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::durable_file;
use crate::error::{Error, IoContext, Result};

/// No journal is larger: a line for each of a hundred thousand tables.
const MAX_BYTES: u64 = 256 << 20;

/// A journal that is open for more lines.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal at `path`, or makes one there, and returns the lines that hold: each is asked for with the one
    /// before it.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not answer; `Corrupt` when the file is larger than a journal can be.
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

    /// Adds a line; when this returns, it survives a power cut.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not do it.
    pub fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(line).map_err(|error| Error::internal("cannot write JSON").because(error))?;
        self.file.write_all(stamp(json).as_bytes()).and_then(|()| self.file.sync_all()).io("write", &self.path)
    }
}

/// The lines of the journal at `path` that can be read, up to the first that cannot; none where there is no journal.
/// Nothing is written.
///
/// # Errors
/// As [`Journal::open`].
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    Ok(read(path, |_, _| true)?.0)
}

/// The lines that hold, and their bytes.
fn read<T: DeserializeOwned>(path: &Path, mut holds: impl FnMut(&T, Option<&T>) -> bool) -> Result<(Vec<T>, u64)> {
    let mut good: Vec<T> = Vec::new();
    let mut good_bytes = 0;
    if !path.try_exists().io("look at", path)? {
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

/// The line that holds `json`, with its checksum.
pub(crate) fn stamp(mut json: String) -> String {
    json.insert_str(0, &format!("{} ", checksum(json.as_bytes())));
    json.push('\n');
    json
}

/// What a whole line holds; nothing where it is torn, damaged or something else.
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
    fn lines_come_back_up_to_the_first_that_is_damaged() {
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
    fn a_line_that_does_not_hold_ends_it_and_others_can_follow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.jsonl");
        let (mut journal, _) = Journal::open::<u64>(path.clone(), |_, _| true).unwrap();
        [10, 5, 30].iter().for_each(|line| journal.add(line).unwrap());
        assert_eq!(open(&path), [10]);
        journal.add(&40).unwrap();
        assert_eq!(open(&path), [10, 40]);
    }
}
