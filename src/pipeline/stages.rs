//! The stages of a build, one function each, in the order they run.
//!
//! Not for: deciding whether to build or publish.

use std::path::PathBuf;

use rayon::prelude::*;

use super::prepare::Prepared;
use super::spill::{self, SpillDir};
use crate::build::{BuiltShard, Target, build_shard};
use crate::catalog::{BuildDirs, Catalog, CheckResult, Outcome};
use crate::check::{self, ColumnCounter};
use crate::encode::{EncodePlan, Encoder, EntryBatch};
use crate::error::{Error, Result};
use crate::job::{Fold, Verify};
use crate::progress::Finished;
use crate::publish::Published;
use crate::query::{self, Failed, Joins};
use crate::report::{Account, KafkaReport, RunReport, StageReport};
use crate::shuffle::fold::Folding;
use crate::shuffle::{self, Shard, Shuffle, Writer};
use crate::storage;

/// Bytes a table builder keeps per entry until the table ends: the entry's hash for the filter.
const FILTER_BYTES_PER_ROW: u64 = 16;
/// A table holds at least this many entries, however small the memory.
const MIN_ROWS_PER_TABLE: u64 = 4096;

/// A build that is going on, and its folder.
#[derive(Debug)]
pub(super) struct Build {
    id: String,
    dirs: BuildDirs,
    spill: SpillDir,
}

impl Build {
    /// Makes the folder of a new build.
    pub(super) fn start(prepared: &Prepared<'_>, catalog: &Catalog) -> Result<Self> {
        let random = getrandom::u32()
            .map_err(|error| Error::unavailable("the system gives no random numbers").because(error))?;
        let id = format!("{}-{random:08x}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
        let dirs = catalog.layout().build_dirs(&id)?;
        let spill = match &prepared.options.spill_dir {
            Some(folder) => SpillDir::in_folder(folder, &id)?,
            None => SpillDir::in_staging(dirs.spill()),
        };
        storage::create_dir_durable(&dirs.version())?;
        Ok(Self { id, dirs, spill })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn dirs(&self) -> &BuildDirs {
        &self.dirs
    }

    /// Where the query spills.
    pub(super) fn query_spill(&self) -> PathBuf {
        self.spill.path().join("query")
    }

    /// Says where the disk has less space than a version of so many bytes, or its spill, may need.
    pub(super) fn warn_of_full_disk(&self, bytes: u64, spill_bytes: u64) {
        for (folder, what, needed) in
            [(self.dirs.root(), "the version", bytes), (self.spill.root(), "spilling", spill_bytes)]
        {
            if let Ok(free) = storage::free_space(folder)
                && free < needed
            {
                let folder = folder.display();
                tracing::warn!("{what} may need up to {needed} bytes in {folder}, which has {free} bytes free");
            }
        }
    }

    pub(super) fn write_account(&self, account: &Account) -> Result<()> {
        let text = serde_json::to_vec_pretty(account)
            .map_err(|error| Error::internal("the run's report cannot be written").because(error))?;
        storage::write_synced(&self.dirs.report(), &text)
    }
}

impl Drop for Build {
    /// Removes what is left of the build; what cannot be removed is left to `gc`.
    fn drop(&mut self) {
        spill::remove(self.dirs.root());
    }
}

/// What the query and the shuffle came to.
#[derive(Debug)]
pub(super) struct Shuffled {
    pub(super) columns: ColumnCounter,
    pub(super) stats: shuffle::Stats,
}

/// Columns that must be unique, by one extra query each.
pub(super) fn unique(prepared: &Prepared<'_>, build: &Build) -> Result<Vec<CheckResult>> {
    let check = |column: &String| {
        let repeated = prepared
            .query
            .duplicates(std::slice::from_ref(column))?
            .collect(3, &build.query_spill())
            .map_err(|failed| prepared.explain(failed))?;
        let mut found = Vec::new();
        for batch in &repeated {
            let shown = arrow::util::display::ArrayFormatter::try_new(batch.column(0), &Default::default());
            let shown = shown.map_err(|error| Error::internal("a value cannot be shown").because(error))?;
            found.extend((0..batch.num_rows()).map(|row| format!("{:?}", shown.value(row).to_string())));
        }
        let outcome = if found.is_empty() { Outcome::Passed } else { Outcome::Failed };
        let found = if found.is_empty() { "none".to_owned() } else { format!("{} and maybe more", found.join(", ")) };
        Ok(CheckResult { rule: format!("unique: {column}"), outcome, expected: "no value twice".to_owned(), found })
    };
    prepared.job.checks.unique.iter().map(check).collect()
}

/// Runs the query, encodes its rows and shuffles them. A join that runs out of memory is done again by sorting.
pub(super) fn shuffle(
    prepared: &Prepared<'_>,
    build: &Build,
    stages: &mut Vec<Finished>,
) -> Result<(Vec<Shard>, Shuffled)> {
    let (shuffle, columns, took) =
        query::falling_back(|joins| fill(prepared, build, joins)).map_err(|failed| prepared.explain(failed))?;
    stages.push(took);
    let stage = prepared.options.progress.stage("split", None);
    let (shards, stats) = prepared.options.resources.cpu_pool()?.install(|| shuffle.finish())?;
    stages.push(stage.finish());
    Ok((shards, Shuffled { columns, stats }))
}

fn fill(prepared: &Prepared<'_>, build: &Build, joins: Joins) -> Result<(Shuffle, ColumnCounter, Finished), Failed> {
    let Prepared { job, options, .. } = prepared;
    let execution = prepared.query.prepare(joins)?;
    let shuffle = Shuffle::new(shuffle::Options {
        memory: options.resources.shuffle_memory(),
        writers: execution.partitions(),
        threads: options.resources.threads,
        shards: job.output.shards,
        spill_dir: build.spill.path().join("shuffle"),
        range_bytes: job.tables.file_size,
    });
    let stage = options.progress.stage("query", None);
    let filled: Vec<ColumnCounter> = {
        let states = execution.run(
            &build.query_spill(),
            |_| Part::new(&prepared.encode, &shuffle, prepared.query.schema()),
            |part, batch| {
                stage.advance(batch.num_rows() as u64);
                part.take(&batch)
            },
        )?;
        states.into_iter().map(Part::finish).collect::<Result<_>>()?
    };
    let mut columns = ColumnCounter::new(prepared.query.schema());
    filled.iter().for_each(|part| columns.merge(part));
    Ok((shuffle, columns, stage.finish()))
}

/// One partition of the query on its way into the shuffle.
struct Part<'s> {
    encoder: Encoder,
    entries: EntryBatch,
    writer: Writer<'s>,
    columns: ColumnCounter,
}

impl<'s> Part<'s> {
    fn new(encode: &EncodePlan, shuffle: &'s Shuffle, schema: arrow::datatypes::SchemaRef) -> Result<Self> {
        Ok(Self {
            encoder: encode.encoder()?,
            entries: EntryBatch::default(),
            writer: shuffle.writer(),
            columns: ColumnCounter::new(schema),
        })
    }

