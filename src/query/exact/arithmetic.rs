//! `+`, `-`, `*`, `/`, `%`, `<<`, `>>` and unary minus on integers and decimals: exact, or an error that names the
//! expression; never wrapped.
//!
//! DataFusion's integer operators wrap on overflow, its shifts take the count modulo 64, and its error for division by
//! zero does not name the expression. If both sides are integers, they are replaced by functions of this file, unless
//! the ranges of types and constants prove that nothing can fail, as in `age / 10 * 10`.
//!
//! Decimals of 38 digits are held to 38 digits too, at the end of a chain of operators; their quotients are rounded
//! (see `quotients`). A time plus or minus an interval is in the range of its type. A chain, `a + b - c`, is one
//! function: nested functions make DataFusion's time to plan grow with the cube of their number, as each name contains
//! all names below it.
//!
//! Not for: floats, which have infinity.

use arrow::array::{Array, AsArray, Datum};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::operation::Operation;

/// The rule of this file.
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

/// The type of an expression, using the recorded result type of this file's functions: DataFusion would format their
/// whole argument trees to find it.
fn type_of(expression: &Expr, schema: &dyn ExprSchema) -> Result<DataType> {
    let checked = |of: &Expr| match of {
        Expr::ScalarFunction(of) => of.func.inner().downcast_ref::<Checked>().map(|of| of.result.clone()),
        _ => None,
    };
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match checked(left) {
            Some(of_left) => {
                let left = Box::new(lit(ScalarValue::try_from(&of_left)?));
                Expr::BinaryExpr(BinaryExpr { left, op: *op, right: right.clone() }).get_type(schema)
            }
            None => expression.get_type(schema),
        },
        other => checked(other).map_or_else(|| other.get_type(schema), Ok),
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
    let data_type = type_of(&expression, schema)?;
    if operation.divides() && (data_type.is_integer() || data_type.is_decimal()) {
        let rounds = operation == Operation::Divide && data_type.is_decimal();
        if range(&right, schema).is_some_and(|(least, most)| least > 0 || most < -1)
            && !rounds
            && !matches!(data_type, DataType::Decimal128(DECIMAL128_MAX_PRECISION, _))
        {
            return Ok(Transformed::no(expression));
        }
        return Ok(Transformed::yes(Checked::call(operation, &expression, left, right, data_type)));
    }
    let is_decimal = matches!(data_type, DataType::Decimal128(DECIMAL128_MAX_PRECISION, _));
    if is_decimal || moves_a_time(&left, &right, &data_type, schema) {
        return Ok(Transformed::yes(Checked::call(operation, &expression, left, right, data_type)));
    }
    let in_range = || !operation.shifts() && range(&expression, schema).is_some_and(|range| fits(range, &data_type));
    if !data_type.is_integer() || in_range() {
        return Ok(Transformed::no(expression));
    }
    let to_result = |side: Expr| match type_of(&side, schema)? == data_type {
        true => Ok::<_, datafusion::common::DataFusionError>(side),
        false => Ok(cast(side, data_type.clone())),
    };
    let (left, right) = (to_result(left)?, to_result(right)?);
    Ok(Transformed::yes(Checked::call(operation, &expression, left, right, data_type)))
}

