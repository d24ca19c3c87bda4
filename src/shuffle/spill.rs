//! Sorted runs on disk: written once, read back by part, removed when dropped unless they are sealed.
//!
//! ```text
//!  run file:  block block block …            memory:  offset and first (shard, key) of blocks (see `sparse_index`)
//!  sealed:    block block block … index …    index:   the same, as blocks of entries whose value is the offset
//!  block:     ┌─────────────┬───────────────┬────────────────┬──────────────────┐
//!             │ raw     u32 │ stored    u32 │ checksum   u64 │ LZ4 block …      │  little-endian
//!             └─────────────┴───────────────┴────────────────┴──────────────────┘
//!  raw, stored: bytes of the block decompressed and compressed; checksum: XXH3-64 of the compressed bytes
//! ```
//!
//! A block holds complete entries in the layout of `entry`, so a part is found by the first keys of blocks alone.
//! A run that is not sealed is temporary: no other process reads it.
//!
//! Not for: deciding when to spill (`mod.rs`), or merging (`merge`).

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::entry::Entry;
use super::shard_part::PartFile;
use super::sparse_index::Index;
use super::write_buffer::Buffer;
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::failpoint;

/// Target size of a block before compression; a larger entry is a block of its own.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
const BLOCK_HEADER: usize = 16;
/// Largest compression ratio of an LZ4 block.
const MAX_COMPRESSION_RATIO: usize = 255;
/// Largest uncompressed block that is accepted on reading: an entry has three fields of limited size.
const MAX_BLOCK_BYTES: usize = 4 * super::MAX_FIELD_BYTES;

/// The journal record of a sealed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedRun {
    /// Its number, from which its file name is derived.
    number: u64,
    /// Bytes of keys, orders and values.
    bytes: u64,
    /// Marks in its index.
    marks: u64,
    /// Bytes of all blocks; the index follows.
    blocks_bytes: u64,
    /// Bytes of its largest block, decompressed.
    largest_block: usize,
    /// Bytes of the file.
    file_bytes: u64,
}

/// A sorted run. The file is removed when this is dropped, unless it is sealed.
#[derive(Debug)]
pub(super) struct Run {
    number: u64,
    sealed: AtomicBool,
    path: PathBuf,
    file: File,
    index: Index,
    bytes: u64,
    file_bytes: u64,
    largest_block: usize,
}

impl Run {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

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

    /// Bytes of its largest block, decompressed.
    pub(super) fn largest_block(&self) -> usize {
        self.largest_block
    }

    /// The index of its blocks.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Reads the block at `offset`, decompresses it into `raw` and returns the offset of the next one; none after the
    /// last.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read, `Corrupt` when its checksum does not match.
    pub(super) fn read_block(&self, offset: u64, compressed: &mut Vec<u8>, raw: &mut Vec<u8>) -> Result<Option<u64>> {
        let next = read_block_at(&self.file, &self.path, offset, compressed, raw)?;
        match next.cmp(&self.file_bytes) {
            Ordering::Less => Ok(Some(next)),
            Ordering::Equal => Ok(None),
            Ordering::Greater => Err(damaged(&self.path, offset, "a block extends beyond the end of the run")),
        }
    }

    /// Keeps the file when this is dropped.
    pub(super) fn keep(&self) {
        self.sealed.store(true, atomic::Ordering::Relaxed);
    }

    /// Opens a file with one shard's part of another machine's run. It is kept when this is dropped.
    ///
    /// # Errors
    /// `Corrupt` when it does not have the part's bytes; `Unavailable` when it cannot be read.
    pub(super) fn of_part(number: u64, of: &PartFile) -> Result<Self> {
        let PartFile { path, largest_block, part } = of;
        let file = File::open(path).io("open", path)?;
        let file_bytes = file.metadata().io("stat", path)?.len();
        if file_bytes != part.to.saturating_sub(part.from) || file_bytes == 0 {
            return Err(Error::corrupt(format!("{} does not have the bytes of its part of a run", path.display())));
        }
        let mut index = Index::default();
        index.push(0, part.shard, &[]);
        let (path, sealed) = (path.clone(), AtomicBool::new(true));
        Ok(Self { number, sealed, path, file, index, bytes: part.bytes, file_bytes, largest_block: *largest_block })
    }

