//! The output of one shuffle as one sorted run that other machines read by shard, and a shard made of such parts.
//!
//! ```text
//!  machine p:  Shuffle::finish_as_run ─▶ one run, in which every shard begins at a block ─▶ its bytes by shard
//!  machine s:  the same shard's bytes of every run, as files ─▶ shard_of_parts ─▶ a Shard, merged while it is drained
//! ```
//! A part is some complete blocks of a run, so every block keeps its checksum. The number of entries is known from the
//! run: a part that has more or fewer when it is drained is damaged.
//!
//! Not for: moving the bytes between machines (`pipeline`).

use std::path::PathBuf;

use rayon::prelude::*;

use super::merge::{self, Merge};
use super::range::{Range, Shard};
use super::shard_part::{PartFile, ShardPart};
use super::spill::{Run, RunWriter};
use super::splitters::{KeyRange, Splitter};
use super::{Entry, Filled, Options, Shuffle, Stats, lock};
use crate::durable_file;
use crate::error::{Error, Result};
use crate::shutdown;

/// A run that other machines read.
#[derive(Debug)]
pub struct ExchangeRun {
    /// The file, which is left to the caller.
    pub path: PathBuf,
    /// Bytes of its largest block, decompressed.
    pub largest_block: usize,
    /// The shards that have entries, in order.
    pub parts: Vec<ShardPart>,
}

impl Shuffle {
    /// Ends the input and writes all entries as one sorted run, in which every shard begins at a block.
    ///
    /// # Errors
    /// `Unavailable` when runs cannot be written or merged; `Internal` when a writer did not finish.
    pub fn finish_as_run(self) -> Result<(ExchangeRun, Stats)> {
        self.check_finished()?;
        let options = &self.options;
        durable_file::create_dir_durable(&options.spill_dir)?;
        let Filled { buffers, mut stats } = std::mem::take(&mut *lock(&self.filled)?);
        let mut runs = std::mem::take(&mut *lock(&self.runs)?);
        runs.extend(buffers.into_par_iter().map(|buffer| self.write_run(buffer)).collect::<Result<Vec<Run>>>()?);
        let runs = merge::merge_to_fan_in(runs, options, || self.next_run(), &mut stats)?;
        let mut writer = ExchangeWriter::new(RunWriter::create(&options.spill_dir, self.next_run())?);
        Merge::open(runs.iter(), &KeyRange::whole())?.for_each(|entry| {
            shutdown::check()?;
            writer.push(&entry)
        })?;
        let run = writer.finish()?;
        stats.runs += 1;
        stats.spilled_bytes += run.parts.last().map_or(0, |part| part.to);
        Ok((run, stats))
    }
}

/// Writes a run and notes where each shard begins and ends.
struct ExchangeWriter {
    writer: RunWriter,
    parts: Vec<ShardPart>,
}

impl ExchangeWriter {
    fn new(writer: RunWriter) -> Self {
        Self { writer, parts: Vec::new() }
    }

    fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        if self.parts.last().is_none_or(|part| part.shard != entry.shard) {
            let from = self.end_part()?;
            self.parts.push(ShardPart { shard: entry.shard, from, to: from, entries: 0, bytes: 0 });
        }
        if let Some(part) = self.parts.last_mut() {
            part.entries += 1;
            part.bytes += entry.bytes();
        }
        self.writer.push(entry)
    }

    /// Ends the block and the part that are being written; returns where they end.
    fn end_part(&mut self) -> Result<u64> {
        let end = self.writer.break_block()?;
        self.parts.iter_mut().last().into_iter().for_each(|part| part.to = end);
        Ok(end)
    }

    fn finish(mut self) -> Result<ExchangeRun> {
        self.end_part()?;
        let run = self.writer.finish()?;
        run.keep();
        Ok(ExchangeRun { path: run.path().to_owned(), largest_block: run.largest_block(), parts: self.parts })
    }
}

/// One shard of the parts of it in several runs, which are merged while it is drained; in one range. Where they are too
/// many for the memory, some are merged now.
///
/// # Errors
/// `Corrupt` when a file does not have the bytes of its part, or a part is of another shard; `Unavailable` when files
/// cannot be read or written.
pub fn shard_of_parts(shard: u32, parts: &[PartFile], options: &Options) -> Result<Shard> {
    durable_file::create_dir_durable(&options.spill_dir)?;
    if let Some(other) = parts.iter().find(|file| file.part.shard != shard) {
        return Err(Error::corrupt(format!("a part of shard {} is among those of shard {shard}", other.part.shard)));
    }
    let open = |(number, file): (usize, &PartFile)| Run::of_part(number as u64, file);
    let runs: Vec<Run> = parts.iter().enumerate().map(open).collect::<Result<_>>()?;
    let first_free = std::sync::atomic::AtomicU64::new(runs.len() as u64);
    let number = || first_free.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let runs = merge::merge_to_fan_in(runs, options, number, &mut Stats::default())?;
    let expected = parts.iter().map(|file| file.part.entries).sum();
    let begin = |shard: u32| Splitter { shard, key: Vec::new() };
    let all = KeyRange { from: begin(shard), to: shard.checked_add(1).map(begin) };
    let ranges = if expected == 0 { Vec::new() } else { vec![Range::of_parts(runs, all, expected)] };
    Ok(Shard { number: shard, ranges })
}
