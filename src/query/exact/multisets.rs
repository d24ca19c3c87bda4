//! `EXCEPT ALL` and `INTERSECT ALL`: each row of one side takes at most one equal row of the other.
//!
//! ```text
//!  a EXCEPT ALL b     ─▶  rows of a, numbered among equal rows, that are not in b, numbered the same way
//!  a INTERSECT ALL b  ─▶  rows of a, numbered, that are in b too
//! ```
//! DataFusion plans both as anti and semi joins on the rows alone, in which one row of `b` matches all its equals in
//! `a` (see `set_operations`); without `ALL` their left side is made distinct first.
//!
//! Not for: `UNION ALL`, which needs no counting.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

use super::set_operations::is_set_operation;

/// The analyzer rule of this file.
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
    is_set_operation(join) && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

fn numbered(join: &Join) -> Result<LogicalPlan> {
    let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    let (left, on_left) = side(&join.left, left_keys, "left")?;
    let (right, on_right) = side(&join.right, right_keys, "right")?;
    let results: Vec<Expr> = join
        .schema
        .iter()
        .zip(&left.schema().columns())
        .map(|((relation, field), column)| {
            Expr::Column(column.clone()).alias_qualified(relation.cloned(), field.name())
        })
        .collect();
    let joined = LogicalPlanBuilder::from(left).join_detailed(
        right,
        join.join_type,
        (on_left, on_right),
        None,
        NullEquality::NullEqualsNull,
    )?;
    joined.project(results)?.build()
}

/// One side's columns, its keys cast to the types of the comparison, and the row number of each row among its equals;
/// and the columns to join on. As names may repeat, columns are addressed by position.
fn side(plan: &Arc<LogicalPlan>, keys: Vec<Expr>, name: &str) -> Result<(LogicalPlan, Vec<Column>)> {
    let columns = plan.schema().columns().into_iter().map(Expr::Column).enumerate();
    let columns = columns.map(|(place, column)| column.alias(format!("cutover: {name} {place}")));
    let named: Vec<String> = (0..keys.len()).map(|place| format!("cutover: {name} key {place}")).collect();
    let keys = keys.into_iter().zip(&named).map(|(key, name)| key.alias(name));
    let projected = LogicalPlanBuilder::from(plan.as_ref().clone()).project(columns.chain(keys))?;
    let number = format!("cutover: {name} number");
    let by = named.iter().map(|name| Expr::Column(Column::from_name(name)));
    let numbered = projected.window([row_number().partition_by(by.collect()).build()?.alias(&number)])?.build()?;
    let on = named.into_iter().chain([number]).map(Column::from_name).collect();
    Ok((numbered, on))
}
