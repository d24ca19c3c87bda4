//! The shuffle, an external sample sort: entries in any order become every shard's in key order, within a memory budget.
//!
//! ```text
//!  query partition 0 ─▶ Writer ─▶ buckets ─┐                     fits: ┌▶ buckets ─▶ sort each ─┐
//!  query partition 1 ─▶ Writer ─▶ buckets ─┼▶ Shuffle::finish ─────────┤                        ├▶ Range ─▶ build
//!          …              │ over budget    │      splitters     spilled: └▶ runs ────▶ merge ────┘
//!                         └▶ sort ─▶ run ──┘
//! ```
//!
//! 1. Each [`Writer`] appends entries to memory. The first that has enough of them chooses splitters, which cut the key
//!    space into parts; from then on each entry goes directly to the bucket of its part ([`write_buffer`], [`bucket`]).
//! 2. A writer that has used up its share of the budget sorts its entries and writes them as one run ([`spill`]). When
//!    there are many runs, it merges the smallest into one ([`merge`]).
//! 3. [`Shuffle::finish`] cuts parts that are too large once more, at splitters from samples of *all* data, so that
//!    sorted, reversed and skewed input give equal work ([`splitters`]).
//! 4. Each [`Range`] then sorts its buckets, which fit into the processor's caches, or merges its part of the runs
//!    ([`range`]).
//! 5. If anything spilled, everything is in runs. Runs and splitters can be sealed ([`seal()`]), so that another
//!    process can drain the same ranges after this one crashed.
//! 6. On a cluster, everything becomes one run instead, which other machines read by shard ([`exchange`]).
//!
//! Entries compare by (shard, key, order, value) as separate fields, so every attempt gives the same order, whatever
//! the number of threads or spills. All entries of a key are in one range, so that deduplication sees all of them;
//! `docs/memory.md` says what a skewed key costs.
//!
//! Not for: resolving duplicate keys (`duplicates`), or deciding whether a later process may resume (`pipeline`).

mod bucket;
mod cursor;
pub mod duplicates;
mod entry;
mod exchange;
mod merge;
mod prefetch;
mod range;
mod seal;
mod shard_part;
mod sparse_index;
pub(crate) mod spill;
mod splitters;
mod write_buffer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::durable_file;
use crate::encode::EntryBatch;
use crate::error::{Error, Result};

pub use duplicates::DuplicatePolicy;
pub use entry::Entry;
pub use exchange::{ExchangeRun, shard_of_parts};
pub use range::{Range, Shard};
pub use seal::{Sealed, reopen, seal};
pub use shard_part::{PartFile, ShardPart};

use bucket::{AHEAD, CHUNK_BYTES};
use spill::Run;
use splitters::{KeyRange, RangePartitioner};
use write_buffer::Buffer;

/// Bytes in a writer's memory at which it cuts the key space.
const CUT_AT_BYTES: usize = 64 << 20;
/// Divisor of a writer's memory at which it cuts the key space, if that is less: a quarter.
const CUT_AT_SHARE: usize = 4;
/// Divisor of a writer's memory that partly filled chunks may take: an eighth.
const UNFILLED_SHARE: usize = 8;
/// Most runs per writer while the shuffle is filled, as each run is an open file. When there are more, the smallest are
/// merged into one.
const RUNS_PER_WRITER: usize = 256;
/// The largest key, order or value that the shuffle accepts, in bytes: 64 MiB, far more than a table may hold.
pub const MAX_FIELD_BYTES: usize = 64 << 20;

/// Resources and settings of a shuffle.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of memory for the entries of all writers.
    pub memory: usize,
    /// Number of writers, each with an equal share of the memory; at least 1.
    pub writers: usize,
    /// Threads that will drain it; at least 1.
    pub threads: usize,
    /// Shards entries are spread over; at least 1.
    pub shards: u32,
    /// Directory for sorted runs, created with the first run. Runs are deleted with the shuffle unless they are sealed.
    pub spill_dir: PathBuf,
    /// Target size of a range in bytes of entries: about one output file.
    pub range_bytes: u64,
    /// Expected bytes of entries. A wrong estimate only makes the shuffle slower.
    pub expected_bytes: u64,
}

/// Statistics of a shuffle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Entries pushed.
    pub entries: u64,
    /// Bytes of their keys, orders and values.
    pub bytes: u64,
    /// Sorted runs written to disk, merge passes included.
    pub runs: u64,
    /// Bytes written to disk.
    pub spilled_bytes: u64,
}

