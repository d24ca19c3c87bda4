//! Merges sorted runs: a part of each into one sorted stream, and many runs into few when there are too many.
//!
//! The merge is a loser tree (Knuth, The Art of Computer Programming 3, 5.4.1): each inner node remembers the run that
//! lost there, so finding the next smallest entry costs one comparison per level, mostly of two integers that are
//! stored in the tree itself.
//!
//! Invariant: a merge holds one block of each run, for which half of its memory is enough as long as it reads no more
//! runs than [`fan_in`] says. The other half is for what all of them use in turn, and for what is written.
//!
//! Not for: resolving duplicate keys (`duplicates`).

use std::cmp::Reverse;
use std::path::Path;

use rayon::prelude::*;

use super::cursor::{Cursor, DONE, HELD_WHOLE, KeyPrefix, Scratch};
use super::entry::Entry;
use super::spill::{BLOCK_BYTES, Run, RunWriter};
use super::splitters::KeyRange;
use super::{Options, Stats};
use crate::error::Result;
use crate::shutdown;

/// Least number of runs per merge, however small the memory.
const MIN_FAN_IN: usize = 4;

/// The entries of one part of several runs, in order.
pub(super) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// `losers[0]` is the winner; `losers[1..]` the loser at each inner node.
    losers: Vec<Contestant>,
    scratch: Scratch,
}

/// The number of a cursor, and its head.
#[derive(Clone, Copy, Debug)]
struct Contestant {
    head: KeyPrefix,
    cursor: usize,
}

impl<'a> Merge<'a> {
    /// # Errors
    /// `Unavailable` or `Corrupt` when a run cannot be read back.
    pub(super) fn open(runs: impl IntoIterator<Item = &'a Run>, part: &'a KeyRange) -> Result<Self> {
        let mut scratch = Scratch::default();
        let open = |run| Cursor::open(run, part, &mut scratch);
        let cursors = runs.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let exhausted = Contestant { head: DONE, cursor: 0 };
        let mut merge = Self { losers: vec![exhausted; cursors.len().max(1)], cursors, scratch };
        if !merge.cursors.is_empty() {
            merge.losers[0] = merge.play(1)?;
        }
        Ok(merge)
    }

    fn contestant(&self, cursor: usize) -> Contestant {
        Contestant { head: self.cursors[cursor].head(), cursor }
    }

    /// Plays the games below `node` and returns the winner. Leaves are the nodes from the number of cursors on.
    fn play(&mut self, node: usize) -> Result<Contestant> {
        let count = self.cursors.len();
        if node >= count {
            return Ok(self.contestant(node - count));
        }
        let (left, right) = (self.play(2 * node)?, self.play(2 * node + 1)?);
        let (winner, loser) = if self.before(right, left)? { (right, left) } else { (left, right) };
        self.losers[node] = loser;
        Ok(winner)
    }

    /// Whether one's entry comes before the other's.
    #[inline]
    fn before(&mut self, one: Contestant, other: Contestant) -> Result<bool> {
        if one.head != other.head || one.head == DONE {
            return Ok(one.head < other.head);
        }
        let cursors = &self.cursors;
        Ok(cursors[one.cursor].compare(&cursors[other.cursor], &mut self.scratch)?.is_lt())
    }

    /// # Errors
    /// The first error of `visit`; `Unavailable` or `Corrupt` when a run cannot be read back.
    pub(super) fn for_each(mut self, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let count = self.cursors.len();
        while self.losers[0].head != DONE {
            let cursor = self.losers[0].cursor;
            visit(self.cursors[cursor].entry(&mut self.scratch)?)?;
            self.cursors[cursor].advance(&mut self.scratch)?;
            let mut winner = self.contestant(cursor);
            let mut node = (cursor + count) / 2;
            while node > 0 {
                let loser = self.losers[node];
                if self.before(loser, winner)? {
                    self.losers[node] = winner;
                    winner = loser;
                }
                node /= 2;
            }
            self.losers[0] = winner;
        }
        Ok(())
    }
}

