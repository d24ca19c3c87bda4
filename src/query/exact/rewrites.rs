//! SQL that DataFusion does not support, or supports with limits, rewritten to forms that it does.
//!
//! | SQL | here |
//! |---|---|
//! | `TIMESTAMP` | microseconds, except for literals with more digits; `TIMESTAMP(9)` has nanoseconds |
//! | `TIMESTAMPTZ` | an instant, shown in UTC |
//! | `AT TIME ZONE` | keeps the unit of the time |
//! | `LIKE … ESCAPE '!'` | the same pattern with backslashes |
//! | a `RANGE` frame without distances, ordered by binary values or lists | a `GROUPS` frame, which is the same |
//! | `ceil`, `floor`, `round` of decimals | with room for one more digit |
//! | `arrow_cast(x, 'type')` | `CAST`, so that it is as exact |
//!
//! Called by the rule of `types`. Not for: common types of operands (see `types`).

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{
    Expr, ExprSchemable, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, cast, lit,
};
use datafusion::sql::sqlparser::ast::{DataType as SqlType, TimezoneInfo};

use super::casts::is_finer;
use super::timestamps;

/// Functions that round a decimal, whose result may have one digit more.
const ROUND: [&str; 3] = ["ceil", "floor", "round"];

/// The SQL type `TIMESTAMP`.
#[derive(Debug)]
pub(super) struct Timestamps;

impl TypePlanner for Timestamps {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let (digits, zone) = match sql_type {
            SqlType::Timestamp(digits, zone) => (*digits, *zone),
            SqlType::Datetime(digits) => (*digits, TimezoneInfo::None),
            _ => return Ok(None),
        };
        let unit = match digits {
            Some(0) => TimeUnit::Second,
            Some(3) => TimeUnit::Millisecond,
            None | Some(6) => TimeUnit::Microsecond,
            Some(9) => TimeUnit::Nanosecond,
            _ => return Ok(None),
        };
        let zone = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone).then(|| super::ZONE.into());
        Ok(Some(Arc::new(Field::new("", DataType::Timestamp(unit, zone), true))))
    }
}

/// Rewrites an expression to a form that DataFusion supports.
pub(super) fn known(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expression {
        Expr::Cast(of) => match (of.expr.as_ref(), of.field.data_type()) {
            (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::Timestamp(TimeUnit::Microsecond, zone))
                if is_finer(text) =>
            {
                let to = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
                Transformed::yes(cast(*of.expr, to))
            }
            // AT TIME ZONE; times that are not in nanoseconds may be outside the range of nanoseconds.
            (inner, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone))) => match inner.get_type(schema) {
                Ok(DataType::Timestamp(unit, _)) if unit != TimeUnit::Nanosecond => {
                    let to = DataType::Timestamp(unit, Some(Arc::clone(zone)));
                    Transformed::yes(cast(*of.expr, to))
                }
                _ => Transformed::no(Expr::Cast(of)),
            },
            _ => Transformed::no(Expr::Cast(of)),
        },
        Expr::Like(of) => match (of.escape_char, of.pattern.as_ref()) {
            (Some(escape), Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)) if escape != '\\' => {
                let pattern = Box::new(lit(with_backslashes(pattern, escape)));
                Transformed::yes(Expr::Like(Like { pattern, escape_char: None, ..of }))
            }
            _ => Transformed::no(Expr::Like(of)),
        },
        Expr::WindowFunction(mut of) => {
            of.params.window_frame = peers(of.params.window_frame, &of.params.order_by, schema)?;
            Transformed::yes(Expr::WindowFunction(of))
        }
        // Its type is known, so it is a cast like all others.
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "arrow_cast" => match args.as_slice() {
            [value, Expr::Literal(ScalarValue::Utf8(Some(name)), _)] => match name.parse::<DataType>() {
                Ok(to) => Transformed::yes(cast(value.clone(), to)),
                Err(_) => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            },
            _ => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        },
        Expr::ScalarFunction(of) if timestamps::makes_one(of.func.name()) => {
            Transformed::yes(Expr::ScalarFunction(timestamps::formatted(of, schema)))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if ROUND.contains(&func.name()) => {
            let wider = |argument: Expr| match argument.get_type(schema) {
                Ok(DataType::Decimal128(digits, scale)) if digits < DECIMAL128_MAX_PRECISION => {
                    cast(argument, DataType::Decimal128(digits + 1, scale))
                }
                _ => argument,
            };
            let args = args.into_iter().map(wider).collect();
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        other => Transformed::no(other),
    })
}

/// A LIKE pattern with the backslash as escape character, the only one that DataFusion supports.
fn with_backslashes(pattern: &str, escape: char) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut escaped = false;
    for letter in pattern.chars() {
        if letter == escape && !escaped {
            escaped = true;
            continue;
        }
        if letter == '\\' || (escaped && matches!(letter, '%' | '_')) {
            result.push('\\');
        }
        result.push(letter);
        escaped = false;
    }
    result
}

/// Turns a RANGE frame into a GROUPS frame if DataFusion supports no ranges of its ORDER BY type; without distances,
/// both are the same.
fn peers(frame: WindowFrame, order: &[SortExpr], schema: &DFSchema) -> Result<WindowFrame> {
    let has_range = |of: &DataType| !matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    let by = order.first().map(|by| by.expr.get_type(schema)).transpose()?;
    let plain = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => true,
        WindowFrameBound::Preceding(distance) | WindowFrameBound::Following(distance) => distance.is_null(),
    };
    if frame.units != WindowFrameUnits::Range
        || by.is_none_or(|by| has_range(&by) && !by.is_nested())
        || !(plain(&frame.start_bound) && plain(&frame.end_bound))
    {
        return Ok(frame);
    }
    Ok(WindowFrame::new_bounds(WindowFrameUnits::Groups, frame.start_bound, frame.end_bound))
}