impl Stats {
    fn wrote(&mut self, run: &Run) {
        self.runs += 1;
        self.spilled_bytes += run.file_bytes();
    }

    fn add(&mut self, more: Self) {
        self.entries += more.entries;
        self.bytes += more.bytes;
        self.runs += more.runs;
        self.spilled_bytes += more.spilled_bytes;
    }
}

/// A shuffle that is being filled.
#[derive(Debug)]
pub struct Shuffle {
    options: Options,
    filled: Mutex<Filled>,
    /// Runs that writers have written so far.
    runs: Mutex<Vec<Run>>,
    /// Writers that have not finished.
    open: AtomicUsize,
    next_run: AtomicU64,
    uncut: Arc<RangePartitioner>,
    cuts: OnceLock<Arc<RangePartitioner>>,
}

/// What finished writers have handed over.
#[derive(Debug, Default)]
struct Filled {
    buffers: Vec<Buffer>,
    stats: Stats,
}

impl Shuffle {
    /// An empty shuffle. The spill directory is not used before memory runs out.
    pub fn new(options: Options) -> Self {
        let uncut = Arc::new(RangePartitioner::new(vec![KeyRange::whole()], options.shards));
        Self {
            options,
            filled: Mutex::default(),
            runs: Mutex::default(),
            open: AtomicUsize::new(0),
            next_run: AtomicU64::new(0),
            uncut,
            cuts: OnceLock::new(),
        }
    }

    /// A writer for one thread, with an equal share of the memory.
    pub fn writer(&self) -> Writer<'_> {
        let limit = self.options.memory / self.options.writers.max(1);
        let chunk = CHUNK_BYTES.min(limit / 8).max(256);
        let parts = (self.options.expected_bytes / range::BUCKET_BYTES) as usize;
        self.open.fetch_add(1, Ordering::Relaxed);
        Writer {
            shuffle: self,
            buffer: Buffer::new(chunk, Arc::clone(&self.uncut)),
            limit,
            cut_at: CUT_AT_BYTES.min(limit / CUT_AT_SHARE),
            parts: parts.min(limit / UNFILLED_SHARE / chunk),
            places: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// The splitters for entries that still arrive: about `parts` parts, sampled from the buffer of the first writer
    /// that asks.
    fn cuts(&self, parts: usize, seen: &Buffer) -> &Arc<RangePartitioner> {
        self.cuts.get_or_init(|| {
            let mut samples: Vec<(u32, &[u8])> = seen.samples().collect();
            samples.sort_unstable();
            let shards = self.options.shards;
            Arc::new(RangePartitioner::new(KeyRange::whole().split(shards, &samples, parts), shards))
        })
    }

    /// Ends the input and cuts every shard into ranges of sorted entries. If anything spilled, the rest, at most the
    /// budget, is spilled too.
    ///
    /// # Errors
    /// `Unavailable` when runs cannot be written or merged; `Internal` when a writer did not finish.
    pub fn finish(self) -> Result<(Vec<Shard>, Stats)> {
        self.check_finished()?;
        let Filled { buffers, mut stats } = std::mem::take(&mut *lock(&self.filled)?);
        let mut runs = std::mem::take(&mut *lock(&self.runs)?);
        let shards = if runs.is_empty() {
            range::in_memory(buffers, &self.options)
        } else {
            let last: Vec<Run> = buffers.into_par_iter().map(|buffer| self.write_run(buffer)).collect::<Result<_>>()?;
            last.iter().for_each(|run| stats.wrote(run));
            runs.extend(last);
            let runs = merge::merge_to_fan_in(runs, &self.options, || self.next_run(), &mut stats)?;
            let parts = range::parts_of(&runs, &self.options);
            range::on_disk(runs, parts, &self.options)
        };
        Ok((shards, stats))
    }

    /// Fails unless every writer has handed its entries over.
    fn check_finished(&self) -> Result<()> {
        match self.open.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(Error::internal("a shuffle writer was lost")),
        }
    }

    fn write_run(&self, buffer: Buffer) -> Result<Run> {
        let directory = &self.options.spill_dir;
        durable_file::create_dir_durable(directory)
            .map_err(|error| error.during(format!("cannot create the spill directory {}", directory.display())))?;
        let run = spill::write_sorted(buffer, directory, self.next_run(), self.options.shards)?;
        tracing::debug!(run = %run.path().display(), bytes = run.file_bytes(), "spilled a sorted run");
        Ok(run)
    }

