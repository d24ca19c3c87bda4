//! The entries of one part of the key space: appended in any order, read in sorted order.
//!
//! Entries are in chunks that never move, so an address (chunk, offset) stays valid until the bucket is dropped. The
//! first entry of every chunk is a sample for the splitters. Chunks have one size, except those of a single large
//! entry, which count as several samples; so splitters divide the data by bytes, not by rows.
//!
//! Not for: which part an entry belongs to (`splitters`), or when memory is full (the writer, in `mod.rs`).

use std::cmp::Ordering;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::entry::{Entry, Prefix, shared_bytes};
use super::prefetch::{prefetch, prefetch_end};
use crate::error::Result;

/// Bytes of memory that are allocated at a time; with small budgets less.
pub(super) const CHUNK_BYTES: usize = 16 << 10;
/// Bytes per entry of the index that sorting needs.
pub(super) const INDEX_BYTES: usize = size_of::<SortKey>();
/// Prefetch distance in entries: enough to hide the latency of memory, few enough for the L1 cache.
pub(super) const AHEAD: usize = 8;
/// A bucket with more entries than this (one very frequent key) is sorted by all threads together.
const PARALLEL_SORT: usize = 1 << 19;

/// The sort key of an entry: its prefix in the upper 64 bits, its chunk and offset in the lower. One integer, as
/// integers are compared without a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey(u128);

impl SortKey {
    fn new(prefix: u64, chunk: u32, offset: u32) -> Self {
        Self(u128::from(prefix) << 64 | u128::from(chunk) << 32 | u128::from(offset))
    }

    fn prefix(self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn chunk(self) -> usize {
        (self.0 >> 32) as u32 as usize
    }

    fn offset(self) -> usize {
        self.0 as u32 as usize
    }
}

/// A bucket that is being filled. The fields that every append uses are adjacent: with many buckets, each append is
/// likely a cache miss.
#[derive(Debug, Default)]
pub(super) struct BucketBuilder {
    /// The chunk that entries are appended to.
    last: Vec<u8>,
    entries: usize,
    bytes: u64,
    /// The chunks before it.
    full: Vec<Vec<u8>>,
}

impl BucketBuilder {
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Whether an entry that takes `stored` bytes fits the chunk that is being filled.
    pub(super) fn fits(&self, stored: usize) -> bool {
        fits(&self.last, stored)
    }

    /// Prefetches the memory to which the next entry will be written.
    pub(super) fn prefetch(&self) {
        prefetch_end(&self.last);
    }

    /// The chunk to which the next entry, of `bytes` bytes that take `stored`, is to be appended; `another` allocates
    /// one if the last is full.
    pub(super) fn reserve(&mut self, bytes: u64, stored: usize, another: impl FnOnce() -> Vec<u8>) -> &mut Vec<u8> {
        if !self.fits(stored) {
            let full = std::mem::replace(&mut self.last, another());
            self.full.extend(Some(full).filter(|full| !full.is_empty()));
        }
        self.entries += 1;
        self.bytes += bytes;
        &mut self.last
    }

    /// The shard and key of every sampled entry.
    pub(super) fn samples(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let last = Some(&self.last).filter(|last| !last.is_empty());
        self.full.iter().chain(last).flat_map(|chunk| samples(chunk))
    }

    /// Ends the filling: the same entries, for reading.
    pub(super) fn finish(self) -> Bucket {
        let mut chunks = self.full;
        chunks.extend(Some(self.last).filter(|last| !last.is_empty()));
        Bucket { chunks, entries: self.entries, bytes: self.bytes, sorted: OnceLock::new() }
    }
}

/// Entries in chunks of memory, for reading.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    chunks: Vec<Vec<u8>>,
    entries: usize,
    bytes: u64,
    /// The sorted order, if it was computed ahead of reading.
    sorted: OnceLock<Vec<SortKey>>,
}

