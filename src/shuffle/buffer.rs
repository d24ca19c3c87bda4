//! The entries one writer holds in memory, in the order they came, with a sample of their addresses.
//!
//! Entries lie in chunks that never move, so an [`Address`] (chunk, offset) stays valid until the buffer is dropped.
//! A sample is taken every [`SAMPLE_BYTES`], so large entries weigh more: splitters cut the bytes, not the rows.
//!
//! Not for: sorting (see `range` and `spill`) or deciding when memory is full (see the writer).

use super::entry::Entry;

/// One entry is remembered for the splitters after this many bytes, or one in every chunk where chunks are smaller.
const SAMPLE_BYTES: usize = 16 << 10;
/// Bytes of index that sorting an entry takes: its prefix and its address.
pub(super) const INDEX_BYTES: usize = std::mem::size_of::<(u64, Address)>();

/// Where an entry lies: its chunk and the offset in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) chunk: u32,
    pub(super) offset: u32,
}

/// Entries in chunks of memory.
#[derive(Debug)]
pub(super) struct Buffer {
    chunk_bytes: usize,
    chunks: Vec<Vec<u8>>,
    memory: usize,
    entries: usize,
    bytes: u64,
    samples: Vec<Address>,
    until_sample: usize,
}

impl Buffer {
    pub(super) fn new(chunk_bytes: usize) -> Self {
        Self { chunk_bytes, chunks: Vec::new(), memory: 0, entries: 0, bytes: 0, samples: Vec::new(), until_sample: 0 }
    }

    /// An empty buffer with chunks of the same size.
    pub(super) fn empty_like(&self) -> Self {
        Self::new(self.chunk_bytes)
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of keys, orders and values held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of memory held once `entry` is pushed, with the index that sorting will need.
    pub(super) fn memory_with(&self, entry: &Entry<'_>) -> usize {
        let stored = entry.stored_bytes();
        let chunk = if self.fits(stored) { 0 } else { self.chunk_bytes.max(stored) };
        self.memory + chunk + (self.entries + 1) * INDEX_BYTES
    }

    fn fits(&self, stored: usize) -> bool {
        self.chunks.last().is_some_and(|chunk| chunk.len() + stored <= chunk.capacity())
    }

    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        let stored = entry.stored_bytes();
        if !self.fits(stored) {
            let size = self.chunk_bytes.max(stored);
            self.chunks.push(Vec::with_capacity(size));
            self.memory += size;
        }
        let chunk = self.chunks.len() - 1;
        let bytes = &mut self.chunks[chunk];
        let address = Address { chunk: chunk as u32, offset: bytes.len() as u32 };
        entry.append_to(bytes);
        self.entries += 1;
        self.bytes += entry.bytes();
        if self.until_sample < stored {
            let every = SAMPLE_BYTES.min(self.chunk_bytes);
            self.samples.extend(std::iter::repeat_n(address, stored.div_ceil(every).max(1)));
            self.until_sample = every;
        } else {
            self.until_sample -= stored;
        }
    }

    /// The shard and key of every sampled entry.
    pub(super) fn samples(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.samples.iter().map(|at| {
            let entry = Entry::at(&self.chunks[at.chunk as usize], at.offset as usize);
            (entry.shard, entry.key)
        })
    }

    /// The chunks.
    pub(super) fn into_blocks(self) -> Vec<Vec<u8>> {
        self.chunks
    }
}

/// Every entry of a chunk with its offset and its bytes as they are stored, in the order they were pushed.
pub(super) fn entries(chunk: &[u8]) -> impl Iterator<Item = (u32, Entry<'_>, &[u8])> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset == chunk.len() {
            return None;
        }
        let at = offset;
        let entry = Entry::at(chunk, at);
        offset += entry.stored_bytes();
        Some((at as u32, entry, &chunk[at..offset]))
    })
}
