//! Finds the operators of a plan that hold an input in memory and cannot spill it, so that they may run out of memory.
//!
//! Sorts, aggregates, distinct and joins with equality conditions spill, or are replanned with operators that do. What
//! remains are joins without equality conditions, and windows that need a whole partition before they return its first
//! row. Not reported: joins on lists or structs, of which one partition has to fit, and the values that an aggregate
//! collects for one group.
//!
//! Not for: decisions about the plan.

use std::sync::Arc;

use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};
use serde::Serialize;

use super::bounded_window::BoundedWindowExec;

/// An operator that cannot spill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unspillable {
    /// DataFusion's name of the operator.
    pub operator: String,
    /// What it holds.
    pub holds: &'static str,
    /// Estimated bytes of that, if statistics are available.
    pub bytes: Option<u64>,
}

/// The unspillable operators of a plan, outermost first.
pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Unspillable> {
    let children = plan.children();
    let input = || children.first().and_then(|input| bytes(input.as_ref()));
    let held = if plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>() {
        Some(("its left input", input()))
    } else {
        plan.downcast_ref::<BoundedWindowExec>().map(|windows| match windows.has_partitions() {
            // No statistics give the rows of a partition.
            true => ("one partition of its rows", None),
            false => ("all of its rows", input()),
        })
    };
    let own = held.map(|(holds, bytes)| Unspillable { operator: plan.name().to_owned(), holds, bytes });
    own.into_iter().chain(children.into_iter().flat_map(of)).collect()
}

fn bytes(input: &dyn ExecutionPlan) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(input, &StatisticsArgs::new()).ok()?;
    statistics.total_byte_size.get_value().map(|bytes| *bytes as u64)
}
