//! The output of the shuffle: every shard as ranges of sorted entries, each of which one thread drains.
//!
//! ```text
//!  in memory:  range = some buckets; a bucket holds a few MiB of entries, so that sorting and reading it stays within
//!              the processor's caches
//!  on disk:    range = the same part of every run, merged
//! ```
//!
//! Not for: writing the entries (`build`).

use std::sync::Arc;

use rayon::prelude::*;

use super::Options;
use super::bucket::{Bucket, BucketBuilder, entries, fits};
use super::entry::Entry;
use super::merge::Merge;
use super::spill::Run;
use super::splitters::{KeyRange, RangePartitioner};
use super::write_buffer::Buffer;
use crate::error::{Error, Result};

/// Target size of a bucket, which is sorted at once. Sizes from 2 to 16 MiB showed no measurable difference.
pub(super) const BUCKET_BYTES: u64 = 4 << 20;
/// A bucket larger than this many times the target is split.
const UNEVEN: u64 = 2;
/// Ranges per thread for small data, so that all threads finish at about the same time.
const RANGES_PER_THREAD: u64 = 3;
/// A range holds at least this many bytes of entries, so that small data does not become many small files.
const MIN_RANGE_BYTES: u64 = 4 << 20;

/// One shard's entries.
#[derive(Debug)]
pub struct Shard {
    /// The shard, from 0.
    pub number: u32,
    /// Its ranges, in key order; none if the shard is empty.
    pub ranges: Vec<Range>,
}

/// A contiguous part of one shard's keys.
#[derive(Debug)]
pub struct Range(Source);

#[derive(Debug)]
enum Source {
    Memory {
        buckets: Vec<(KeyRange, Bucket)>,
        shards: u32,
        bytes: u64,
    },
    /// With the number of entries, where it is known.
    Runs {
        runs: Arc<Vec<Run>>,
        part: KeyRange,
        entries: Option<u64>,
    },
}

impl Range {
    /// Passes every entry to `visit`, in order. Can be called again with the same result: a range keeps its entries
    /// until it is dropped.
    ///
    /// # Errors
    /// The first error of `visit`; `Unavailable` or `Corrupt` when a run cannot be read back.
    pub fn for_each(&self, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        match &self.0 {
            Source::Memory { buckets, shards, .. } => {
                buckets.iter().try_for_each(|(part, bucket)| bucket.for_each(part.prefix(*shards), &mut visit))
            }
            Source::Runs { runs, part, entries } => {
                let mut found = 0;
                Merge::open(runs.iter(), part)?.for_each(|entry| {
                    found += 1;
                    visit(entry)
                })?;
                match entries {
                    Some(entries) if *entries != found => Err(Error::corrupt(format!(
                        "the runs have {found} entries of shard {}, and were written with {entries}",
                        part.from.shard
                    ))),
                    _ => Ok(()),
                }
            }
        }
    }

    /// A range that merges `part` of some runs, which have this number of entries there.
    pub(super) fn of_parts(runs: Vec<Run>, part: KeyRange, entries: u64) -> Self {
        Self(Source::Runs { runs: Arc::new(runs), part, entries: Some(entries) })
    }

    /// Sorts the in-memory buckets of very frequent keys with all threads, preferably before any range is drained.
    /// Returns whether there are any.
    pub fn presort_hot_key(&self) -> bool {
        match &self.0 {
            Source::Memory { buckets, shards, .. } => {
                buckets.iter().filter(|(part, bucket)| bucket.presort_hot_key(part.prefix(*shards))).count() > 0
            }
            Source::Runs { .. } => false,
        }
    }

