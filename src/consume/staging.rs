//! Stages one announced version: threads write its partitions to tables, then databases and a manifest are made.
//!
//! ```text
//! thread 0: partitions 0, 2, 4 … ─┐
//! thread 1: partitions 1, 3, 5 … ─┼▶ all END markers match ─▶ ingest, read back ─▶ manifest
//! the caller: polls for another announcement meanwhile, and stops the threads when there is one
//! ```
//! Work is in `staging/follow-…`, named after the data topic; a kill leaves the finished tables there for the next
//! attempt at the same topic. A version that does not match its announcement is deleted at once.
//!
//! Not for: making it visible; that is the caller's.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::partition::PartitionWriter;
use crate::build::{BuiltShard, ShardBuildContext, ShardPaths, Table, assemble};
use crate::catalog::{BuildPaths, Catalog, by};
use crate::check;
use crate::codec::ShardRouter;
use crate::durable_file;
use crate::error::{Error, IoContext, Kind, Result};
use crate::failpoint;
use crate::format::{CheckOutcome, CheckResult, InputFile, Manifest, ShardEntry, StreamedVersion};
use crate::kafka::{Connection, Partitions, Received};
use crate::progress::Progress;
use crate::publish::Built;
use crate::rate_limit::RateLimit;

/// Longest end of a data topic's name that becomes the name of a directory, in bytes.
const LONGEST_NAME: usize = 100;
/// Memory for the entries of a partition that are sampled for its read-back, in bytes.
const SAMPLE_BYTES: usize = 128 << 10;
/// Most entries of a table, so that its filter is built in bounded memory.
const MAX_ROWS_PER_TABLE: u64 = 4 << 20;
/// How long a thread waits for a record before it checks whether to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Consecutive polls without a record before the log is checked for the announced offsets.
const POLLS_BEFORE_CHECK: u32 = 20;
/// Records and bytes between two steps of the progress bar and of the rate limit.
const PROGRESS_EVERY: u64 = 1024;
const PROGRESS_BYTES: u64 = 64 << 10;

/// Stages one announced version.
pub(super) struct VersionStager<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) connection: &'a Connection,
    pub(super) dataset: &'a str,
    pub(super) wanted: &'a StreamedVersion,
    pub(super) rate_limit: Option<u64>,
    pub(super) threads: usize,
    pub(super) progress: Progress,
}

/// A version in staging that is complete and checked.
pub(super) struct ReceivedVersion {
    dirs: BuildPaths,
    manifest: Manifest,
    pub(super) resumed_rows: u64,
}

impl ReceivedVersion {
    /// Installs it as a version of the store that no reader sees yet.
    ///
    /// # Errors
    /// As [`Built::install_as`].
    pub(super) fn install(self, catalog: &Catalog, number: u64) -> Result<u64> {
        let Self { dirs, manifest, .. } = self;
        let numbered = |version| Manifest { version, ..manifest };
        let complete = Built::new(dirs.version()).install_as(catalog, Some(number), numbered)?;
        remove(dirs.root())?;
        Ok(complete.version())
    }
}

