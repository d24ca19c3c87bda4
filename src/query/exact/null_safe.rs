//! `a IS NOT DISTINCT FROM b` in joins and filters, rewritten so that its null handling does not spread to other join
//! keys.
//!
//! ```text
//!  a IS NOT DISTINCT FROM b  ─▶  (a IS NULL) = (b IS NULL) AND coalesce(a, default) = coalesce(b, default)
//! ```
//! DataFusion makes it a join key for which nulls are equal. That setting applies to all keys of a join, also to a
//! plain equality that is pushed into the same join, whose nulls must not be equal. Both rewritten conditions are plain
//! equalities.
//!
//! Not for: types without a default value, such as lists and structs.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, Join, LogicalPlan, Operator, lit};
use datafusion::optimizer::AnalyzerRule;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct NullSafeKeys;

impl AnalyzerRule for NullSafeKeys {
    fn name(&self) -> &'static str {
        "null_safe_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plain = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let predicate = conditions(predicate, input.schema())?;
                Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
            }
            LogicalPlan::Join(join) if join.filter.is_some() => {
                let schema = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
                let filter = join.filter.map(|filter| conditions(filter, &schema)).transpose()?;
                Ok(Transformed::yes(LogicalPlan::Join(Join { filter, ..join })))
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(plain.data)
    }
}

fn conditions(predicate: Expr, schema: &DFSchema) -> Result<Expr> {
    let parts = split_conjunction_owned(predicate).into_iter().map(|part| condition(part, schema));
    Ok(conjunction(parts.collect::<Result<Vec<_>>>()?).unwrap_or_else(|| lit(true)))
}

fn condition(part: Expr, schema: &DFSchema) -> Result<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right }) = &part else { return Ok(part) };
    let Ok(default) = ScalarValue::new_default(&left.get_type(schema)?) else { return Ok(part) };
    if default.is_null() || default.data_type().is_nested() {
        return Ok(part);
    }
    let or_default = |side: &Expr| coalesce(vec![side.clone(), lit(default.clone())]);
    let both_null = left.as_ref().clone().is_null().eq(right.as_ref().clone().is_null());
    Ok(both_null.and(or_default(left).eq(or_default(right))))
}