    /// Appends the index to the file and syncs it, so that another process can read the run. From then on the file is
    /// not removed when this is dropped.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn seal(&self) -> Result<SealedRun> {
        let mut end = self.file_bytes;
        let (mut raw, mut compressed) = (Vec::new(), Vec::new());
        let mut write = |raw: &mut Vec<u8>| {
            let stored = compress_block(raw, &mut compressed)?;
            raw.clear();
            self.file.write_all_at(&compressed[..stored], end).map_err(|error| full(&self.path, end, error))?;
            end += stored as u64;
            Ok::<(), Error>(())
        };
        for (offset, shard, key) in self.index.marks() {
            let entry = Entry { shard, key, order: &[], value: &offset.to_le_bytes() };
            if !raw.is_empty() && raw.len() + entry.stored_bytes() > BLOCK_BYTES {
                write(&mut raw)?;
            }
            entry.append_to(&mut raw);
        }
        write(&mut raw)?;
        self.file.sync_all().io("sync spill file", &self.path)?;
        self.sealed.store(true, atomic::Ordering::Relaxed);
        Ok(SealedRun {
            number: self.number,
            bytes: self.bytes,
            marks: self.index.marks().len() as u64,
            blocks_bytes: self.file_bytes,
            largest_block: self.largest_block,
            file_bytes: end,
        })
    }

    /// Opens a run that another process sealed in `directory`.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or has changed since; `Unavailable` when it cannot be read.
    pub(super) fn open(directory: &Path, sealed: &SealedRun) -> Result<Self> {
        let path = path_of(directory, sealed.number);
        let differs = |what: &str| {
            Error::corrupt(format!("spill file {} has changed since it was sealed: {what}", path.display()))
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(differs("it is missing")),
            opened => opened.io("open", &path)?,
        };
        if file.metadata().io("stat", &path)?.len() != sealed.file_bytes {
            return Err(differs("it has another size"));
        }
        let mut index = Index::default();
        let (mut raw, mut compressed) = (Vec::new(), Vec::new());
        let mut at = sealed.blocks_bytes;
        while at < sealed.file_bytes {
            at = read_block_at(&file, &path, at, &mut compressed, &mut raw)?;
            let mut rest = raw.as_slice();
            while !rest.is_empty() {
                let parsed = Entry::parse(rest)
                    .and_then(|(entry, rest)| Some((u64::from_le_bytes(entry.value.try_into().ok()?), entry, rest)));
                let (offset, entry, after) = parsed.ok_or_else(|| differs("its index is broken"))?;
                index.push(offset, entry.shard, entry.key);
                rest = after;
            }
        }
        if index.marks().len() as u64 != sealed.marks {
            return Err(differs("its index has another number of blocks"));
        }
        let SealedRun { number, bytes, blocks_bytes: file_bytes, largest_block, .. } = *sealed;
        Ok(Self { number, sealed: AtomicBool::new(true), path, file, index, bytes, file_bytes, largest_block })
    }
}

/// Number of entries of the block at the front of `bytes`, ignoring its checksum; nothing if it cannot be parsed.
pub(crate) fn entries_of_block(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk()?;
    let header = Header::parse(header).ok()?;
    let compressed = rest.get(..header.stored)?;
    let mut raw = Vec::new();
    Header { checksum: xxh3_64(compressed), ..header }.decompress(compressed, &mut raw).ok()?;
    let (mut rest, mut entries) = (raw.as_slice(), 0);
    while !rest.is_empty() {
        rest = Entry::parse(rest)?.1;
        entries += 1;
    }
    Some(entries)
}

impl Drop for Run {
    fn drop(&mut self) {
        if *self.sealed.get_mut() {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove a spill file; gc will");
        }
    }
}

/// The path of the run with this number.
fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("run-{number:06}"))
}

/// Compresses entries into a block with its header, at the front of `compressed`; returns the block's size.
fn compress_block(raw: &[u8], compressed: &mut Vec<u8>) -> Result<usize> {
    compressed.resize(BLOCK_HEADER + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    let (header, body) = compressed.split_at_mut(BLOCK_HEADER);
    let stored = lz4_flex::block::compress_into(raw, body)
        .map_err(|error| Error::internal("a spill block could not be compressed").because(error))?;
    header[0..4].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&(stored as u32).to_le_bytes());
    header[8..16].copy_from_slice(&xxh3_64(&body[..stored]).to_le_bytes());
    Ok(BLOCK_HEADER + stored)
}

/// Reads the block at `offset`, decompresses it into `raw` and returns the offset after it.
fn read_block_at(file: &File, path: &Path, offset: u64, compressed: &mut Vec<u8>, raw: &mut Vec<u8>) -> Result<u64> {
    let corrupt = |what: &str| damaged(path, offset, what);
    let read = |bytes: &mut [u8], at: u64| match file.read_exact_at(bytes, at) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(corrupt("it ends inside a block")),
        read => read.io("read back the spill file", path),
    };
    let mut header = [0; BLOCK_HEADER];
    read(&mut header, offset)?;
    let header = Header::parse(&header).map_err(corrupt)?;
    compressed.resize(header.stored, 0);
    read(compressed, offset + BLOCK_HEADER as u64)?;
    header.decompress(compressed, raw).map_err(corrupt)?;
    Ok(offset + (BLOCK_HEADER + header.stored) as u64)
}

