//! The shuffle: entries in any order in, every shard's entries in key order out, within a memory budget.
//!
//! ```text
//!  query partition 0 ─▶ Writer ─▶ buckets ─┐                     fits: ┌▶ buckets ─▶ sort each ─┐
//!  query partition 1 ─▶ Writer ─▶ buckets ─┼▶ Shuffle::finish ─────────┤                        ├▶ Range ─▶ build
//!          …              │ over budget    │      splitters     spilled: └▶ runs ────▶ merge ────┘
//!                         └▶ sort ─▶ run ──┘
//! ```
//!
//! 1. Each [`Writer`] appends entries to memory. The first that has seen enough of them cuts the key space at
//!    splitters, and from then on entries go to the bucket of their part at once ([`write_buffer`], [`bucket`]).
//! 2. A writer whose share of the budget is full sorts what it has and writes it as one run ([`spill`]). Where there
//!    are many runs, it merges the smallest into one ([`merge`]).
//! 3. [`Shuffle::finish`] cuts what came out uneven once more, at splitters from samples of *all* data, so that sorted,
//!    reversed and skewed input give equal work ([`splitters`]).
//! 4. Each [`Range`] then sorts its buckets, which fit the processor's caches, or merges its part of the runs
//!    ([`range`]).
//! 5. Where anything spilled, everything is in runs. With the splitters they can be sealed ([`seal()`]), so that
//!    another process can drain the same ranges after this one died.
//!
//! Entries compare by (shard, key, order, value) as separate fields: every attempt gives the same order, whatever the
//! number of threads or spills. A key's entries are always in one range, so that a fold sees all of them.
//!
//! Not for: what becomes of equal keys (see `fold`), or deciding whether a later process goes on (see `pipeline`).

mod bucket;
mod cursor;
pub mod duplicates;
mod entry;
mod merge;
mod prefetch;
mod range;
mod seal;
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

pub use entry::Entry;
pub use range::{Range, Shard};
pub use seal::{Sealed, reopen, seal};

use bucket::{AHEAD, CHUNK_BYTES};
use spill::Run;
use splitters::{KeyRange, RangePartitioner};
use write_buffer::Buffer;

/// The key space is cut once a writer holds so many bytes, or this share of its memory where that is less.
const CUT_AT_BYTES: usize = 64 << 20;
const CUT_AT_SHARE: usize = 4;
/// The most of a writer's memory that chunks which are not full may take: one part in so many.
const UNFILLED_SHARE: usize = 8;
/// Runs that there are at a time while the shuffle is filled, for every writer: a run is an open file. Where there are
/// more, the smallest become one.
const RUNS_PER_WRITER: usize = 256;
/// The largest key, order or value the shuffle takes, in bytes: 64 MiB, far beyond what a table may hold.
pub const MAX_FIELD_BYTES: usize = 64 << 20;

/// How a shuffle may use the machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of memory for entries, all writers together.
    pub memory: usize,
    /// Writers that fill it, each with an equal share; at least 1.
    pub writers: usize,
    /// Threads that will drain it; at least 1.
    pub threads: usize,
    /// Shards entries are spread over; at least 1.
    pub shards: u32,
    /// Directory for sorted runs; made when the first run is written. Runs go with the shuffle, unless they are sealed.
    pub spill_dir: PathBuf,
    /// Bytes of entries one range should hold: about what one output file holds.
    pub range_bytes: u64,
    /// Bytes of entries that are expected. Where they come out otherwise the shuffle takes longer, and nothing else.
    pub expected_bytes: u64,
}

/// What a shuffle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Entries taken.
    pub entries: u64,
    /// Bytes of keys, orders and values taken.
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

/// What finished writers leave behind.
#[derive(Debug, Default)]
struct Filled {
    buffers: Vec<Buffer>,
    stats: Stats,
}

impl Shuffle {
    /// An empty shuffle. Nothing is written to the spill directory before memory runs out.
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

    /// A writer for one thread. Each has its equal share of the memory.
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

    /// Where the key space is cut while entries come: into about `parts` parts, by what the first writer who asks has
    /// seen.
    fn cuts(&self, parts: usize, seen: &Buffer) -> &Arc<RangePartitioner> {
        self.cuts.get_or_init(|| {
            let mut samples: Vec<(u32, &[u8])> = seen.samples().collect();
            samples.sort_unstable();
            let shards = self.options.shards;
            Arc::new(RangePartitioner::new(KeyRange::whole().split(shards, &samples, parts), shards))
        })
    }

    /// Ends the filling and cuts every shard into ranges of sorted entries. Where anything spilled, what is still in
    /// memory is spilled too: at most the budget.
    ///
    /// # Errors
    /// `Unavailable` when runs cannot be written or merged; `Internal` when a writer was lost.
    pub fn finish(self) -> Result<(Vec<Shard>, Stats)> {
        if self.open.load(Ordering::Relaxed) > 0 {
            return Err(Error::internal("a shuffle writer was lost"));
        }
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

    fn write_run(&self, buffer: Buffer) -> Result<Run> {
        let directory = &self.options.spill_dir;
        durable_file::create_dir_durable(directory)
            .map_err(|error| error.during(format!("cannot make the spill directory {}", directory.display())))?;
        let run = spill::write_sorted(buffer, directory, self.next_run(), self.options.shards)?;
        tracing::debug!(run = %run.path().display(), bytes = run.file_bytes(), "spilled a sorted run");
        Ok(run)
    }

    /// Takes a run. Where there are too many, the smallest become one in `memory` bytes.
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
    /// Bytes of memory it may hold.
    limit: usize,
    /// Bytes of memory at which its entries are cut into this many parts; none once they are.
    cut_at: usize,
    parts: usize,
    /// The part of each row of a batch, kept for its memory.
    places: Vec<u32>,
    stats: Stats,
}

impl Writer<'_> {
    /// Takes every entry of a batch.
    ///
    /// # Errors
    /// `Input` when a field is larger than [`MAX_FIELD_BYTES`]; `Unavailable` when a run cannot be written.
    pub fn push(&mut self, batch: &EntryBatch) -> Result<()> {
        let rows = 0..batch.keys.len();
        // All rows' parts are found first, as the processor looks for several at once that way.
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
                "an entry of key 0x{} holds a field beyond {} MiB; leave it out or make it smaller in the query",
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

    /// Sorts its entries into buckets of their own parts; those that follow go there at once.
    fn cut(&mut self) {
        let cuts = self.shuffle.cuts(std::mem::take(&mut self.parts), &self.buffer);
        let empty = self.buffer.empty_like();
        self.buffer = std::mem::replace(&mut self.buffer, empty).cut(cuts);
    }

    fn spill(&mut self) -> Result<()> {
        let empty = self.buffer.empty_like();
        let full = std::mem::replace(&mut self.buffer, empty);
        let run = self.shuffle.write_run(full)?;
        // The memory of what was just written is free.
        self.shuffle.register_run(run, self.limit, &mut self.stats)
    }

    /// Entries taken so far.
    pub fn entries(&self) -> u64 {
        self.stats.entries
    }

    /// Hands what this writer holds to the shuffle.
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
