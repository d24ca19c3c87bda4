//! A shuffle that outlives its process: its runs and its splitters, sealed on disk and taken up by another process.
//!
//! ```text
//!  seal:    index behind every run ─▶ sync the runs ─▶ sync their directory ─▶ Sealed, for the caller's journal
//!  reopen:  Sealed ─▶ open the runs, read their indexes ─▶ the same ranges
//! ```
//! The ranges are the same because they are the same parts of the same files: every block of a run and its index carry
//! checksums, which are compared whenever they are read.
//!
//! Not for: whether the runs still belong to the job at hand; that is the caller's to know.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Options;
use super::range::{self, Range, Shard};
use super::spill::{Run, SealedRun};
use super::splitters::{Splitter, parts_at};
use crate::durable_file;
use crate::error::{Error, Result};

/// What another process needs to drain a shuffle, besides the runs in its spill directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    runs: Vec<SealedRun>,
    /// Where the key space is cut into ranges.
    cuts: Vec<Splitter>,
}

impl Sealed {
    /// How many shards its splitters speak of.
    pub(crate) fn shards(&self) -> u32 {
        self.cuts.last().map_or(1, |cut| cut.shard.saturating_add(1))
    }

    #[cfg(test)]
    /// Its runs.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }
}

/// Seals a shuffle that was sorted: its runs stay in the spill directory from now on, and survive a power cut. None
/// where nothing spilled, as all of it is in this process's memory then.
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
/// `Corrupt` when a run is gone or not as it was sealed; `Unavailable` when one cannot be read.
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
