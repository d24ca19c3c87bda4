//! Normalizes the output of scans: string views become strings, equal floats become identical, batches are bounded in
//! bytes.
//!
//! ```text
//!  scan ─▶ batch of views ─▶ weighed ─▶ slices of a few MiB ─▶ strings, normalized floats
//! ```
//! A Parquet column whose dictionary has long strings holds each of them once, however many rows have it. As views the
//! rows share them, too; a batch of views is cut by the size of its rows before every row gets its own copy.
//!
//! Operators combine small batches again, by number of rows: how many is decided by `row_width`.
//!
//! Not for: rows that become wide above a scan.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::batch_slices::pieces;
use super::exact::normal;
use super::operator::{recomputed_over_children, same_rows, without_expressions};
use super::row_width::{Widths, Window};

/// The operator's name.
pub(super) const PLAIN: &str = "PlainExec";

/// The operator.
#[derive(Debug)]
pub(super) struct PlainExec {
    scan: Arc<dyn ExecutionPlan>,
    widths: Arc<Widths>,
    properties: Arc<PlanProperties>,
}

impl PlainExec {
    /// The rows of `scan` with the types of `schema`, which differ only in views.
    pub(super) fn new(scan: Arc<dyn ExecutionPlan>, schema: SchemaRef, widths: Arc<Widths>) -> Self {
        let partitions = scan.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            scan.pipeline_behavior(),
            scan.boundedness(),
        );
        Self { scan, widths, properties: Arc::new(properties) }
    }

    fn over(&self, scan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(scan, self.schema(), Arc::clone(&self.widths)))
    }
}

/// The same rows with these types and with normalized floats.
fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| normal(&of_type(column, field.data_type())?));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &rows)?)
}

fn of_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match column.data_type() == data_type {
        true => Ok(Arc::clone(column)),
        false => Ok(cast(column, data_type)?),
    }
}

impl DisplayAs for PlainExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLAIN)
    }
}

impl ExecutionPlan for PlainExec {
    fn name(&self) -> &'static str {
        PLAIN
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    without_expressions!();

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children.swap_remove(0)))
    }

    recomputed_over_children!();

    /// Rows stay in the scan's partitions; if more partitions are wanted, the scan makes them.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn repartitioned(&self, partitions: usize, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.scan.repartitioned(partitions, config)?.map(|scan| self.over(scan)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let (widths, mut window) = (Arc::clone(&self.widths), Window::default());
        let (schema, of_rows) = (self.schema(), self.schema());
        let batches = self.scan.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            widths.add(&mut window, &batch, batch_rows)?;
            let schema = Arc::clone(&schema);
            Ok::<_, DataFusionError>(stream::iter(pieces(batch).map(move |piece| plain(&piece, &schema))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(of_rows, batches.try_flatten())))
    }

    same_rows!();

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}
