//! `TableProvider` of CSV and JSON lines: chunks of surveyed files, distributed to partitions by bytes.
//!
//! The survey knows every row, so all files have one schema, joins build on the smaller side, and a limit reads no more
//! chunks than it needs. Each partition reads one chunk at a time.
//!
//! Not for: reading text (`input::text`).

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream;

use super::operator::leaf;
use super::partition_value::partition_value;
use super::profiled_scan::Measured;
use super::row_group_sample::RowGroupSample;
use super::row_width::Widths;
use super::scan_output::PlainExec;
use crate::input::Input;
use crate::input::text::{Batches, Part, Survey};

/// One input of text files, as a table.
#[derive(Debug)]
pub(super) struct TextTable {
    input: Arc<Input>,
    survey: Arc<Survey>,
    parts: Vec<Part>,
    /// The survey's columns, followed by the directory columns.
    schema: SchemaRef,
    /// For every file the values of the directory columns.
    directories: Arc<[Vec<ScalarValue>]>,
    widths: Arc<Widths>,
    measured: Measured,
}

impl TextTable {
    /// Makes the table of a sample of an input.
    ///
    /// # Errors
    /// `Input` if a directory's value is not of its type.
    pub(super) fn new(
        input: &Input,
        survey: Arc<Survey>,
        share: RowGroupSample,
        widths: &Arc<Widths>,
    ) -> crate::error::Result<Self> {
        let fields = input.partition_fields()?;
        let values = |file: &crate::input::InputFile| {
            let values = file.partitions.iter().zip(&fields);
            values.map(|(value, field)| partition_value(value.as_deref(), field, file)).collect()
        };
        let directories = input.files.iter().map(values).collect::<crate::error::Result<_>>()?;
        let all: Vec<Arc<Field>> =
            survey.schema().fields().iter().cloned().chain(fields.into_iter().map(Arc::new)).collect();
        let parts = share.parts(input, &survey);
        let measured = Measured::of(input, survey.schema().fields().len())?;
        let (input, schema, widths) = (Arc::new(input.clone()), Arc::new(Schema::new(all)), Arc::clone(widths));
        Ok(Self { input, survey, parts, schema, directories, widths, measured })
    }

    /// Scans the parts.
    fn scan_parts(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&projection)?);
        let mut left = limit.map_or(u64::MAX, |limit| limit as u64);
        let parts = self.parts.iter().map_while(|part| {
            let rows = part.rows.min(left);
            left -= rows;
            (rows > 0).then_some(Part { rows, ..*part })
        });
        let parts = shared_out(&self.survey, parts.collect(), state.config().target_partitions());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let scan = TextScanExec {
            input: Arc::clone(&self.input),
            survey: Arc::clone(&self.survey),
            directories: Arc::clone(&self.directories),
            parts,
            statistics: self.statistics().project(Some(&projection)),
            projection,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        };
        let schema = Arc::clone(&scan.schema);
        Ok(Arc::new(PlainExec::new(Arc::new(scan), schema, Arc::clone(&self.widths))))
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows: u64 = self.parts.iter().map(|part| part.rows).sum();
        statistics.num_rows = Precision::Inexact(rows as usize);
        let bytes: u64 = self.parts.iter().map(|part| bytes(&self.survey, part)).sum();
        statistics.total_byte_size = Precision::Inexact(bytes as usize);
        statistics
    }
}

/// Estimated bytes of text in a part.
fn bytes(survey: &Survey, part: &Part) -> u64 {
    let chunk = &survey.files()[part.file].chunks[part.chunk];
    (u128::from(chunk.bytes()) * u128::from(part.rows) / u128::from(chunk.rows.max(1))) as u64
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.measured.scan(projection, limit, |projection| self.scan_parts(state, projection, limit))
    }
}

/// Distributes parts, in order, to at most `partitions` partitions of about equal bytes; at least one.
fn shared_out(survey: &Survey, parts: Vec<Part>, partitions: usize) -> Vec<Vec<Part>> {
    let all: u64 = parts.iter().map(|part| bytes(survey, part)).sum();
    let mut shares = vec![Vec::new(); partitions.max(1)];
    let mut before = 0;
    for part in parts {
        let own = bytes(survey, &part);
        let middle = u128::from(before + own / 2) * shares.len() as u128 / u128::from(all.max(1));
        let last = shares.len() - 1;
        shares[(middle as usize).min(last)].push(part);
        before += own;
    }
    shares.retain(|share| !share.is_empty());
    if shares.is_empty() { vec![Vec::new()] } else { shares }
}

/// Reads parts of text files.
#[derive(Debug)]
struct TextScanExec {
    input: Arc<Input>,
    survey: Arc<Survey>,
    directories: Arc<[Vec<ScalarValue>]>,
    /// The parts of every partition.
    parts: Vec<Vec<Part>>,
    statistics: Statistics,
    projection: Vec<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for TextScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(
            f,
            "TextScanExec: input={}, columns=[{}], partitions={}",
            self.input.name,
            names.join(", "),
            self.parts.len()
        )
    }
}

impl ExecutionPlan for TextScanExec {
    fn name(&self) -> &str {
        "TextScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let columns = self.survey.schema().fields().len();
        let wanted = self.projection.iter().copied().filter(|column| *column < columns).collect();
        let parts = self.parts.get(partition).cloned().unwrap_or_default();
        let rows = context.session_config().batch_size();
        let batches =
            Batches::new(Arc::clone(&self.input), Arc::clone(&self.survey), parts, wanted, rows).map_err(external)?;
        let directories = Arc::clone(&self.directories);
        let (projection, schema) = (self.projection.clone(), Arc::clone(&self.schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = batches.map(move |next| {
            let _timer = metrics.elapsed_compute().timer();
            let (file, batch) = next.map_err(external)?;
            metrics.record_output(batch.num_rows());
            with_directories(&batch, &directories[file], &projection, columns, &schema)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::new(match args.partition() {
            None => self.statistics.clone(),
            Some(partition) => {
                let rows: u64 = self.parts.get(partition).into_iter().flatten().map(|part| part.rows).sum();
                let mut statistics = Statistics::new_unknown(&self.schema);
                statistics.num_rows = Precision::Inexact(rows as usize);
                statistics
            }
        }))
    }
}

/// The requested columns in order, including the directory columns.
fn with_directories(
    batch: &RecordBatch,
    directories: &[ScalarValue],
    projection: &[usize],
    columns: usize,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut read = batch.columns().iter();
    let column = |column: &usize| -> Result<ArrayRef> {
        match column.checked_sub(columns) {
            Some(directory) => directories[directory].to_array_of_size(rows),
            None => read.next().cloned().ok_or_else(|| DataFusionError::Internal("a column is missing".to_owned())),
        }
    };
    let all = projection.iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), all, &options)?)
}

/// Wraps a Cutover error for its way through DataFusion; `error::convert` unwraps it.
fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
