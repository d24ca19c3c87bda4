//! Predicts the size of a job's output from a sample of its inputs, at a small part of the cost of the run.
//!
//! If the inputs are small the query simply runs to its end. Otherwise it runs twice, over a sample of row groups
//! spread over the largest input (slices of text files, whole Avro files) and over a sample twice as large. Small
//! inputs are read completely, and of others that are large too the same share is sampled. Files that partition pruning
//! skips are left out. The two results show how the output grows: linearly if rows map one to one, saturating if they
//! are grouped. Both are points on `rows = n / (a + b·n)`, the Michaelis-Menten curve, which two points determine. A
//! query without groups, whose rows are counted one by one, needs only the smaller sample.
//!
//! There is no estimate where a sample says nothing or would cost too much: two large inputs are joined, as samples of
//! both have few rows in common; what is left of the files is not small; a sample does not fit into memory, does
//! not end in time, or fails. Nothing is tried again.
//!
//! Not for: guarantees. Groups with a longer tail than the sample shows are underestimated.

use std::path::Path;
use std::time::{Duration, Instant};

use super::execute::RunError;
use super::row_group_sample::RowGroupSample;
use super::session::Query;
use crate::error::{Kind, Result};
use crate::input::Input;
use arrow::array::RecordBatch;

/// Rows of all inputs up to which the whole query runs.
const SMALL_INPUT_ROWS: u64 = 200_000;
/// The smaller sample is this part of the largest input (1/N), within bounds.
const SAMPLE_PART: u64 = 64;
/// The fewest and the most rows of the largest input in the smaller sample.
const SAMPLE_ROWS: (u64, u64) = (10_000, 125_000);
/// Bytes of rows in the smaller sample, as a part of the query's memory (1/N): what samples leave to the allocator in
/// pieces is missing in the run.
const SAMPLE_MEMORY_PART: u64 = 32;
/// Row groups that a sample takes rows from, if there are that many.
const MIN_ROW_GROUPS: u64 = 8;
/// Inputs are read completely that have, all together, at most this part of all rows (1/N).
const COMPLETE_PART: u64 = 8;
/// If the whole is less than this many times the smaller sample, sampling costs too much.
const SMALLEST_WHOLE: f64 = 10.0;
/// If the larger sample is less than this many times the smaller one, they do not show how groups saturate.
const SMALLEST_RATIO: f64 = 1.5;
/// Assumed bytes of a row if files do not record their row count, such as Avro.
const BYTES_PER_ROW: u64 = 100;
/// The time for all of it: so much, and for every row of the inputs so much more.
const MIN_TIME: Duration = Duration::from_secs(2);
const TIME_PER_ROW: Duration = Duration::from_nanos(20);

/// The size of a query's result, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Entries that go through the shuffle.
    pub entries: f64,
    /// Their bytes.
    pub entry_bytes: f64,
    /// Bytes of their keys, and of their values.
    pub key_bytes: f64,
    /// See `key_bytes`.
    pub value_bytes: f64,
    /// Rows of the version, after the fold.
    pub rows: f64,
    /// Bytes of keys and values of the version.
    pub bytes: f64,
}

impl Estimate {
    fn times(self, factor: f64) -> Self {
        let Self { entries, entry_bytes, key_bytes, value_bytes, rows, bytes } = self;
        Self {
            entries: entries * factor,
            entry_bytes: entry_bytes * factor,
            key_bytes: key_bytes * factor,
            value_bytes: value_bytes * factor,
            rows: rows * factor,
            bytes: bytes * factor,
        }
    }
}

