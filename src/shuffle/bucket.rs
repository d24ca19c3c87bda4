//! The entries of one part of the key space: taken in the order they come, handed out in sorted order.
//!
//! Entries lie in chunks that never move, so an address (chunk, offset) stays valid until the bucket is dropped. The
//! first entry of every chunk is a sample for the splitters: chunks are of one size but for large entries, which have
//! one of their own and weigh more, so that splitters cut the bytes, not the rows.
//!
//! Not for: which part an entry belongs to (see `split`), or when memory is full (see the writer).

use std::cmp::Ordering;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::entry::{Entry, Prefix, shared_bytes};
use super::prefetch::{prefetch, prefetch_end};
use crate::error::Result;

/// Bytes of memory taken at a time; small budgets take less.
pub(super) const CHUNK_BYTES: usize = 16 << 10;
/// Bytes of index that sorting an entry takes.
pub(super) const INDEX_BYTES: usize = std::mem::size_of::<SortKey>();
/// Entries that are asked for before they are read: enough for memory to answer, few enough for the nearest cache.
pub(super) const AHEAD: usize = 8;
/// A bucket with more entries than this (one very frequent key) is sorted by all threads together.
const PARALLEL_SORT: usize = 1 << 19;

/// An entry while it is sorted: its prefix in the upper 64 bits, its chunk and the offset there in the lower. One
/// number, as whole numbers are compared without a branch.
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

/// A bucket that is being filled. What every entry needs lies together: entries come in any order, and where there are
/// many buckets, each one is at another place of memory.
#[derive(Debug, Default)]
pub(super) struct BucketBuilder {
    /// The chunk that entries are appended to.
    last: Vec<u8>,
    entries: usize,
    bytes: u64,
    /// Those before it.
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

    /// Asks for the memory that the next entry goes to.
    pub(super) fn prefetch(&self) {
        prefetch_end(&self.last);
    }

    /// The chunk to which the next entry, of `bytes` bytes that take `stored`, is to be appended; `another` makes one
    /// where the last is full.
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

    /// The same entries, to be read.
    pub(super) fn finish(self) -> Bucket {
        let mut chunks = self.full;
        chunks.extend(Some(self.last).filter(|last| !last.is_empty()));
        Bucket { chunks, entries: self.entries, bytes: self.bytes, sorted: OnceLock::new() }
    }
}

/// Entries in chunks of memory, to be read.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    chunks: Vec<Vec<u8>>,
    entries: usize,
    bytes: u64,
    /// The order of the entries, where that was found ahead.
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

    /// Takes the entries of another bucket of the same part.
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

    /// Hands every entry to `visit`, in order. `prefix` is that of the bucket's part.
    ///
    /// # Errors
    /// Whatever `visit` returns, at once.
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

    /// Finds the order of very many entries, with all threads. They should have nothing else to do: a thread that waits
    /// for the others takes up what there is, and comes back late. Fewer entries are left alone, which it tells.
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

    /// Sorts entries whose prefixes are equal, which says nothing of them. Most of them are of one key: then they get
    /// the prefixes of what their orders do not share.
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

    /// Bytes that the orders of all these entries begin with; none where they are not of one key.
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

/// Sorts an index, with all threads where it is of a very frequent key.
fn sort(index: &mut [SortKey], order: impl Fn(&SortKey, &SortKey) -> Ordering + Sync) {
    if index.len() > PARALLEL_SORT {
        index.par_sort_unstable_by(order);
    } else {
        index.sort_unstable_by(order);
    }
}

/// The shard and key that stand for a chunk: more than once where it is large.
fn samples(chunk: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let first = Entry::at(chunk, 0);
    std::iter::repeat_n((first.shard, first.key), chunk.len().div_ceil(CHUNK_BYTES))
}

/// Every run of more than one entry whose prefixes are equal.
fn equal_prefixes(index: &mut [SortKey]) -> impl Iterator<Item = &mut [SortKey]> {
    index.chunk_by_mut(|left, right| left.prefix() == right.prefix()).filter(|equal| equal.len() > 1)
}

/// Whether so many bytes fit a chunk without moving it.
pub(super) fn fits(chunk: &Vec<u8>, stored: usize) -> bool {
    chunk.len() + stored <= chunk.capacity()
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
