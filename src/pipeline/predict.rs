//! Predicts a run: rows, bytes, memory and spill.
//!
//! If a version of the same job is published, the prediction scales it by the growth of the inputs. Otherwise the
//! query's estimate is refined by encoding a sample with the real encoder and a model of the fold. If there is no
//! estimate, a published version of another job is scaled in the same way, or the size stays unknown.
//!
//! Not for: deciding anything; a run does the same whatever is predicted.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use xxhash_rust::xxh3::xxh3_64;

use super::compression_estimate::{CompressionSampler, Sampled};
use super::prepare::Prepared;
use crate::catalog::{Catalog, Layout};
use crate::check::Previous;
use crate::encode::{Encoder, EntryBatch};
use crate::error::{Error, Result};
use crate::input::Input;
use crate::job::Fold;
use crate::query::{self, Estimate, Measure, RunError, pieces};
use crate::report::Prediction;

/// Bytes the process holds before any row.
const BASE_MEMORY: u64 = 92 << 20;
/// Bytes per thread for batches in flight and tables that are being written, at most: with a budget of some size, freed
/// memory is kept for the next use.
const MEMORY_PER_THREAD: u64 = 64 << 20;
const LEAN_PER_THREAD: u64 = 32 << 20;
/// The budget from which freed memory is kept.
const SHORT_MEMORY: u64 = 1 << 30;
/// Bytes in flight for each row, up to that.
const BYTES_IN_FLIGHT: u64 = 640;
/// Assumed bytes of a row of files that do not count their rows.
const BYTES_PER_ROW: u64 = 100;
/// Bytes the shuffle holds per entry in addition to its fields.
const SHUFFLE_BYTES_PER_ENTRY: f64 = 8.0;
/// Bytes a join holds per uncompressed byte of its build side, including its hash table.
const BUILD_SIDE_FACTOR: u64 = 2;

/// Bytes of entries from which a version's files say how well entries compress: below, files are mostly overhead.
const MIN_KNOWN_BYTES: u64 = 1 << 20;

/// How long a preview may take.
const PREVIEW_TIME: Duration = Duration::from_secs(10);

/// Keys that one thread counts at most.
const MAX_KEYS: usize = 1 << 20;

/// The prediction for a run.
#[derive(Clone, Debug)]
pub(super) struct Predicted {
    pub(super) prediction: Prediction,
    /// None if nothing is known about the size of the result.
    pub(super) sizes: Option<Sizes>,
    /// Bytes of entries for which the shuffle is laid out: without an estimate, those of the inputs.
    pub(super) expected_bytes: u64,
    /// Seconds it takes, and the basis of that.
    pub(super) seconds: Option<(f64, String)>,
}

/// Predicted bytes.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Bytes of keys and values of the version.
    pub(super) bytes: u64,
    /// Bytes of entries that go through the shuffle, and that it writes to disk.
    pub(super) entry_bytes: u64,
    pub(super) spill_bytes: u64,
    /// Bytes of the version's files, and the basis of that.
    pub(super) stored_bytes: u64,
    pub(super) stored_from: Option<String>,
}

