//! `+`, `-`, `*`, `/`, `%`, `<<`, `>>` and unary minus on integers: exact, or an error that names the expression; never
//! wrapped.
//!
//! DataFusion's integer operators wrap on overflow, its shifts take the count modulo 64, and its error for division by
//! zero does not name the expression. If both sides are integers, they are replaced by functions of this file, unless
//! the ranges of types and constants prove that nothing can fail, as in `age / 10 * 10`.
//!
//! Decimals already fail beyond 128 bits; those of 38 digits are also limited to 38 digits.
//!
//! Not for: floats, which have infinity.

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        super::everywhere(plan, replace)
    }
}

fn replace(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (operation, left, right) = match &expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match Operation::of(*op) {
            Some(operation) => (operation, left.as_ref().clone(), right.as_ref().clone()),
            None => return Ok(Transformed::no(expression)),
        },
        Expr::Negative(of) => {
            let data_type = of.get_type(schema)?;
            if !data_type.is_signed_integer() {
                return Ok(Transformed::no(expression));
            }
            (Operation::Minus, lit(ScalarValue::new_zero(&data_type)?), of.as_ref().clone())
        }
        _ => return Ok(Transformed::no(expression)),
    };
    let data_type = expression.get_type(schema)?;
    if operation.divides() && (data_type.is_integer() || data_type.is_decimal()) {
        if range(&right, schema).is_some_and(|(least, most)| least > 0 || most < -1)
            && !matches!(data_type, DataType::Decimal128(DECIMAL128_MAX_PRECISION, _))
        {
            return Ok(Transformed::no(expression));
        }
        let checked = Checked::new(operation, &expression, data_type);
        return Ok(Transformed::yes(ScalarUDF::new_from_impl(checked).call(vec![left, right])));
    }
    if let DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) = data_type {
        let checked =
            WithinDigits { text: super::as_written(&expression), signature: Signature::any(1, Volatility::Immutable) };
        return Ok(Transformed::yes(ScalarUDF::new_from_impl(checked).call(vec![expression])));
    }
    let in_range = || !operation.shifts() && range(&expression, schema).is_some_and(|range| fits(range, &data_type));
    if !data_type.is_integer() || in_range() {
        return Ok(Transformed::no(expression));
    }
    let to_result = |side: Expr| match side.get_type(schema)? == data_type {
        true => Ok::<_, datafusion::common::DataFusionError>(side),
        false => Ok(cast(side, data_type.clone())),
    };
    let (left, right) = (to_result(left)?, to_result(right)?);
    let checked = Checked::new(operation, &expression, data_type);
    Ok(Transformed::yes(ScalarUDF::new_from_impl(checked).call(vec![left, right])))
}

/// The smallest and the largest value that an integer expression can have; none if unknown.
fn range(expression: &Expr, schema: &dyn ExprSchema) -> Option<(i128, i128)> {
    let of_type = || bounds(&expression.get_type(schema).ok()?);
    match expression {
        Expr::Literal(value, _) => {
            let value = value.cast_to(&DataType::Decimal128(38, 0)).ok()?;
            let ScalarValue::Decimal128(value, _, _) = value else { return None };
            Some((value?, value?))
        }
        Expr::Alias(alias) => range(&alias.expr, schema),
        Expr::Negative(of) => range(of, schema).map(|(least, most)| (-most, -least)),
        Expr::Cast(cast) => {
            // A value that does not fit the new type fails the cast.
            let (inner, to) = (range(&cast.expr, schema), of_type()?);
            Some(inner.map_or(to, |(least, most)| (least.max(to.0), most.min(to.1))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let ((a, b), (c, d)) = (range(left, schema)?, range(right, schema)?);
            let corners = |of: fn(i128, i128) -> Option<i128>| {
                let all = [of(a, c)?, of(a, d)?, of(b, c)?, of(b, d)?];
                Some((all.into_iter().min()?, all.into_iter().max()?))
            };
            match op {
                Operator::Plus => corners(i128::checked_add),
                Operator::Minus => corners(i128::checked_sub),
                Operator::Multiply => corners(i128::checked_mul),
                Operator::Divide if c > 0 => corners(i128::checked_div),
                Operator::Modulo if c > 0 => Some(((1 - d).max(a.min(0)), (d - 1).min(b.max(0)))),
                _ => of_type(),
            }
        }
        _ => of_type(),
    }
}

/// The smallest and the largest value of an integer type.
fn bounds(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn fits((least, most): (i128, i128), data_type: &DataType) -> bool {
    bounds(data_type).is_some_and(|(lowest, highest)| lowest <= least && most <= highest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    ShiftLeft,
    ShiftRight,
}

impl Operation {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Times),
            Operator::Divide => Some(Self::Divide),
            Operator::Modulo => Some(Self::Modulo),
            Operator::BitwiseShiftLeft => Some(Self::ShiftLeft),
            Operator::BitwiseShiftRight => Some(Self::ShiftRight),
            _ => None,
        }
    }

    fn divides(self) -> bool {
        matches!(self, Self::Divide | Self::Modulo)
    }

    fn shifts(self) -> bool {
        matches!(self, Self::ShiftLeft | Self::ShiftRight)
    }

    /// Describes the failure and how to avoid it.
    fn advice(self, of: &DataType) -> String {
        match self {
            Self::Plus | Self::Minus | Self::Times | Self::ShiftLeft => {
                format!("overflows {of}; cast one side to a wider type, such as DECIMAL(38, 0)")
            }
            Self::Divide | Self::Modulo => "fails; use nullif(…, 0) as the divisor to get null for zero".to_owned(),
            Self::ShiftRight => format!("shifts by more bits than {of} has"),
        }
    }
}

/// An operation on two integers of one type, or a division of decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    /// The SQL of the expression, for messages.
    text: String,
    result: DataType,
    signature: Signature,
}

