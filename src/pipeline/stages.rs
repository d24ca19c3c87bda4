//! The stages of a build, one function each, in the order they run.
//!
//! Not for: deciding whether to build or publish.

use std::path::PathBuf;

use rayon::prelude::*;

use super::build_dir::{BuildDir, Spills};
use super::measures::{Measures, Seen};
use super::predict;
use super::prepare::Prepared;
use super::resume::{self, Shuffled};
use super::upload::{FinishedShards, uploading};
use crate::build::{BuiltShard, FILTER_BYTES_PER_ROW, RangeCounts, ShardPaths, build_shard};
use crate::catalog::Catalog;
use crate::check::{self, Previous};
use crate::durable_file;
use crate::encode::{EncodePlan, Encoder, EntryBatch};
use crate::error::{Error, Result};
use crate::format::{CheckOutcome, CheckResult};
use crate::job::{Fold, Verify};
use crate::progress::StageTimer;
use crate::query::{JoinStrategy, RunError, Usage, pieces};
use crate::shuffle::duplicates::DuplicatePolicy;
use crate::shuffle::{self, Shard, Shuffle, Writer};

/// A table holds at least this many entries, however small the memory.
const MIN_ROWS_PER_TABLE: u64 = 4096;

/// Checks columns that must be unique, with one extra query for each whose result is not `known`.
pub(super) fn unique(prepared: &Prepared<'_>, build: &BuildDir, known: &[CheckResult]) -> Result<Vec<CheckResult>> {
    let check = |column: &String| {
        let rule = format!("unique: {column}");
        if let Some(known) = known.iter().find(|result| result.rule == rule) {
            return Ok(known.clone());
        }
        let repeated = prepared
            .query
            .duplicates(std::slice::from_ref(column))?
            .collect(3, &build.query_spill())
            .map_err(|failed| prepared.explain(failed))?;
        let mut found = Vec::new();
        for batch in &repeated {
            let shown = arrow::util::display::ArrayFormatter::try_new(batch.column(0), &Default::default());
            let shown = shown.map_err(|error| Error::internal("cannot format a value").because(error))?;
            found.extend((0..batch.num_rows()).map(|row| format!("{:?}", shown.value(row).to_string())));
        }
        let outcome = if found.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        let found = if found.is_empty() { "none".to_owned() } else { format!("{} and maybe more", found.join(", ")) };
        Ok(CheckResult { rule, outcome, expected: "no value twice".to_owned(), found, compared: None })
    };
    prepared.job.checks.unique.iter().map(check).collect()
}

/// Predicts the run, runs the query, encodes its rows and shuffles them. A query that does not fit into memory is
/// repeated with the next join strategy. If the shuffle is sealed on disk, the journal records it.
pub(super) fn shuffle(
    prepared: &Prepared<'_>,
    build: &BuildDir,
    previous: Option<&Previous>,
    stages: &mut Vec<StageTimer>,
) -> Result<(Vec<Shard>, Shuffled)> {
    let stage = prepared.options.progress.stage("predict", None);
    let predicted = predict::predict(prepared, previous, &build.query_spill())
        .map_err(|error| build.with_space_needed(error, 0))?;
    stages.push(stage.finish());
    let (bytes, spill_bytes) = predicted.sizes.as_ref().map_or((0, 0), |sizes| (sizes.bytes, sizes.spill_bytes));
    build.warn_of_full_disk(bytes, spill_bytes);
    let full = |error: Error| build.with_space_needed(error, spill_bytes);
    let unique = unique(prepared, build, &[])?;
    let Filled { shuffle, measures, seen, query, took } = prepared
        .query
        .run_with_fallback(|way| fill(prepared, &build.spills(), predicted.expected_bytes, way))
        .map_err(|failed| full(prepared.explain(failed)))?;
    let profile = measures.profile(seen);
    stages.push(took);
    let stage = prepared.options.progress.stage("split", None);
    let sorted = prepared.options.resources.cpu_pool()?.install(|| {
        let (shards, stats) = shuffle.finish()?;
        let sealed = shuffle::seal(&shards)?;
        Ok::<_, Error>((shards, stats, sealed))
    });
    let (shards, stats, sealed) = sorted.map_err(full)?;
    let shuffled =
        Shuffled { predicted: predicted.prediction, unique, profile, stats, query, sealed: sealed.is_some() };
    if let Some(sealed) = sealed {
        resume::note(prepared, build, sealed, &shuffled)?;
    }
    stages.push(stage.finish());
    Ok((shards, shuffled))
}

