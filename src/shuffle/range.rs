//! What comes out of the shuffle: every shard as ranges of entries in order, each for one thread to drain.
//!
//! ```text
//!  in memory:  range = some buckets; a bucket holds the addresses of about 2 MiB of entries, so that sorting it and
//!              reading it in order stays within the processor's caches
//!  on disk:    range = the same part of every run, merged
//! ```
//!
//! Not for: writing anything. Memory of entries is freed when the last range in memory is gone.

use std::sync::Arc;

use rayon::prelude::*;

use super::Options;
use super::buffer::{Address, Buffer, entries};
use super::entry::{Entry, Prefix, compare};
use super::merge::Merge;
use super::spill::Run;
use super::split::{Part, split};
use crate::error::Result;

/// Bytes of entries sorted at a time.
const BUCKET_BYTES: u64 = 2 << 20;
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
    Memory { chunks: Arc<Vec<Vec<u8>>>, buckets: Vec<Bucket>, bytes: u64 },
    Runs { runs: Arc<Vec<Run>>, part: Part },
}

#[derive(Debug)]
struct Bucket {
    part: Part,
    pieces: Vec<Vec<Address>>,
}

impl Range {
    /// Hands every entry to `visit`, in order, and frees what the range held.
    ///
    /// # Errors
    /// Whatever `visit` returns, at once; `Unavailable` or `Corrupt` when a run cannot be read back.
    pub fn for_each(self, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        match self.0 {
            Source::Memory { chunks, buckets, .. } => {
                buckets.into_iter().try_for_each(|bucket| bucket.for_each(&chunks, &mut visit))
            }
            Source::Runs { runs, part } => Merge::open(runs.iter(), &part)?.for_each(visit),
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
    fn for_each(self, chunks: &[Vec<u8>], visit: &mut impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let entry = |address: Address| Entry::at(&chunks[address.chunk as usize], address.offset as usize);
        // This pass also brings the entries into the caches, many at a time, before sorting and visiting need them.
        let prefix = Prefix::within_shard(self.part.shared_prefix());
        let mut index: Vec<(u64, Address)> = Vec::with_capacity(self.pieces.iter().map(Vec::len).sum());
        for piece in self.pieces {
            index.extend(piece.into_iter().map(|address| {
                let entry = entry(address);
                (prefix.of(entry.shard, entry.key), address)
            }));
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
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let mut samples: Vec<Address> = Vec::new();
    for buffer in buffers {
        let base = chunks.len() as u32;
        let (more, sampled) = buffer.into_parts();
        chunks.extend(more);
        samples.extend(sampled.into_iter().map(|at| Address { chunk: at.chunk + base, offset: at.offset }));
    }
    let entry = |at: &Address| Entry::at(&chunks[at.chunk as usize], at.offset as usize);
    let mut samples: Vec<(u32, &[u8])> = samples.iter().map(|at| (entry(at).shard, entry(at).key)).collect();
    samples.par_sort_unstable();
    let parts = split(options.shards, &samples, (total / BUCKET_BYTES + 1) as usize);
    let scattered = scatter(&chunks, &parts, options);

    let chunks = Arc::new(chunks);
    let target = range_bytes(total, options);
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    let mut last_full = true;
    for (part, (pieces, bytes)) in parts.into_iter().zip(scattered) {
        if pieces.is_empty() {
            continue;
        }
        let ranges = &mut shards[part.from.shard as usize].ranges;
        let bucket = Bucket { part, pieces };
        match ranges.last_mut() {
            Some(Range(Source::Memory { buckets, bytes: held, .. })) if !last_full => {
                buckets.push(bucket);
                *held += bytes;
                last_full = *held >= target;
            }
            _ => {
                let chunks = Arc::clone(&chunks);
                ranges.push(Range(Source::Memory { chunks, buckets: vec![bucket], bytes }));
                last_full = bytes >= target;
            }
        }
    }
    shards
}

/// Bytes one range should hold, so that there is work for every thread and no file is needlessly small.
fn range_bytes(total: u64, options: &Options) -> u64 {
    let fair = total / (options.threads as u64 * RANGES_PER_THREAD).max(1) + 1;
    fair.clamp(MIN_RANGE_BYTES.min(options.range_bytes), options.range_bytes)
}

/// For every part, the addresses of its entries, piece by piece, and their bytes.
fn scatter(chunks: &[Vec<u8>], parts: &[Part], options: &Options) -> Vec<(Vec<Vec<Address>>, u64)> {
    let prefix = Prefix::new(options.shards);
    let starts: Vec<u64> = parts.iter().map(|part| prefix.of(part.from.shard, &part.from.key)).collect();
    let group = chunks.len().div_ceil(options.threads.max(1)).max(1);
    let scattered: Vec<Vec<(Vec<Address>, u64)>> = chunks
        .par_chunks(group)
        .enumerate()
        .map(|(number, group_chunks)| {
            let mut pieces = vec![(Vec::new(), 0); parts.len()];
            for (chunk, bytes) in group_chunks.iter().enumerate() {
                let chunk = (number * group + chunk) as u32;
                for (offset, entry) in entries(bytes) {
                    let (addresses, total) = &mut pieces[part_of(&entry, prefix, &starts, parts)];
                    addresses.push(Address { chunk, offset });
                    *total += entry.bytes();
                }
            }
            pieces
        })
        .collect();
    let mut merged: Vec<(Vec<Vec<Address>>, u64)> = vec![(Vec::new(), 0); parts.len()];
    for (addresses, bytes, part) in
        scattered.into_iter().flat_map(|g| g.into_iter().enumerate().map(|(part, (a, b))| (a, b, part)))
    {
        if !addresses.is_empty() {
            merged[part].0.push(addresses);
            merged[part].1 += bytes;
        }
    }
    merged
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

/// Cuts runs into ranges that merge themselves when drained.
pub(super) fn on_disk(runs: Vec<Run>, options: &Options) -> Vec<Shard> {
    let mut samples: Vec<(u32, &[u8])> = runs.iter().flat_map(Run::block_starts).collect();
    samples.par_sort_unstable();
    let total: u64 = runs.iter().map(Run::bytes).sum();
    let parts = split(options.shards, &samples, (total / range_bytes(total, options) + 1) as usize);
    drop(samples);
    let runs = Arc::new(runs);
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    for part in parts {
        let ranges = &mut shards[part.from.shard as usize].ranges;
        ranges.push(Range(Source::Runs { runs: Arc::clone(&runs), part }));
    }
    shards
}
