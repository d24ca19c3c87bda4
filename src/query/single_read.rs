//! Keeps a join without an equality condition from reading its left side twice.
//!
//! When that side does not fit into memory, DataFusion 55 executes its plan a second time to spill it. But the streams of
//! a scan share one queue of files, so the second one gets only those that the first one has not taken: rows would be
//! lost. With several partitions on the right side, rows without a match would also be returned once for each. So a
//! second read is an error, and the query needs more memory.
//!
//! Not for: joins with an equality condition, which have other plans that spill.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};

use super::operator::{RECOMPUTE, recomputed_over_children, same_rows, without_expressions};

/// The operator's name.
const SINGLE_READ: &str = "SingleReadExec";

/// The same plan, in which no join without an equality condition reads its left side twice.
///
/// # Errors
/// The planner's.
pub(super) fn read_once(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = plan.transform_up(|node| {
        if !node.is::<NestedLoopJoinExec>() {
            return Ok(Transformed::no(node));
        }
        let mut children: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
        children[0] = Arc::new(SingleReadExec::new(Arc::clone(&children[0])));
        Ok(Transformed::yes(node.replace_children(children, RECOMPUTE)?))
    });
    guarded.data()
}

/// The operator: its input, whose one partition can be executed once.
#[derive(Debug)]
struct SingleReadExec {
    input: Arc<dyn ExecutionPlan>,
    is_read: AtomicBool,
}

impl SingleReadExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, is_read: AtomicBool::new(false) }
    }
}

impl DisplayAs for SingleReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SINGLE_READ)
    }
}

impl ExecutionPlan for SingleReadExec {
    fn name(&self) -> &'static str {
        SINGLE_READ
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    without_expressions!();

    /// With a new input it can be executed again, as a recursive query does.
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0))))
    }

    recomputed_over_children!();

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.is_read.swap(true, Ordering::Relaxed) {
            return Err(DataFusionError::ResourcesExhausted(
                "the left side of a join without an equality condition does not fit into the query's share, and such a \
                 join cannot spill it"
                    .to_owned(),
            ));
        }
        self.input.execute(partition, context)
    }

    same_rows!();
}
