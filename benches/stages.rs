//! Each stage of the job alone, on a million sample events: `make bench-stages`.
//!
//! ```text
//! generate   sample events and profiles into Parquet
//! encode     batches into keys and values, as JSON and as Avro
//! shuffle    entries in, sorted entries out: in memory, and with runs on disk
//! build      sorted entries into a database of its own
//! ```
//!
//! Not for: the whole job, or a comparison with other programs (benches/compare).

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use cutover::format::{Compression, DEFAULT_FILE_SIZE, Encoding, Partitioner, Tables};
use cutover::internals::build::{ShardPaths, build_shard};
use cutover::internals::demo::{Shape, generate};
use cutover::internals::encode::{EncodePlan, EntryBatch};
use cutover::internals::job::{Fold, Output, ValueSpec};
use cutover::internals::progress::Progress;
use cutover::internals::shuffle::{DuplicatePolicy, Options, Shard, Shuffle};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

const EVENTS: u64 = 1_000_000;
const AVRO: Encoding = Encoding::Avro { single_object: false };

/// Memory for entries: all of them fit into the first, a tenth of them into the second.
const SHUFFLE_MEMORY: [(&str, usize); 2] = [("in memory", 1 << 30), ("spilled", 10 << 20)];

fn shape() -> Shape {
    Shape { events: EVENTS, profiles: 50_000, urls: 100_000, files: 2, ..Shape::demo() }
}

/// The main job's output: every event under its user and time.
fn output(encoding: Encoding) -> Output {
    Output {
        key: vec!["user_id".into(), "ts".into()],
        shard_by: Vec::new(),
        order_by: Vec::new(),
        duplicates: Fold::Number,
        value: ValueSpec { encoding, columns: None },
        shards: 1,
        partitioner: Partitioner::Xxh3,
    }
}

struct Events {
    directory: TempDir,
    batches: Vec<RecordBatch>,
    plan: EncodePlan,
    entries: Vec<EntryBatch>,
}

impl Events {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        generate(directory.path(), &shape()).unwrap();
        let mut paths: Vec<PathBuf> =
            fs::read_dir(directory.path().join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let open = |path: &PathBuf| ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let read = |path: &PathBuf| open(path).with_batch_size(8192).build().unwrap();
        let batches: Vec<RecordBatch> = paths.iter().flat_map(|path| read(path).map(Result::unwrap)).collect();
        let plan = EncodePlan::new(&batches[0].schema(), &output(AVRO), "bench").unwrap();
        let mut encoder = plan.encoder().unwrap();
        let mut encode = |batch| {
            let mut entries = EntryBatch::default();
            encoder.encode(batch, &mut entries).unwrap();
            entries
        };
        let entries = batches.iter().map(&mut encode).collect();
        Self { directory, batches, plan, entries }
    }

    /// All entries in a shuffle with this much memory, not drained yet.
    fn shuffled(&self, memory: usize) -> Vec<Shard> {
        let shuffle = Shuffle::new(Options {
            memory,
            writers: 1,
            threads: rayon::current_num_threads(),
            shards: 1,
            spill_dir: self.directory.path().join("spill"),
            range_bytes: DEFAULT_FILE_SIZE,
            expected_bytes: self.entries.iter().map(|entries| entries.bytes() as u64).sum(),
        });
        let mut writer = shuffle.writer();
        self.entries.iter().for_each(|entries| writer.push(entries).unwrap());
        writer.finish().unwrap();
        shuffle.finish().unwrap().0
    }
}

/// A stage takes about a second for all events: few samples, each of the same number of runs.
fn group<'c>(criterion: &'c mut Criterion, stage: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(stage);
    group.throughput(Throughput::Elements(EVENTS)).sampling_mode(SamplingMode::Flat).sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    group
}

fn generating(criterion: &mut Criterion) {
    let mut group = group(criterion, "generate");
    let directory = tempfile::tempdir().unwrap();
    group.bench_function("parquet", |bencher| bencher.iter(|| generate(directory.path(), &shape()).unwrap()));
}

fn encoding(criterion: &mut Criterion, events: &Events) {
    let mut group = group(criterion, "encode");
    for (name, encoding) in [("avro", AVRO), ("json", Encoding::Json)] {
        let plan = EncodePlan::new(&events.batches[0].schema(), &output(encoding), "bench").unwrap();
        let mut encoder = plan.encoder().unwrap();
        let mut entries = EntryBatch::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| events.batches.iter().for_each(|batch| encoder.encode(batch, &mut entries).unwrap()));
        });
    }
}

fn shuffling(criterion: &mut Criterion, events: &Events) {
    let mut group = group(criterion, "shuffle");
    for (name, memory) in SHUFFLE_MEMORY {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut entries = 0;
                for range in events.shuffled(memory).into_iter().flat_map(|shard| shard.ranges) {
                    let counted = range.for_each(|_| {
                        entries += 1;
                        Ok(())
                    });
                    counted.unwrap();
                }
                assert_eq!(entries, EVENTS);
            });
        });
    }
}

fn building(criterion: &mut Criterion, events: &Events) {
    let mut group = group(criterion, "build");
    let folding = DuplicatePolicy {
        fold: Fold::Number,
        encoding: AVRO,
        header: events.plan.value_schema().header().to_vec(),
        key: events.plan.key_schema().clone(),
    };
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd)] {
        let tables = Tables { compression, ..Tables::default() };
        let version = events.directory.path().join("version");
        let setup = || {
            let _ = fs::remove_dir_all(&version);
            fs::create_dir(&version).unwrap();
            events.shuffled(SHUFFLE_MEMORY[0].1)
        };
        group.bench_function(name, |bencher| {
            bencher.iter_batched(setup, |shards| build(shards, &version, &tables, &folding), BatchSize::PerIteration);
        });
    }
}

fn build(shards: Vec<Shard>, version: &Path, tables: &Tables, folding: &DuplicatePolicy) {
    let progress = Progress::Silent.stage("build", None);
    for shard in shards {
        let target = ShardPaths {
            version_dir: version,
            shard_dir: &version.join(format!("shard-{:05}", shard.number)),
            tables_dir: &version.join("tables"),
            ingest_dir: &version.join("ingest"),
            journal: None,
            tables,
            max_rows_per_table: u64::MAX,
            sample_bytes: 1 << 20,
        };
        assert_eq!(build_shard(shard, &target, folding, &progress).unwrap().0.entry.rows, EVENTS);
    }
}

fn stages(criterion: &mut Criterion) {
    let events = Events::new();
    encoding(criterion, &events);
    shuffling(criterion, &events);
    building(criterion, &events);
}

criterion_group!(all, generating, stages);
criterion_main!(all);
