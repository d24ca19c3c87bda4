//! Comparisons of times: a timestamp is compared with a finer literal in the literal's unit; intervals are not
//! compared.
//!
//! DataFusion casts the literal to the column's unit instead, which truncates it, so that 00:00:00.000 would be at or
//! after 00:00:00.0001. If the literal does not fit the column's unit, the column's cast is hidden from that rule.
//! Intervals have no order, as a month has no fixed length; DataFusion compares their months first.
//!
//! Not for: timestamps of two columns, which DataFusion compares in the finer unit.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, exec_err, internal_datafusion_err, plan_err};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::empty_aggregates::hidden;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct ExactTimes;

impl AnalyzerRule for ExactTimes {
    fn name(&self) -> &'static str {
        "exact_times"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| refuse_intervals(node).map(|()| TreeNodeRecursion::Continue))?;
        super::everywhere(plan, exact)
    }
}

/// Rejects ordering, grouping and deduplicating by intervals.
fn refuse_intervals(node: &LogicalPlan) -> Result<()> {
    let schema = merge_schema(&node.inputs());
    let check = |what: &str, of: &Expr| match of.get_type(&schema) {
        Ok(DataType::Interval(_)) => {
            plan_err!("{what} {of}: intervals have no order, as a month has no fixed length; use numbers instead")
        }
        _ => Ok(()),
    };
    match node {
        LogicalPlan::Aggregate(of) => of.group_expr.iter().try_for_each(|of| check("GROUP BY", of))?,
        LogicalPlan::Sort(of) => of.expr.iter().try_for_each(|by| check("ORDER BY", &by.expr))?,
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns = input.schema().columns();
            columns.into_iter().try_for_each(|column| check("DISTINCT", &Expr::Column(column)))?;
        }
        _ => {}
    }
    let least_or_greatest = |of: &Expr| {
        let (name, params) = match of {
            Expr::AggregateFunction(of) => (of.func.name(), of.params.args.first()),
            Expr::WindowFunction(of) => (of.fun.name(), of.params.args.first()),
            _ => return Ok(false),
        };
        if let (Some(argument), "min" | "max") = (params, name) {
            check(name, argument)?;
        }
        if let Expr::WindowFunction(of) = of {
            of.params.partition_by.iter().try_for_each(|of| check("PARTITION BY", of))?;
            of.params.order_by.iter().try_for_each(|by| check("ORDER BY", &by.expr))?;
        }
        Ok(false)
    };
    for expression in node.expressions() {
        expression.exists(least_or_greatest)?;
    }
    Ok(())
}

/// A time plus or minus an interval, whose parts finer than the time would be dropped.
fn whole(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let text = format!("{left} {op} {right}");
    let unit = |of: &Expr| -> Result<Option<i64>> {
        Ok(match of.get_type(schema)? {
            DataType::Date32 | DataType::Date64 => Some(86_400 * 1_000_000_000),
            DataType::Timestamp(unit, _) if unit != TimeUnit::Nanosecond => i64::try_from(nanoseconds(unit)).ok(),
            _ => None,
        })
    };
    let is_interval = |of: &Expr| Ok::<_, DataFusionError>(matches!(of.get_type(schema)?, DataType::Interval(_)));
    let held = |interval: Expr, unit: i64| {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(Whole { text: text.clone(), unit, signature }).call(vec![interval])
    };
    let (left, right) = match (unit(&left)?, unit(&right)?) {
        (Some(unit), _) if is_interval(&right)? => (left, held(right, unit)),
        (_, Some(unit)) if is_interval(&left)? => (held(left, unit), right),
        _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))),
    };
    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
}

/// Checks that an interval has, apart from months and days, only whole units of a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    /// The SQL of the expression, for messages.
    text: String,
    /// Nanoseconds per unit of the time.
    unit: i64,
    signature: Signature,
}

/// Whether a function only checks an interval.
pub(super) fn is_whole(function: &dyn ScalarUDFImpl) -> bool {
    function.is::<Whole>()
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &'static str {
        "whole_interval"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| internal_datafusion_err!("{} takes an interval", self.name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(internal_datafusion_err!("{} takes an interval", self.name()));
        };
        let array = value.to_array(1)?;
        let part = match array.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
                intervals.iter().flatten().any(|interval| interval.nanoseconds % self.unit != 0)
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                let intervals = array.as_primitive::<IntervalDayTimeType>();
                intervals.iter().flatten().any(|of| i64::from(of.milliseconds) * 1_000_000 % self.unit != 0)
            }
            _ => false,
        };
        match part {
            true => exec_err!(
                "{}: the interval has parts that are finer than the time; cast the time to TIMESTAMP or TIMESTAMP(9) \
                 first",
                self.text
            ),
            false => Ok(value.clone()),
        }
    }
}

fn exact(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) => {
            whole(*left, op, *right, schema)
        }
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

/// Hides the cast of a coarser timestamp if one of the literals does not fit it.
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

/// The value of a literal, which may be a string that is still to be cast.
pub(super) fn constant(expression: &Expr) -> Option<ScalarValue> {
    match expression {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}

/// Nanoseconds per unit.
pub(super) fn nanoseconds(unit: TimeUnit) -> i128 {
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