/// Predicts a run.
///
/// # Errors
/// As running the query.
pub(super) fn predict(prepared: &Prepared<'_>, previous: Option<&Previous>, spill_dir: &Path) -> Result<Predicted> {
    let sampled = Arc::new(Sampled::default());
    let same_job = previous.filter(|previous| previous.manifest.job_digest == prepared.job_digest);
    let known = match same_job {
        Some(previous) => {
            let basis = format!("version {}, grown as its inputs", previous.manifest.version);
            Some((grown(prepared, previous), basis))
        }
        None => {
            let fold = prepared.job.output.duplicates;
            let compression = || CompressionSampler::new(&prepared.job.tables, Arc::clone(&sampled));
            let counter = || Ok(Counter::new(prepared.encode.encoder()?, fold, compression()));
            let estimate = query::estimate(&prepared.query, &prepared.inputs, spill_dir, counter)
                .map_err(|failed| prepared.explain(failed))?;
            let estimate = estimate.map(|estimate| within_fold(estimate, fold));
            estimate.map(|estimate| (estimate, "a sample of the inputs".to_owned())).or_else(|| {
                let previous = previous?;
                let basis = format!("version {} of another job, grown as its inputs", previous.manifest.version);
                Some((grown(prepared, previous), basis))
            })
        }
    };
    let resources = &prepared.options.resources;
    let shuffle_memory = resources.shuffle_memory() as u64;
    let buffered = |of: &Estimate| (of.entry_bytes + of.entries * SHUFFLE_BYTES_PER_ENTRY) as u64;
    let shuffle = known.as_ref().map_or(shuffle_memory, |(estimate, _)| buffered(estimate).min(shuffle_memory));
    let inputs: Vec<u64> =
        prepared.inputs.iter().map(|input| input.unpacked_bytes().unwrap_or(input.bytes())).collect();
    let build_sides = inputs.iter().sum::<u64>() - inputs.iter().max().copied().unwrap_or(0);
    let query = (build_sides * BUILD_SIDE_FACTOR).min(resources.query_memory() as u64);
    let rows: u64 = prepared.inputs.iter().map(|input| prepared.query.kept(input)).map(|it| about_rows(&it)).sum();
    let per_thread = if resources.memory < SHORT_MEMORY { LEAN_PER_THREAD } else { MEMORY_PER_THREAD };
    let batches = (per_thread * resources.threads as u64).min(rows.saturating_mul(BYTES_IN_FLIGHT));
    let memory = BASE_MEMORY + batches + shuffle + query;
    // What the last build of this job held says more than any model; what has grown since comes on top.
    let before = same_job.and_then(|previous| {
        let grown = known.as_ref().map_or(0.0, |(estimate, _)| estimate.entry_bytes - before_bytes(previous));
        Some(held(prepared, previous)? + (grown.max(0.0) as u64).min(shuffle_memory))
    });
    let memory = before.unwrap_or(memory);
    let Some((estimate, basis)) = known else {
        let basis = "nothing: a sample of the inputs would say too little or take too long".to_owned();
        let prediction = Prediction { rows: None, bytes: None, memory, basis };
        return Ok(Predicted { prediction, sizes: None, expected_bytes: inputs.iter().sum(), seconds: None });
    };
    let compressed =
        previous.and_then(published_compression).or_else(|| Some((sampled.ratio()?, "a sample".to_owned())));
    let (ratio, stored_from) = compressed.map_or((1.0, None), |(ratio, from)| (ratio, Some(from)));
    let (bytes, entry_bytes) = (estimate.bytes as u64, estimate.entry_bytes as u64);
    let spill_bytes = if buffered(&estimate) > shuffle_memory { entry_bytes } else { 0 };
    let stored_bytes = (estimate.bytes * ratio) as u64;
    Ok(Predicted {
        prediction: Prediction { rows: Some(estimate.rows as u64), bytes: Some(bytes), memory, basis },
        sizes: Some(Sizes { bytes, entry_bytes, spill_bytes, stored_bytes, stored_from }),
        expected_bytes: entry_bytes,
        seconds: previous.and_then(|previous| took(&estimate, previous)),
    })
}

/// A published version, scaled by the growth of its inputs.
fn grown(prepared: &Prepared<'_>, Previous { manifest }: &Previous) -> Estimate {
    // Partitions that the query skips by directory name say nothing about its output.
    let kept: Vec<Input> = prepared.inputs.iter().map(|input| prepared.query.kept(input)).collect();
    let paths = |inputs: &[Input]| -> HashSet<String> {
        inputs.iter().flat_map(|input| &input.files).map(|file| file.source.to_string()).collect()
    };
    let (all, used) = (paths(&prepared.inputs), paths(&kept));
    let counts = |path: &String| used.contains(path) || !all.contains(path);
    let before: u64 = manifest.inputs.iter().filter(|file| counts(&file.path)).map(|file| file.size).sum();
    let now: u64 = kept.iter().map(Input::bytes).sum();
    let factor = now as f64 / before.max(1) as f64;
    let entries = manifest.stages.iter().find(|stage| stage.name == "query").map_or(manifest.rows, |stage| stage.rows);
    let (rows, bytes) = (manifest.rows as f64 * factor, manifest.bytes as f64 * factor);
    // Before the fold there were more, which the profile has counted.
    let (key_bytes, value_bytes) = manifest.profile.as_ref().map_or((0, 0), |it| (it.key_bytes, it.value_bytes));
    let (key_bytes, value_bytes) = (key_bytes as f64 * factor, value_bytes as f64 * factor);
    let entry_bytes = bytes.max(key_bytes + value_bytes);
    Estimate { entries: entries as f64 * factor, entry_bytes, key_bytes, value_bytes, rows, bytes }
}