fn damaged(path: &Path, offset: u64, what: &str) -> Error {
    Error::corrupt(format!(
        "spill file {} is damaged at byte {offset}: {what}; check the disk and run again",
        path.display()
    ))
}

/// The header of a block.
#[derive(Clone, Copy, Debug)]
struct Header {
    raw: usize,
    stored: usize,
    checksum: u64,
}

impl Header {
    /// # Errors
    /// The problem, as a string: sizes that no block can have.
    fn parse(header: &[u8; BLOCK_HEADER]) -> Result<Self, &'static str> {
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (raw, stored) = (field(0) as usize, field(4) as usize);
        let checksum = u64::from(field(8)) | u64::from(field(12)) << 32;
        let fits = raw <= MAX_BLOCK_BYTES
            && raw <= stored.saturating_mul(MAX_COMPRESSION_RATIO)
            && stored <= lz4_flex::block::get_maximum_output_size(raw);
        if fits { Ok(Self { raw, stored, checksum }) } else { Err("a block claims an impossible size") }
    }

    /// # Errors
    /// The problem with the compressed bytes, as a string.
    fn decompress(&self, compressed: &[u8], raw: &mut Vec<u8>) -> Result<(), &'static str> {
        if xxh3_64(compressed) != self.checksum {
            return Err("the checksum does not match");
        }
        raw.resize(self.raw, 0);
        match lz4_flex::block::decompress_into(compressed, raw) {
            Ok(bytes) if bytes == self.raw => Ok(()),
            _ => Err("a block does not decompress"),
        }
    }
}

/// The error for a run that cannot be written.
fn full(path: &Path, written: u64, error: std::io::Error) -> Error {
    Error::unavailable(format!(
        "cannot write spill file {}: {written} bytes of sorted entries are on disk already; free space there, or point \
         --spill-dir elsewhere, or raise --memory",
        path.display()
    ))
    .because(error)
}

/// Writes one run, entry by entry in order.
pub(super) struct RunWriter {
    run: Run,
    out: BufWriter<File>,
    block: Vec<u8>,
    compressed: Vec<u8>,
}

impl RunWriter {
    /// # Errors
    /// `Unavailable` when the file cannot be created.
    pub(super) fn create(directory: &Path, number: u64) -> Result<Self> {
        let path = path_of(directory, number);
        let writing = File::options().read(true).write(true).create_new(true).open(&path).io("create", &path)?;
        let file = writing.try_clone().io("open", &path)?;
        let run = Run {
            number,
            sealed: AtomicBool::new(false),
            path,
            file,
            index: Index::default(),
            bytes: 0,
            file_bytes: 0,
            largest_block: 0,
        };
        Ok(Self { run, out: BufWriter::new(writing), block: Vec::new(), compressed: Vec::new() })
    }

    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        if !self.block.is_empty() && self.block.len() + entry.stored_bytes() > BLOCK_BYTES {
            self.end_block()?;
        }
        if self.block.is_empty() {
            self.run.index.push(self.run.file_bytes, entry.shard, entry.key);
        }
        entry.append_to(&mut self.block);
        self.run.bytes += entry.bytes();
        Ok(())
    }

    /// Ends the block that is being written, if there is one; returns where the next one will begin.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn break_block(&mut self) -> Result<u64> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        Ok(self.run.file_bytes)
    }

    fn end_block(&mut self) -> Result<()> {
        let stored = compress_block(&self.block, &mut self.compressed)?;
        let written = self.out.write_all(&self.compressed[..stored]);
        written.map_err(|error| full(&self.run.path, self.run.file_bytes, error))?;
        self.run.file_bytes += stored as u64;
        self.run.largest_block = self.run.largest_block.max(self.block.len());
        self.block.clear();
        Ok(())
    }

    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub(super) fn finish(mut self) -> Result<Run> {
        self.break_block()?;
        self.out.flush().io("write spill file", &self.run.path)?;
        // Starts the writeback now, so that the sync on sealing is short.
        durable_file::begin_writeback(&self.run.file);
        failpoint::reach("shuffle.spilled")?;
        Ok(self.run)
    }
}

/// Sorts a buffer, bucket by bucket, and writes it as a run.
///
/// # Errors
/// `Unavailable` when the disk is full or fails.
pub(super) fn write_sorted(buffer: Buffer, directory: &Path, number: u64, shards: u32) -> Result<Run> {
    let mut writer = RunWriter::create(directory, number)?;
    let cuts = Arc::clone(buffer.cuts());
    for (part, bucket) in cuts.parts().iter().zip(buffer.into_buckets()) {
        bucket.for_each(part.prefix(shards), &mut |entry| writer.push(&entry))?;
    }
    writer.finish()
}
