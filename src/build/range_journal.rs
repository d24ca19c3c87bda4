//! The journal of a shard's finished ranges, so that a later attempt need not build them again.
//!
//! ```text
//! one line per range:   {"range":3,"tables":[{"table":{…},"xxh3":"…"}],"samples":[…]}
//! ```
//! The tables are synced first, then their directory, then the line. A range is resumed if all of its tables exist with
//! the recorded checksums; its digests and the sampled entries come from the same line. Range 3 of one attempt is range
//! 3 of the next because both drain the same sealed runs, cut at the same splitters; without sealed runs there is no
//! journal.
//!
//! Not for: deciding whether an attempt may resume another one's work (`pipeline`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::file_checksums::ReadBack;
use super::read_back_sample::Sample;
use super::sst_writer::table_name;
use super::table::Table;
use crate::durable_file;
use crate::error::Result;
use crate::journal::Journal;

/// A finished table and the checksum of its file, as recorded in journals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTable {
    /// The table.
    pub table: Table,
    /// XXH3-64 of its file, 16 hexadecimal digits.
    pub xxh3: String,
}

impl StoredTable {
    /// Reads the file of a finished table in `directory`.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub fn measure(table: &Table, directory: &Path) -> Result<Self> {
        let (_, sum) = durable_file::hash_file(&directory.join(&table.name))?;
        Ok(Self::new(table, sum))
    }

    fn new(table: &Table, xxh3: u64) -> Self {
        Self { table: table.clone(), xxh3: crate::format::hex_checksum(xxh3) }
    }

    /// Whether its file in `directory` still has the recorded checksum. A name with a path in it is never intact.
    pub fn is_intact(&self, directory: &Path) -> bool {
        let name = Path::new(&self.table.name);
        let plain = name.file_name() == Some(name.as_os_str());
        plain
            && durable_file::hash_file(&directory.join(name))
                .is_ok_and(|(_, sum)| crate::format::hex_checksum(sum) == self.xxh3)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct RangeRecord {
    range: usize,
    tables: Vec<StoredTable>,
    samples: Vec<Sample>,
}

/// The journal of one shard, and the finished ranges that it listed when it was opened.
pub(super) struct RangeJournal<'a> {
    tables_dir: &'a Path,
    journal: Option<Mutex<Journal>>,
    finished: HashMap<usize, RangeRecord>,
}

impl<'a> RangeJournal<'a> {
    /// Opens the journal at `path` of tables in `tables_dir`; without one, nothing is resumed or recorded.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(super) fn open(tables_dir: &'a Path, path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self { tables_dir, journal: None, finished: HashMap::new() });
        };
        let (journal, lines) = Journal::open(path.to_owned(), |_: &RangeRecord, _| true)?;
        // A range that had to be built again has two lines; the later one counts.
        let finished = lines.into_iter().map(|line| (line.range, line)).collect();
        Ok(Self { tables_dir, journal: Some(Mutex::new(journal)), finished })
    }

    /// The tables of a range that an earlier attempt finished, and the entries it sampled; none if it did not finish
    /// the range, or if a table has changed since.
    pub(super) fn resumed_tables(&self, range: usize) -> Option<(Vec<Table>, &[Sample])> {
        let line = self.finished.get(&range)?;
        let mut tables = line.tables.iter().enumerate();
        let intact = |(number, stored): (usize, &StoredTable)| {
            stored.table.name == table_name(range, number) && stored.is_intact(self.tables_dir)
        };
        if !tables.all(intact) {
            let directory = self.tables_dir.display();
            tracing::warn!("range {range} is built again: its tables in {directory} are missing or have changed");
            return None;
        }
        Some((line.tables.iter().map(|stored| stored.table.clone()).collect(), &line.samples))
    }

    /// Records that a range is finished; `read` are its tables' checksums as they were read back.
    ///
    /// # Errors
    /// `Unavailable` when the journal cannot be written.
    pub(super) fn note(
        &self,
        range: usize,
        tables: &[Table],
        read: &[ReadBack],
        samples: impl FnOnce() -> Vec<Sample>,
    ) -> Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let tables = tables.iter().zip(read).map(|(table, read)| StoredTable::new(table, read.xxh3)).collect();
        durable_file::sync_dir(self.tables_dir)?;
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.add(&RangeRecord { range, tables, samples: samples() })
    }
}

/// Whether a complete line can be parsed.
pub(crate) fn is_line(line: &[u8]) -> bool {
    crate::journal::parse::<RangeRecord>(line).is_some()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file_checksums::FileChecksums;
    use super::*;

    #[test]
    fn a_range_is_resumed_only_if_its_tables_are_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let tables_dir = directory.path().join("tables");
        let journal = directory.path().join("journal/shard-00000.jsonl");
        fs::create_dir(&tables_dir).unwrap();
        let open = || RangeJournal::open(&tables_dir, Some(&journal)).unwrap();
        let table = |range, number| {
            let name = table_name(range, number);
            fs::write(tables_dir.join(&name), [range as u8, number as u8]).unwrap();
            Table { name, rows: 1, ..Table::default() }
        };
        let note = |ledger: &RangeJournal<'_>, range, tables: &[Table]| {
            let mut hashed = FileChecksums::default();
            let read = tables.iter().map(|table| hashed.add(&tables_dir.join(&table.name)));
            let read: Vec<ReadBack> = read.collect::<Result<_>>().unwrap();
            ledger.note(range, tables, &read, Vec::new).unwrap();
        };
        let ledger = open();
        assert!(ledger.resumed_tables(0).is_none());
        note(&ledger, 0, &[table(0, 0), table(0, 1)]);
        note(&ledger, 1, &[table(1, 0)]);
        note(&ledger, 2, &[]);
        let outside = Table { name: "../secret".into(), ..table(3, 0) };
        StoredTable::measure(&outside, &tables_dir).unwrap_err();
        fs::write(directory.path().join("secret"), "secret").unwrap();
        note(&ledger, 3, &[outside]);

        let taken = |range| Some(open().resumed_tables(range)?.0.len());
        assert_eq!([0, 1, 2, 3].map(taken), [Some(2), Some(1), Some(0), None]);
        fs::write(tables_dir.join(table_name(0, 1)), "other").unwrap();
        fs::remove_file(tables_dir.join(table_name(1, 0))).unwrap();
        assert_eq!([0, 1, 2].map(taken), [None, None, Some(0)]);
        note(&ledger, 0, &[table(0, 0)]);
        assert_eq!(taken(0), Some(1), "what was built again counts");
    }
}
