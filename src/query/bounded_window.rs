//! Window functions over whole partitions, executed for a few partitions at a time.
//!
//! ```text
//!  rows sorted by partition ─▶ collect whole partitions, at least a batch of rows ─▶ DataFusion's operator
//!                              └ counted while they are held
//! ```
//! DataFusion's operator buffers all of its input before it returns a row, and accounts for none of it. Here it is
//! given no more than it needs: one partition, or as many as make a batch.
//!
//! Not for: window functions that are computed row by row, which DataFusion does in little memory.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{BatchCoalescer, concat, partition};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::operator::{RECOMPUTE, leaf, recomputed_over_children};

/// The operator's name, in plans and in out-of-memory messages.
pub(super) const BOUNDED_WINDOW: &str = "BoundedWindowExec";
/// How many times the bytes of buffered rows are counted: DataFusion's operator copies them into one batch.
const WINDOW_COPIES: usize = 2;

/// The same plan with every window over whole partitions executed a few partitions at a time.
pub(super) fn bound_windows(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| match node.is::<WindowAggExec>() {
        true => Ok(Transformed::yes(Arc::new(BoundedWindowExec::new(node)?) as _)),
        false => Ok(Transformed::no(node)),
    })?;
    Ok(planned.data)
}

/// The operator.
#[derive(Debug)]
pub(super) struct BoundedWindowExec {
    /// DataFusion's operator over the whole input.
    window: Arc<dyn ExecutionPlan>,
    /// The PARTITION BY columns.
    keys: Vec<Arc<dyn PhysicalExpr>>,
}

impl BoundedWindowExec {
    fn new(window: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let of = window.downcast_ref::<WindowAggExec>().ok_or_else(|| internal_datafusion_err!("no window"))?;
        let keys = of.partition_by_sort_keys()?.into_iter().map(|key| key.expr).collect();
        Ok(Self { window, keys })
    }

    /// Whether there is a PARTITION BY; otherwise all rows are one partition.
    pub(super) fn has_partitions(&self) -> bool {
        !self.keys.is_empty()
    }

    fn input(&self) -> &Arc<dyn ExecutionPlan> {
        self.window.children()[0]
    }
}

impl DisplayAs for BoundedWindowExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BOUNDED_WINDOW}: some partitions at a time, ")?;
        self.window.fmt_as(kind, f)
    }
}

impl ExecutionPlan for BoundedWindowExec {
    fn name(&self) -> &str {
        BOUNDED_WINDOW
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.window).replace_children(children, options)?)?))
    }

    recomputed_over_children!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let held = MemoryConsumer::new(format!("{BOUNDED_WINDOW}[{partition}]")).register(context.memory_pool());
        let gather = Gather {
            input: Some(self.input().execute(partition, Arc::clone(&context))?),
            keys: self.keys.clone(),
            last: Vec::new(),
            group: Group { rows: 0, batches: Vec::new(), held },
            copying: BatchCoalescer::new(self.input().schema(), context.session_config().batch_size()),
            batch_rows: context.session_config().batch_size(),
        };
        let groups =
            stream::try_unfold(
                gather,
                |mut gather| async move { Ok(gather.next().await?.map(|group| (group, gather))) },
            );
        let (window, properties) = (Arc::clone(&self.window), self.input().equivalence_properties().clone());
        let windows = groups.map(move |group: Result<Group>| {
            let Group { batches, held, .. } = group?;
            let rows: Arc<dyn ExecutionPlan> = Arc::new(BufferedExec::new(batches, properties.clone()));
            let stream =
                Arc::clone(&window).replace_children(vec![rows], RECOMPUTE)?.execute(0, Arc::clone(&context))?;
            // The reservation is held until the last row of the group is returned.
            Ok::<_, DataFusionError>(stream.inspect(move |_| {
                let _ = &held;
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.window.schema(), windows.try_flatten())))
    }
}

/// Rows of whole partitions, and the memory reserved for them.
struct Group {
    rows: usize,
    batches: Vec<RecordBatch>,
    held: MemoryReservation,
}

