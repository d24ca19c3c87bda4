//! Sorted runs on disk: written once, read back by part, removed when dropped.
//!
//! ```text
//!  run file:  block block block …            memory:  for every block its offset and its first (shard, key)
//!  block:     ┌─────────────┬───────────────┬────────────────┬──────────────────┐
//!             │ raw     u32 │ stored    u32 │ checksum   u64 │ LZ4 block …      │  little-endian
//!             └─────────────┴───────────────┴────────────────┴──────────────────┘
//!  raw, stored: bytes of the block unpacked and packed; checksum: XXH3-64 of the packed bytes
//! ```
//!
//! A block holds whole entries in the layout of `entry`, so a part is found by its blocks' first keys alone.
//! Runs live as long as their process: they are not synced, and nothing reads them after a crash.
//!
//! Not for: deciding when to spill, or merging.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::buffer::{Address, Buffer, entries};
use super::entry::{Entry, Prefix, compare};
use crate::error::{Error, IoContext, Result};

/// Bytes of entries packed together; a larger entry is a block of its own.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
const BLOCK_HEADER: usize = 16;
/// The most bytes that a byte of an LZ4 block unpacks into.
const MOST_UNPACKED: usize = 255;
/// The largest block that is believed on reading: one entry of three fields of the largest size.
const MAX_BLOCK_BYTES: usize = 4 * super::MAX_FIELD_BYTES;

#[derive(Debug)]
struct Block {
    offset: u64,
    shard: u32,
    key: Box<[u8]>,
}

/// A sorted run. The file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    blocks: Vec<Block>,
    bytes: u64,
    file_bytes: u64,
    largest_block: usize,
}

impl Run {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of keys, orders and values in this run.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of its largest block, unpacked.
    pub(super) fn largest_block(&self) -> usize {
        self.largest_block
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The first (shard, key) of every block: a sample in which every block weighs the same.
    pub(super) fn block_starts(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.blocks.iter().map(|block| (block.shard, &*block.key))
    }

    /// The block in which the first entry at or after (shard, key) can lie.
    pub(super) fn seek(&self, shard: u32, key: &[u8]) -> usize {
        self.blocks.partition_point(|block| (block.shard, &*block.key) < (shard, key)).saturating_sub(1)
    }

    /// Reads a block and unpacks it into `raw`.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read, `Corrupt` when its checksum does not match.
    pub(super) fn read_block(&self, number: usize, packed: &mut Vec<u8>, raw: &mut Vec<u8>) -> Result<()> {
        let offset = self.blocks[number].offset;
        let corrupt = |what: &str| {
            Error::corrupt(format!(
                "spill file {} is damaged at byte {offset}: {what}; check the disk and run again",
                self.path.display()
            ))
        };
        let mut header = [0; BLOCK_HEADER];
        self.file.read_exact_at(&mut header, offset).io("read back the spill file", &self.path)?;
        let header = Header::parse(&header).map_err(corrupt)?;
        packed.resize(header.stored, 0);
        self.file.read_exact_at(packed, offset + BLOCK_HEADER as u64).io("read back the spill file", &self.path)?;
        header.unpack(packed, raw).map_err(corrupt)
    }
}

/// What stands in front of a block.
#[derive(Clone, Copy, Debug)]
struct Header {
    raw: usize,
    stored: usize,
    checksum: u64,
}

impl Header {
    /// # Errors
    /// What is wrong: sizes that no block has.
    fn parse(header: &[u8; BLOCK_HEADER]) -> Result<Self, &'static str> {
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (raw, stored) = (field(0) as usize, field(4) as usize);
        let checksum = u64::from(field(8)) | u64::from(field(12)) << 32;
        let fits = raw <= MAX_BLOCK_BYTES
            && raw <= stored.saturating_mul(MOST_UNPACKED)
            && stored <= lz4_flex::block::get_maximum_output_size(raw);
        if fits { Ok(Self { raw, stored, checksum }) } else { Err("a block claims an impossible size") }
    }

    /// # Errors
    /// What is wrong with the packed bytes.
    fn unpack(&self, packed: &[u8], raw: &mut Vec<u8>) -> Result<(), &'static str> {
        if xxh3_64(packed) != self.checksum {
            return Err("the checksum does not match");
        }
        raw.resize(self.raw, 0);
        match lz4_flex::block::decompress_into(packed, raw) {
            Ok(bytes) if bytes == self.raw => Ok(()),
            _ => Err("a block does not unpack"),
        }
    }
}

