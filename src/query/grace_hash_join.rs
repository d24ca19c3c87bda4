//! Grace hash join (Kitsuregawa, Tanaka and Moto-oka 1983), built from DataFusion's operators.
//!
//! ```text
//!  left  ─▶ spread ─▶ 0 1 2 … 63 ─┐ hash join ┌▶ 0, 2, 4 … one after another ─▶ partition 0
//!           (on disk)             ├▶  of each ─┤
//!  right ─▶ spread ─▶ 0 1 2 … 63 ─┘ partition  └▶ 1, 3, 5 … one after another ─▶ partition 1
//! ```
//! Both sides are hashed into many more partitions than there are threads, and each thread joins one partition at a
//! time, so only a few hash tables are in memory at once. Partitions that are not being joined are on disk. For
//! sort-merge joins, this file also replaces hash repartitioning by the same repartitioning to disk.
//!
//! Not for: joins without equality conditions, and a single key that does not fit into memory; those need another join
//! algorithm. Aggregates use the same operators (see `partitioned_aggregate`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::operator::{RECOMPUTE, recomputed_over_children, without_expressions};
use super::operator_budget::{OperatorBudget, size, small};
use super::spilling_repartition::{SpillPolicy, SpillingRepartitionExec, unordered};

/// Partitions per thread: the minimum, and the number if the size of a build side is unknown.
const MIN_PARTITIONS_PER_THREAD: usize = 8;
const PARTITIONS_IF_UNKNOWN: usize = 32;
/// How many times a build side is held: the rows and their copy.
const BUILD_SIDE_COPIES: usize = 2;
/// Bytes of a row in a hash table.
const TABLE_BYTES: usize = 40;
/// Fraction of the memory for write buffers of the repartitioning (1/N).
const WRITE_BUFFER_DIVISOR: usize = 4;
/// Fraction of the memory for hash tables: less than the rest, as estimates err and keys are skewed.
const HASH_TABLE_SHARE: (usize, usize) = (5, 8);
/// Minimum rows of a partition's write buffer; smaller batches would be more header than rows.
const MIN_WRITE_ROWS: usize = 64;
/// Maximum rows of a partition's write buffer: more are no faster.
const MAX_WRITE_ROWS: usize = 4096;
/// Maximum number of partitions: each is several files.
const MAX_PARTITIONS: usize = 1024;

const PARTITIONED: PartitionMode = PartitionMode::Partitioned;

/// Replaces every partitioned hash join by a grace hash join; none if a build side is too large for that.
pub(super) fn plan_grace_joins(
    plan: Arc<dyn ExecutionPlan>,
    budget: OperatorBudget,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut fits = true;
    // They run at the same time.
    let budget = budget.shared(count_grace_joins(&plan, budget)?);
    let planned = plan.transform_up(|node| {
        let Some(join) = partitioned(node.as_ref()) else { return Ok(Transformed::no(node)) };
        if small(join.left(), budget)? {
            return Ok(Transformed::no(node));
        }
        let Some(partitions) = partitions(join.left().as_ref(), budget)? else {
            fits = false;
            return Ok(Transformed::no(node));
        };
        let (left, right): (Vec<_>, Vec<_>) = join.on().iter().cloned().unzip();
        let sides = vec![
            spread(join.left(), left, partitions, SpillPolicy::OnDisk, budget)?,
            spread(join.right(), right, partitions, SpillPolicy::OnDisk, budget)?,
        ];
        let join = Arc::clone(&node).replace_children(sides, RECOMPUTE)?;
        Ok(Transformed::yes(Arc::new(SequentialPartitionsExec::new(join, budget.threads)) as _))
    })?;
    Ok(fits.then_some(planned.data))
}

/// A hash join whose sides are both repartitioned by the hash of its keys.
pub(super) fn partitioned(node: &dyn ExecutionPlan) -> Option<&HashJoinExec> {
    node.downcast_ref::<HashJoinExec>().filter(|join| *join.partition_mode() == PARTITIONED)
}

fn count_grace_joins(node: &Arc<dyn ExecutionPlan>, budget: OperatorBudget) -> Result<usize> {
    let takes_turns = match partitioned(node.as_ref()) {
        Some(join) => !small(join.left(), budget)?,
        None => false,
    };
    node.children()
        .into_iter()
        .try_fold(usize::from(takes_turns), |sum, child| Ok(sum + count_grace_joins(child, budget)?))
}