/// The SQL of an expression that this file replaced.
pub(super) fn text(function: &dyn ScalarUDFImpl) -> Option<&str> {
    let checked = function.downcast_ref::<Checked>().map(|of| of.text.as_str());
    checked.or_else(|| function.downcast_ref::<WithinDigits>().map(|of| of.text.as_str()))
}

impl Checked {
    fn new(operation: Operation, expression: &Expr, result: DataType) -> Self {
        let signature = Signature::any(2, Volatility::Immutable);
        Self { operation, text: super::as_written(expression), result, signature }
    }

    fn apply(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self.operation {
            Operation::Plus => numeric::add(left, right),
            Operation::Minus => numeric::sub(left, right),
            Operation::Times => numeric::mul(left, right),
            Operation::Divide => numeric::div(left, right),
            Operation::Modulo => numeric::rem(left, right),
            Operation::ShiftLeft | Operation::ShiftRight => shifted(self.operation, left, right),
        }
    }
}

/// A number shifted by some bits: an error if a left shift loses bits, or if the count is not less than the number's
/// bits.
fn shifted(operation: Operation, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let wide = |side: &dyn Datum| -> std::result::Result<(Decimal128Array, bool), ArrowError> {
        let (array, scalar) = side.get();
        let wide = cast_with_options(array, &DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0), &exact)?;
        Ok((wide.as_primitive::<Decimal128Type>().clone(), scalar))
    };
    let bits = i128::try_from(8 * left.get().0.data_type().primitive_width().unwrap_or(0)).unwrap_or(0);
    let ((values, one_value), (counts, one_count)) = (wide(left)?, wide(right)?);
    let rows = if one_value { counts.len() } else { values.len() };
    let of_row = |row: usize| {
        let (value, count) = (if one_value { 0 } else { row }, if one_count { 0 } else { row });
        if values.is_null(value) || counts.is_null(count) {
            return Ok(None);
        }
        let (value, count) = (values.value(value), counts.value(count));
        match operation {
            _ if count < 0 || count >= bits => Err(ArrowError::ComputeError(format!("{value} by {count} bits"))),
            Operation::ShiftLeft => Ok(Some(value << count)),
            _ => Ok(Some(value >> count)),
        }
    };
    let wide = (0..rows).map(of_row).collect::<std::result::Result<Decimal128Array, ArrowError>>()?;
    let wide = wide.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?;
    cast_with_options(&wide, left.get().0.data_type(), &exact)
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Plus => "checked_add",
            Operation::Minus => "checked_subtract",
            Operation::Times => "checked_multiply",
            Operation::Divide => "checked_divide",
            Operation::Modulo => "checked_remainder",
            Operation::ShiftLeft => "checked_shift_left",
            Operation::ShiftRight => "checked_shift_right",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(internal_datafusion_err!("{} takes two arguments", self.name()));
        };
        let scalar = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let datum = |value: &ColumnarValue| -> Result<Box<dyn Datum>> {
            Ok(match value {
                ColumnarValue::Array(array) => Box::new(array.slice(0, array.len())),
                ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
            })
        };
        let (left, right) = (datum(left)?, datum(right)?);
        let result = self
            .apply(left.as_ref(), right.as_ref())
            .map_err(|error| exec_datafusion_err!("{} {}: {error}", self.text, self.operation.advice(&self.result)))?;
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

/// A decimal of type precision 38, checked to have at most 38 digits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WithinDigits {
    /// The SQL of the expression, for messages.
    text: String,
    signature: Signature,
}

impl ScalarUDFImpl for WithinDigits {
    fn name(&self) -> &'static str {
        "within_digits"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| internal_datafusion_err!("{} takes a decimal", self.name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(internal_datafusion_err!("{} takes a decimal", self.name()));
        };
        let array = match value {
            ColumnarValue::Array(array) => array.slice(0, array.len()),
            ColumnarValue::Scalar(scalar) => scalar.to_array()?,
        };
        let valid = array.as_primitive::<Decimal128Type>().validate_decimal_precision(DECIMAL128_MAX_PRECISION);
        valid.map_err(|error| exec_datafusion_err!("{} has more than 38 digits: {error}", self.text))?;
        Ok(value.clone())
    }
}
