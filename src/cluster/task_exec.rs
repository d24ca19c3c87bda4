//! The plan node that is a task: it reads the number of the task, runs it, and returns the number.
//!
//! ```text
//! TaskExec: map of build 2026…      one row per partition, the number of a task; one row back
//!   DataSourceExec: the numbers
//! ```
//! Its child has one partition per task, which Ballista hands out one by one. The node is the same for all of them.
//!
//! Not for: what is in the plan on the wire (`codec`).

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use crate::pipeline::{TaskSet, Worker};
use crate::stack;

/// What runs tasks on an executor.
pub(super) trait RunTask: fmt::Debug + Send + Sync {
    /// Runs a task; when it returns there is a record of it.
    ///
    /// # Errors
    /// Those that another attempt may not meet.
    fn run_task(&self, tasks: &TaskSet, number: u64) -> crate::error::Result<()>;
}

impl RunTask for Worker {
    fn run_task(&self, tasks: &TaskSet, number: u64) -> crate::error::Result<()> {
        self.run(tasks, number)
    }
}

/// The node.
#[derive(Debug, Clone)]
pub(super) struct TaskExec {
    pub(super) tasks: TaskSet,
    /// Runs the tasks, on an executor.
    worker: Option<Arc<dyn RunTask>>,
    child: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl TaskExec {
    /// A plan of the tasks with these numbers.
    ///
    /// # Errors
    /// Those of DataFusion.
    pub(super) fn plan(tasks: TaskSet, numbers: &[u64]) -> Result<Arc<dyn ExecutionPlan>> {
        let rows: Vec<Vec<RecordBatch>> =
            numbers.iter().map(|number| Ok(vec![row(*number)?])).collect::<Result<_>>()?;
        let child = MemorySourceConfig::try_new_exec(&rows, schema(), None)?;
        Ok(Arc::new(Self::new(tasks, None, child)))
    }

    pub(super) fn new(tasks: TaskSet, worker: Option<Arc<dyn RunTask>>, child: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = child.properties().output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { tasks, worker, child, properties: Arc::new(properties) }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("task", DataType::UInt64, false)]))
}

fn row(number: u64) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(schema(), vec![Arc::new(UInt64Array::from(vec![number]))])?)
}

impl DisplayAs for TaskExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskExec: {} of build {}", self.tasks.kind.name(), self.tasks.build)
    }
}

impl ExecutionPlan for TaskExec {
    fn name(&self) -> &str {
        "TaskExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.child]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let child = children.pop().unwrap_or_else(|| Arc::clone(&self.child));
        Ok(Arc::new(Self::new(self.tasks.clone(), self.worker.clone(), child)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let worker = self.worker.clone();
        let worker = worker.ok_or_else(|| DataFusionError::Internal("only executors run tasks".to_owned()))?;
        let (tasks, numbers) = (self.tasks.clone(), self.child.execute(partition, context)?);
        let work = async move {
            let rows: Vec<RecordBatch> = numbers.try_collect().await?;
            let mut done = Vec::new();
            for number in rows.iter().flat_map(|row| row.column(0).as_primitive::<UInt64Type>().values().to_vec()) {
                run(Arc::clone(&worker), tasks.clone(), number).await?;
                done.push(number);
            }
            Ok(RecordBatch::try_new(schema(), vec![Arc::new(UInt64Array::from(done))])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::once(work).boxed())))
    }
}

/// Runs a task on a thread of its own, as it blocks and plans a query. Its errors are those that another attempt may
/// not meet, which is what Ballista takes errors of input and output for.
async fn run(worker: Arc<dyn RunTask>, tasks: TaskSet, number: u64) -> Result<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let kind = tasks.kind;
    let work = move || drop(sender.send(worker.run_task(&tasks, number)));
    std::thread::Builder::new().name(format!("task-{number}")).stack_size(stack::PLANNING).spawn(work)?;
    match receiver.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let cause = error.chain().join(": ");
            tracing::warn!("{} task {number} failed here: {cause}", kind.name());
            Err(DataFusionError::IoError(std::io::Error::other(cause)))
        }
        Err(_) => Err(DataFusionError::IoError(std::io::Error::other("the task's thread ended unexpectedly"))),
    }
}
