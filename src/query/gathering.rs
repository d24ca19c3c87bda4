//! Aggregates that gather values (`array_agg`, `median`, `count(DISTINCT …)`), one group at a time.
//!
//! ```text
//!  final aggregate ◀─ by hash ◀─ partial aggregate ◀─ rows
//!  becomes
//!  aggregate, a group at a time ◀─ sort by the group's columns ◀─ by hash ◀─ rows
//! ```
//! DataFusion keeps what all groups have gathered, and counts some of it many times over. Of sorted rows it keeps one
//! group, and a sort can spill.
//!
//! Not for: aggregates whose state has a fixed size, which spill well, and `GROUPING SETS`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

/// The same plan with every aggregate that gathers values over rows that are sorted by its groups.
pub(super) fn one_group_at_a_time(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| {
        let Some(aggregate) = node.downcast_ref::<AggregateExec>().filter(|aggregate| gathers(aggregate)) else {
            return Ok(Transformed::no(node));
        };
        match over_sorted(aggregate)? {
            Some(sorted) => Ok(Transformed::yes(sorted)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(planned.data)
}

/// Whether a group's state grows with its rows.
fn gathers(aggregate: &AggregateExec) -> bool {
    let is_list = |of: &DataType| matches!(of, DataType::List(_) | DataType::LargeList(_));
    aggregate
        .aggr_expr()
        .iter()
        .any(|each| each.state_fields().is_ok_and(|fields| fields.iter().any(|field| is_list(field.data_type()))))
}

/// The aggregate over sorted rows; none where it is not the last of its steps, or has no groups.
fn over_sorted(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (first, rows) = match aggregate.mode() {
        AggregateMode::SinglePartitioned => (aggregate, Arc::clone(aggregate.input())),
        AggregateMode::FinalPartitioned => {
            let Some(spread) = aggregate.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
            let Some(partial) = spread.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
            let keys = partial.group_expr().input_exprs();
            let partitions = spread.partitioning().partition_count();
            let by_hash = RepartitionExec::try_new(Arc::clone(partial.input()), Partitioning::Hash(keys, partitions))?;
            (partial, Arc::new(by_hash) as _)
        }
        _ => return Ok(None),
    };
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
    // An aggregate with an order of its own wants that within the groups.
    let wanted = sorted.required_input_ordering().swap_remove(0).map(|wanted| wanted.into_single());
    let sorted = match wanted.map(LexOrdering::from) {
        Some(wanted) => over(wanted)?,
        None => sorted,
    };
    Ok(Some(Arc::new(sorted)))
}
