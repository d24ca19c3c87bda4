//! The type in which values of two types meet: it holds both, also where the one that DataFusion chooses does not.
//!
//! | operands | here | DataFusion's choice |
//! |---|---|---|
//! | a date and a timestamp | the timestamp's unit; or compared as integers | nanoseconds: from 1677 to 2262 |
//! | a string and a timestamp | microseconds, or the timestamp's unit where it is finer | nanoseconds |
//! | a decimal and a float | doubles; decimals where the float is a literal | 15 digits before and after the point |
//! | a `REAL` and a integer | doubles | `REAL`, which has 7 digits |
//! | two decimals that have more than 38 digits together | compared with 76 digits | 38 digits |
//!
//! Not for: where values meet (see `types`, `set_operations`), or values that do not fit the type they are cast to (see
//! `casts`).

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, lit};

use super::time_comparisons::{constant, nanoseconds};

/// Nanoseconds per day.
const DAY: i128 = 86_400_000_000_000;
/// How two values are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// They are compared; the type of the comparison is not visible in the result.
    Compared,
    /// One of them is returned.
    Chosen,
}

/// The expressions, of these types, cast to a type in which they can be compared, or that can hold any of them.
pub(super) fn converted(expressions: Vec<Expr>, types: &[DataType], how: Meeting) -> Vec<Expr> {
    let has = |test: fn(&DataType) -> bool| types.iter().any(test);
    let is_date = |of: &DataType| matches!(of, DataType::Date32 | DataType::Date64);
    let is_timestamp = |of: &DataType| matches!(of, DataType::Timestamp(..));
    let is_fine = |of: &DataType| matches!(of, DataType::Timestamp(TimeUnit::Nanosecond, _));
    let units_differ = how == Meeting::Compared && has(is_fine) && !types.iter().all(is_fine);
    if has(is_timestamp) && (has(is_date) || has(is_text) || units_differ) {
        return times(expressions, types, how);
    }
    if has(DataType::is_floating) {
        let literals = has(DataType::is_decimal).then(|| decimal_literals(&expressions, types)).flatten();
        return match literals {
            Some((expressions, types)) if how == Meeting::Compared => wide(expressions, &types),
            Some((expressions, types)) if are_narrow(digits_together(&types)) => expressions,
            _ => doubles(expressions, types),
        };
    }
    match how {
        Meeting::Compared if has(DataType::is_decimal) => wide(expressions, types),
        _ => expressions,
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Casts dates, strings and timestamps to timestamps of the finest unit among them. If that is nanoseconds, and one of
/// them may be outside their range, they are compared as integers.
fn times(expressions: Vec<Expr>, types: &[DataType], how: Meeting) -> Vec<Expr> {
    let units = types.iter().filter_map(|of| match of {
        DataType::Timestamp(unit, _) => Some(*unit),
        of if is_text(of) => Some(TimeUnit::Microsecond),
        _ => None,
    });
    let unit = units.max().unwrap_or(TimeUnit::Microsecond);
    let zone = types.iter().find_map(|of| match of {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    });
    let to = DataType::Timestamp(unit, zone);
    let may_be_far = |(expression, of): (&Expr, &DataType)| {
        let coarser = matches!(of, DataType::Timestamp(of, _) if *of != unit) || matches!(of, DataType::Date32);
        coarser && constant(expression).is_none_or(|value| value.cast_to(&to).is_err())
    };
    let exactly =
        how == Meeting::Compared && unit == TimeUnit::Nanosecond && expressions.iter().zip(types).any(may_be_far);
    let convert = |(expression, of): (Expr, &DataType)| match of {
        DataType::Date32 if exactly => number(cast(expression, DataType::Int32), 10, DAY),
        DataType::Timestamp(of, _) if exactly => number(cast(expression, DataType::Int64), 19, nanoseconds(*of)),
        of if is_text(of) && exactly => number(cast(cast(expression, to.clone()), DataType::Int64), 19, 1),
        of if is_text(of) || matches!(of, DataType::Date32 | DataType::Date64) => cast(expression, to.clone()),
        _ => expression,
    };
    expressions.into_iter().zip(types).map(convert).collect()
}

/// A decimal integer of `digits` digits, multiplied by the nanoseconds of its unit.
fn number(expression: Expr, digits: u8, factor: i128) -> Expr {
    let number = cast(expression, DataType::Decimal128(digits, 0));
    match factor {
        1 => number,
        _ => number * lit(ScalarValue::Decimal128(Some(factor), 18, 0)),
    }
}

/// Casts floats, decimals and integers to doubles, if `REAL` would be too narrow or a decimal is among them.
fn doubles(expressions: Vec<Expr>, types: &[DataType]) -> Vec<Expr> {
    let is_wide = |(expression, of): (&Expr, &DataType)| {
        let is_long = matches!(of, DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64);
        of.is_decimal() || (is_long && !is_short(expression))
    };
    if !expressions.iter().zip(types).any(is_wide) {
        return expressions;
    }
    let convert = |(expression, of): (Expr, &DataType)| match of.is_numeric() && *of != DataType::Float64 {
        true => cast(expression, DataType::Float64),
        false => expression,
    };
    expressions.into_iter().zip(types).map(convert).collect()
}

/// Whether an integer is a literal that `REAL` holds exactly.
fn is_short(expression: &Expr) -> bool {
    let Expr::Literal(value, _) = expression else { return false };
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(value))) => value.unsigned_abs() <= 1 << f32::MANTISSA_DIGITS,
        _ => false,
    }
}

