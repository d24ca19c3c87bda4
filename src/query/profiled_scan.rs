//! Profiles the rows of every input as they leave its scan, before joins and folds hide missing rows.
//!
//! ```text
//!  scan, with the date columns of the paths ─▶ MeasureExec ─▶ the requested columns
//!                                              └▶ a sketch per date partition ─▶ Measuring, once the scan has ended
//! ```
//! Only runs that provide a [`Measuring`] measure; otherwise the operator passes batches through. A scan that was not
//! read to its end, such as below a join with an empty side, is left out, as how much of it was read depends on chance.
//!
//! Not for: what is measured (`profile`), and bringing the parts of a scan together (`measuring`).

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::Stream;

use super::measuring::{Label, Measuring, Parts};
use super::operator::{recomputed_over_children, without_expressions};
use super::partition_value::partition_value;
use crate::input::Input;
use crate::profile::TableSketch;

/// The operator's name in plans.
pub(super) const MEASURE: &str = "MeasureExec";

/// Numbers the scans.
static SCANS: AtomicUsize = AtomicUsize::new(0);

/// The input of a scan, and its date partitions.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    input: Arc<str>,
    /// The date columns, by index in the table.
    dated: Vec<usize>,
    /// The date partitions in order, by the values of their columns.
    labels: Arc<BTreeMap<String, Label>>,
}

impl Measured {
    /// For the table of an input, which has `columns` columns before its directory columns.
    ///
    /// # Errors
    /// `Input` if a directory's value is not of its type.
    pub(super) fn of(input: &Input, columns: usize) -> crate::error::Result<Self> {
        let dated = input.dated_columns();
        let fields = input.partition_fields()?;
        let mut labels = BTreeMap::new();
        for (place, (label, file)) in input.dated_partitions().into_iter().enumerate() {
            let value = |column: &usize| partition_value(file.partitions[*column].as_deref(), &fields[*column], file);
            let values = dated.iter().map(value).collect::<crate::error::Result<Vec<_>>>()?;
            labels.insert(key(&values), (place, label));
        }
        let dated = dated.into_iter().map(|column| column + columns).collect();
        Ok(Self { input: input.name.as_str().into(), dated, labels: Arc::new(labels) })
    }

    /// A measured scan of the table; `scan` makes the scan of the columns that it is given.
    pub(super) fn scan(
        &self,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        scan: impl FnOnce(Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Which rows a limited scan reads is not deterministic.
        if limit.is_some() {
            return scan(projection);
        }
        let wanted = projection.map(|projection| {
            let missing = self.dated.iter().filter(|column| !projection.contains(column));
            projection.iter().chain(missing).copied().collect::<Vec<_>>()
        });
        let all = wanted.as_ref();
        let place = |column: &usize| all.map_or(Some(*column), |all| all.iter().position(|wanted| wanted == column));
        let dated = self.dated.iter().filter_map(place).collect();
        let input = scan(all)?;
        let columns = projection.map_or(input.schema().fields().len(), Vec::len);
        let number = SCANS.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(MeasureExec::new(Measured { dated, ..self.clone() }, number, columns, input)?))
    }
}

fn key(values: &[ScalarValue]) -> String {
    values.iter().map(|value| format!("{value}/")).collect()
}

/// The operator.
#[derive(Debug)]
struct MeasureExec {
    measured: Measured,
    number: usize,
    /// How many columns of the input are passed on: the first ones.
    columns: usize,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl MeasureExec {
    fn new(measured: Measured, number: usize, columns: usize, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let properties = match input.schema().fields().len() == columns {
            true => Arc::clone(input.properties()),
            false => {
                let schema = Arc::new(input.schema().project(&(0..columns).collect::<Vec<_>>())?);
                let partitioning = input.output_partitioning().partition_count();
                Arc::new(PlanProperties::new(
                    EquivalenceProperties::new(schema),
                    datafusion::physical_plan::Partitioning::UnknownPartitioning(partitioning),
                    EmissionType::Incremental,
                    Boundedness::Bounded,
                ))
            }
        };
        Ok(Self { measured, number, columns, input, properties })
    }
}

impl DisplayAs for MeasureExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MEASURE}: input={}", self.measured.input)
    }
}

impl ExecutionPlan for MeasureExec {
    fn name(&self) -> &str {
        MEASURE
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    without_expressions!();

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self::new(self.measured.clone(), self.number, self.columns, input)?))
    }

    recomputed_over_children!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let measuring = context.session_config().get_extension::<Measuring>();
        let input = self.input.execute(partition, context)?;
        if measuring.is_none() && self.columns == input.schema().fields().len() {
            return Ok(input);
        }
        let rows = measuring.map(|measuring| Rows {
            measuring,
            scan: (self.number, Arc::clone(&self.measured.input)),
            partitions: self.input.output_partitioning().partition_count(),
            partition,
            parts: Parts::default(),
        });
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let handed_on = (0..self.columns).collect();
        Ok(Box::pin(MeasuredStream { input, measured: self.measured.clone(), rows, handed_on, schema }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let kept: Vec<usize> = (0..self.columns).collect();
        let input = inputs.first().map(|input| input.as_ref().clone().project(Some(&kept)));
        Ok(Arc::new(input.unwrap_or_else(|| Statistics::new_unknown(&self.schema()))))
    }
}

/// Measures the rows of one stream until it ends.
struct Rows {
    measuring: Arc<Measuring>,
    scan: (usize, Arc<str>),
    partitions: usize,
    partition: usize,
    parts: Parts,
}

struct MeasuredStream {
    input: SendableRecordBatchStream,
    measured: Measured,
    rows: Option<Rows>,
    handed_on: Vec<usize>,
    schema: SchemaRef,
}

impl MeasuredStream {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        // All rows of a batch are from one file.
        let value = |column: &usize| ScalarValue::try_from_array(batch.column(*column), 0);
        let label = match self.measured.dated.is_empty() {
            true => None,
            false => {
                let values = self.measured.dated.iter().map(value).collect::<Result<Vec<_>>>()?;
                self.measured.labels.get(&key(&values)).cloned()
            }
        };
        let (schema, seed) = (&self.schema, rows.measuring.seed());
        rows.parts.take(label, batch, || TableSketch::new(Arc::clone(schema), seed));
        Ok(())
    }
}

impl Stream for MeasuredStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.input.as_mut().poll_next(context));
        Poll::Ready(match next {
            None => {
                if let Some(rows) = self.rows.take() {
                    rows.measuring.end(rows.scan, rows.partitions, rows.partition, rows.parts);
                }
                None
            }
            Some(batch) => Some(batch.and_then(|batch| {
                self.take(&batch)?;
                match batch.num_columns() == self.handed_on.len() {
                    true => Ok(batch),
                    false => Ok(batch.project(&self.handed_on)?),
                }
            })),
        })
    }
}

impl RecordBatchStream for MeasuredStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