/// Measures one pass of the query: takes batches, then returns their total size.
pub trait Measure: Sized + Send {
    /// Adds a batch.
    ///
    /// # Errors
    /// Any error in its rows.
    fn take(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Whether every row counts independently of all other rows.
    fn counts_rows(&self) -> bool;

    /// The sum over the partitions of a pass.
    fn total(parts: Vec<Self>) -> Estimate;
}

/// Predicts the size of the query's output; `measure` makes one measure per partition of every pass. None if that would
/// cost too much or say nothing.
///
/// # Errors
/// As for running the query.
pub fn estimate<M: Measure>(
    query: &Query<'_>,
    inputs: &[Input],
    spill_dir: &Path,
    measure: impl Fn() -> Result<M>,
) -> Result<Option<Estimate>, RunError> {
    let kept: Vec<Input> = inputs.iter().map(|input| query.kept(input)).collect();
    let inputs = kept.as_slice();
    let rows: Vec<u64> = inputs.iter().map(about_rows).collect();
    let all: u64 = rows.iter().sum();
    let time = MIN_TIME + TIME_PER_ROW * u32::try_from(all).unwrap_or(u32::MAX);
    let query = query.until(Instant::now() + time);
    if all <= SMALL_INPUT_ROWS {
        return pass(&query, spill_dir, &measure);
    }
    let large = large(&rows);
    let Some(&largest) = large.first().filter(|_| !joins_two(&query, inputs, &large)) else { return Ok(None) };
    let fitting = query.settings.memory as u64 / SAMPLE_MEMORY_PART / query.row_bytes().max(1) as u64;
    let small = (rows[largest] / SAMPLE_PART).clamp(SAMPLE_ROWS.0, SAMPLE_ROWS.1).min(fitting.max(1));
    let share = |number: usize, times: u64| {
        let own = u128::from(times * small) * u128::from(rows[number]) / u128::from(rows[largest]);
        share(&inputs[number], rows[number], (own as u64).max(1), times)
    };
    let seen = |sample: RowGroupSample| sample.rows(&inputs[largest]) as f64;
    let [of_small, of_large] = [1, 2].map(|times| seen(share(largest, times)));
    let (ratio, whole) = (of_large / of_small, seen(RowGroupSample::ALL) / of_small);
    if whole < SMALLEST_WHOLE || ratio < SMALLEST_RATIO {
        return Ok(None);
    }
    let sample = |times: u64| {
        let mut shares = vec![RowGroupSample::ALL; inputs.len()];
        large.iter().for_each(|number| shares[*number] = share(*number, times));
        match pass(&query.sampled(inputs, &shares)?, spill_dir, &measure) {
            // Not of the run: a part of the rows can give what all of them do not, such as a group whose sum is zero.
            Err(RunError::Query(error) | RunError::Sink(error)) if error.kind() != Kind::Stopped => {
                tracing::debug!("no prediction, as its sample of the inputs failed: {error}");
                Ok(None)
            }
            ended => ended,
        }
    };
    let Some(one) = sample(1)? else { return Ok(None) };
    let two = match measure()?.counts_rows() && query.is_map_only() {
        true => one.times(ratio),
        false => match sample(2)? {
            Some(two) => two,
            None => return Ok(None),
        },
    };
    let grown = |one: f64, two: f64| grow(one, two, ratio, whole);
    Ok(Some(Estimate {
        entries: grown(one.entries, two.entries),
        entry_bytes: grown(one.entry_bytes, two.entry_bytes),
        key_bytes: grown(one.key_bytes, two.key_bytes),
        value_bytes: grown(one.value_bytes, two.value_bytes),
        rows: grown(one.rows, two.rows),
        bytes: grown(one.bytes, two.bytes),
    }))
}

/// The inputs that are sampled, the largest first: all that are not read completely.
fn large(rows: &[u64]) -> Vec<usize> {
    let mut smallest_first: Vec<usize> = (0..rows.len()).collect();
    smallest_first.sort_by_key(|number| rows[*number]);
    let most = rows.iter().sum::<u64>() / COMPLETE_PART;
    let mut complete = 0;
    let mut large: Vec<usize> = smallest_first
        .into_iter()
        .skip_while(|number| {
            complete += rows[*number];
            complete <= most
        })
        .collect();
    large.reverse();
    large
}

/// Whether the query joins two of these inputs.
fn joins_two(query: &Query<'_>, inputs: &[Input], large: &[usize]) -> bool {
    let is_large = |name: &String| large.iter().any(|number| inputs[*number].name == *name);
    query.joins.iter().any(|[left, right]| {
        let mut pairs = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
        pairs.any(|(left, right)| left != right && is_large(left) && is_large(right))
    })
}

/// The share of an input with about `wanted` of its `rows`: from more of the row groups if they are small, and at least
/// `files` whole files if there are no row groups.
fn share(input: &Input, rows: u64, wanted: u64, files: u64) -> RowGroupSample {
    let groups = input.parts();
    let fewest = if input.rows().is_some() { MIN_ROW_GROUPS } else { files };
    let from = (groups * wanted).div_ceil(rows.max(1)).max(fewest).min(groups).max(1);
    let step = (groups / from).max(1);
    RowGroupSample { step: step as usize, rows: wanted.div_ceil(groups.div_ceil(step).max(1)) }
}

/// Rows of an input: from the footers, or estimated from its bytes.
fn about_rows(input: &Input) -> u64 {
    input.rows().unwrap_or(input.bytes() / BYTES_PER_ROW)
}

/// Extrapolates to `whole` units of input, given that one unit yields `one` and `ratio` units yield `two`.
fn grow(one: f64, two: f64, ratio: f64, whole: f64) -> f64 {
    let line = two * whole / ratio;
    if one <= 0.0 || two <= 0.0 {
        return line;
    }
    // 1/y = a/n + b through (1, one) and (ratio, two); b < 0 would mean faster than linear growth, which can only be
    // chance.
    let a = (1.0 / one - 1.0 / two) / (1.0 - 1.0 / ratio);
    let b = 1.0 / one - a;
    if b <= 0.0 { line } else { (1.0 / (a / whole + b)).max(two) }
}

/// Runs the query once; none if it does not fit into memory or does not end in time. The run that follows knows what
/// did not fit.
fn pass<M: Measure>(
    query: &Query<'_>,
    spill_dir: &Path,
    measure: &impl Fn() -> Result<M>,
) -> Result<Option<Estimate>, RunError> {
    let (way, wide) = (query.join_strategy(), query.wide_row_bytes());
    match query.prepare(way)?.run(spill_dir, |_| measure(), |part, batch| part.take(&batch)) {
        Ok(parts) => Ok(Some(M::total(parts))),
        Err(RunError::OutOfMemory(_)) => {
            query.fall_back(way, wide);
            Ok(None)
        }
        Err(RunError::DeadlineExceeded(_)) => Ok(None),
        Err(failed) => Err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rows(f64);

    impl Measure for Rows {
        fn take(&mut self, batch: &RecordBatch) -> Result<()> {
            self.0 += batch.num_rows() as f64;
            Ok(())
        }

        fn counts_rows(&self) -> bool {
            true
        }

        fn total(parts: Vec<Self>) -> Estimate {
            Estimate { rows: parts.iter().map(|part| part.0).sum(), ..Estimate::default() }
        }
    }

    #[test]
    fn a_sample_that_takes_too_long_gives_no_estimate() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let settings = crate::query::Settings { threads: 2, memory: 64 << 20 };
        let spill = tempfile::tempdir().unwrap();
        let rows = |sql: &str| {
            let query = Query::new(&runtime, &[], sql, &Default::default(), settings).unwrap();
            estimate(&query, &[], spill.path(), || Ok(Rows(0.0))).unwrap().map(|estimate| estimate.rows)
        };
        assert_eq!(rows("SELECT x FROM generate_series(1, 1000) t(x) WHERE x % 2 = 0"), Some(500.0));
        let start = Instant::now();
        let endless = "SELECT count(*) AS n FROM generate_series(1, 9000000) a(x), generate_series(1, 9000000) b(y) \
                       WHERE x % 7 = y % 11";
        assert_eq!(rows(endless), None);
        assert!(start.elapsed() < MIN_TIME * 10, "{:?}", start.elapsed());
    }

    #[test]
    fn inputs_with_an_eighth_of_the_rows_together_are_read_completely() {
        assert_eq!(large(&[40, 2, 3]), [0]);
        assert_eq!(large(&[2, 40, 10, 3]), [1, 2]);
        assert_eq!(large(&[20, 20]).len(), 2);
        assert_eq!(large(&[7]), [0]);
        assert_eq!(large(&[]), [0; 0]);
    }

    #[test]
    fn lines_stay_lines_and_groups_fill_up() {
        assert!((grow(10.0, 20.0, 2.0, 40.0) - 400.0).abs() < 1e-6);
        assert!((grow(0.0, 5.0, 2.0, 40.0) - 100.0).abs() < 1e-6);
        // 1,000 groups drawn evenly: 632 seen after 1,000 rows, 865 after 2,000; all of them in the end.
        let all = grow(632.0, 865.0, 2.0, 100.0);
        assert!((900.0..1500.0).contains(&all), "{all}");
    }
}
