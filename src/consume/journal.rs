//! Which tables of a partition are finished, and from which offset to go on.
//!
//! ```text
//! one line a table:   8f3c0d6b5a1e2f47 {"table":{…},"xxh3":"…","next":1234}
//!                     └ XXH3-64 of the JSON          └ of the table's file  └ offset after its last record
//! ```
//! A table counts once its line is synced, and that after the table and its folder are. On reading, lines are taken up to
//! the first that is damaged or whose table is not there as it was: from there on the partition is read again.
//!
//! Not for: attempts at other topics; each topic has its own staging folder.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::build::Table;
use crate::catalog::hex_checksum;
use crate::error::{Error, IoContext, Result};
use crate::storage;

/// No journal is larger: a line for each of a hundred thousand tables.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    table: Table,
    xxh3: String,
    next: i64,
}

/// The journal of one partition.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    tables_dir: PathBuf,
}

impl Journal {
    /// Opens the journal of a partition whose tables are in `tables_dir`, and returns the tables that are finished with
    /// the offset to go on from. Everything else in the folder is deleted.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not answer.
    pub(super) fn open(path: PathBuf, tables_dir: PathBuf, begin: i64) -> Result<(Self, Vec<Table>, i64)> {
        let (lines, good_bytes) = read(&path, &tables_dir)?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        storage::create_dir_durable(&folder)?;
        storage::create_dir_durable(&tables_dir)?;
        for entry in fs::read_dir(&tables_dir).io("list", &tables_dir)? {
            let entry = entry.io("list", &tables_dir)?;
            if !lines.iter().any(|line| entry.file_name().to_str() == Some(&line.table.name)) {
                fs::remove_file(entry.path()).io("delete", &entry.path())?;
            }
        }
        let file = OpenOptions::new().append(true).create(true).open(&path).io("open", &path)?;
        file.set_len(good_bytes).and_then(|()| file.sync_all()).io("write", &path)?;
        storage::sync_dir(&folder)?;
        let next = lines.last().map_or(begin, |line| line.next);
        let tables = lines.into_iter().map(|line| line.table).collect();
        Ok((Self { path, file, tables_dir }, tables, next))
    }

    /// Notes that a table is finished, and that the partition goes on at `next`.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not do it.
    pub(super) fn add(&mut self, table: &Table, next: i64) -> Result<()> {
        let (_, sum) = storage::hash_file(&self.tables_dir.join(&table.name))?;
        storage::sync_dir(&self.tables_dir)?;
        let line = Line { table: table.clone(), xxh3: hex_checksum(sum), next };
        let json = serde_json::to_string(&line).map_err(|error| Error::internal("cannot write JSON").because(error))?;
        self.file.write_all(stamp(&json).as_bytes()).and_then(|()| self.file.sync_all()).io("write", &self.path)
    }
}

/// The line that holds `json`, with its checksum.
pub(crate) fn stamp(json: &str) -> String {
    format!("{} {json}\n", hex_checksum(xxh3_64(json.as_bytes())))
}

/// Whether a whole line can be read.
pub(crate) fn is_line(line: &[u8]) -> bool {
    parse(line).is_some()
}

/// The lines that hold, and their bytes.
fn read(path: &Path, tables_dir: &Path) -> Result<(Vec<Line>, u64)> {
    if !path.try_exists().io("look at", path)? {
        return Ok((Vec::new(), 0));
    }
    let bytes = storage::read_bounded(path, MAX_BYTES)?;
    let mut good: Vec<Line> = Vec::new();
    let mut good_bytes = 0;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse(text).filter(|line| holds(line, good.last(), tables_dir)) {
            Some(line) => good.push(line),
            None => break,
        }
        good_bytes += text.len() as u64;
    }
    Ok((good, good_bytes))
}

fn parse(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    if hex_checksum(xxh3_64(json)).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Whether a line follows the one before and its table is there as it was written.
fn holds(line: &Line, before: Option<&Line>, tables_dir: &Path) -> bool {
    let plain = Path::new(&line.table.name).file_name().is_some_and(|name| name == line.table.name.as_str());
    let follows = before.is_none_or(|before| before.next < line.next && before.table.last_key < line.table.first_key);
    let path = tables_dir.join(&line.table.name);
    plain && follows && storage::hash_file(&path).is_ok_and(|(_, sum)| hex_checksum(sum) == line.xxh3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(folder: &Path, number: u8) -> Table {
        let name = format!("range-00000-{number:05}.sst");
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(&name), [number; 8]).unwrap();
        Table { name, rows: 1, first_key: vec![number], last_key: vec![number], ..Table::default() }
    }

    #[test]
    fn what_is_finished_is_taken_up_again_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, tables) = (folder.path().join("journal/shard-00000.jsonl"), folder.path().join("tables"));
        let open = || Journal::open(path.clone(), tables.clone(), 5).unwrap();
        let (mut journal, none, next) = open();
        assert_eq!((none.len(), next), (0, 5));
        journal.add(&table(&tables, 0), 10).unwrap();
        journal.add(&table(&tables, 1), 20).unwrap();
        table(&tables, 2); // written, but not in the journal
        let (_, found, next) = open();
        assert_eq!((found.len(), next), (2, 20));
        assert_eq!(fs::read_dir(&tables).unwrap().count(), 2, "what does not count is deleted");

        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(open().2, 10, "a torn line");
        for at in 0..whole.len() {
            table(&tables, 1);
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(open().2 < 20, "byte {at}");
            table(&tables, 0);
        }
        fs::write(&path, &whole).unwrap();
        table(&tables, 1);
        fs::write(tables.join("range-00000-00000.sst"), "other").unwrap();
        let (_, found, next) = open();
        assert_eq!((found.len(), next), (0, 5), "a table that is not as it was, and all after it");
    }
}