    /// The runs that it merges and the part of them; none for a range in memory.
    pub(super) fn on_disk(&self) -> Option<(&[Run], &KeyRange)> {
        match &self.0 {
            Source::Memory { .. } => None,
            Source::Runs { runs, part, .. } => Some((runs, part)),
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

/// Makes ranges of entries in memory, which are sorted when they are drained.
pub(super) fn in_memory(buffers: Vec<Buffer>, options: &Options) -> Vec<Shard> {
    let buckets = bucket_by_bucket(buffers);
    let total: u64 = buckets.iter().map(|(_, bucket)| bucket.bytes()).sum();
    let target = range_bytes(total, options);
    let bucket_bytes = BUCKET_BYTES.min(target);
    let (large, mut buckets): (Vec<_>, Vec<_>) = buckets
        .into_iter()
        .partition(|(part, bucket)| bucket.bytes() > UNEVEN * bucket_bytes || !part.is_within_shard(options.shards));
    buckets.extend(redistribute(large, bucket_bytes, options));
    buckets.retain(|(_, bucket)| bucket.entries() > 0);
    buckets.sort_unstable_by(|(left, _), (right, _)| left.from.cmp(&right.from));
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    for (part, bucket) in buckets {
        let ranges = &mut shards[part.from.shard as usize].ranges;
        let more = bucket.bytes();
        match ranges.last_mut() {
            Some(Range(Source::Memory { buckets, bytes, .. })) if *bytes < target => {
                *bytes += more;
                buckets.push((part, bucket));
            }
            _ => ranges.push(Range(Source::Memory {
                buckets: vec![(part, bucket)],
                shards: options.shards,
                bytes: more,
            })),
        }
    }
    shards
}

/// The buckets of all buffers, merged by part.
fn bucket_by_bucket(buffers: Vec<Buffer>) -> Vec<(KeyRange, Bucket)> {
    // The buffer of a writer with few entries may not be cut into parts.
    let Some(cuts) = buffers.iter().max_by_key(|buffer| buffer.parts()).map(|buffer| Arc::clone(buffer.cuts())) else {
        return Vec::new();
    };
    let buffers: Vec<Buffer> = buffers.into_par_iter().map(|buffer| buffer.cut(&cuts)).collect();
    let mut all: Vec<(KeyRange, Bucket)> = cuts.parts().iter().map(|part| (part.clone(), Bucket::default())).collect();
    for buffer in buffers {
        all.iter_mut().zip(buffer.into_buckets()).for_each(|((_, bucket), more)| bucket.append(more));
    }
    all
}

/// Target size of a range: small enough for work for every thread, large enough to avoid needlessly small files.
fn range_bytes(total: u64, options: &Options) -> u64 {
    let fair = total / (options.threads as u64 * RANGES_PER_THREAD).max(1) + 1;
    fair.clamp(MIN_RANGE_BYTES.min(options.range_bytes), options.range_bytes)
}

/// Splits buckets that are too large: moves every entry to the bucket of its new part. Memory stays about the same, as
/// emptied chunks are reused.
fn redistribute(large: Vec<(KeyRange, Bucket)>, bucket_bytes: u64, options: &Options) -> Vec<(KeyRange, Bucket)> {
    let split = |(part, bucket): &(KeyRange, Bucket)| {
        let mut samples: Vec<(u32, &[u8])> = bucket.samples().collect();
        samples.par_sort_unstable();
        part.split(options.shards, &samples, (bucket.bytes() / bucket_bytes + 1) as usize)
    };
    let cuts = RangePartitioner::new(large.iter().flat_map(split).collect(), options.shards);
    let mut shares: Vec<Vec<Vec<u8>>> = (0..options.threads.max(1)).map(|_| Vec::new()).collect();
    for (number, chunk) in large.into_iter().flat_map(|(_, bucket)| bucket.into_chunks()).enumerate() {
        let share = number % shares.len();
        shares[share].push(chunk);
    }
    let scattered: Vec<Vec<Bucket>> = shares
        .into_par_iter()
        .map(|chunks| {
            let mut own: Vec<BucketBuilder> = cuts.parts().iter().map(|_| BucketBuilder::default()).collect();
            let mut empty: Vec<Vec<u8>> = Vec::new();
            for mut chunk in chunks {
                for (_, entry, stored) in entries(&chunk) {
                    let another = || {
                        let reused = empty.pop().filter(|chunk| fits(chunk, stored.len()));
                        reused.unwrap_or_else(|| Vec::with_capacity(chunk.capacity().max(stored.len())))
                    };
                    let bucket = &mut own[cuts.find(entry.shard, entry.key)];
                    bucket.reserve(entry.bytes(), stored.len(), another).extend_from_slice(stored);
                }
                chunk.clear();
                empty.push(chunk);
            }
            own.into_iter().map(BucketBuilder::finish).collect()
        })
        .collect();
    let mut buckets: Vec<(KeyRange, Bucket)> =
        cuts.into_parts().into_iter().map(|part| (part, Bucket::default())).collect();
    for share in scattered {
        buckets.iter_mut().zip(share).for_each(|((_, bucket), more)| bucket.append(more));
    }
    buckets
}

/// The parts into which the key space of these runs is cut.
pub(super) fn parts_of(runs: &[Run], options: &Options) -> Vec<KeyRange> {
    // One sample per `step` blocks of every run, so that each sample represents about the same number of bytes.
    let step = runs.iter().map(|run| run.index().step()).max().unwrap_or(1);
    let mut samples: Vec<(u32, &[u8])> = runs
        .iter()
        .flat_map(|run| run.index().marks().step_by(step / run.index().step()))
        .map(|(_, shard, key)| (shard, key))
        .collect();
    samples.par_sort_unstable();
    let total: u64 = runs.iter().map(Run::bytes).sum();
    KeyRange::whole().split(options.shards, &samples, (total / range_bytes(total, options) + 1) as usize)
}

/// Makes one range per part, which merges that part of every run when it is drained.
pub(super) fn on_disk(runs: Vec<Run>, parts: Vec<KeyRange>, options: &Options) -> Vec<Shard> {
    let runs = Arc::new(runs);
    let mut shards: Vec<Shard> = (0..options.shards).map(|number| Shard { number, ranges: Vec::new() }).collect();
    for part in parts {
        let ranges = &mut shards[part.from.shard as usize].ranges;
        ranges.push(Range(Source::Runs { runs: Arc::clone(&runs), part, entries: None }));
    }
    shards
}
