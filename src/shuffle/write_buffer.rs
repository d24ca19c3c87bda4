//! The in-memory entries of one writer: in a single bucket at first, in one bucket per part once there are splitters.
//!
//! Not for: choosing the splitters or deciding when memory is full (the shuffle and its writer, in `mod.rs`).

use std::sync::Arc;

use super::bucket::{Bucket, BucketBuilder, INDEX_BYTES, entries};
use super::entry::Entry;
use super::splitters::RangePartitioner;

/// How many times the largest entry is in memory while it is written: as a block, and compressed.
const WRITTEN: usize = 2;

/// Entries in buckets, with what they take.
#[derive(Debug)]
pub(super) struct Buffer {
    chunk_bytes: usize,
    cuts: Arc<RangePartitioner>,
    buckets: Vec<BucketBuilder>,
    /// Bytes of all chunks.
    memory: usize,
    /// Entries of the fullest bucket, which determines the size of the largest index for sorting.
    most: usize,
    /// Bytes of the largest entry.
    largest: usize,
    entries: usize,
}

/// The bucket an entry goes to, and the size of the chunk to allocate for it; 0 if it fits into the last chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    bucket: usize,
    chunk: usize,
}

impl Buffer {
    /// An empty buffer that allocates chunks of `chunk_bytes`, with a bucket for every part.
    pub(super) fn new(chunk_bytes: usize, cuts: Arc<RangePartitioner>) -> Self {
        let buckets = cuts.parts().iter().map(|_| BucketBuilder::default()).collect();
        Self { chunk_bytes, cuts, buckets, memory: 0, most: 0, largest: 0, entries: 0 }
    }

    /// An empty buffer of the same kind.
    pub(super) fn empty_like(&self) -> Self {
        Self::new(self.chunk_bytes, Arc::clone(&self.cuts))
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Number of parts, each with a bucket.
    pub(super) fn parts(&self) -> usize {
        self.buckets.len()
    }

    /// Bytes of its chunks.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Prefetches the memory to which the next entry of this part will be written.
    pub(super) fn prefetch(&self, bucket: usize) {
        self.buckets[bucket].prefetch();
    }

    /// The place for an entry that takes `stored` bytes, in the part with this number.
    pub(super) fn place(&self, bucket: usize, stored: usize) -> Place {
        let chunk = if self.buckets[bucket].fits(stored) { 0 } else { self.chunk_bytes.max(stored) };
        Place { bucket, chunk }
    }

    /// Bytes of memory held once an entry that takes `stored` bytes is at `place`, with the index that sorting will
    /// need and with what spilling will.
    pub(super) fn memory_with(&self, place: Place, stored: usize) -> usize {
        let most = self.most.max(self.buckets[place.bucket].entries() + 1);
        self.memory + place.chunk + most * INDEX_BYTES + WRITTEN * self.largest.max(stored)
    }

    /// Appends an entry that takes `stored` bytes at its place.
    pub(super) fn push(&mut self, entry: &Entry<'_>, stored: usize, place: Place) {
        let bucket = &mut self.buckets[place.bucket];
        entry.append_to(bucket.reserve(entry.bytes(), stored, || Vec::with_capacity(place.chunk)));
        self.memory += place.chunk;
        self.most = self.most.max(bucket.entries());
        self.largest = self.largest.max(stored);
        self.entries += 1;
    }

    /// The shard and key of every sampled entry.
    pub(super) fn samples(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.buckets.iter().flat_map(BucketBuilder::samples)
    }

    /// Moves the entries into buckets for other parts.
    pub(super) fn cut(self, cuts: &Arc<RangePartitioner>) -> Self {
        if Arc::ptr_eq(&self.cuts, cuts) {
            return self;
        }
        let mut cut = Self::new(self.chunk_bytes, Arc::clone(cuts));
        for chunk in self.into_buckets().into_iter().flat_map(Bucket::into_chunks) {
            for (_, entry, stored) in entries(&chunk) {
                let place = cut.place(cuts.find(entry.shard, entry.key), stored.len());
                cut.push(&entry, stored.len(), place);
            }
        }
        cut
    }

    /// The buckets, in the order of the parts.
    pub(super) fn into_buckets(self) -> Vec<Bucket> {
        self.buckets.into_iter().map(BucketBuilder::finish).collect()
    }

    /// The parts its buckets are for.
    pub(super) fn cuts(&self) -> &Arc<RangePartitioner> {
        &self.cuts
    }
}