/// Resumes from the shuffle that an earlier build sealed.
///
/// # Errors
/// `Corrupt` when it is not as it was sealed; `Unavailable` when it cannot be read.
pub(super) fn resume(
    prepared: &Prepared<'_>,
    build: &BuildDir,
    earlier: resume::ShuffleRecord,
    stages: &mut Vec<StageTimer>,
) -> Result<(Vec<Shard>, Shuffled)> {
    let resume::ShuffleRecord { sealed, mut shuffled, .. } = earlier;
    let resources = prepared.options.resources;
    let stage = prepared.options.progress.stage("resume", None);
    let options = shuffle_options(prepared, build.shuffle_spill(), resources.threads, 0);
    let shards = resources.cpu_pool()?.install(|| shuffle::reopen(sealed, &options))?;
    // The job may check more columns now, as checks do not make it another job.
    shuffled.unique = unique(prepared, build, &shuffled.unique)?;
    stages.push(stage.finish());
    Ok((shards, shuffled))
}

/// Memory, threads and directory of the shuffle.
pub(super) fn shuffle_options(
    prepared: &Prepared<'_>,
    spill_dir: PathBuf,
    writers: usize,
    expected_bytes: u64,
) -> shuffle::Options {
    shuffle::Options {
        memory: prepared.options.resources.shuffle_memory(),
        writers,
        threads: prepared.options.resources.threads,
        shards: prepared.job.output.shards,
        spill_dir,
        range_bytes: prepared.job.tables.file_size,
        expected_bytes,
    }
}

/// A shuffle that holds all entries of the query, and what was seen of its rows.
pub(super) struct Filled<'p> {
    pub(super) shuffle: Shuffle,
    pub(super) measures: Measures<'p>,
    pub(super) seen: Vec<Seen>,
    pub(super) query: Usage,
    pub(super) took: StageTimer,
}

/// Runs the query, encodes its rows and fills a shuffle with them.
pub(super) fn fill<'p>(
    prepared: &'p Prepared<'p>,
    spills: &Spills,
    expected_bytes: u64,
    way: JoinStrategy,
) -> Result<Filled<'p>, RunError> {
    let measures = Measures::new(prepared);
    let execution = prepared.query.prepare(way)?.measuring(measures.inputs());
    let options = shuffle_options(prepared, spills.shuffle.clone(), execution.partitions(), expected_bytes);
    let shuffle = Shuffle::new(options);
    let stage = prepared.options.progress.stage("query", None);
    let seen: Vec<Seen> = {
        let states = execution.run(
            &spills.query,
            |_| PartitionEncoder::new(&prepared.encode, &shuffle, measures.seen()),
            |part, batch| {
                stage.advance(batch.num_rows() as u64);
                part.take(batch)
            },
        )?;
        states.into_iter().map(PartitionEncoder::finish).collect::<Result<_>>()?
    };
    Ok(Filled { shuffle, measures, seen, query: execution.usage(), took: stage.finish() })
}

/// How entries of one key are folded.
pub(super) fn folding(prepared: &Prepared<'_>) -> DuplicatePolicy {
    DuplicatePolicy {
        fold: prepared.job.output.duplicates,
        encoding: prepared.job.output.value.encoding,
        header: prepared.encode.value_schema().header().to_vec(),
        key: prepared.encode.key_schema().clone(),
    }
}

