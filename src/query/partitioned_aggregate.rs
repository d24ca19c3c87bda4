//! Hash aggregation, one hash partition at a time.
//!
//! ```text
//!  final aggregate ◀─ by hash, one partition a thread ◀─ partial aggregate ◀─ rows
//!  becomes
//!  final aggregate of one partition at a time ◀─ by hash, many partitions ◀─ partial aggregate ◀─ rows
//! ```
//! A hash table of all groups is accessed at random addresses, and if it does not fit into memory it is sorted, spilled
//! and merged. The table of one small partition stays in the CPU cache, and only rows of the other partitions may have
//! to be spilled, once. If a partition does not fit anyway, DataFusion's aggregate spills it.
//!
//! Not for: aggregates over so few rows that one table per thread is small.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::grace_hash_join::{SequentialPartitionsExec, partitions_of, spread, tables};
use super::operator::RECOMPUTE;
use super::operator_budget::{OperatorBudget, size};
use super::spilling_repartition::SpillPolicy;

/// Rows of a partition: a hash table with this many groups mostly fits into a CPU cache.
const PARTITION_ROWS: usize = 1 << 18;
/// Fraction of the memory for hash tables, the rest being for buffered rows (1/N).
const TABLES_PER_THREAD: usize = 4;

/// Replaces every hash aggregate over many rows by one that runs one partition at a time.
pub(super) fn partition_aggregates(
    plan: Arc<dyn ExecutionPlan>,
    wait: SpillPolicy,
    budget: OperatorBudget,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| {
        let Some((last, first)) = steps(&node) else { return Ok(Transformed::no(node)) };
        let (rows, row_bytes) = size(first.input().as_ref())?;
        let budget_of_tables = OperatorBudget { memory: budget.memory / TABLES_PER_THREAD, ..budget };
        let needed = rows.map(|rows| (rows / PARTITION_ROWS).max(tables(rows, row_bytes, budget_of_tables)));
        if needed.is_some_and(|needed| needed <= budget.threads) {
            return Ok(Transformed::no(node));
        }
        let keys = last.group_expr().input_exprs();
        let rows = spread(last.input(), keys, partitions_of(needed, row_bytes, budget), wait, budget)?;
        let last = Arc::clone(&node).replace_children(vec![rows], RECOMPUTE)?;
        Ok(Transformed::yes(Arc::new(SequentialPartitionsExec::new(last, budget.threads)) as _))
    })?;
    Ok(planned.data)
}

/// The final and the partial step of an aggregate, if it is hashed and has both.
fn steps(node: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let by_hash =
        |step: &&AggregateExec| *step.input_order_mode() == InputOrderMode::Linear && step.limit_options().is_none();
    let last = node.downcast_ref::<AggregateExec>().filter(by_hash)?;
    let (_, first) = first_step(last)?;
    Some((last, first)).filter(|(_, first)| by_hash(first))
}

/// The input of an aggregate's final step: the hash repartitioning, and the partial step below it.
pub(super) fn first_step(last: &AggregateExec) -> Option<(&RepartitionExec, &AggregateExec)> {
    let last = Some(last).filter(|last| *last.mode() == AggregateMode::FinalPartitioned)?;
    let by_hash = last.input().downcast_ref::<RepartitionExec>()?;
    Some((by_hash, by_hash.input().downcast_ref()?))
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::TaskContext;
    use datafusion::execution::memory_pool::MemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::{collect, displayable};
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::super::execute::spilled;
    use super::super::memory_pool::ClassedPool;
    use super::*;

    const THREADS: usize = 2;
    const BATCH_ROWS: usize = 64;

    /// The result rows of a query that is aggregated by partitions with `memory` bytes, and whether nothing was
    /// spilled.
    fn grouped(sql: &str, wait: SpillPolicy, memory: usize) -> (Vec<RecordBatch>, bool) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let config = SessionConfig::new().with_target_partitions(THREADS).with_batch_size(BATCH_ROWS);
            let context = SessionContext::new_with_config(config);
            let planned = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            let budget = OperatorBudget { threads: THREADS, memory, batch_rows: BATCH_ROWS, row_bytes: 0 };
            let plan = partition_aggregates(planned, wait, budget).unwrap();
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert!(shown.contains("SequentialPartitionsExec") && !shown.contains("hash_expr"), "{shown}");
            let pool: Arc<dyn MemoryPool> = Arc::new(ClassedPool::new(memory));
            let environment = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
            let task = Arc::new(TaskContext::from(&context.state()).with_runtime(environment));
            let rows = collect(Arc::clone(&plan), task).await.unwrap();
            assert_eq!(pool.reserved(), 0, "everything was given back");
            (rows, spilled(plan.as_ref()) == 0)
        })
    }

    fn lines(batches: &[RecordBatch]) -> Vec<String> {
        let text = pretty_format_batches(batches).unwrap().to_string();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    /// Compares the partitioned aggregation with DataFusion's, for each policy and memory size; the flag says whether
    /// the memory is enough without spilling.
    fn check(sql: &str, runs: &[(SpillPolicy, usize, bool)]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let expected =
            runtime.block_on(async { SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap() });
        for (wait, memory, fits) in runs {
            let (rows, fitted) = grouped(sql, *wait, *memory);
            assert_eq!(fitted, *fits, "{sql} {wait:?} {memory}");
            assert_eq!(lines(&rows), lines(&expected), "{sql} {wait:?} {memory}");
        }
    }

    const ROWS: &str = "SELECT CASE WHEN value % 7 = 0 THEN NULL ELSE value % 20011 END AS id, \
                        concat('a text of more than twelve bytes ', value % 3) AS text, value \
                        FROM generate_series(1, 90000)";

    #[test]
    fn groups_are_the_same_in_memory_and_on_disk() {
        for sql in [
            format!("SELECT id, text, count(*), sum(value), min(value) FROM ({ROWS}) GROUP BY id, text"),
            format!("SELECT DISTINCT id, text FROM ({ROWS})"),
            format!("SELECT text, count(DISTINCT id) FROM ({ROWS}) GROUP BY text"),
        ] {
            let little = 3 << 20;
            check(
                &sql,
                &[
                    (SpillPolicy::InMemory, 256 << 20, true),
                    (SpillPolicy::InMemory, little, false),
                    (SpillPolicy::OnDisk, little, false),
                ],
            );
        }
    }

    #[test]
    fn groups_are_joined_by_what_they_are_spread_by() {
        let sql = format!(
            "SELECT one.id, one.n, other.least FROM (SELECT id, count(*) AS n FROM ({ROWS}) GROUP BY id) one \
             JOIN (SELECT id, min(value) AS least FROM ({ROWS}) GROUP BY id) other ON one.id = other.id"
        );
        check(&sql, &[(SpillPolicy::InMemory, 256 << 20, true), (SpillPolicy::OnDisk, 256 << 20, false)]);
    }
}
