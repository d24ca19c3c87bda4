//! What comes out of the shuffle: every shard as ranges of entries in order, each for one thread to drain.
//!
//! ```text
//!  in memory:  range = some buckets; a bucket holds about 512 KiB of entries, moved together, so that sorting it and
//!              reading it in order stays within the processor's caches
//!  on disk:    range = the same part of every run, merged
//! ```
//!
//! Not for: writing anything.

use std::sync::Arc;

use rayon::prelude::*;

use super::Options;
use super::buffer::{Address, Buffer, entries};
use super::entry::{Entry, Prefix, compare};
use super::merge::Merge;
use super::spill::Run;
use super::split::{Part, split};
use crate::error::Result;

/// Bytes of entries sorted at a time: half of what a core's own cache holds, with the index beside them.
const BUCKET_BYTES: u64 = 512 << 10;
/// A bucket with more entries than this (one very frequent key) is sorted by all threads together.
const PARALLEL_SORT: usize = 1 << 19;
/// Ranges per thread where the data is small, so that threads end at about the same time.
const RANGES_PER_THREAD: u64 = 3;
/// A range holds at least this many bytes of entries, so that small data does not become many small files.
const MIN_RANGE_BYTES: u64 = 4 << 20;

/// One shard's entries.
#[derive(Debug)]
pub struct Shard {
    /// The shard, from 0.
    pub number: u32,
    /// Its ranges, in key order; none where the shard is empty.
    pub ranges: Vec<Range>,
}

/// A contiguous part of one shard's keys.
#[derive(Debug)]
pub struct Range(Source);

#[derive(Debug)]
enum Source {
    Memory { buckets: Vec<Bucket>, bytes: u64 },
    Runs { runs: Arc<Vec<Run>>, part: Part },
}

#[derive(Debug)]
struct Bucket {
    part: Part,
    blocks: Vec<Vec<u8>>,
    entries: usize,
    bytes: u64,
}

impl Range {
    /// Hands every entry to `visit`, in order; again when it is called again, as a range holds what it has until it is
    /// dropped.
    ///
    /// # Errors
    /// Whatever `visit` returns, at once; `Unavailable` or `Corrupt` when a run cannot be read back.
    pub fn for_each(&self, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        match &self.0 {
            Source::Memory { buckets, .. } => buckets.iter().try_for_each(|bucket| bucket.for_each(&mut visit)),
            Source::Runs { runs, part } => Merge::open(runs.iter(), part)?.for_each(visit),
        }
    }

    /// The runs it merges a part of, and which part; none for a range in memory.
    pub(super) fn on_disk(&self) -> Option<(&[Run], &Part)> {
        match &self.0 {
            Source::Memory { .. } => None,
            Source::Runs { runs, part } => Some((runs, part)),
        }
    }

    /// Bytes of entries in memory; 0 for a range on disk.
    pub fn memory(&self) -> u64 {
        match &self.0 {
            Source::Memory { bytes, .. } => *bytes,
            Source::Runs { .. } => 0,
        }
    }
}

impl Bucket {
    fn for_each(&self, visit: &mut impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let entry = |at: Address| Entry::at(&self.blocks[at.chunk as usize], at.offset as usize);
        let prefix = Prefix::within_shard(self.part.shared_prefix());
        let mut index: Vec<(u64, Address)> = Vec::with_capacity(self.entries);
        for (chunk, block) in self.blocks.iter().enumerate() {
            let chunk = chunk as u32;
            index.extend(
                entries(block).map(|(offset, entry, _)| (prefix.of(entry.shard, entry.key), Address { chunk, offset })),
            );
        }
        let order = |left: &(u64, Address), right: &(u64, Address)| {
            compare((left.0, || entry(left.1)), (right.0, || entry(right.1)))
        };
        if index.len() > PARALLEL_SORT {
            index.par_sort_unstable_by(order);
        } else {
            index.sort_unstable_by(order);
        }
        index.into_iter().try_for_each(|(_, address)| visit(entry(address)))
    }
}

/// Cuts buffers into ranges that sort themselves when drained.
pub(super) fn in_memory(buffers: Vec<Buffer>, options: &Options) -> Vec<Shard> {
    let total: u64 = buffers.iter().map(Buffer::bytes).sum();
    let mut samples: Vec<(u32, &[u8])> = buffers.iter().flat_map(Buffer::samples).collect();
    samples.par_sort_unstable();
    let target = range_bytes(total, options);
    let parts = split(options.shards, &samples, (total / BUCKET_BYTES.min(target) + 1) as usize);
    drop(samples);
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    for bucket in scatter(buffers, parts, options).into_iter().filter(|bucket| bucket.entries > 0) {
        let ranges = &mut shards[bucket.part.from.shard as usize].ranges;
        match ranges.last_mut() {
            Some(Range(Source::Memory { buckets, bytes })) if *bytes < target => {
                *bytes += bucket.bytes;
                buckets.push(bucket);
            }
            _ => ranges.push(Range(Source::Memory { bytes: bucket.bytes, buckets: vec![bucket] })),
        }
    }
    shards
}

