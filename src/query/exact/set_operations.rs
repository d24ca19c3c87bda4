//! `EXCEPT` and `INTERSECT` as DataFusion plans them: anti and semi joins in which nulls are equal, which arise from no
//! other SQL. Here their columns get the types that hold the values of both sides, as those of a `UNION` do; DataFusion
//! leaves them at the left side's.
//!
//! Not for: counting equal rows (`multisets`).

use std::sync::Arc;

use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, cast};

use super::conversions::{Meeting, converted};

/// Whether a join is such an operation.
pub(super) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
}

/// The join with both sides cast to common types; unchanged if it is no set operation, or they have them.
pub(super) fn with_common_types(join: Join) -> Result<Join> {
    let width = join.left.schema().fields().len();
    if !is_set_operation(&join) || join.on.len() != width || join.right.schema().fields().len() != width {
        return Ok(join);
    }
    let sides = [&join.left, &join.right];
    let columns = sides.map(|side| columns_of(side));
    let mut common = columns.clone();
    for place in 0..width {
        let types = sides.map(|side| side.schema().field(place).data_type().clone());
        let both = columns.each_ref().map(|columns| columns[place].clone()).to_vec();
        let mut both = converted(both, &types, Meeting::Chosen);
        let types = [both[0].get_type(join.left.schema())?, both[1].get_type(join.right.schema())?];
        if let Some(to) = type_union_coercion(&types[0], &types[1]).filter(|_| types[0] != types[1]) {
            both = both
                .into_iter()
                .zip(types)
                .map(|(one, of)| if of == to { one } else { cast(one, to.clone()) })
                .collect();
        }
        for (side, column) in both.into_iter().enumerate() {
            common[side][place] = column;
        }
    }
    if common == columns {
        return Ok(join);
    }
    let [left, right] = common;
    let (left, right) = (projected(&join.left, left)?, projected(&join.right, right)?);
    let on = columns_of(&left).into_iter().zip(columns_of(&right)).collect();
    Ok(Join { left: Arc::new(left), right: Arc::new(right), on, ..join })
}

fn columns_of(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// The columns under their names; below a `DISTINCT`, as equal rows may come from different ones.
fn projected(plan: &Arc<LogicalPlan>, columns: Vec<Expr>) -> Result<LogicalPlan> {
    if let LogicalPlan::Distinct(Distinct::All(input)) = plan.as_ref() {
        return Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(projected(input, columns)?))));
    }
    LogicalPlanBuilder::from(plan.as_ref().clone()).project(super::under_names(plan.schema(), columns))?.build()
}