/// The estimate, with no more values of a key than the fold keeps: in a sample keys have fewer values, so that their
/// bytes seem to grow with the input forever.
fn within_fold(estimate: Estimate, fold: Fold) -> Estimate {
    let kept = match Counter::kept(fold) {
        u64::MAX => return estimate,
        kept => kept as f64,
    };
    let entries = estimate.entries.max(1.0);
    let rows = estimate.rows.min(entries);
    let values = entries.min(rows * kept);
    let most = rows * estimate.key_bytes / entries + values * estimate.value_bytes / entries;
    Estimate { bytes: estimate.bytes.min(most), ..estimate }
}

/// The most memory that the build of a version held, if it had the same budget; its report says so.
fn held(prepared: &Prepared<'_>, Previous { manifest }: &Previous) -> Option<u64> {
    let store = Catalog::directory_for(&prepared.job.store).ok()?;
    let report = std::fs::read(Layout::new(store).report_of(manifest.version)).ok()?;
    let report: serde_json::Value = serde_json::from_slice(&report).ok()?;
    let same = report["memory"]["budget"].as_u64() == Some(prepared.options.resources.memory);
    report["peak_memory"].as_u64().filter(|_| same)
}

/// Bytes of the entries that a version was made of.
fn before_bytes(Previous { manifest }: &Previous) -> f64 {
    let entries = manifest.profile.as_ref().map_or(0, |profile| profile.key_bytes + profile.value_bytes);
    manifest.bytes.max(entries) as f64
}

fn about_rows(input: &Input) -> u64 {
    input.rows().unwrap_or(input.bytes() / BYTES_PER_ROW)
}

/// Bytes of a version's files per byte of its keys and values.
fn published_compression(Previous { manifest }: &Previous) -> Option<(f64, String)> {
    let ratio = manifest.disk_bytes() as f64 / manifest.bytes as f64;
    (manifest.bytes >= MIN_KNOWN_BYTES).then(|| (ratio, format!("version {}", manifest.version)))
}

/// How long a version took, scaled to the expected number of entries.
fn took(estimate: &Estimate, Previous { manifest }: &Previous) -> Option<(f64, String)> {
    let millis: u64 = manifest.stages.iter().map(|stage| stage.millis).sum();
    let entries = manifest.stages.iter().find(|stage| stage.name == "query").map_or(manifest.rows, |stage| stage.rows);
    let seconds = millis as f64 / 1000.0 * estimate.entries / entries as f64;
    (entries > 0 && millis > 0).then(|| (seconds, format!("version {}", manifest.version)))
}

/// Counts the entries that a pass over the query would make.
struct Counter {
    encoder: Encoder,
    fold: Fold,
    compression: CompressionSampler,
    batch: EntryBatch,
    estimate: Estimate,
    /// Entries of each key so far, by the key's hash, for folds that depend on them: of all keys, or of one in
    /// 2^`level` once there are too many.
    keys: HashMap<u64, Key>,
    level: u32,
}

#[derive(Clone, Copy, Default)]
struct Key {
    entries: u64,
    key_bytes: usize,
    value_bytes: f64,
}

impl Counter {
    fn new(encoder: Encoder, fold: Fold, compression: CompressionSampler) -> Self {
        Self {
            encoder,
            fold,
            compression,
            batch: EntryBatch::default(),
            estimate: Estimate::default(),
            keys: HashMap::new(),
            level: 0,
        }
    }