/// Bytes one range should hold, so that there is work for every thread and no file is needlessly small.
fn range_bytes(total: u64, options: &Options) -> u64 {
    let fair = total / (options.threads as u64 * RANGES_PER_THREAD).max(1) + 1;
    fair.clamp(MIN_RANGE_BYTES.min(options.range_bytes), options.range_bytes)
}

/// Moves every entry to the bucket of its part. Memory stays about what it was: a block that has been emptied is the
/// next one to be filled.
fn scatter(buffers: Vec<Buffer>, parts: Vec<Part>, options: &Options) -> Vec<Bucket> {
    let prefix = Prefix::new(options.shards);
    let starts: Vec<u64> = parts.iter().map(|part| prefix.of(part.from.shard, &part.from.key)).collect();
    let mut shares: Vec<Vec<Vec<u8>>> = (0..options.threads.max(1)).map(|_| Vec::new()).collect();
    for (number, block) in buffers.into_iter().flat_map(Buffer::into_blocks).enumerate() {
        let share = number % shares.len();
        shares[share].push(block);
    }
    let scattered: Vec<Vec<Scattered>> = shares
        .into_par_iter()
        .map(|blocks| {
            let mut own: Vec<Scattered> = parts.iter().map(|_| Scattered::default()).collect();
            let mut empty: Vec<Vec<u8>> = Vec::new();
            for mut block in blocks {
                for (_, entry, stored) in entries(&block) {
                    let part = &mut own[part_of(&entry, prefix, &starts, &parts)];
                    part.push(stored, entry.bytes(), &mut empty, block.capacity());
                }
                block.clear();
                empty.push(block);
            }
            own
        })
        .collect();
    let mut buckets: Vec<Bucket> =
        parts.into_iter().map(|part| Bucket { part, blocks: Vec::new(), entries: 0, bytes: 0 }).collect();
    for share in scattered {
        for (bucket, scattered) in buckets.iter_mut().zip(share) {
            bucket.blocks.extend(scattered.blocks);
            bucket.entries += scattered.entries;
            bucket.bytes += scattered.bytes;
        }
    }
    buckets
}

/// What one thread has moved to one bucket.
#[derive(Debug, Default)]
struct Scattered {
    blocks: Vec<Vec<u8>>,
    entries: usize,
    bytes: u64,
}

impl Scattered {
    fn push(&mut self, stored: &[u8], bytes: u64, empty: &mut Vec<Vec<u8>>, block_bytes: usize) {
        let fits = |block: &Vec<u8>| block.len() + stored.len() <= block.capacity();
        self.entries += 1;
        self.bytes += bytes;
        match self.blocks.last_mut().filter(|block| fits(block)) {
            Some(block) => block.extend_from_slice(stored),
            None => {
                let reused = empty.pop().filter(fits);
                let mut block = reused.unwrap_or_else(|| Vec::with_capacity(block_bytes.max(stored.len())));
                block.extend_from_slice(stored);
                self.blocks.push(block);
            }
        }
    }
}

/// The part an entry lies in: the last one that starts at or before it.
fn part_of(entry: &Entry<'_>, prefix: Prefix, starts: &[u64], parts: &[Part]) -> usize {
    let own = prefix.of(entry.shard, entry.key);
    let mut candidate = starts.partition_point(|start| *start <= own).saturating_sub(1);
    while candidate > 0 && starts[candidate] == own && {
        let from = &parts[candidate].from;
        (from.shard, from.key.as_slice()) > (entry.shard, entry.key)
    } {
        candidate -= 1;
    }
    candidate
}

/// The parts into which the key space of runs is cut.
pub(super) fn parts_of(runs: &[Run], options: &Options) -> Vec<Part> {
    let mut samples: Vec<(u32, &[u8])> = runs.iter().flat_map(Run::block_starts).collect();
    samples.par_sort_unstable();
    let total: u64 = runs.iter().map(Run::bytes).sum();
    split(options.shards, &samples, (total / range_bytes(total, options) + 1) as usize)
}

/// Ranges of these parts, each merging its part of every run when drained.
pub(super) fn on_disk(runs: Vec<Run>, parts: Vec<Part>, options: &Options) -> Vec<Shard> {
    let runs = Arc::new(runs);
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    for part in parts {
        let ranges = &mut shards[part.from.shard as usize].ranges;
        ranges.push(Range(Source::Runs { runs: Arc::clone(&runs), part }));
    }
    shards
}
