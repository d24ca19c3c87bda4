//! The operators of a plan that hold an input in memory and cannot spill it: what may still fail for want of memory.
//!
//! Sorts, groups, distinct and joins with equal columns spill, or are planned again in a way that does. What is left
//! are joins without equal columns, and windows that need a whole partition before they give its first row. Not told:
//! joins by lists or structs, of which a part at a time has to fit, and values that one group gathers.
//!
//! Not for: deciding anything.

use std::sync::Arc;

use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};
use serde::Serialize;

use super::bounded_window::BoundedWindowExec;

/// An operator that cannot spill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unspillable {
    /// DataFusion's name of it.
    pub operator: String,
    /// What it holds, in words.
    pub holds: &'static str,
    /// About how many bytes that is, where statistics tell.
    pub bytes: Option<u64>,
}

/// Those of a plan and all that it reads from, outermost first.
pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Vec<Unspillable> {
    let children = plan.children();
    let input = || children.first().and_then(|input| bytes(input.as_ref()));
    let held = if plan.is::<CrossJoinExec>() || plan.is::<NestedLoopJoinExec>() {
        Some(("its left input", input()))
    } else {
        plan.downcast_ref::<BoundedWindowExec>().map(|windows| match windows.has_partitions() {
            // How many rows a partition has, no statistics tell.
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
