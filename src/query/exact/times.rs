//! Comparisons of times: a timestamp with a finer literal by the literal's unit, and none of intervals.
//!
//! DataFusion casts the literal to the column's unit instead, which cuts it, so that 00:00:00.000 is at or after
//! 00:00:00.0001. Where the literal does not fit the column's unit, the column's cast is hidden from that rule. Intervals
//! have no order, as a month has no fixed length; DataFusion compares their months first.
//!
//! Not for: timestamps of two columns, which are compared in the finer unit.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::anchored::hidden;

/// The rule of this file.
#[derive(Debug)]
pub(super) struct ExactTimes;

impl AnalyzerRule for ExactTimes {
    fn name(&self) -> &'static str {
        "exact_times"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let exact = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let exact = expression.transform_up(|expression| compare(expression, &schema))?;
                Ok(exact.update_data(|expression| name.restore(expression)))
            })
        })?;
        Ok(exact.data)
    }
}

fn compare(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
            if let DataType::Interval(_) = left.get_type(schema)? {
                return plan_err!("{left} {op} {right}: intervals cannot be compared, as a month has no fixed length");
            }
            let (left, right) = (hide(*left, &[&right], schema)?, *right);
            let right = hide(right, &[&left], schema)?;
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let expr = hide(*expr, &list.iter().collect::<Vec<_>>(), schema)?;
            Ok(Transformed::yes(Expr::InList(InList::new(Box::new(expr), list, negated))))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let expr = hide(*expr, &[&low, &high], schema)?;
            Ok(Transformed::yes(Expr::Between(Between::new(Box::new(expr), negated, low, high))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Hides the cast of a coarser timestamp that one of the literals does not fit.
fn hide(expression: Expr, others: &[&Expr], schema: &DFSchema) -> Result<Expr> {
    let Expr::Cast(Cast { expr, .. }) = &expression else { return Ok(expression) };
    let coarse = match expr.get_type(schema)? {
        DataType::Timestamp(unit, _) => nanoseconds(unit),
        DataType::Date32 | DataType::Date64 => 86_400 * nanoseconds(TimeUnit::Second),
        _ => return Ok(expression),
    };
    let misfit =
        |other: &&Expr| constant(other).is_some_and(|value| in_nanoseconds(&value).is_some_and(|of| of % coarse != 0));
    Ok(if others.iter().any(misfit) { hidden(vec![expression]) } else { expression })
}

/// The value of a literal, which may be a text that is still to be cast.
fn constant(expression: &Expr) -> Option<ScalarValue> {
    match expression {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}

fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn in_nanoseconds(value: &ScalarValue) -> Option<i128> {
    let (value, unit) = match value {
        ScalarValue::TimestampSecond(value, _) => (value, TimeUnit::Second),
        ScalarValue::TimestampMillisecond(value, _) => (value, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(value, _) => (value, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(value, _) => (value, TimeUnit::Nanosecond),
        _ => return None,
    };
    Some(i128::from((*value)?) * nanoseconds(unit))
}
