//! Hash-repartitions rows into many partitions, held in memory or on disk until each is read.
//!
//! ```text
//!  input 0 ─▶ task 0 ─┬▶ partition 0: in memory, or a file ─┐
//!  input 1 ─▶ task 1 ─┼▶ …                                  ├▶ partition p of every task, when all tasks are done
//!         …           └▶ partition n: in memory, or a file ─┘
//! ```
//! DataFusion's own repartitioning requires that all of its partitions are read at the same time. If some wait, their
//! full queues block the writers, and a reader that waits for a spilled batch of a blocked writer waits forever.
//!
//! Files are Arrow IPC with LZ4, at most tasks × partitions of them open, and they are deleted as they are read.
//!
//! Not for: preserving an order.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::config::SpillCompression;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet, SpillMetrics, Time};
use datafusion::physical_plan::repartition::BatchPartitioner;
use datafusion::physical_plan::spill::spill_pool::{SpillPoolSink, spsc_channel};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream, SpillManager,
};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::operator::recomputed_over_children;
use super::partition_buffer::{self, PartitionBuffer};

/// Size at which a partition's file ends and the next begins, so that disk is freed while it is read.
const FILE_BYTES: usize = 64 << 20;

/// The fraction of its rows at which a batch counts as full: the next rows would be split in two.
const FULL: (usize, usize) = (7, 8);

/// Name of the memory consumer of write buffers, and of the operator.
pub(super) const SPILLING_REPARTITION: &str = "SpillingRepartitionExec";

/// Where rows of partitions wait until they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpillPolicy {
    /// In memory, and on disk once the pool has no more memory for them.
    InMemory,
    /// On disk.
    OnDisk,
}

/// The operator.
#[derive(Debug)]
pub(super) struct SpillingRepartitionExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    wait: SpillPolicy,
    /// Maximum rows of a batch.
    rows: usize,
    /// Estimated bytes of one task's write buffers, for all partitions.
    held: usize,
    properties: Arc<PlanProperties>,
    started: Mutex<Option<Started>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The running writers, and what there will be to read from them.
struct Started {
    /// Rows in memory by partition; taken when the partition is read.
    shelves: Vec<Arc<PartitionBuffer>>,
    /// Spill files by partition and task; taken when the partition is read.
    readers: Vec<Vec<SendableRecordBatchStream>>,
    done: Done,
}

type Done = Shared<BoxFuture<'static, std::result::Result<(), Arc<DataFusionError>>>>;

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

impl SpillingRepartitionExec {
    /// Repartitions `input` by `keys`, buffering `rows` rows of about `row_bytes` bytes for each partition and task.
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        partitions: usize,
        wait: SpillPolicy,
        rows: usize,
        row_bytes: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            unordered(input.as_ref()),
            Partitioning::Hash(keys.clone(), partitions),
            EmissionType::Final,
            input.boundedness(),
        );
        Self {
            input,
            keys,
            wait,
            rows,
            held: partitions * rows * row_bytes,
            properties: Arc::new(properties),
            started: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn start(&self, context: &Arc<TaskContext>) -> Result<Started> {
        let spill = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, 0), self.input.schema());
        let spill = Arc::new(spill.with_compression_type(SpillCompression::Lz4Frame));
        let mut readers: Vec<Vec<SendableRecordBatchStream>> = (0..self.partitions()).map(|_| Vec::new()).collect();
        let shelves: Vec<Arc<PartitionBuffer>> = (0..self.partitions()).map(|_| Arc::default()).collect();
        let mut tasks = Vec::new();
        for number in 0..self.input.output_partitioning().partition_count() {
            let reservation =
                MemoryConsumer::new(format!("{SPILLING_REPARTITION}[{number}]")).register(context.memory_pool());
            reservation.try_grow(self.held)?;
            let input = self.input.execute(number, Arc::clone(context))?;
            let by_hash = BatchPartitioner::new_hash_partitioner(self.keys.clone(), self.partitions(), Time::new())?;
            let memory = (self.wait == SpillPolicy::InMemory)
                .then(|| Arc::new(partition_buffer::memory(number, context.memory_pool())));
            let mut outs = Vec::new();
            for (shelf, readers) in shelves.iter().zip(&mut readers) {
                let (sink, reader) = spsc_channel(FILE_BYTES, Arc::clone(&spill));
                let gathered = BatchCoalescer::new(self.input.schema(), self.rows);
                let (shelf, memory) = (Arc::clone(shelf), memory.clone());
                outs.push(PartitionWriter { gathered, rows: self.rows, shelf, memory, sink });
                readers.push(reader);
            }
            tasks.push(SpawnedTask::spawn(async move {
                let _held = reservation;
                write(input, by_hash, outs).await
            }));
        }
        Ok(Started { shelves, readers, done: all(tasks).boxed().shared() })
    }
}