impl VersionStager<'_> {
    /// Stages the version. `keep_going` is called repeatedly with the rows received so far; when it returns false,
    /// staging stops and returns `None`, and finished tables stay for the next attempt.
    ///
    /// # Errors
    /// `Corrupt` when the version is not what was announced; then it is deleted. `Conflict` when its topic is deleted;
    /// `Unavailable` when the disk or the cluster fails; those of `keep_going`.
    pub(super) fn run(&self, keep_going: impl FnMut(u64) -> Result<bool>) -> Result<Option<ReceivedVersion>> {
        let dirs = self.catalog.layout().build_dirs(&directory_name(&self.wanted.topic))?;
        let staged = self.run_in(&dirs, keep_going);
        if staged.as_ref().is_err_and(|error| error.kind() == Kind::Corrupt) {
            remove(dirs.root())?;
        }
        staged
    }

    fn run_in(
        &self,
        dirs: &BuildPaths,
        keep_going: impl FnMut(u64) -> Result<bool>,
    ) -> Result<Option<ReceivedVersion>> {
        let wanted = self.wanted;
        let shards = wanted.partitions.len() as u32;
        let sharding = ShardRouter::new(&wanted.key, &wanted.shard_by, wanted.partitioner, shards)
            .map_err(|error| Error::corrupt("the announcement has no usable sharding").because(error))?;
        // Databases are always made again from the tables: those of an earlier attempt may be incomplete.
        remove(&dirs.version())?;
        durable_file::create_dir_durable(&dirs.version())?;
        let Some(received) = self.receive(dirs, &sharding, keep_going)? else { return Ok(None) };
        failpoint::reach("consume.received")?;
        let resumed_rows = received.iter().map(|partition| partition.resumed_rows).sum();
        let built = self.build(dirs, received)?;
        failpoint::reach("consume.built")?;
        let manifest = self.manifest(built)?;
        Ok(Some(ReceivedVersion { dirs: dirs.clone(), manifest, resumed_rows }))
    }

    fn receive(
        &self,
        dirs: &BuildPaths,
        sharding: &ShardRouter,
        mut keep_going: impl FnMut(u64) -> Result<bool>,
    ) -> Result<Option<Vec<ReceivedPartition>>> {
        let threads = self.threads.clamp(1, self.wanted.partitions.len().max(1));
        let shared = Shared {
            stop: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            bar: self.progress.stage("receive", Some(self.wanted.rows)),
            limit: self.rate_limit.map(RateLimit::new),
        };
        let (outcomes, going_on) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|thread| {
                    let shared = &shared;
                    scope.spawn(move || {
                        let received = self.receive_share(thread, threads, dirs, sharding, shared);
                        if received.is_err() {
                            shared.stop.store(true, Ordering::Relaxed);
                        }
                        received
                    })
                })
                .collect();
            let mut going_on = Ok(true);
            while threads.iter().any(|thread| !thread.is_finished()) {
                if matches!(going_on, Ok(true)) && !shared.stop.load(Ordering::Relaxed) {
                    going_on = keep_going(shared.rows.load(Ordering::Relaxed));
                }
                if !matches!(going_on, Ok(true)) {
                    shared.stop.store(true, Ordering::Relaxed);
                }
                if shared.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            let panicked = || Err(Error::internal("a receiving thread panicked"));
            let outcomes: Vec<_> =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
            (outcomes, going_on)
        });
        shared.bar.finish();
        // When one thread fails, the others are stopped; its error is returned.
        let outcomes: Vec<Option<Vec<ReceivedPartition>>> = outcomes.into_iter().collect::<Result<_>>()?;
        let whole: Option<Vec<_>> = outcomes.into_iter().collect();
        let mut received: Vec<ReceivedPartition> = match whole {
            Some(shares) => shares.into_iter().flatten().collect(),
            None if going_on? => return Err(Error::internal("a receiving thread stopped without a reason")),
            None => return Ok(None),
        };
        received.sort_unstable_by_key(|partition| partition.partition);
        Ok(Some(received))
    }

    /// Receives one thread's partitions up to their END markers. `None` when it was stopped.
    fn receive_share(
        &self,
        thread: usize,
        threads: usize,
        dirs: &BuildPaths,
        sharding: &ShardRouter,
        shared: &Shared,
    ) -> Result<Option<Vec<ReceivedPartition>>> {
        let parts: Vec<_> = self.wanted.partitions.iter().skip(thread).step_by(threads).copied().collect();
        let paths: Vec<_> = parts.iter().map(|part| Paths::new(dirs, part.partition)).collect();
        let version_dir = dirs.version();
        let materials: Vec<_> =
            parts.iter().map(|_| ShardBuildContext::new(&self.wanted.tables, SAMPLE_BYTES)).collect();
        let mut writers = Vec::with_capacity(parts.len());
        for ((part, paths), material) in parts.iter().zip(&paths).zip(&materials) {
            let target = paths.target(&version_dir, self.wanted);
            let writer = PartitionWriter::open(*part, self.wanted, self.dataset, sharding, material, &target, dirs)?;
            shared.advance(writer.resumed_rows);
            writers.push(writer);
        }
        let open: Vec<(u32, i64)> = parts
            .iter()
            .zip(&writers)
            .filter(|(_, writer)| !writer.is_ended())
            .map(|(part, writer)| (part.partition, writer.next()))
            .collect();
        let mut left = open.len();
        if left > 0 {
            let partitions = Partitions::open(self.connection, self.wanted, &open)?;
            let (mut rows, mut bytes, mut silent) = (0, 0, 0);
            while left > 0 {
                if shared.stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let came = partitions.receive(POLL_TIMEOUT, |received| match received {
                    Received::Entry { partition, offset, key, value } => {
                        rows += 1;
                        bytes += (key.len() + value.len()) as u64;
                        writers[partition as usize / threads].take(offset, key, value)
                    }
                    Received::End { partition, offset, end } => {
                        left -= 1;
                        writers[partition as usize / threads].end(offset, &end)
                    }
                })?;
                if rows >= PROGRESS_EVERY || bytes >= PROGRESS_BYTES || !came || left == 0 {
                    shared.take(&mut rows, &mut bytes);
                }
                silent = if came { 0 } else { silent + 1 };
                if silent == POLLS_BEFORE_CHECK {
                    // Reading a topic that was deleted meanwhile gives no error, just no more records.
                    partitions.check(self.wanted)?;
                    silent = 0;
                }
            }
        }
        let written: Vec<_> =
            writers.into_iter().map(|writer| (writer.tables().to_vec(), writer.resumed_rows)).collect();
        let received = parts.iter().zip(written).zip(materials).map(|((part, written), material)| {
            let (tables, resumed_rows) = written;
            ReceivedPartition { partition: part.partition, tables, resumed_rows, material }
        });
        Ok(Some(received.collect()))
    }

    /// Assembles the databases and reads them back.
    fn build(&self, dirs: &BuildPaths, received: Vec<ReceivedPartition>) -> Result<Vec<BuiltShard>> {
        let version_dir = dirs.version();
        let build = |received: ReceivedPartition| {
            let paths = Paths::new(dirs, received.partition);
            let target = paths.target(&version_dir, self.wanted);
            let built = assemble(received.partition, &received.tables, received.material, &target)?;
            // Only this attempt's entries are sampled; if an earlier one wrote some, all entries are read back.
            check::read_back(&built, &paths.shard_dir, received.resumed_rows > 0)?;
            Ok(built)
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.max(1)).build();
        let pool = pool.map_err(|error| Error::unavailable("cannot start threads").because(error))?;
        let built: Vec<BuiltShard> = pool.install(|| received.into_par_iter().map(build).collect::<Result<_>>())?;
        durable_file::sync_dir(&version_dir)?;
        Ok(built)
    }

    fn manifest(&self, built: Vec<BuiltShard>) -> Result<Manifest> {
        let wanted = self.wanted;
        let largest = built.iter().filter_map(|shard| shard.largest.clone()).max_by_key(|entry| entry.bytes);
        let shards: Vec<ShardEntry> = built.into_iter().map(|shard| shard.entry).collect();
        let digest = shards.iter().map(|shard| shard.digest).sum();
        if digest != wanted.digest {
            return Err(Error::corrupt(format!(
                "version {} was announced with the digest {}, its databases have {digest}",
                wanted.version, wanted.digest
            )));
        }
        Ok(Manifest {
            format_version: 1,
            dataset: self.dataset.to_owned(),
            version: 0,
            build_id: wanted.build_id.clone(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            job_digest: "followed".to_owned(),
            input_digest: wanted.topic.clone(),
            as_of: wanted.as_of,
            as_of_stated: wanted.as_of_stated,
            created_at: Timestamp::now(),
            built_by: Some(by()),
            staged: false,
            params: None,
            inputs: vec![InputFile {
                input: "kafka".to_owned(),
                path: wanted.topic.clone(),
                size: wanted.bytes,
                modified: wanted.created_at.to_string(),
                rows: Some(wanted.rows),
                etag: None,
                object_version: None,
            }],
            key: wanted.key.clone(),
            value: wanted.value.clone(),
            shard_by: wanted.shard_by.clone(),
            partitioner: wanted.partitioner,
            shard_count: shards.len() as u32,
            tables: wanted.tables,
            rows: shards.iter().map(|shard| shard.rows).sum(),
            bytes: shards.iter().map(|shard| shard.bytes).sum(),
            digest,
            shards,
            columns: Vec::new(),
            checks: vec![CheckResult {
                rule: "as announced".to_owned(),
                outcome: CheckOutcome::Passed,
                expected: format!("{} rows with the digest {}", wanted.rows, wanted.digest),
                found: format!("{} rows with the digest {digest}", wanted.rows),
                compared: None,
            }],
            stages: Vec::new(),
            largest,
            profile: None,
        })
    }
}