    /// Most values of one key that the fold keeps.
    fn kept(fold: Fold) -> u64 {
        match fold {
            Fold::Error | Fold::First | Fold::Last => 1,
            Fold::Top(limit) => u64::from(limit),
            Fold::Number | Fold::List => u64::MAX,
        }
    }

    fn count(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encoder.encode(rows, &mut self.batch)?;
        let (batch, counts_rows) = (&self.batch, self.counts_rows());
        for row in 0..batch.keys.len() {
            let (key, value) = (batch.keys.get(row), batch.values.get(row));
            self.estimate.entries += 1.0;
            self.estimate.entry_bytes += (key.len() + batch.orders.get(row).len() + value.len()) as f64;
            self.estimate.key_bytes += key.len() as f64;
            self.estimate.value_bytes += value.len() as f64;
            self.compression.add(key, value);
            if counts_rows {
                self.estimate.rows += 1.0;
                self.estimate.bytes += (key.len() + value.len()) as f64;
                continue;
            }
            let hash = xxh3_64(key);
            if hash.trailing_zeros() < self.level {
                continue;
            }
            let seen = self.keys.entry(hash).or_default();
            seen.entries += 1;
            seen.key_bytes = key.len();
            seen.value_bytes += value.len() as f64;
        }
        while self.keys.len() > MAX_KEYS {
            self.level += 1;
            let level = self.level;
            self.keys.retain(|hash, _| hash.trailing_zeros() >= level);
        }
        Ok(())
    }
}

impl Measure for Counter {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        pieces(rows.clone()).try_for_each(|piece| self.count(&piece))
    }

    fn counts_rows(&self) -> bool {
        matches!(self.fold, Fold::Number | Fold::Error)
    }
    fn total(parts: Vec<Self>) -> Estimate {
        let mut total = Estimate::default();
        let mut keys: HashMap<u64, Key> = HashMap::new();
        let mut kept = u64::MAX;
        let level = parts.iter().map(|part| part.level).max().unwrap_or(0);
        for part in parts {
            kept = Self::kept(part.fold);
            total.entries += part.estimate.entries;
            total.entry_bytes += part.estimate.entry_bytes;
            total.key_bytes += part.estimate.key_bytes;
            total.value_bytes += part.estimate.value_bytes;
            total.rows += part.estimate.rows;
            total.bytes += part.estimate.bytes;
            for (hash, key) in part.keys.into_iter().filter(|(hash, _)| hash.trailing_zeros() >= level) {
                let seen = keys.entry(hash).or_default();
                seen.entries += key.entries;
                seen.key_bytes = key.key_bytes;
                seen.value_bytes += key.value_bytes;
            }
        }
        let weight = f64::from(level).exp2();
        for key in keys.values() {
            let share = kept.min(key.entries) as f64 / key.entries as f64;
            total.rows += weight;
            total.bytes += weight * (key.key_bytes as f64 + key.value_bytes * share);
        }
        total
    }
}

/// The first rows of the query's result, as JSON objects; none if the query takes longer than [`PREVIEW_TIME`].
///
/// # Errors
/// As running the query.
pub(super) fn preview(prepared: &Prepared<'_>, rows: usize, spill_dir: &Path) -> Result<Vec<serde_json::Value>> {
    let query = prepared.query.with_limit(rows)?.until(Instant::now() + PREVIEW_TIME);
    let batches = match query.collect(rows, spill_dir) {
        Err(RunError::DeadlineExceeded(_)) => return Ok(Vec::new()),
        collected => collected.map_err(|failed| prepared.explain(failed))?,
    };
    let mut text = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut text);
    let unshown = |error| Error::internal("cannot format rows").because(error);
    for batch in &batches {
        writer.write(batch).map_err(unshown)?;
    }
    writer.finish().map_err(unshown)?;
    drop(writer);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .take(rows)
        .map(|line| serde_json::from_slice(line).map_err(|error| Error::internal("a row is not JSON").because(error)))
        .collect()
}
