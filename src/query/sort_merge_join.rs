//! Replaces hash joins by sort-merge joins, which can spill whatever the keys are and however often one occurs.
//!
//! ```text
//!  hash join ◀─ left, right   becomes   projection ◀─ sort-merge join ◀─ sort ◀─ left
//!                                                                     ◀─ sort ◀─ right
//! ```
//! Joins whose build side is provably small stay as they are (see [`small`]), and so do those on lists and structs,
//! which have no sort order.
//!
//! Not for: joins that fit as grace hash joins (see `grace_hash_join`).

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinSide, Result};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::grace_hash_join::partitioned;
use super::operator::RECOMPUTE;
use super::operator_budget::{OperatorBudget, small};

/// Replaces every hash join of two large sides by a sort-merge join.
pub(super) fn plan_sort_merge_joins(
    plan: Arc<dyn ExecutionPlan>,
    budget: OperatorBudget,
) -> Result<Arc<dyn ExecutionPlan>> {
    let planned = plan.transform_up(|node| {
        let Some(join) = partitioned(node.as_ref()) else { return Ok(Transformed::no(node)) };
        match small(join.left(), budget)? || !can_be_sorted(join)? {
            true => Ok(Transformed::no(node)),
            false => Ok(Transformed::yes(sorted(join)?)),
        }
    })?;
    Ok(planned.data)
}

fn can_be_sorted(join: &HashJoinExec) -> Result<bool> {
    let schema = join.left().schema();
    for (left, _) in join.on() {
        if left.data_type(&schema)?.is_nested() {
            return Ok(false);
        }
    }
    Ok(!join.null_aware)
}

/// The same filter with the left side's columns before the right side's, as a sort-merge join requires. In a hash join
/// whose sides were swapped they are the other way round.
fn left_first(filter: &JoinFilter) -> Result<JoinFilter> {
    let columns = filter.column_indices();
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|place| columns[*place].side != JoinSide::Left);
    let place_of = |old: usize| order.iter().position(|place| *place == old).unwrap_or(old);
    let expression = Arc::clone(filter.expression()).transform(|part| match part.downcast_ref::<Column>() {
        Some(column) => {
            let moved: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), place_of(column.index())));
            Ok(Transformed::yes(moved))
        }
        None => Ok(Transformed::no(part)),
    })?;
    let schema = filter.schema().project(&order)?;
    let columns = order.iter().map(|place| columns[*place].clone()).collect();
    Ok(JoinFilter::new(expression.data, columns, Arc::new(schema)))
}

fn sorted(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    let unsorted: Arc<dyn ExecutionPlan> = Arc::new(SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        join.filter().map(left_first).transpose()?,
        *join.join_type(),
        vec![SortOptions::default(); join.on().len()],
        join.null_equality(),
    )?);
    let orders = unsorted.required_input_ordering();
    let sides = [join.left(), join.right()].into_iter().zip(orders).map(|(side, order)| {
        match order.map(|order| LexOrdering::from(order.into_single())) {
            Some(order) => Arc::new(SortExec::new(order, Arc::clone(side)).with_preserve_partitioning(true)) as _,
            None => Arc::clone(side),
        }
    });
    let joined = unsorted.replace_children(sides.collect(), RECOMPUTE)?;
    let Some(columns) = &join.projection else { return Ok(joined) };
    let schema = joined.schema();
    let column = |place: &usize| {
        let name = schema.field(*place).name();
        (Arc::new(Column::new(name, *place)) as Arc<dyn PhysicalExpr>, name.clone())
    };
    Ok(Arc::new(ProjectionExec::try_new(columns.iter().map(column).collect::<Vec<_>>(), joined)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::binary;
    use datafusion::physical_plan::joins::utils::ColumnIndex;

    #[test]
    fn the_left_sides_columns_come_first_in_a_filter() {
        let fields = [("r", DataType::Int32), ("l", DataType::Int64)].map(|(name, of)| Field::new(name, of, true));
        let schema = Schema::new(fields.to_vec());
        let column = |name: &str, place| Arc::new(Column::new(name, place)) as Arc<dyn PhysicalExpr>;
        let expression = binary(column("r", 0), Operator::Lt, column("l", 1), &schema).unwrap();
        let columns =
            vec![ColumnIndex { index: 7, side: JoinSide::Right }, ColumnIndex { index: 3, side: JoinSide::Left }];
        let filter = left_first(&JoinFilter::new(expression, columns, Arc::new(schema))).unwrap();
        assert_eq!(filter.expression().to_string(), "r@1 < l@0");
        let sides: Vec<_> = filter.column_indices().iter().map(|column| (column.side, column.index)).collect();
        assert_eq!(sides, [(JoinSide::Left, 3), (JoinSide::Right, 7)]);
        assert_eq!(filter.schema().field(0).data_type(), &DataType::Int64);
    }
}
