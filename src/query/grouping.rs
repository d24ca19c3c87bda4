//! Groups by hash, a part of them at a time.
//!
//! ```text
//!  final aggregate ◀─ by hash, one partition a thread ◀─ partial aggregate ◀─ rows
//!  becomes
//!  final aggregate of one partition after another ◀─ by hash, many partitions ◀─ partial aggregate ◀─ rows
//! ```
//! A hash table of all groups is looked up at random addresses, and what does not fit into memory is sorted, spilled and
//! merged. The table of one small partition stays in the processor's cache, and only rows that wait for their turn may
//! have to go to disk, once. Where a partition does not fit all the same, DataFusion's aggregate spills it.
//!
//! Not for: aggregates over so few rows that all of their groups are a small table.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::spread::Wait;
use super::turns::{RECOMPUTE, Room, Turns, partitions_of, size, spread};

/// Rows of a partition: about so many groups are a table that a processor's cache holds a good part of.
const PARTITION_ROWS: usize = 1 << 18;
/// Rows below which one table for each thread does.
const FEW_ROWS: usize = 1 << 20;

/// The same plan with every aggregate by hash over many rows taking turns.
pub(super) fn in_turns(plan: Arc<dyn ExecutionPlan>, room: Room) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| {
        let Some((last, first)) = steps(&node) else { return Ok(Transformed::no(node)) };
        let (rows, row_bytes) = size(first.input().as_ref())?;
        if rows.is_some_and(|rows| rows < FEW_ROWS) {
            return Ok(Transformed::no(node));
        }
        let by_rows = rows.map(|rows| rows / PARTITION_ROWS);
        let partitions = partitions_of(by_rows, row_bytes, room);
        let keys = last.group_expr().input_exprs();
        let rows = spread(last.input(), keys, partitions, Wait::InMemory, room)?;
        let last = Arc::clone(&node).replace_children(vec![rows], RECOMPUTE)?;
        Ok(Transformed::yes(Arc::new(Turns::new(last, room.threads)) as _))
    })?;
    Ok(planned.data)
}

/// An aggregate's last and first step, where it is done in two steps by hash.
fn steps(node: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, &AggregateExec)> {
    let by_hash =
        |step: &&AggregateExec| *step.input_order_mode() == InputOrderMode::Linear && step.limit_options().is_none();
    let last = node.downcast_ref::<AggregateExec>().filter(by_hash)?;
    let repartition =
        last.input().downcast_ref::<RepartitionExec>().filter(|_| *last.mode() == AggregateMode::FinalPartitioned)?;
    let first = repartition.input().downcast_ref::<AggregateExec>().filter(by_hash)?;
    Some((last, first))
}
