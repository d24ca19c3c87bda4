//! Predicts how much a job will make, from a sample of its largest input.
//!
//! Where the inputs are small the query simply runs to its end. Otherwise it runs over the first rows of row groups
//! spread over the largest input (pieces of text files, whole ones of Avro) and over twice as many, with the other
//! inputs whole; files that the query leaves out by the names of their directories are left out here. The two results
//! say how the output grows. Rows that come one for one grow in a line, groups fill up: both are points on `rows = n /
//! (a + b·n)`, the curve of Michaelis and Menten, which two points fix. A query without groups, whose rows are counted
//! one by one, needs only the first.
//!
//! Not for: a promise. Groups that are skewed beyond the sample are underestimated.

use std::path::Path;

use super::execute::RunError;
use super::session::Query;
use super::table_provider::RowGroupSample;
use crate::error::Result;
use crate::input::Input;
use arrow::array::RecordBatch;

/// Rows of the largest input up to which the whole query runs.
const SMALL_INPUT_ROWS: u64 = 1_000_000;
/// Rows of the largest input in the smaller sample.
const SAMPLE_ROWS: u64 = 125_000;
/// Row groups a sample takes rows of, where there are as many.
const SPREAD: u64 = 8;
/// A sample that is not at least so many times smaller than the whole saves nothing; the whole query runs.
const SMALLEST_WHOLE: f64 = 3.0;
/// Samples that are hardly apart say nothing of how groups fill up.
const SMALLEST_RATIO: f64 = 1.5;
/// Bytes a row is taken to have where files do not tell their rows, as Avro's.
const BYTES_PER_ROW: u64 = 100;

/// What a query's result, or a part of it, comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Entries that go through the shuffle.
    pub entries: f64,
    /// Bytes of them.
    pub entry_bytes: f64,
    /// Rows of the version, after the fold.
    pub rows: f64,
    /// Bytes of keys and values of the version.
    pub bytes: f64,
}

impl Estimate {
    fn times(self, factor: f64) -> Self {
        let Self { entries, entry_bytes, rows, bytes } = self;
        Self {
            entries: entries * factor,
            entry_bytes: entry_bytes * factor,
            rows: rows * factor,
            bytes: bytes * factor,
        }
    }
}

/// Measures one pass over the query: takes batches, then tells what they came to.
pub trait Measure: Sized + Send {
    /// Takes a batch.
    ///
    /// # Errors
    /// Whatever is wrong with its rows.
    fn take(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Whether every row counts for itself, whatever other rows there are.
    fn counts_rows(&self) -> bool;

    /// What all passes' parts come to.
    fn total(parts: Vec<Self>) -> Estimate;
}

/// Predicts what the query comes to, with a `measure` for every partition of every pass.
///
/// # Errors
/// As running the query.
pub fn estimate<M: Measure>(
    query: &Query<'_>,
    inputs: &[Input],
    spill_dir: &Path,
    measure: impl Fn() -> Result<M>,
) -> Result<Estimate, RunError> {
    let kept: Vec<Input> = inputs.iter().map(|input| query.kept(input)).collect();
    let inputs = kept.as_slice();
    let largest =
        inputs.iter().enumerate().map(|(number, input)| (number, about_rows(input))).max_by_key(|(_, rows)| *rows);
    let Some((number, rows)) = largest.filter(|(_, rows)| *rows > SMALL_INPUT_ROWS) else {
        return pass(query, spill_dir, &measure);
    };
    let groups = inputs[number].parts();
    // Where row groups are small, more of them; where there are none, whole files.
    let share = |sample: u64| {
        let wanted = (groups * sample).div_ceil(rows).max(SPREAD).min(groups);
        let step = groups / wanted;
        RowGroupSample { step: step as usize, rows: sample.div_ceil(groups.div_ceil(step)) }
    };
    let (small, large) = (share(SAMPLE_ROWS), share(2 * SAMPLE_ROWS));
    let seen = |share: RowGroupSample| share.rows(&inputs[number]) as f64;
    let (ratio, whole) = (seen(large) / seen(small), seen(RowGroupSample::ALL) / seen(small));
    if whole < SMALLEST_WHOLE || ratio < SMALLEST_RATIO {
        return pass(query, spill_dir, &measure);
    }
    let sample = |share: RowGroupSample| {
        let mut shares = vec![RowGroupSample::ALL; inputs.len()];
        shares[number] = share;
        pass(&query.sampled(inputs, &shares)?, spill_dir, &measure)
    };
    let one = sample(small)?;
    let two = if measure()?.counts_rows() && query.is_map_only() { one.times(ratio) } else { sample(large)? };
    let grown = |one: f64, two: f64| grow(one, two, ratio, whole);
    Ok(Estimate {
        entries: grown(one.entries, two.entries),
        entry_bytes: grown(one.entry_bytes, two.entry_bytes),
        rows: grown(one.rows, two.rows),
        bytes: grown(one.bytes, two.bytes),
    })
}

/// Rows of an input: what footers say, or what its bytes suggest.
fn about_rows(input: &Input) -> u64 {
    input.rows().unwrap_or(input.bytes() / BYTES_PER_ROW)
}

/// What comes of `whole` parts, when one part gives `one` and `ratio` parts give `two`.
fn grow(one: f64, two: f64, ratio: f64, whole: f64) -> f64 {
    let line = two * whole / ratio;
    if one <= 0.0 || two <= 0.0 {
        return line;
    }
    // 1/y = a/n + b through (1, one) and (ratio, two); b < 0 would mean faster than a line, which is a matter of
    // chance.
    let a = (1.0 / one - 1.0 / two) / (1.0 - 1.0 / ratio);
    let b = 1.0 / one - a;
    if b <= 0.0 { line } else { (1.0 / (a / whole + b)).max(two) }
}

fn pass<M: Measure>(
    query: &Query<'_>,
    spill_dir: &Path,
    measure: &impl Fn() -> Result<M>,
) -> Result<Estimate, RunError> {
    let parts = query.run_with_fallback(|way| {
        let execution = query.prepare(way)?;
        execution.run(spill_dir, |_| measure(), |part, batch| part.take(&batch))
    })?;
    Ok(M::total(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_groups_fill_up() {
        assert!((grow(10.0, 20.0, 2.0, 40.0) - 400.0).abs() < 1e-6);
        assert!((grow(0.0, 5.0, 2.0, 40.0) - 100.0).abs() < 1e-6);
        // 1,000 groups drawn evenly: 632 seen after 1,000 rows, 865 after 2,000; all of them in the end.
        let all = grow(632.0, 865.0, 2.0, 100.0);
        assert!((900.0..1500.0).contains(&all), "{all}");
    }
}