/// Replaces hash repartitioning by repartitioning to disk: sorts then get batches that hold nothing but their own rows,
/// and no queue between operators grows.
pub(super) fn spill_build_sides(
    plan: Arc<dyn ExecutionPlan>,
    budget: OperatorBudget,
) -> Result<Arc<dyn ExecutionPlan>> {
    let budget = budget.shared(spreads(plan.as_ref()));
    let planned = plan.transform_up(|node| {
        let repartition = node.downcast_ref::<RepartitionExec>().filter(|node| !node.preserve_order());
        let Some((input, Partitioning::Hash(keys, partitions))) =
            repartition.map(|node| (node.input(), node.partitioning()))
        else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(spread(input, keys.clone(), *partitions, SpillPolicy::OnDisk, budget)?))
    })?;
    Ok(planned.data)
}

fn spreads(node: &dyn ExecutionPlan) -> usize {
    let below: usize = node.children().into_iter().map(|child| spreads(child.as_ref())).sum();
    let by_hash = |of: &RepartitionExec| matches!(of.partitioning(), Partitioning::Hash(..));
    below + usize::from(node.downcast_ref::<RepartitionExec>().is_some_and(by_hash))
}

/// A number of partitions of which one per thread fits into memory; none if that would be too many.
fn partitions(build: &dyn ExecutionPlan, budget: OperatorBudget) -> Result<Option<usize>> {
    let (rows, row_bytes) = size(build)?;
    let row_bytes = row_bytes.max(budget.row_bytes);
    let needed = rows.map(|rows| tables(rows, BUILD_SIDE_COPIES * row_bytes, budget));
    let partitions = partitions_of(needed, row_bytes, budget);
    Ok((needed.unwrap_or_default() <= partitions).then_some(partitions))
}

/// The number of hash tables that hold these rows, if one per thread fits into memory at a time.
pub(super) fn tables(rows: usize, row_bytes: usize, budget: OperatorBudget) -> usize {
    let share = (budget.memory / HASH_TABLE_SHARE.1 * HASH_TABLE_SHARE.0 / budget.threads).max(1);
    rows.saturating_mul(row_bytes + TABLE_BYTES) / share
}

/// The number of partitions nearest to `needed` for which there is memory for write buffers.
pub(super) fn partitions_of(needed: Option<usize>, row_bytes: usize, budget: OperatorBudget) -> usize {
    let least = MIN_PARTITIONS_PER_THREAD * budget.threads;
    let most = (budget.memory / WRITE_BUFFER_DIVISOR / (budget.threads * MIN_WRITE_ROWS * row_bytes))
        .clamp(least, MAX_PARTITIONS.max(least));
    needed.unwrap_or(PARTITIONS_IF_UNKNOWN * budget.threads).clamp(least, most).next_multiple_of(budget.threads)
}

/// Repartitions `input` into `partitions` by the hash of `keys`.
pub(super) fn spread(
    input: &Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    partitions: usize,
    wait: SpillPolicy,
    budget: OperatorBudget,
) -> Result<Arc<dyn ExecutionPlan>> {
    let row_bytes = size(input.as_ref())?.1.max(budget.row_bytes);
    let spread_already = input.downcast_ref::<RepartitionExec>();
    let input = Arc::clone(spread_already.map_or(input, RepartitionExec::input));
    let tasks = input.output_partitioning().partition_count();
    let rows = budget.memory / WRITE_BUFFER_DIVISOR / (tasks * partitions * row_bytes);
    let most = budget.batch_rows.min(MAX_WRITE_ROWS);
    let rows = rows.clamp(MIN_WRITE_ROWS.min(most), most);
    Ok(Arc::new(SpillingRepartitionExec::new(input, keys, partitions, wait, rows, row_bytes)))
}

/// Maps many partitions to few: each output partition reads several input partitions one after another.
#[derive(Debug)]
pub(super) struct SequentialPartitionsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl SequentialPartitionsExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, partitions: usize) -> Self {
        // As `partitions` divides the number of input partitions, rows with the same hash stay in one partition.
        let partitioning = match input.output_partitioning() {
            Partitioning::Hash(keys, _) => Partitioning::Hash(keys.clone(), partitions),
            _ => Partitioning::UnknownPartitioning(partitions),
        };
        let properties = PlanProperties::new(
            unordered(input.as_ref()),
            partitioning,
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, properties: Arc::new(properties) }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }
}

impl DisplayAs for SequentialPartitionsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.input.output_partitioning().partition_count();
        write!(f, "SequentialPartitionsExec: {all} partitions, {} at a time", self.partitions())
    }
}

impl ExecutionPlan for SequentialPartitionsExec {
    fn name(&self) -> &str {
        "SequentialPartitionsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    without_expressions!();

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.partitions())))
    }

    recomputed_over_children!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, schema): (_, SchemaRef) = (Arc::clone(&self.input), self.input.schema());
        let turns = (partition..input.output_partitioning().partition_count()).step_by(self.partitions());
        let streams = stream::iter(turns).map(move |turn| input.execute(turn, Arc::clone(&context)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, streams.try_flatten())))
    }
}