/// A partition whose records are all in tables.
struct ReceivedPartition {
    partition: u32,
    tables: Vec<Table>,
    resumed_rows: u64,
    material: ShardBuildContext,
}

/// State shared by the threads.
struct Shared {
    stop: AtomicBool,
    rows: AtomicU64,
    bar: crate::progress::Stage,
    limit: Option<RateLimit>,
}

impl Shared {
    fn advance(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bar.advance(rows);
    }

    /// Counts what was received since the last call, and waits if the rate limit requires it.
    fn take(&self, rows: &mut u64, bytes: &mut u64) {
        self.advance(std::mem::take(rows));
        let bytes = std::mem::take(bytes);
        if let Some(limit) = &self.limit {
            limit.take(bytes, || self.stop.load(Ordering::Relaxed));
        }
    }
}

/// Directories of one shard.
struct Paths {
    shard_dir: std::path::PathBuf,
    tables_dir: std::path::PathBuf,
    ingest_dir: std::path::PathBuf,
}

impl Paths {
    fn new(dirs: &BuildPaths, shard: u32) -> Self {
        Self { shard_dir: dirs.shard(shard), tables_dir: dirs.tables(shard), ingest_dir: dirs.ingest(shard) }
    }

    fn target<'a>(&'a self, version_dir: &'a Path, wanted: &'a StreamedVersion) -> ShardPaths<'a> {
        ShardPaths {
            version_dir,
            shard_dir: &self.shard_dir,
            tables_dir: &self.tables_dir,
            ingest_dir: &self.ingest_dir,
            // Finished tables are in this module's journal, with offsets.
            journal: None,
            tables: &wanted.tables,
            max_rows_per_table: MAX_ROWS_PER_TABLE,
            sample_bytes: SAMPLE_BYTES,
        }
    }
}

/// The name of the staging directory for a data topic: the end of the topic's name, which contains only characters safe
/// in a path, or a hash of the name if that is long.
fn directory_name(topic: &str) -> String {
    let name = topic.rsplit_once(".v").map_or(topic, |(_, name)| name);
    match name.len() {
        ..=LONGEST_NAME => format!("follow-{name}"),
        _ => format!("follow-{:032x}", xxh3_128(topic.as_bytes())),
    }
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.io("remove directory", directory),
    }
}

#[cfg(test)]
mod tests;
