//! Writes the sorted records of one range as sorted string tables (SSTs).
//!
//! A table ends when its file reaches the job's `file_size`, or when its filter and index, which RocksDB keeps in
//! memory until then, reach the limit on entries. The index holds a separator key per block, just long enough to
//! distinguish neighbouring blocks; its bytes count as entries, so that long keys with long common prefixes stay within
//! the limit. RocksDB's writer reports no statistics, so rows, bytes, key range and digest are counted here, to be
//! compared with the database later. A finished table is synced to disk.
//!
//! Invariant: keys arrive in ascending order, each once; RocksDB refuses anything else.
//!
//! Not for: the content of records.

use std::path::Path;

use rocksdb::{Options, SstFileWriter};

use super::read_back_sample::Sampler;
use super::table::Table;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::Digest;
use crate::shuffle::duplicates::Record;
use crate::shutdown;

/// Records between two checks of the file's size.
const SIZE_CHECK_EVERY: u64 = 128;

/// Bytes of memory per entry until its table ends: the entry's hash for the filter.
pub const FILTER_BYTES_PER_ROW: u64 = 16;
/// Bytes of entries per key in the index: the assumed size of a block.
const BLOCK_BYTES: u64 = 16 << 10;

/// Estimated bytes of a separator key in the index after the prefix that it shares with the key before.
const DIVIDING_BYTES: usize = 16;

/// Writes the tables of one range.
pub(super) struct TableWriter<'a> {
    options: &'a Options,
    sampler: &'a Sampler,
    directory: &'a Path,
    range: usize,
    file_size: u64,
    max_rows: u64,
    level: u32,
    started: usize,
    open: Option<(SstFileWriter<'a>, Table)>,
    /// Estimated bytes of keys in the index of the open table.
    index_bytes: u64,
    finished: Vec<Table>,
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(
        options: &'a Options,
        sampler: &'a Sampler,
        directory: &'a Path,
        range: usize,
        file_size: u64,
        max_rows: u64,
    ) -> Self {
        let (level, started, open, index_bytes, finished) = (0, 0, None, 0, Vec::new());
        Self { options, sampler, directory, range, file_size, max_rows, level, started, open, index_bytes, finished }
    }

    /// Continues after tables that an earlier writer of the same range finished.
    pub(super) fn after(mut self, earlier: Vec<Table>) -> Self {
        self.started = earlier.len();
        self.finished = earlier;
        self
    }

    /// Tables finished so far, in key order.
    pub(super) fn finished(&self) -> &[Table] {
        &self.finished
    }

    /// # Errors
    /// `Unavailable` when the disk is full or fails, `Internal` when keys do not ascend.
    pub(super) fn push(&mut self, record: Record<'_>) -> Result<()> {
        let (key, value) = (record.key(), record.value());
        let (writer, table) = match &mut self.open {
            Some(open) => open,
            none => {
                self.started += 1;
                self.index_bytes = 0;
                none.insert(start(self.options, self.directory, self.range, self.started - 1, key)?)
            }
        };
        writer.put(key, value).map_err(|error| failed("write", self.directory, &table.name, error))?;
        let digest = Digest::of_framed(record.digested());
        self.sampler.observe(&mut self.level, key, digest);
        let bytes = (key.len() + value.len()) as u64;
        table.rows += 1;
        if (table.bytes + bytes) / BLOCK_BYTES > table.bytes / BLOCK_BYTES {
            self.index_bytes += separator_bytes(&table.last_key, key) as u64;
        }
        table.bytes += bytes;
        table.digest = table.digest.plus(digest);
        if bytes > table.largest_bytes {
            (table.largest_key, table.largest_bytes) = (key.to_vec(), bytes);
        }
        let look = table.rows.is_multiple_of(SIZE_CHECK_EVERY) || value.len() as u64 > self.file_size / 64;
        let held = table.rows + self.index_bytes / FILTER_BYTES_PER_ROW;
        if held >= self.max_rows || (look && writer.file_size() >= self.file_size) {
            let last_key = key.to_vec();
            self.end(last_key)?;
        } else {
            table.last_key.clear();
            table.last_key.extend_from_slice(key);
        }
        Ok(())
    }

    fn end(&mut self, last_key: Vec<u8>) -> Result<()> {
        if let Some((mut writer, mut table)) = self.open.take() {
            shutdown::check()?;
            table.last_key = last_key;
            writer.finish().map_err(|error| failed("finish", self.directory, &table.name, error))?;
            failpoint::reach("build.table")?;
            self.finished.push(table);
        }
        Ok(())
    }

    /// Ends the table that is being written.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn end_table(&mut self) -> Result<()> {
        match &self.open {
            Some((_, table)) => self.end(table.last_key.clone()),
            None => Ok(()),
        }
    }

    /// Ends the last table and returns all of them, in key order.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn finish(mut self) -> Result<Vec<Table>> {
        self.end_table()?;
        Ok(self.finished)
    }
}

fn start<'a>(
    options: &'a Options,
    directory: &Path,
    range: usize,
    number: usize,
    first_key: &[u8],
) -> Result<(SstFileWriter<'a>, Table)> {
    let name = table_name(range, number);
    let writer = SstFileWriter::create(options);
    writer.open(directory.join(&name)).map_err(|error| failed("create", directory, &name, error))?;
    Ok((writer, Table { name, first_key: first_key.to_vec(), ..Table::default() }))
}

/// Estimated bytes of the separator between two keys that RocksDB keeps in its index.
fn separator_bytes(before: &[u8], key: &[u8]) -> usize {
    let shared = before.iter().zip(key).take_while(|(before, key)| before == key).count();
    (shared + DIVIDING_BYTES).min(key.len())
}

/// The name of a table of a range.
pub(super) fn table_name(range: usize, number: usize) -> String {
    format!("range-{range:05}-{number:05}.sst")
}

/// Maps one of RocksDB's errors: I/O errors are `Unavailable`, any other is a bug of ours.
fn failed(doing: &str, directory: &Path, name: &str, error: rocksdb::Error) -> Error {
    let message = format!("cannot {doing} table {}", directory.join(name).display());
    match error.kind() {
        rocksdb::ErrorKind::IOError | rocksdb::ErrorKind::TryAgain | rocksdb::ErrorKind::Busy => {
            Error::unavailable(format!("{message}; is the disk full?")).because(error)
        }
        _ => Error::internal(message).because(error),
    }
}
