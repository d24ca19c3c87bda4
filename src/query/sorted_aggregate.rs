//! Aggregates with unbounded state (`array_agg`, `median`, `count(DISTINCT …)`), over sorted input: one group at a
//! time.
//!
//! ```text
//!  final aggregate ◀─ by hash ◀─ partial aggregate ◀─ rows
//!  becomes
//!  aggregate, a group at a time ◀─ sort by the group's columns ◀─ by hash, on disk ◀─ rows
//! ```
//! DataFusion keeps the values of all groups, and accounts for them too late, or many times over. Over sorted rows it
//! keeps one group, and a sort can spill. If the rows fit into memory several times they are not sorted.
//!
//! Not for: aggregates whose state has a fixed size, which spill well, and `GROUPING SETS`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::sorts::sort::SortExec;

use super::grace_hash_join::spread;
use super::operator_budget::{OperatorBudget, size};
use super::partitioned_aggregate::first_step;
use super::spilling_repartition::SpillPolicy;

/// How many times the rows must fit into memory for their values to be aggregated without a sort: they are copied from
/// one step to the next, and estimates are rarely exact.
const FIT_MARGIN: usize = 4;

/// Sorts the input of every aggregate with unbounded state by its groups.
pub(super) fn sort_unbounded_aggregates(
    plan: Arc<dyn ExecutionPlan>,
    budget: OperatorBudget,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| {
        let Some(aggregate) = node.downcast_ref::<AggregateExec>().filter(|aggregate| has_unbounded_state(aggregate))
        else {
            return Ok(Transformed::no(node));
        };
        match aggregate_sorted_input(aggregate, budget)? {
            Some(sorted) => Ok(Transformed::yes(sorted)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(planned.data)
}

/// Whether the rows that an aggregate reads fit into memory with a wide margin.
fn fit(rows: &dyn ExecutionPlan, budget: OperatorBudget) -> Result<bool> {
    let (rows, row_bytes) = size(rows)?;
    Ok(rows.is_some_and(|rows| rows.saturating_mul(row_bytes).saturating_mul(FIT_MARGIN) <= budget.memory))
}

/// Whether the state of a group grows with its rows.
fn has_unbounded_state(aggregate: &AggregateExec) -> bool {
    collected_types(aggregate).next().is_some()
}

/// Whether strings or binary values are collected: DataFusion holds 22 KB per group for them, however few there are.
fn collects_strings(aggregate: &AggregateExec) -> bool {
    collected_types(aggregate).any(|of| !of.is_primitive() && of != DataType::Boolean)
}

/// The types of the values that are collected.
fn collected_types(aggregate: &AggregateExec) -> impl Iterator<Item = DataType> {
    let states = aggregate.aggr_expr().iter().filter_map(|each| each.state_fields().ok()).flatten();
    states.filter_map(|field| match field.data_type() {
        DataType::List(of) | DataType::LargeList(of) => Some(of.data_type().clone()),
        _ => None,
    })
}

/// The aggregate over sorted rows; none if it is not the final step, or has no groups.
fn aggregate_sorted_input(aggregate: &AggregateExec, budget: OperatorBudget) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (first, rows) = match aggregate.mode() {
        AggregateMode::SinglePartitioned => (aggregate, Arc::clone(aggregate.input())),
        AggregateMode::FinalPartitioned => {
            let Some((by_hash, partial)) = first_step(aggregate) else { return Ok(None) };
            let keys = partial.group_expr().input_exprs();
            let partitions = by_hash.partitioning().partition_count();
            (partial, spread(partial.input(), keys, partitions, SpillPolicy::OnDisk, budget)?)
        }
        _ => return Ok(None),
    };
    if !collects_strings(first) && fit(first.input().as_ref(), budget)? {
        return Ok(None);
    }
    let groups = first.group_expr();
    let keys = groups.input_exprs().into_iter().map(PhysicalSortExpr::new_default);
    let Some(order) = LexOrdering::new(keys).filter(|_| groups.is_single()) else { return Ok(None) };
    let over = |order: LexOrdering| {
        let sorted = SortExec::new(order, Arc::clone(&rows)).with_preserve_partitioning(true);
        AggregateExec::try_new(
            AggregateMode::SinglePartitioned,
            groups.clone(),
            first.aggr_expr().to_vec(),
            first.filter_expr().to_vec(),
            Arc::new(sorted),
            first.input_schema(),
        )
    };
    let sorted = over(order)?;
    // An aggregate with an ORDER BY requires that order within the groups.
    let wanted = sorted.required_input_ordering().swap_remove(0).map(|wanted| wanted.into_single());
    let sorted = match wanted.map(LexOrdering::from) {
        Some(wanted) => over(wanted)?,
        None => sorted,
    };
    Ok(Some(Arc::new(sorted)))
}
