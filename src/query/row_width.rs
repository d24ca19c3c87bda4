//! Detects rows that are wider than planned: a run whose batches would become too large is aborted, and the query is
//! planned again with fewer rows per batch.
//!
//! Operators make batches of a fixed number of rows, whatever their width. That number follows from the row size in the
//! files' metadata, which can be far too small: a dictionary holds a long string once for all rows, a join repeats it.
//!
//! - [`Widths::add`] weighs the rows that a scan returns, batch by batch.
//! - [`WidthExec`] looks up the widest row below every operator that may repeat one for a whole batch.
//!
//! Not for: memory that operators hold (see `memory_pool`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;

use super::batch_slices::{weight, widest};
use super::operator::{RECOMPUTE, recomputed_over_children, same_rows, without_expressions};

/// How many times its planned size a batch may reach, and the size that is always allowed.
const WIDE_TIMES: usize = 8;
const WIDE_BYTES: usize = 20 << 20;
/// Factor by which the row width grows at least when rows turn out wider once more, so that retries end.
const AGAIN: usize = 4;

/// Row widths found by all runs of a query.
#[derive(Debug)]
pub(super) struct Widths {
    /// Bytes to plan for a row; 0 if the files' metadata is good enough.
    found: AtomicUsize,
    /// Planned bytes of a batch.
    planned: usize,
    most_of_row: usize,
}

/// The rows that an operator above may combine into one batch.
#[derive(Debug, Default)]
pub(super) struct Window {
    rows: usize,
    bytes: usize,
}

impl Widths {
    /// Nothing found yet; batches are planned with `planned` bytes, and a row may have `most_of_row`.
    pub(super) fn new(planned: usize, most_of_row: usize) -> Self {
        Self { found: AtomicUsize::new(0), planned, most_of_row }
    }

    /// Bytes to plan for a row, if far more than the files say; otherwise 0.
    pub(super) fn found(&self) -> usize {
        self.found.load(Ordering::Relaxed)
    }

    /// Maximum bytes of a batch.
    pub(super) fn most_of_batch(&self) -> usize {
        (WIDE_TIMES * self.planned).max(WIDE_BYTES)
    }

    /// Adds a batch to those that may be combined into one of `batch_rows` rows.
    ///
    /// # Errors
    /// `ResourcesExhausted` if that batch would be too large.
    pub(super) fn add(&self, window: &mut Window, batch: &RecordBatch, batch_rows: usize) -> Result<()> {
        let (rows, bytes) = (batch.num_rows(), weight(batch));
        if window.rows + rows > batch_rows {
            *window = Window::default();
        }
        window.rows += rows;
        window.bytes = window.bytes.saturating_add(bytes);
        if rows == 1 && bytes > self.most_of_row {
            return Err(too_wide(bytes, self.most_of_row));
        }
        if window.bytes > self.most_of_batch() && batch_rows > 1 {
            return Err(self.wider(window.bytes / window.rows.max(1), batch_rows));
        }
        Ok(())
    }

    /// Checks batches of `rows` rows of up to `row_bytes` bytes each against the limit.
    ///
    /// # Errors
    /// `ResourcesExhausted` if they may exceed it.
    pub(super) fn check(&self, row_bytes: usize, rows: usize) -> Result<()> {
        if rows <= 1 || row_bytes.saturating_mul(rows) <= self.most_of_batch() {
            return Ok(());
        }
        Err(self.wider(self.row_bytes_for(row_bytes), rows))
    }

    /// Records a value that all rows may have. No run is aborted, as none has started.
    pub(super) fn note(&self, bytes: usize) {
        self.found.fetch_max(self.row_bytes_for(bytes), Ordering::Relaxed);
    }

    /// The width to plan for if the widest row has `widest` bytes: a batch of such rows reaches the limit, not the
    /// planned size, as most rows are smaller.
    fn row_bytes_for(&self, widest: usize) -> usize {
        widest.div_ceil(self.most_of_batch() / self.planned.max(1))
    }

    fn wider(&self, row_bytes: usize, batch_rows: usize) -> DataFusionError {
        let before = self.planned / batch_rows.max(1);
        self.found.fetch_max(row_bytes.max(AGAIN * before), Ordering::Relaxed);
        let text = format!("rows that take {row_bytes} bytes are too wide for batches of {batch_rows} rows");
        DataFusionError::ResourcesExhausted(text)
    }
}

fn too_wide(bytes: usize, most: usize) -> DataFusionError {
    let text = format!("a row has {bytes} bytes; the limit is {most}");
    DataFusionError::ResourcesExhausted(text)
}