    fn take(&mut self, batch: &arrow::array::RecordBatch) -> Result<()> {
        self.columns.take(batch);
        self.encoder.encode(batch, &mut self.entries)?;
        self.writer.push(&self.entries)
    }

    fn finish(self) -> Result<ColumnCounter> {
        self.writer.finish()?;
        Ok(self.columns)
    }
}

/// Notes in the report what was streamed to Kafka.
pub(super) fn add_stream(report: &mut RunReport, published: &Published) {
    let rows = published.announced.as_ref().map_or(0, |announced| announced.rows);
    let stage = |took| Finished { name: "stream", rows, took };
    report.stages.extend(published.streaming.map(|took| StageReport::from(&stage(took))));
    report.kafka = published.announced.as_ref().map(|announced| KafkaReport {
        topic: announced.topic.clone(),
        partitions: announced.partitions.len(),
        rows: announced.rows,
        streamed: published.streaming.is_some(),
    });
}

/// Builds every shard.
pub(super) fn build(
    prepared: &Prepared<'_>,
    build: &Build,
    shards: Vec<Shard>,
    entries: u64,
    stages: &mut Vec<Finished>,
) -> Result<Vec<BuiltShard>> {
    let Prepared { job, options, .. } = prepared;
    let every_entry_stays = matches!(job.output.duplicates, Fold::Error | Fold::Number);
    let stage = options.progress.stage("build", every_entry_stays.then_some(entries));
    let folding = Folding {
        fold: job.output.duplicates,
        encoding: job.output.value.encoding,
        header: prepared.encode.value_schema().header().to_vec(),
        key: prepared.encode.key_schema().clone(),
    };
    let per_thread = (options.resources.build_memory() / options.resources.threads) as u64;
    let version_dir = build.dirs.version();
    let built: Result<Vec<BuiltShard>> = options.resources.cpu_pool()?.install(|| {
        shards
            .into_par_iter()
            .map(|shard| {
                let number = shard.number;
                build_shard(
                    shard,
                    &Target {
                        version_dir: &version_dir,
                        shard_dir: &build.dirs.shard(number),
                        tables_dir: &build.dirs.tables(number),
                        tables: &job.tables,
                        max_rows_per_table: (per_thread / FILTER_BYTES_PER_ROW).max(MIN_ROWS_PER_TABLE),
                    },
                    &folding,
                    &stage,
                )
            })
            .collect()
    });
    let built = built?;
    storage::sync_dir(&version_dir)?;
    stages.push(stage.finish());
    Ok(built)
}

/// Reads every shard back.
pub(super) fn read_back(
    prepared: &Prepared<'_>,
    build: &Build,
    built: &[BuiltShard],
    stages: &mut Vec<Finished>,
) -> Result<()> {
    let stage = prepared.options.progress.stage("read back", None);
    let full = prepared.job.checks.verify == Verify::Full;
    prepared.options.resources.cpu_pool()?.install(|| {
        built.par_iter().try_for_each(|shard| check::read_back(shard, &build.dirs.shard(shard.entry.shard), full))
    })?;
    stages.push(stage.finish());
    Ok(())
}