/// Properties of an input that do not depend on its order: which columns are equal, or constant. Windows and sorts
/// above rely on them.
pub(super) fn unordered(input: &dyn ExecutionPlan) -> EquivalenceProperties {
    let mut properties = input.equivalence_properties().clone();
    properties.clear_orderings();
    if input.output_partitioning().partition_count() > 1 {
        properties.clear_per_partition_constants();
    }
    properties
}

/// Writes one task's rows of one partition.
struct PartitionWriter {
    gathered: BatchCoalescer,
    rows: usize,
    shelf: Arc<PartitionBuffer>,
    /// The reservation for rows that may stay in memory; none if all go to disk.
    memory: Option<Arc<MemoryReservation>>,
    sink: SpillPoolSink,
}

impl PartitionWriter {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.gathered.push_batch(batch)?;
        if self.gathered.get_buffered_rows() < self.rows / FULL.1 * FULL.0 {
            return self.flush();
        }
        self.gathered.finish_buffered_batch()?;
        self.flush()?;
        // A new one: it allocates blocks for strings that grow with every batch, up to a mebibyte per column and
        // partition.
        self.gathered = BatchCoalescer::new(self.gathered.schema(), self.rows);
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.gathered.finish_buffered_batch()?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while let Some(rows) = self.gathered.next_completed_batch() {
            let put = self.memory.as_ref().is_some_and(|memory| self.shelf.try_push(&rows, memory));
            if !put {
                self.sink.push_batch(&rows)?;
            }
        }
        Ok(())
    }
}

async fn write(
    mut input: SendableRecordBatchStream,
    mut by_hash: BatchPartitioner,
    mut outs: Vec<PartitionWriter>,
) -> Result<()> {
    while let Some(batch) = input.next().await {
        by_hash.partition(batch?, |partition, rows| outs[partition].push(rows))?;
    }
    outs.into_iter().try_for_each(PartitionWriter::finish)
}

/// Waits for all tasks, or for the first failure; the others are aborted then.
async fn all(tasks: Vec<SpawnedTask<Result<()>>>) -> std::result::Result<(), Arc<DataFusionError>> {
    let mut ends: stream::FuturesUnordered<_> = tasks.into_iter().map(SpawnedTask::join).collect();
    while let Some(end) = ends.next().await {
        let end = end.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)));
        end.and_then(|done| done).map_err(Arc::new)?;
    }
    Ok(())
}

impl DisplayAs for SpillingRepartitionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let place = match self.wait {
            SpillPolicy::InMemory => "in memory, or on disk,",
            SpillPolicy::OnDisk => "on disk",
        };
        write!(
            f,
            "SpillingRepartitionExec: {} partitions {} by hash of [{}]",
            self.partitions(),
            place,
            keys.join(", ")
        )
    }
}

impl ExecutionPlan for SpillingRepartitionExec {
    fn name(&self) -> &str {
        "SpillingRepartitionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for key in &self.keys {
            if f(key)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (keys, partitions, rows) = (self.keys.clone(), self.partitions(), self.rows);
        let row_bytes = self.held / (partitions * rows).max(1);
        Ok(Arc::new(Self::new(children.swap_remove(0), keys, partitions, self.wait, rows, row_bytes)))
    }

    recomputed_over_children!();

    /// Rows can be read once: a second execution of a partition is an error.
    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let started = match &mut *started {
            Some(started) => started,
            none => none.insert(self.start(&context)?),
        };
        let readers = started.readers.get_mut(partition).map(std::mem::take).unwrap_or_default();
        if readers.is_empty() {
            return Err(internal_datafusion_err!("partition {partition} is read twice"));
        }
        let shelf = Arc::clone(&started.shelves[partition]);
        let done = started.done.clone();
        let read = stream::once(async move {
            done.await.map_err(DataFusionError::Shared)?;
            let kept = stream::iter(shelf.take()).map(Ok);
            Ok::<_, DataFusionError>(kept.chain(stream::iter(readers).flatten()))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), read.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
