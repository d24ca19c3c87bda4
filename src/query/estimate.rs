//! Predicts how much a job will make, from a sample of its largest input.
//!
//! Where the inputs are small the query simply runs to its end. Otherwise it runs over one part of the largest input's
//! row groups and over twice that part, with the other inputs whole; the two results say how the output grows. Rows
//! that come one for one grow in a line, groups fill up: both are points on `rows = n / (a + b·n)`, the curve of
//! Michaelis and Menten, which two points fix. A query without groups, whose rows are counted one by one, needs only
//! the first.
//!
//! Not for: a promise. Groups that are skewed beyond the sample are underestimated.

use std::path::Path;

use super::execute::{Failed, Joins};
use super::session::Query;
use super::table::Share;
use crate::error::Result;
use crate::input::Input;
use arrow::array::RecordBatch;

/// Rows of the largest input up to which the whole query runs.
const SMALL_INPUT_ROWS: u64 = 2_000_000;
/// Rows of the largest input in the smaller sample.
const SAMPLE_ROWS: u64 = 500_000;

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
) -> Result<Estimate, Failed> {
    let largest = inputs
        .iter()
        .enumerate()
        .filter_map(|(number, input)| Some((number, input.rows()?)))
        .max_by_key(|(_, rows)| *rows);
    let Some((number, rows)) = largest.filter(|(_, rows)| *rows > SMALL_INPUT_ROWS) else {
        return pass(query, spill_dir, &measure);
    };
    let groups: usize =
        inputs[number].files.iter().filter_map(|file| Some(file.footer.as_ref()?.row_groups.len())).sum();
    let wanted = ((groups as u64 * SAMPLE_ROWS).div_ceil(rows) as usize).max(1);
    if groups < wanted * 4 {
        return pass(query, spill_dir, &measure);
    }
    let sample = |groups_wanted: usize| {
        let mut shares = vec![Share::ALL; inputs.len()];
        shares[number] = Share { step: groups / groups_wanted };
        pass(&query.over(inputs, &shares)?, spill_dir, &measure)
    };
    let whole = groups as f64 / wanted as f64;
    let one = sample(wanted)?;
    let two = if measure()?.counts_rows() && query.is_row_wise() { one.times(2.0) } else { sample(2 * wanted)? };
    let grown = |one: f64, two: f64| grow(one, two, whole);
    Ok(Estimate {
        entries: grown(one.entries, two.entries),
        entry_bytes: grown(one.entry_bytes, two.entry_bytes),
        rows: grown(one.rows, two.rows),
        bytes: grown(one.bytes, two.bytes),
    })
}

/// What comes of `whole` parts, when one part gives `one` and two parts give `two`.
fn grow(one: f64, two: f64, whole: f64) -> f64 {
    if one <= 0.0 || two <= 0.0 {
        return two * whole / 2.0;
    }
    // 1/y = a/n + b through (1, one) and (2, two); b < 0 would mean faster than a line, which is a matter of chance.
    let a = 2.0 * (1.0 / one - 1.0 / two);
    let b = 1.0 / one - a;
    if b <= 0.0 { two * whole / 2.0 } else { (1.0 / (a / whole + b)).max(two) }
}

fn pass<M: Measure>(query: &Query<'_>, spill_dir: &Path, measure: &impl Fn() -> Result<M>) -> Result<Estimate, Failed> {
    let measured = |joins| -> Result<Vec<M>, Failed> {
        let execution = query.prepare(joins)?;
        execution.run(spill_dir, |_| measure(), |part, batch| part.take(&batch))
    };
    let parts = match measured(Joins::Hash) {
        Err(Failed::OutOfMemory(_)) => measured(Joins::SortMerge)?,
        parts => parts?,
    };
    Ok(M::total(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_groups_fill_up() {
        assert!((grow(10.0, 20.0, 40.0) - 400.0).abs() < 1e-6);
        assert!((grow(0.0, 5.0, 40.0) - 100.0).abs() < 1e-6);
        // 1,000 groups drawn evenly: 632 seen after 1,000 rows, 865 after 2,000; all of them in the end.
        let all = grow(632.0, 865.0, 100.0);
        assert!((900.0..1500.0).contains(&all), "{all}");
    }
}
