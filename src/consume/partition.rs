//! Writes one partition to a shard's tables, and checks every record against the announcement.
//!
//! A data topic has one record at every offset, keys ascending, and the END marker last. A record that is lost,
//! duplicated, out of order, in the wrong partition or altered violates one of: the next offset, the order of keys, the
//! shard of the key, the count, the digest. Each violation is `Corrupt`, and the version is discarded.
//!
//! Not for: reading from Kafka (`kafka::Partitions`).

use super::journal::Journal;
use crate::build::{ShardBuildContext, ShardPaths, ShardWriter, Table};
use crate::catalog::BuildPaths;
use crate::codec::ShardRouter;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::{Digest, PROTOCOL, StreamedPartition, StreamedVersion, hex};
use crate::kafka::End;
use crate::shuffle::duplicates::Record;

/// Most characters of an END marker that a message quotes.
const LONGEST_QUOTE: usize = 500;

/// A partition that is being received.
pub(super) struct PartitionWriter<'a> {
    announced: StreamedPartition,
    wanted: &'a StreamedVersion,
    sharding: &'a ShardRouter,
    dataset: &'a str,
    writer: ShardWriter<'a>,
    journal: Journal,
    /// Tables that are in the journal.
    journaled: usize,
    next: i64,
    rows: u64,
    last_key: Vec<u8>,
    frame: Vec<u8>,
    ended: bool,
    /// Rows that an earlier attempt had received.
    pub(super) resumed_rows: u64,
}

impl<'a> PartitionWriter<'a> {
    /// Resumes where an earlier attempt stopped.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    pub(super) fn open(
        announced: StreamedPartition,
        wanted: &'a StreamedVersion,
        dataset: &'a str,
        sharding: &'a ShardRouter,
        material: &'a ShardBuildContext,
        target: &ShardPaths<'a>,
        dirs: &BuildPaths,
    ) -> Result<Self> {
        let shard = announced.partition;
        let (journal, tables, next) = Journal::open(dirs.journal(shard), dirs.tables(shard), announced.begin)?;
        let rows = tables.iter().map(|table| table.rows).sum();
        Ok(Self {
            announced,
            wanted,
            sharding,
            dataset,
            journaled: tables.len(),
            next,
            rows,
            last_key: tables.last().map(|table| table.last_key.clone()).unwrap_or_default(),
            frame: Vec::new(),
            ended: next == announced.end,
            resumed_rows: rows,
            writer: ShardWriter::new(material, target, tables)?,
            journal,
        })
    }

    /// The offset to read from.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Whether its END marker was received.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// `Corrupt` when it is not a possible next entry; `Unavailable` when the disk fails.
    pub(super) fn take(&mut self, offset: i64, key: &[u8], value: &[u8]) -> Result<()> {
        self.expect(offset)?;
        if self.rows == self.announced.rows {
            return Err(self.wrong(offset, &format!("there are more than the {} entries announced", self.rows)));
        }
        if self.rows > 0 && key <= self.last_key.as_slice() {
            return Err(self.wrong(offset, &format!("key 0x{} is not above the one before", hex(key))));
        }
        if !self.sharding.of_key(key, &self.wanted.key).is_ok_and(|shard| shard == self.announced.partition) {
            return Err(self.wrong(offset, &format!("key 0x{} does not belong to this partition", hex(key))));
        }
        self.writer.push(Record::new(&mut self.frame, key, value))?;
        self.rows += 1;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.next = offset + 1;
        failpoint::reach("consume.record")?;
        self.note_tables()
    }

    /// Handles the END marker.
    ///
    /// # Errors
    /// `Corrupt` when it does not match what was announced and received.
    pub(super) fn end(&mut self, offset: i64, end: &End) -> Result<()> {
        self.expect(offset)?;
        let part = &self.announced;
        let announced = End {
            protocol: PROTOCOL,
            dataset: self.dataset.to_owned(),
            version: self.wanted.version,
            build_id: self.wanted.build_id.clone(),
            shard: part.partition,
            rows: part.rows,
            bytes: part.bytes,
            digest: part.digest,
        };
        if *end != announced {
            let said: String = format!("{end:?}").chars().take(LONGEST_QUOTE).collect();
            return Err(self.wrong(offset, &format!("the END marker is {said}, but {announced:?} was announced")));
        }
        if offset + 1 != part.end {
            return Err(self.wrong(offset, &format!("the END marker comes before offset {}", part.end - 1)));
        }
        self.writer.end_table()?;
        let tables = self.writer.finished();
        let bytes: u64 = tables.iter().map(|table| table.bytes).sum();
        let digest: Digest = tables.iter().map(|table| table.digest).sum();
        if (self.rows, bytes, digest) != (part.rows, part.bytes, part.digest) {
            return Err(self.wrong(
                offset,
                &format!(
                    "received {} entries of {bytes} bytes with the digest {digest}, announced {} of {} with {}",
                    self.rows, part.rows, part.bytes, part.digest
                ),
            ));
        }
        self.next = part.end;
        self.note_tables()?;
        self.ended = true;
        Ok(())
    }

    /// The finished tables.
    pub(super) fn tables(&self) -> &[Table] {
        self.writer.finished()
    }

    fn note_tables(&mut self) -> Result<()> {
        while let Some(table) = self.writer.finished().get(self.journaled) {
            self.journal.add(table, self.next)?;
            self.journaled += 1;
            failpoint::reach("consume.table")?;
        }
        Ok(())
    }

    fn expect(&self, offset: i64) -> Result<()> {
        if self.ended || offset != self.next {
            return Err(self.wrong(offset, &format!("the record at offset {} is missing", self.next)));
        }
        Ok(())
    }

    fn wrong(&self, offset: i64, what: &str) -> Error {
        Error::corrupt(format!(
            "version {} is not what was announced: topic {}, partition {}, offset {offset}: {what}; \
             `cutover publish STORE {} --restream` where it is built streams it again",
            self.wanted.version, self.wanted.topic, self.announced.partition, self.wanted.version
        ))
    }
}