/// Entries per table, at most, so that the filters and indexes of all threads fit into their memory.
pub(super) fn max_rows_per_table(prepared: &Prepared<'_>) -> u64 {
    let resources = &prepared.options.resources;
    let per_thread = (resources.build_memory() / resources.threads) as u64;
    (per_thread / FILTER_BYTES_PER_ROW).max(MIN_ROWS_PER_TABLE)
}

/// Encodes one partition of the query's result into the shuffle.
struct PartitionEncoder<'s> {
    encoder: Encoder,
    entries: EntryBatch,
    writer: Writer<'s>,
    seen: Seen,
}

impl<'s> PartitionEncoder<'s> {
    fn new(encode: &EncodePlan, shuffle: &'s Shuffle, seen: Seen) -> Result<Self> {
        Ok(Self { encoder: encode.encoder()?, entries: EntryBatch::default(), writer: shuffle.writer(), seen })
    }

    fn take(&mut self, batch: arrow::array::RecordBatch) -> Result<()> {
        self.seen.take(&batch);
        pieces(batch).try_for_each(|piece| {
            self.encoder.encode(&piece, &mut self.entries)?;
            // Its values may be large, and what follows has its own copy.
            drop(piece);
            self.seen.take_entries(&self.entries);
            self.writer.push(&self.entries)?;
            self.entries.clear();
            Ok(())
        })
    }

    fn finish(self) -> Result<Seen> {
        self.writer.finish()?;
        Ok(self.seen)
    }
}

/// Builds every shard. If the shuffle is sealed, finished ranges are recorded, and those of an earlier build reused.
/// Finished shards of a store on an object store are uploaded while others are built.
pub(super) fn build_shards(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    build: &BuildDir,
    shards: Vec<Shard>,
    shuffled: &Shuffled,
    stages: &mut Vec<StageTimer>,
) -> Result<(Vec<BuiltShard>, RangeCounts)> {
    let (job, options) = (prepared.job, prepared.options);
    let every_entry_stays = matches!(job.output.duplicates, Fold::Error | Fold::Number);
    let stage = options.progress.stage("build", every_entry_stays.then_some(shuffled.stats.entries));
    let folding = folding(prepared);
    let sample_bytes = options.resources.build_memory() / job.output.shards as usize;
    let (dirs, version_dir) = (build.dirs(), build.dirs().version());
    let pool = options.resources.cpu_pool()?;
    let build_all = |finished: &FinishedShards<'_>| {
        let build = |shard: Shard| {
            let number = shard.number;
            let built = build_shard(
                shard,
                &ShardPaths {
                    version_dir: &version_dir,
                    shard_dir: &dirs.shard(number),
                    tables_dir: &dirs.tables(number),
                    ingest_dir: &dirs.ingest(number),
                    journal: shuffled.sealed.then(|| dirs.journal(number)).as_deref(),
                    tables: &job.tables,
                    max_rows_per_table: max_rows_per_table(prepared),
                    sample_bytes,
                },
                &folding,
                &stage,
            )?;
            finished.add(&built.0.entry);
            Ok(built)
        };
        let built: Vec<_> = pool.install(|| shards.into_par_iter().map(build).collect::<Result<_>>())?;
        Ok((built, stage.finish()))
    };
    let ((built, took), uploaded) = uploading(catalog, build, options.progress, build_all)?;
    let (built, ranges): (Vec<_>, Vec<RangeCounts>) = built.into_iter().unzip();
    durable_file::sync_dir(&version_dir)?;
    stages.push(took);
    stages.extend(uploaded);
    Ok((built, ranges.into_iter().sum()))
}

/// Reads every shard back.
pub(super) fn read_back(
    prepared: &Prepared<'_>,
    build: &BuildDir,
    built: &[BuiltShard],
    stages: &mut Vec<StageTimer>,
) -> Result<()> {
    let stage = prepared.options.progress.stage("read back", None);
    let full = prepared.job.checks.verify == Verify::Full;
    prepared.options.resources.cpu_pool()?.install(|| {
        built.par_iter().try_for_each(|shard| check::read_back(shard, &build.dirs().shard(shard.entry.shard), full))
    })?;
    stages.push(stage.finish());
    Ok(())
}