/// Collects the rows of whole partitions.
struct Gather {
    /// None once it has ended.
    input: Option<SendableRecordBatchStream>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys of the last row, an array of one each; empty before the first row.
    last: Vec<ArrayRef>,
    group: Group,
    /// Copies rows, so that buffered rows keep no other rows of their batch alive.
    copying: BatchCoalescer,
    batch_rows: usize,
}

impl Gather {
    /// The next group of rows; none at the end of the input.
    ///
    /// # Errors
    /// Those of the input, and `ResourcesExhausted` if one partition does not fit into memory.
    async fn next(&mut self) -> Result<Option<Group>> {
        while let Some(input) = &mut self.input {
            let Some(batch) = input.next().await else {
                self.input = None;
                return Ok(Some(self.take()?).filter(|group| group.rows > 0));
            };
            let batch = batch?;
            match self.last_beginning(&batch)?.filter(|at| self.group.rows + at >= self.batch_rows) {
                None => self.add(batch)?,
                Some(at) => {
                    self.add(batch.slice(0, at))?;
                    let group = self.take()?;
                    self.add(batch.slice(at, batch.num_rows() - at))?;
                    return Ok(Some(group));
                }
            }
        }
        Ok(None)
    }

    /// The row of a batch at which the last partition that begins in it begins.
    fn last_beginning(&mut self, batch: &RecordBatch) -> Result<Option<usize>> {
        if self.keys.is_empty() || batch.num_rows() == 0 {
            return Ok(None);
        }
        let values = |key: &Arc<dyn PhysicalExpr>| key.evaluate(batch)?.into_array(batch.num_rows());
        let keys = self.keys.iter().map(values).collect::<Result<Vec<ArrayRef>>>()?;
        let last = keys.iter().map(|key| key.slice(batch.num_rows() - 1, 1)).collect();
        let before = mem::replace(&mut self.last, last);
        // The last row before the batch shows whether a partition begins with the batch.
        let with_before = match before.is_empty() {
            true => keys,
            false => {
                let both = before.iter().zip(&keys).map(|(before, key)| concat(&[before.as_ref(), key.as_ref()]));
                both.collect::<Result<Vec<_>, _>>()?
            }
        };
        let beginning = partition(&with_before)?.ranges().last().map_or(0, |range| range.start);
        Ok((beginning > 0).then(|| beginning - usize::from(!before.is_empty())))
    }

    fn add(&mut self, rows: RecordBatch) -> Result<()> {
        self.group.rows += rows.num_rows();
        self.copying.push_batch(rows)?;
        self.hold()
    }

    fn hold(&mut self) -> Result<()> {
        while let Some(batch) = self.copying.next_completed_batch() {
            self.group.held.try_grow(batch.get_array_memory_size() * WINDOW_COPIES)?;
            self.group.batches.push(batch);
        }
        Ok(())
    }

    /// The buffered rows.
    fn take(&mut self) -> Result<Group> {
        self.copying.finish_buffered_batch()?;
        self.hold()?;
        let held = self.group.held.take();
        Ok(Group { rows: mem::take(&mut self.group.rows), batches: mem::take(&mut self.group.batches), held })
    }
}

/// Buffered rows as the input of DataFusion's operator, which reads them once.
#[derive(Debug)]
struct BufferedExec {
    batches: Mutex<Vec<RecordBatch>>,
    properties: Arc<PlanProperties>,
}

impl BufferedExec {
    fn new(batches: Vec<RecordBatch>, order: EquivalenceProperties) -> Self {
        let one = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(order, one, EmissionType::Incremental, Boundedness::Bounded);
        Self { batches: Mutex::new(batches), properties: Arc::new(properties) }
    }
}

impl DisplayAs for BufferedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferedExec")
    }
}

impl ExecutionPlan for BufferedExec {
    fn name(&self) -> &'static str {
        "BufferedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf!();

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema: SchemaRef = self.schema();
        let batches = mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok)))))
    }
}