/// Entries of the block that `bytes` begin with, whatever its checksum says; nothing where it cannot be read.
pub(crate) fn entries_of_block(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk()?;
    let header = Header::parse(header).ok()?;
    let packed = rest.get(..header.stored)?;
    let mut raw = Vec::new();
    Header { checksum: xxh3_64(packed), ..header }.unpack(packed, &mut raw).ok()?;
    let (mut rest, mut entries) = (raw.as_slice(), 0);
    while !rest.is_empty() {
        rest = Entry::parse(rest)?.1;
        entries += 1;
    }
    Some(entries)
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove a spill file; gc will");
        }
    }
}

/// Writes one run, entry by entry in order.
pub(super) struct RunWriter {
    run: Run,
    out: BufWriter<File>,
    block: Vec<u8>,
    packed: Vec<u8>,
}

impl RunWriter {
    /// # Errors
    /// `Unavailable` when the file cannot be made.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let writing = File::options().read(true).write(true).create_new(true).open(&path).io("create", &path)?;
        let file = writing.try_clone().io("open", &path)?;
        let run = Run { path, file, blocks: Vec::new(), bytes: 0, file_bytes: 0, largest_block: 0 };
        Ok(Self { run, out: BufWriter::new(writing), block: Vec::new(), packed: Vec::new() })
    }

    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        if !self.block.is_empty() && self.block.len() + entry.stored_bytes() > BLOCK_BYTES {
            self.end_block()?;
        }
        if self.block.is_empty() {
            let (shard, key) = (entry.shard, entry.key.into());
            self.run.blocks.push(Block { offset: self.run.file_bytes, shard, key });
        }
        entry.append_to(&mut self.block);
        self.run.bytes += entry.bytes();
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        self.packed.resize(lz4_flex::block::get_maximum_output_size(self.block.len()), 0);
        let stored = lz4_flex::block::compress_into(&self.block, &mut self.packed)
            .map_err(|error| Error::internal("a spill block could not be packed").because(error))?;
        let packed = &self.packed[..stored];
        let mut header = [0; BLOCK_HEADER];
        header[0..4].copy_from_slice(&(self.block.len() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&(stored as u32).to_le_bytes());
        header[8..16].copy_from_slice(&xxh3_64(packed).to_le_bytes());
        self.out.write_all(&header).and_then(|()| self.out.write_all(packed)).map_err(|error| {
            Error::unavailable(format!(
                "cannot write spill file {}: {} bytes of sorted entries are on disk already; free space there, or \
                 point --spill-dir elsewhere, or raise --memory",
                self.run.path.display(),
                self.run.file_bytes
            ))
            .because(error)
        })?;
        self.run.file_bytes += (BLOCK_HEADER + stored) as u64;
        self.run.largest_block = self.run.largest_block.max(self.block.len());
        self.block.clear();
        Ok(())
    }

    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn finish(mut self) -> Result<Run> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.out.flush().io("write spill file", &self.run.path)?;
        Ok(self.run)
    }
}

/// Sorts a buffer and writes it as a run.
///
/// # Errors
/// `Unavailable` when the disk is full or fails.
pub(super) fn write_sorted(buffer: Buffer, path: PathBuf, shards: u32) -> Result<Run> {
    let prefix = Prefix::new(shards);
    let mut index: Vec<(u64, Address)> = Vec::with_capacity(buffer.entries());
    let chunks = buffer.into_blocks();
    for (chunk, bytes) in chunks.iter().enumerate() {
        let chunk = chunk as u32;
        index.extend(
            entries(bytes).map(|(offset, entry, _)| (prefix.of(entry.shard, entry.key), Address { chunk, offset })),
        );
    }
    let entry = |at: Address| Entry::at(&chunks[at.chunk as usize], at.offset as usize);
    index.par_sort_unstable_by(|left, right| compare((left.0, || entry(left.1)), (right.0, || entry(right.1))));
    let mut writer = RunWriter::create(path)?;
    for (_, address) in index {
        writer.push(&entry(address))?;
    }
    writer.finish()
}
