//! A shuffle that outlives its process: its runs and splitters are sealed on disk and reopened by another process.
//!
//! ```text
//!  seal:    append the index to every run ─▶ sync the runs ─▶ sync their directory ─▶ Sealed, for the caller's journal
//!  reopen:  Sealed ─▶ open the runs, read their indexes ─▶ the same ranges
//! ```
//! The ranges are the same because they are the same parts of the same files: every block of a run and of its index has
//! a checksum, which is verified on every read.
//!
//! Not for: whether the runs still belong to the current job, which the caller checks.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Options;
use super::range::{self, Range, Shard};
use super::spill::{Run, SealedRun};
use super::splitters::{Splitter, parts_at};
use crate::durable_file;
use crate::error::{Error, Result};

/// What another process needs to drain a shuffle, in addition to the runs in its spill directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    runs: Vec<SealedRun>,
    /// The splitters at which the ranges begin.
    cuts: Vec<Splitter>,
}

impl Sealed {
    /// The number of shards that its splitters cover.
    pub(crate) fn shards(&self) -> u32 {
        self.cuts.last().map_or(1, |cut| cut.shard.saturating_add(1))
    }

    #[cfg(test)]
    /// Number of its runs.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }
}

/// Seals a finished shuffle: from then on its runs stay in the spill directory, and survive a power cut. None if
/// nothing spilled, as all entries are then in this process's memory.
///
/// # Errors
/// `Unavailable` when the disk is full or fails.
pub fn seal(shards: &[Shard]) -> Result<Option<Sealed>> {
    let ranges = || shards.iter().flat_map(|shard| &shard.ranges).filter_map(Range::on_disk);
    let Some((runs, _)) = ranges().next() else { return Ok(None) };
    let sealed: Vec<SealedRun> = runs.par_iter().map(Run::seal).collect::<Result<_>>()?;
    if let Some(directory) = runs.first().and_then(|run| run.path().parent()) {
        durable_file::sync_dir(directory)?;
    }
    Ok(Some(Sealed { runs: sealed, cuts: ranges().map(|(_, part)| part.from.clone()).collect() }))
}

/// The ranges of a shuffle that another process sealed in the spill directory of `options`.
///
/// # Errors
/// `Corrupt` when a run is missing or has changed since; `Unavailable` when one cannot be read.
pub fn reopen(sealed: Sealed, options: &Options) -> Result<Vec<Shard>> {
    let Sealed { runs, cuts } = sealed;
    let begins = cuts.iter().filter(|cut| cut.key.is_empty()).map(|cut| cut.shard);
    let known = cuts.iter().all(|cut| cut.shard < options.shards);
    if !known || !begins.eq(0..options.shards) || !cuts.is_sorted_by(|left, right| left < right) {
        return Err(Error::corrupt("the splitters of the sealed shuffle do not cut its key space"));
    }
    let runs: Vec<Run> = runs.par_iter().map(|run| Run::open(&options.spill_dir, run)).collect::<Result<_>>()?;
    Ok(range::on_disk(runs, parts_at(cuts, None), options))
}