    /// Adds a run. When there are too many, the smallest are merged into one within `memory` bytes.
    fn register_run(&self, run: Run, memory: usize, stats: &mut Stats) -> Result<()> {
        stats.wrote(&run);
        let mut runs = lock(&self.runs)?;
        runs.push(run);
        if runs.len() <= RUNS_PER_WRITER * self.options.writers.max(1) {
            return Ok(());
        }
        let smallest = merge::take_smallest(&mut runs, memory);
        drop(runs);
        let merged = merge::merge(&smallest, &self.options.spill_dir, self.next_run())?;
        tracing::debug!(runs = smallest.len(), bytes = merged.file_bytes(), "merged sorted runs");
        stats.wrote(&merged);
        lock(&self.runs)?.push(merged);
        Ok(())
    }

    fn next_run(&self) -> u64 {
        self.next_run.fetch_add(1, Ordering::Relaxed)
    }
}

fn lock<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    shared.lock().map_err(|_| Error::internal("a shuffle writer panicked"))
}

/// Fills a shuffle from one thread.
#[derive(Debug)]
pub struct Writer<'a> {
    shuffle: &'a Shuffle,
    buffer: Buffer,
    /// Bytes of memory it may use.
    limit: usize,
    /// Bytes of memory at which it cuts the key space.
    cut_at: usize,
    /// Parts that it then cuts the key space into; 0 once it has.
    parts: usize,
    /// The part of each row of a batch; a buffer that is reused.
    places: Vec<u32>,
    stats: Stats,
}

impl Writer<'_> {
    /// Adds every entry of a batch.
    ///
    /// # Errors
    /// `Input` when a field is larger than [`MAX_FIELD_BYTES`]; `Unavailable` when a run cannot be written.
    pub fn push(&mut self, batch: &EntryBatch) -> Result<()> {
        let rows = 0..batch.keys.len();
        // The parts of all rows are found first: the processor can then overlap the searches.
        let cuts = Arc::clone(self.buffer.cuts());
        let mut parts = std::mem::take(&mut self.places);
        parts.clear();
        parts.extend(rows.clone().map(|row| cuts.find(batch.shards[row], batch.keys.get(row)) as u32));
        for (row, part) in rows.zip(&parts) {
            if let Some(next) = parts.get(row + AHEAD) {
                self.buffer.prefetch(*next as usize);
            }
            let entry = Entry {
                shard: batch.shards[row],
                key: batch.keys.get(row),
                order: batch.orders.get(row),
                value: batch.values.get(row),
            };
            self.push_entry(entry, *part as usize)?;
        }
        self.places = parts;
        if self.parts > 1 && self.buffer.memory() >= self.cut_at {
            self.cut();
        }
        Ok(())
    }

    fn push_entry(&mut self, entry: Entry<'_>, part: usize) -> Result<()> {
        if entry.key.len().max(entry.order.len()).max(entry.value.len()) > MAX_FIELD_BYTES {
            return Err(Error::input(format!(
                "an entry of key 0x{} has a field larger than {} MiB; leave it out or make it smaller in the query",
                entry.key_hex(),
                MAX_FIELD_BYTES >> 20
            )));
        }
        let stored = entry.stored_bytes();
        let mut place = self.buffer.place(part, stored);
        if self.buffer.entries() > 0 && self.buffer.memory_with(place, stored) > self.limit {
            self.spill()?;
            place = self.buffer.place(part, stored);
        }
        self.stats.entries += 1;
        self.stats.bytes += entry.bytes();
        self.buffer.push(&entry, stored, place);
        Ok(())
    }

    /// Moves its entries into one bucket per part; later entries go there directly.
    fn cut(&mut self) {
        let cuts = self.shuffle.cuts(std::mem::take(&mut self.parts), &self.buffer);
        let empty = self.buffer.empty_like();
        self.buffer = std::mem::replace(&mut self.buffer, empty).cut(cuts);
    }

    fn spill(&mut self) -> Result<()> {
        let empty = self.buffer.empty_like();
        let full = std::mem::replace(&mut self.buffer, empty);
        let run = self.shuffle.write_run(full)?;
        // The memory of the entries that were just written is free again.
        self.shuffle.register_run(run, self.limit, &mut self.stats)
    }

    /// Entries pushed so far.
    pub fn entries(&self) -> u64 {
        self.stats.entries
    }

    /// Hands this writer's entries over to the shuffle.
    ///
    /// # Errors
    /// `Internal` when another writer panicked.
    pub fn finish(self) -> Result<()> {
        let mut filled = lock(&self.shuffle.filled)?;
        if self.buffer.entries() > 0 {
            filled.buffers.push(self.buffer);
        }
        filled.stats.add(self.stats);
        self.shuffle.open.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
