//! Which tables of a partition are finished, and from which offset to resume.
//!
//! ```text
//! one line per table:   {"table":{…},"xxh3":"…","next":1234}
//!                                    └ of its file  └ offset after its last record
//! ```
//! A table counts once its line is synced, which happens after the table and its directory are synced. On reading,
//! lines are used up to the first that is damaged or whose table is missing or changed; the partition is read again
//! from there.
//!
//! Not for: attempts at other topics; each topic has its own staging directory.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::build::{StoredTable, Table};
use crate::durable_file;
use crate::error::{IoContext, Result};
use crate::journal;

#[derive(Debug, Serialize, Deserialize)]
struct TableRecord {
    #[serde(flatten)]
    stored: StoredTable,
    next: i64,
}

/// The journal of one partition.
pub(super) struct Journal {
    lines: journal::Journal,
    tables_dir: PathBuf,
}

impl Journal {
    /// Opens the journal of a partition whose tables are in `tables_dir`, and returns the finished tables and the
    /// offset to resume from. All other files in the directory are deleted.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    pub(super) fn open(path: PathBuf, tables_dir: PathBuf, begin: i64) -> Result<(Self, Vec<Table>, i64)> {
        let (journal, lines) = journal::Journal::open(path, |line, before| holds(line, before, &tables_dir))?;
        durable_file::create_dir_durable(&tables_dir)?;
        for entry in fs::read_dir(&tables_dir).io("list", &tables_dir)? {
            let entry = entry.io("list", &tables_dir)?;
            if !lines.iter().any(|line| entry.file_name().to_str() == Some(&line.stored.table.name)) {
                fs::remove_file(entry.path()).io("delete", &entry.path())?;
            }
        }
        let next = lines.last().map_or(begin, |line| line.next);
        let tables = lines.into_iter().map(|line| line.stored.table).collect();
        Ok((Self { lines: journal, tables_dir }, tables, next))
    }

    /// Records that a table is finished, and that the partition resumes at `next`.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    pub(super) fn add(&mut self, table: &Table, next: i64) -> Result<()> {
        let stored = StoredTable::measure(table, &self.tables_dir)?;
        durable_file::sync_dir(&self.tables_dir)?;
        self.lines.add(&TableRecord { stored, next })
    }
}

/// Whether a complete line parses.
pub(crate) fn is_line(line: &[u8]) -> bool {
    journal::parse::<TableRecord>(line).is_some()
}

/// Whether a line follows the one before and its table is unchanged.
fn holds(line: &TableRecord, before: Option<&TableRecord>, tables_dir: &Path) -> bool {
    let first_key = &line.stored.table.first_key;
    let follows = before.is_none_or(|before| before.next < line.next && before.stored.table.last_key < *first_key);
    follows && line.stored.is_intact(tables_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(directory: &Path, number: u8) -> Table {
        let name = format!("range-00000-{number:05}.sst");
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join(&name), [number; 8]).unwrap();
        Table { name, rows: 1, first_key: vec![number], last_key: vec![number], ..Table::default() }
    }

    #[test]
    fn finished_stages_are_resumed_and_damaged_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, tables) = (directory.path().join("journal/shard-00000.jsonl"), directory.path().join("tables"));
        let open = || Journal::open(path.clone(), tables.clone(), 5).unwrap();
        let (mut journal, none, next) = open();
        assert_eq!((none.len(), next), (0, 5));
        journal.add(&table(&tables, 0), 10).unwrap();
        journal.add(&table(&tables, 1), 20).unwrap();
        table(&tables, 2); // written, but not in the journal
        let (_, found, next) = open();
        assert_eq!((found.len(), next), (2, 20));
        assert_eq!(fs::read_dir(&tables).unwrap().count(), 2, "other files are deleted");

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
        assert_eq!((found.len(), next), (0, 5), "a changed table, and all after it");
    }
}