/// The same with float literals as decimals of the same digits; none if there are other floats, or one has too many
/// digits.
fn decimal_literals(expressions: &[Expr], types: &[DataType]) -> Option<(Vec<Expr>, Vec<DataType>)> {
    let mut all = (expressions.to_vec(), types.to_vec());
    for (place, _) in types.iter().enumerate().filter(|(_, of)| of.is_floating()) {
        let Expr::Literal(ScalarValue::Float64(Some(value)), _) = &expressions[place] else { return None };
        let digits = value.to_string();
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let scale = i8::try_from(fraction.len()).ok()?;
        let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
        let width = u8::try_from(unscaled.unsigned_abs().to_string().len()).ok()?.max(scale.unsigned_abs());
        if width > DECIMAL128_MAX_PRECISION {
            return None;
        }
        all.0[place] = lit(ScalarValue::Decimal128(Some(unscaled), width, scale));
        all.1[place] = DataType::Decimal128(width, scale);
    }
    Some(all)
}

/// The most digits before and after the decimal point of decimals and integers.
fn digits_together(types: &[DataType]) -> (i16, i16) {
    let parts = types.iter().filter_map(|of| match of {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => Some((i16::from(*digits) - i16::from(*scale), i16::from(*scale))),
        of if of.is_integer() => Some((20, 0)),
        _ => None,
    });
    parts.fold((0, 0), |(a, b), (whole, fraction)| (a.max(whole), b.max(fraction)))
}

/// Whether a 128-bit decimal can have this many digits before and after the decimal point.
fn are_narrow((whole, fraction): (i16, i16)) -> bool {
    whole + fraction <= i16::from(DECIMAL128_MAX_PRECISION)
}

/// Casts decimals and integers to 256-bit decimals, if 128-bit ones do not hold all of them.
fn wide(expressions: Vec<Expr>, types: &[DataType]) -> Vec<Expr> {
    let digits = digits_together(types);
    if are_narrow(digits) {
        return expressions;
    }
    let scale = i8::try_from(digits.1).unwrap_or(0);
    let to = DataType::Decimal256(DECIMAL256_MAX_PRECISION, scale);
    let convert = |(expression, of): (Expr, &DataType)| match of.is_numeric() {
        true => cast(expression, to.clone()),
        false => expression,
    };
    expressions.into_iter().zip(types).map(convert).collect()
}
