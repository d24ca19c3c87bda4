//! The memory of one operator, and how large its inputs are, if that is known before it runs.
//!
//! Not for: what the whole query may take (`session`, `memory_pool`).

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};

/// Bytes of a value in memory in addition to those in the file: offsets of strings, and expanded integers.
const VALUE_BYTES: usize = 16;
/// Assumed bytes of a row if nothing is known.
const ROW_BYTES: usize = 128;
/// Fraction of the memory that a build side may take and still be joined by hash when memory is short (1/N).
const SMALL: usize = 64;

/// The memory and threads of one operator.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperatorBudget {
    /// Partitions processed at once.
    pub(super) threads: usize,
    /// Bytes for all of them.
    pub(super) memory: usize,
    /// Rows of a batch.
    pub(super) batch_rows: usize,
    /// Bytes of a row, if found to be far more than the files say; otherwise 0.
    pub(super) row_bytes: usize,
}

impl OperatorBudget {
    /// The budget of each of `among` operators that run at the same time.
    pub(super) fn shared(self, among: usize) -> Self {
        Self { memory: self.memory / among.max(1), ..self }
    }
}

/// Rows of an input, if known, and the bytes of one in memory.
pub(super) fn size(input: &dyn ExecutionPlan) -> Result<(Option<usize>, usize)> {
    let statistics = StatisticsContext::new().compute(input, &StatisticsArgs::new())?;
    let rows = statistics.num_rows.get_value().copied();
    let bytes = statistics.total_byte_size.get_value().copied();
    let of_file = bytes.zip(rows).map_or(ROW_BYTES, |(bytes, rows)| bytes / rows.max(1));
    Ok((rows, of_file + VALUE_BYTES * input.schema().fields().len()))
}

/// Whether an input is certain to be small: not by an estimate, but because its number of rows is bounded.
pub(super) fn small(input: &Arc<dyn ExecutionPlan>, budget: OperatorBudget) -> Result<bool> {
    let Some(rows) = most_rows(input)? else { return Ok(false) };
    let (_, row_bytes) = size(input.as_ref())?;
    Ok(rows.saturating_mul(row_bytes) <= budget.memory / SMALL)
}

/// An upper bound of an input's rows; none if unknown.
fn most_rows(input: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    let children = input.children();
    let adds_up = input.is::<UnionExec>() || input.is::<InterleaveExec>();
    let below = match children.as_slice() {
        // The row counts of files are known.
        [] => size(input.as_ref())?.0,
        inputs if adds_up => {
            let mut all = Some(0_usize);
            for input in inputs {
                all = all.zip(most_rows(input)?).map(|(all, rows)| all.saturating_add(rows));
            }
            all
        }
        [below] if !input.is::<UnnestExec>() => most_rows(below)?,
        // A join has two inputs, and so has a recursive query.
        _ => None,
    };
    Ok(match (below, input.fetch()) {
        (Some(below), Some(fetch)) => Some(below.min(fetch)),
        (below, fetch) => below.or(fetch),
    })
}