/// Adds a check of the row width below every operator that may repeat values.
pub(super) fn watch(plan: Arc<dyn ExecutionPlan>, widths: &Arc<Widths>) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = plan.transform_up(|node| {
        if !repeats(node.as_ref()) {
            return Ok(Transformed::no(node));
        }
        let watched = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            let lists = unnested(node.as_ref());
            let columns = (0..input.schema().fields().len()).filter(|column| !lists.contains(column)).collect();
            Arc::new(WidthExec { input: Arc::clone(input), columns, lists, widths: Arc::clone(widths) })
        };
        let children = node.children().into_iter().map(watched).collect();
        Ok(Transformed::yes(node.replace_children(children, RECOMPUTE)?))
    })?;
    Ok(watched.data)
}

/// Whether an operator may repeat values of its input throughout a batch.
fn repeats(node: &dyn ExecutionPlan) -> bool {
    let schema = node.schema();
    let given = node.children().first().map_or(0, |input| input.schema().fields().len());
    // Windows repeat what their functions return.
    let wide = |data_type: &DataType| data_type.primitive_width().is_none();
    match node.name() {
        "HashJoinExec" | "SortMergeJoinExec" | "CrossJoinExec" | "NestedLoopJoinExec" | "UnnestExec" => true,
        "BoundedWindowAggExec" | super::bounded_window::BOUNDED_WINDOW => {
            schema.fields().iter().skip(given).any(|field| wide(field.data_type()))
        }
        _ => false,
    }
}

/// The list columns that are unnested: their elements occur once each, the rest of the row once per element.
fn unnested(node: &dyn ExecutionPlan) -> Vec<usize> {
    let lists = node.downcast_ref::<UnnestExec>().map_or(&[][..], UnnestExec::list_column_indices);
    lists.iter().map(|list| list.index_in_input_schema).collect()
}

/// Number of elements of the list in a row.
fn elements(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value_length(row) as usize,
        DataType::LargeList(_) => column.as_list::<i64>().value_length(row) as usize,
        DataType::FixedSizeList(_, elements) => *elements as usize,
        _ => 1,
    }
}

/// The operator; it passes its input through.
#[derive(Clone, Debug)]
struct WidthExec {
    input: Arc<dyn ExecutionPlan>,
    /// Columns that may be repeated.
    columns: Vec<usize>,
    /// List columns that are unnested.
    lists: Vec<usize>,
    widths: Arc<Widths>,
}

impl WidthExec {
    /// # Errors
    /// `ResourcesExhausted` if batches of `batch_rows` rows, made of this one, may become too large.
    fn check(&self, batch: &RecordBatch, batch_rows: usize) -> Result<()> {
        let bytes =
            |batch: &RecordBatch| self.columns.iter().map(|column| widest(batch.column(*column))).sum::<usize>();
        // UnnestExec does not split the rows of one list into several batches.
        for row in 0..if self.lists.is_empty() { 0 } else { batch.num_rows() } {
            let rows = self.lists.iter().map(|list| elements(batch.column(*list), row)).max().unwrap_or(0);
            let of_row = if rows > batch_rows { bytes(&batch.slice(row, 1)) } else { 0 };
            let most = self.widths.most_of_row;
            if of_row.saturating_mul(rows) > most {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "UnnestExec makes {rows} rows of {of_row} bytes of one list; the limit is {most} bytes"
                )));
            }
        }
        self.widths.check(bytes(batch), batch_rows)
    }
}

impl DisplayAs for WidthExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WidthExec")
    }
}

impl ExecutionPlan for WidthExec {
    fn name(&self) -> &'static str {
        "WidthExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    without_expressions!();

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { input: children.swap_remove(0), ..self.as_ref().clone() }))
    }

    recomputed_over_children!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (watch, rows) = (self.clone(), context.session_config().batch_size());
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            watch.check(&batch, rows)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    same_rows!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    fn batch(rows: usize, bytes: usize) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "x".repeat(bytes))));
        RecordBatch::try_from_iter([("text", texts)]).unwrap()
    }

    #[test]
    fn rows_are_wide_once_a_batch_of_them_exceeds_the_limit() {
        let widths = Widths::new(1 << 20, 64 << 20);
        let mut window = Window::default();
        (0..100).for_each(|_| widths.add(&mut window, &batch(10, 100_000), 10).unwrap());
        assert_eq!(widths.found(), 0);
        let mut window = Window::default();
        let mut adds = (0..100).map(|_| widths.add(&mut window, &batch(10, 100_000), 10_000));
        assert!(adds.any(|added| added.is_err()));
        assert_eq!(widths.found(), 100_000);
    }

    #[test]
    fn growing_rows_restart_the_query_a_bounded_number_of_times() {
        let widths = Widths::new(1 << 20, 64 << 20);
        widths.check(1_000, 20_000).unwrap();
        let mut runs = 0;
        for bytes in 1..16_000 {
            let rows = ((1 << 20) / widths.found().max(512)).max(1);
            runs += usize::from(widths.check(bytes << 10, rows).is_err());
        }
        assert!(runs > 1 && runs <= 10, "{runs}");
    }
}