impl Bucket {
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of keys, orders and values held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the entries of another bucket of the same part.
    pub(super) fn append(&mut self, mut other: Self) {
        self.chunks.append(&mut other.chunks);
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    /// The shard and key of every sampled entry.
    pub(super) fn samples(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.chunks.iter().flat_map(|chunk| samples(chunk))
    }

    pub(super) fn into_chunks(self) -> Vec<Vec<u8>> {
        self.chunks
    }

    /// Passes every entry to `visit`, in order. `prefix` is that of the bucket's part.
    ///
    /// # Errors
    /// The first error of `visit`.
    pub(super) fn for_each(&self, prefix: Prefix, visit: &mut impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let own;
        let index = match self.sorted.get() {
            Some(sorted) => sorted,
            None => {
                own = self.sort(prefix);
                &own
            }
        };
        for (place, at) in index.iter().enumerate() {
            if let Some(next) = index.get(place + AHEAD) {
                prefetch(&self.chunks[next.chunk()], next.offset());
            }
            visit(self.entry(*at))?;
        }
        Ok(())
    }

    /// Sorts a bucket of very many entries with all threads, which should be idle: a thread that waits for the others
    /// may steal other work and return late. Does nothing, and returns false, when there are too few entries.
    pub(super) fn presort_hot_key(&self, prefix: Prefix) -> bool {
        let many = self.entries > PARALLEL_SORT;
        if many {
            self.sorted.get_or_init(|| self.sort(prefix));
        }
        many
    }

    fn sort(&self, prefix: Prefix) -> Vec<SortKey> {
        let mut index: Vec<SortKey> = Vec::with_capacity(self.entries);
        for (chunk, bytes) in self.chunks.iter().enumerate() {
            let indexed = |(offset, entry, _): (u32, Entry<'_>, _)| {
                SortKey::new(prefix.of(entry.shard, entry.key), chunk as u32, offset)
            };
            index.extend(entries(bytes).map(indexed));
        }
        sort(&mut index, SortKey::cmp);
        equal_prefixes(&mut index).for_each(|equal| self.sort_by_order(equal));
        index
    }

    /// Sorts entries with equal prefixes. If all are of one key, the common case, they get prefixes of their orders,
    /// after the bytes that all orders share.
    fn sort_by_order(&self, index: &mut [SortKey]) {
        let Some(shared) = self.shared_order(index) else { return self.sort_by_entry(index) };
        let prefix = Prefix::within_shard(shared);
        let by_order = |at: &mut SortKey| {
            *at = SortKey::new(prefix.of(0, self.entry(*at).order), at.chunk() as u32, at.offset() as u32);
        };
        if index.len() > PARALLEL_SORT {
            index.par_iter_mut().for_each(by_order);
        } else {
            index.iter_mut().for_each(by_order);
        }
        sort(index, SortKey::cmp);
        equal_prefixes(index).for_each(|equal| self.sort_by_entry(equal));
    }

    fn sort_by_entry(&self, index: &mut [SortKey]) {
        sort(index, |left, right| self.entry(*left).cmp(&self.entry(*right)));
    }

    /// Length of the common prefix of these entries' orders; none if they are not of one key.
    fn shared_order(&self, index: &[SortKey]) -> Option<usize> {
        let first = self.entry(*index.first()?);
        let shared_with_first = |shared: usize, at: &SortKey| {
            let entry = self.entry(*at);
            ((entry.shard, entry.key) == (first.shard, first.key))
                .then(|| shared_bytes(&first.order[..shared], entry.order))
        };
        let all = first.order.len();
        if index.len() > PARALLEL_SORT {
            index.par_iter().try_fold(|| all, shared_with_first).try_reduce(|| all, |one, other| Some(one.min(other)))
        } else {
            index.iter().try_fold(all, shared_with_first)
        }
    }

    fn entry(&self, at: SortKey) -> Entry<'_> {
        Entry::at(&self.chunks[at.chunk()], at.offset())
    }
}

/// Sorts an index, with all threads if it is very large.
fn sort(index: &mut [SortKey], order: impl Fn(&SortKey, &SortKey) -> Ordering + Sync) {
    if index.len() > PARALLEL_SORT {
        index.par_sort_unstable_by(order);
    } else {
        index.sort_unstable_by(order);
    }
}

/// The samples of a chunk, each a shard and key: one, or several if the chunk is large.
fn samples(chunk: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let first = Entry::at(chunk, 0);
    std::iter::repeat_n((first.shard, first.key), chunk.len().div_ceil(CHUNK_BYTES))
}

/// Every group of more than one entry with equal prefixes.
fn equal_prefixes(index: &mut [SortKey]) -> impl Iterator<Item = &mut [SortKey]> {
    index.chunk_by_mut(|left, right| left.prefix() == right.prefix()).filter(|equal| equal.len() > 1)
}

/// Whether `stored` bytes fit into a chunk without reallocating it.
pub(super) fn fits(chunk: &Vec<u8>, stored: usize) -> bool {
    chunk.len() + stored <= chunk.capacity()
}

/// Every entry of a chunk with its offset and its stored bytes, in the order they were pushed.
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
