//! `EXCEPT ALL` and `INTERSECT ALL`: each row of one side takes at most one equal row of the other.
//!
//! ```text
//!  a EXCEPT ALL b     ─▶  the rows of a, numbered among their equals, that b, numbered in the same way, does not have
//!  a INTERSECT ALL b  ─▶  … that b has too
//! ```
//! DataFusion plans both as anti and semi joins of the rows alone, in which one row of `b` takes all its equals in `a`.
//! Such joins, in which nulls are equal, come of nothing else that SQL can say; without `ALL` their left side is made
//! distinct first.
//!
//! Not for: `UNION ALL`, which needs no counting.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

/// What the numbers of rows among their equals are called.
const NUMBER: &str = "cutover: number among equals";
/// What the sides are called.
const SIDES: [&str; 2] = ["cutover: left", "cutover: right"];

/// The rule of this file.
#[derive(Debug)]
pub(super) struct Multisets;

impl AnalyzerRule for Multisets {
    fn name(&self) -> &'static str {
        "multisets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let counted = plan.transform_up_with_subqueries(|plan| match &plan {
            LogicalPlan::Join(join) if counts_rows(join) => Ok(Transformed::yes(numbered(join)?)),
            _ => Ok(Transformed::no(plan)),
        })?;
        Ok(counted.data)
    }
}

fn counts_rows(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

fn numbered(join: &Join) -> Result<LogicalPlan> {
    let side = |plan: &Arc<LogicalPlan>, name: &str| -> Result<(LogicalPlan, Vec<Expr>)> {
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let number = row_number().partition_by(columns.clone()).build()?.alias(NUMBER);
        // Names may repeat, so columns are called by their place.
        let places = (0..columns.len()).map(|place| format!("{name} {place}"));
        let placed = columns.into_iter().zip(places).map(|(column, place)| column.alias(place));
        let input = LogicalPlanBuilder::from(plan.as_ref().clone());
        let windowed = input.window([number])?;
        let kept = placed.chain([Expr::Column(Column::from_name(NUMBER)).alias(format!("{name} number"))]);
        let plan = windowed.project(kept)?.build()?;
        let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
        Ok((plan, columns))
    };
    let (left, left_columns) = side(&join.left, SIDES[0])?;
    let (right, right_columns) = side(&join.right, SIDES[1])?;
    let columns =
        |columns: &[Expr]| columns.iter().filter_map(|column| column.try_as_col().cloned()).collect::<Vec<_>>();
    let (on_left, on_right) = (columns(&left_columns), columns(&right_columns));
    let joined = LogicalPlanBuilder::from(left).join_detailed(
        right,
        join.join_type,
        (on_left.clone(), on_right),
        None,
        NullEquality::NullEqualsNull,
    )?;
    let names = join.schema.iter();
    let results = on_left
        .into_iter()
        .zip(names)
        .map(|(column, (relation, field))| Expr::Column(column).alias_qualified(relation.cloned(), field.name()));
    joined.project(results)?.build()
}
