//! Keeps filters above aggregates that return a row even for no rows, and keeps columns of `ROLLUP`, `CUBE` and
//! `GROUPING SETS` from being taken for constants.
//!
//! DataFusion pushes a filter below an aggregate if all of the filter's columns are group columns. A filter without
//! columns satisfies that trivially, so it is also pushed below an aggregate without groups or with an empty grouping
//! set, which then returns a row that should have been filtered. Nothing is pushed below a limit, so one is added that
//! changes nothing: one row for an aggregate without groups. DataFusion also takes a group computed from constants for
//! a constant, although grouping sets replace it by null, so that an `ORDER BY` on it is dropped. Such groups are
//! hidden in an opaque function.
//!
//! Not for: computing anything; the function returns its first argument.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, TableReference, internal_datafusion_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, Filter, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// Rows of a limit that no result reaches.
const NO_LIMIT: usize = i64::MAX as usize;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct Anchored;

impl AnalyzerRule for Anchored {
    fn name(&self) -> &'static str {
        "anchored"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let anchored = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Filter(Filter { predicate, input, .. }) if input.exists(|node| Ok(is_of_sets(node)))? => {
                let (anchored, others): (Vec<Expr>, Vec<Expr>) =
                    split_conjunction_owned(predicate).into_iter().partition(|part| !has_columns(part));
                let filtered = |input: LogicalPlanBuilder, parts: Vec<Expr>| match conjunction(parts) {
                    Some(predicate) => input.filter(predicate),
                    None => Ok(input),
                };
                let mut rows = filtered(LogicalPlanBuilder::from(input), others)?;
                if !anchored.is_empty() {
                    rows = filtered(rows.limit(0, Some(NO_LIMIT))?, anchored)?;
                }
                Ok(Transformed::yes(rows.build()?))
            }
            // A correlated subquery becomes a join on its groups, which a limit would prevent.
            LogicalPlan::Aggregate(ref aggregate)
                if aggregate.group_expr.is_empty() && plan.all_out_ref_exprs().is_empty() =>
            {
                Ok(Transformed::yes(LogicalPlanBuilder::from(plan).limit(0, Some(1))?.build()?))
            }
            LogicalPlan::Aggregate(ref aggregate) if is_of_sets(&plan) => {
                let number = Expr::Column(Column::from_name(Aggregate::INTERNAL_GROUPING_ID));
                let groups = aggregate.group_expr_len()?;
                let column = |(place, (relation, field)): (usize, (Option<&TableReference>, &FieldRef))| {
                    let column = Expr::Column(Column::new(relation.cloned(), field.name()));
                    match place < groups && field.name() != Aggregate::INTERNAL_GROUPING_ID {
                        true => hidden(vec![column, number.clone()]).alias_qualified(relation.cloned(), field.name()),
                        false => column,
                    }
                };
                let columns: Vec<Expr> = aggregate.schema.iter().enumerate().map(column).collect();
                Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(columns)?.build()?))
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(anchored.data)
    }
}

fn has_columns(part: &Expr) -> bool {
    let of_row = |of: &Expr| {
        Ok(match of {
            Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::Exists(_) | Expr::InSubquery(_) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    };
    part.exists(of_row).unwrap_or(true)
}

fn is_of_sets(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else { return false };
    matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)])
}

/// An expression that the optimizer cannot see into; its value is the first argument.
pub(super) fn hidden(arguments: Vec<Expr>) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    ScalarUDF::new_from_impl(Hidden { signature }).call(arguments)
}

/// A function that returns its first argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Hidden {
    signature: Signature,
}

impl ScalarUDFImpl for Hidden {
    fn name(&self) -> &'static str {
        "anchored"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| internal_datafusion_err!("{} takes a value", self.name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let first = args.args.into_iter().next();
        first.ok_or_else(|| internal_datafusion_err!("{} takes a value", self.name()))
    }
}