/// How many runs one merge may read within `memory` bytes, where no cursor holds a larger block.
pub(super) fn fan_in(memory: usize, largest_block: usize) -> usize {
    (memory / (2 * largest_block.max(BLOCK_BYTES))).max(MIN_FAN_IN)
}

/// Bytes of the largest block that a cursor holds.
fn largest_block(runs: &[Run]) -> usize {
    runs.iter().map(Run::largest_block).max().unwrap_or(0).min(HELD_WHOLE)
}

/// Removes and returns the smallest runs: as many as one merge can read within `memory` bytes.
pub(super) fn take_smallest(runs: &mut Vec<Run>, memory: usize) -> Vec<Run> {
    let fan_in = fan_in(memory, largest_block(runs));
    largest_first(runs);
    runs.split_off(runs.len().saturating_sub(fan_in))
}

fn largest_first(runs: &mut [Run]) {
    runs.sort_unstable_by_key(|run| Reverse(run.bytes()));
}

/// Merges runs into one.
///
/// # Errors
/// `Unavailable` when the disk is full or fails, `Corrupt` when a run cannot be read back; `Stopped` after a request to
/// stop.
pub(super) fn merge(runs: &[Run], directory: &Path, number: u64) -> Result<Run> {
    let mut writer = RunWriter::create(directory, number)?;
    Merge::open(runs, &KeyRange::whole())?.for_each(|entry| {
        shutdown::check()?;
        writer.push(&entry)
    })?;
    writer.finish()
}

/// One merge pass over the smallest runs, which leaves few enough runs; runs that it leaves out are read once less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MergePlan {
    /// Runs that are merged.
    pub(super) runs: usize,
    /// Merges, each of which writes one run.
    pub(super) merges: usize,
    /// Merges that run concurrently.
    pub(super) at_once: usize,
}

impl MergePlan {
    /// The next pass over `count` runs; none if every thread can already merge all of them at once. If there are too
    /// many runs for one pass, further passes follow.
    pub(super) fn of(count: usize, largest_block: usize, options: &Options) -> Option<Self> {
        let threads = options.threads.max(1);
        let all = fan_in(options.memory, largest_block);
        let last = fan_in(options.memory / threads, largest_block);
        let excess = count.checked_sub(last).filter(|excess| *excess > 0)?;
        // Where one pass would not be enough otherwise, fewer concurrent merges with more runs each.
        let fan_in = count.div_ceil(last).clamp(last, all);
        let runs = (excess + excess.div_ceil(fan_in - 1)).min(count);
        Some(Self { runs, merges: runs.div_ceil(fan_in), at_once: (all / fan_in).clamp(1, threads) })
    }
}

/// Merges runs into larger ones until a merge of all of them by every thread at once fits the memory.
///
/// # Errors
/// As [`merge`].
pub(super) fn merge_to_fan_in(
    mut runs: Vec<Run>,
    options: &Options,
    number: impl Fn() -> u64 + Sync,
    stats: &mut Stats,
) -> Result<Vec<Run>> {
    while let Some(pass) = MergePlan::of(runs.len(), largest_block(&runs), options) {
        largest_first(&mut runs);
        let mut smallest = runs.split_off(runs.len() - pass.runs).into_iter();
        let mut groups: Vec<Vec<Run>> = Vec::new();
        while smallest.len() > 1 {
            groups.push(smallest.by_ref().take(pass.runs.div_ceil(pass.merges)).collect());
        }
        runs.extend(smallest);
        while !groups.is_empty() {
            let now = groups.split_off(groups.len().saturating_sub(pass.at_once));
            let merge = |group: Vec<Run>| merge(&group, &options.spill_dir, number());
            let merged: Vec<Run> = now.into_par_iter().map(merge).collect::<Result<_>>()?;
            merged.iter().for_each(|run| stats.wrote(run));
            runs.extend(merged);
        }
    }
    Ok(runs)
}