/// Whether an interval is added to a time, or subtracted from it.
fn moves_a_time(left: &Expr, right: &Expr, result: &DataType, schema: &dyn ExprSchema) -> bool {
    let is_interval = |of: &Expr| matches!(type_of(of, schema), Ok(DataType::Interval(_)));
    matches!(result, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
        && (is_interval(left) || is_interval(right))
}

/// The smallest and the largest value that an integer expression can have; none if unknown.
fn range(expression: &Expr, schema: &dyn ExprSchema) -> Option<(i128, i128)> {
    let of_type = || bounds(&type_of(expression, schema).ok()?);
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

/// Operations on integers of one type, from left to right, or one division of decimals.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    /// What is done with the result so far and the next argument, and where the text of this ends.
    steps: Vec<(Operation, usize)>,
    /// As the query has it, for messages.
    text: String,
    result: DataType,
    signature: Signature,
}

/// The SQL of an expression that this file replaced.
pub(super) fn text(function: &dyn ScalarUDFImpl) -> Option<&str> {
    function.downcast_ref::<Checked>().map(|of| of.text.as_str())
}

impl Checked {
    /// The operation on `left` and `right`; one function with those that `left` is made of.
    fn call(operation: Operation, expression: &Expr, left: Expr, right: Expr, result: DataType) -> Expr {
        let text = super::as_written(expression);
        let (mut steps, mut args) = match left {
            Expr::ScalarFunction(of) => match of.func.inner().downcast_ref::<Self>() {
                Some(before) if before.continues(operation, &result) && text.starts_with(&before.text) => {
                    (before.steps.clone(), of.args)
                }
                _ => (Vec::new(), vec![Expr::ScalarFunction(of)]),
            },
            left => (Vec::new(), vec![left]),
        };
        steps.push((operation, text.len()));
        args.push(right);
        let signature = Signature::any(args.len(), Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { steps, text, result, signature }).call(args)
    }

    /// Whether an operation after this one, with this result, can be part of the same function: types in between
    /// follow from those of the arguments, except for quotients of decimals.
    fn continues(&self, operation: Operation, result: &DataType) -> bool {
        let divides = operation.divides() || self.steps.iter().any(|(operation, _)| operation.divides());
        match (&self.result, result) {
            (DataType::Decimal128(..), DataType::Decimal128(..)) => !divides,
            (before, after) => before == after && after.is_integer(),
        }
    }

    /// What the first argument and those after it come to.
    fn apply(&self, first: &ColumnarValue, others: &[ColumnarValue]) -> Result<ColumnarValue> {
        let mut left = first.clone();
        for ((operation, end), right) in self.steps.iter().zip(others) {
            let scalar = matches!((&left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
            let done =
                operation.apply(datum(&left)?.as_ref(), datum(right)?.as_ref(), &self.result).map_err(|error| {
                    let text = self.text.get(..*end).unwrap_or(&self.text);
                    exec_datafusion_err!("{text} {}: {error}", operation.advice(&self.result))
                })?;
            left = match scalar {
                true => ColumnarValue::Scalar(ScalarValue::try_from_array(&done, 0)?),
                false => ColumnarValue::Array(done),
            };
        }
        if self.result.is_decimal() {
            self.check_digits(&left)?;
        }
        Ok(left)
    }

    /// Decimals of 38 digits fit into 128 bits, which hold larger numbers too.
    fn check_digits(&self, value: &ColumnarValue) -> Result<()> {
        let DataType::Decimal128(digits, _) = self.result else { return Ok(()) };
        let array = value.to_array(1)?;
        let Some(values) = array.as_primitive_opt::<Decimal128Type>() else { return Ok(()) };
        values
            .validate_decimal_precision(digits)
            .map_err(|error| exec_datafusion_err!("{} has more than {digits} digits: {error}", self.text))
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(array.slice(0, array.len())),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.steps.as_slice() {
            [(Operation::Plus, _)] => "checked_add",
            [(Operation::Minus, _)] => "checked_subtract",
            [(Operation::Times, _)] => "checked_multiply",
            [(Operation::Divide, _)] => "checked_divide",
            [(Operation::Modulo, _)] => "checked_remainder",
            [(Operation::ShiftLeft, _)] => "checked_shift_left",
            [(Operation::ShiftRight, _)] => "checked_shift_right",
            _ => "checked_chain",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        // Chains of other operations are not one for having the same arguments.
        let operators: String = self.steps.iter().map(|(operation, _)| operation.operator().to_string()).collect();
        let args: Vec<String> = args.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(format!("{}{operators}({})", self.name(), args.join(",")))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [first, others @ ..] if others.len() == self.steps.len() => self.apply(first, others),
            _ => Err(internal_datafusion_err!("{} takes another number of arguments", self.text)),
        }
    }
}
