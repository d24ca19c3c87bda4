//! `+`, `-`, `*` and a minus sign before integers: exact, or an error that names the expression; never wrapped round.
//!
//! DataFusion's operators on integers wrap. Where both sides are integers they are replaced by functions of this file,
//! unless the ranges of the types and constants say that nothing can overflow, as in `age / 10 * 10`.
//!
//! Decimals fail beyond 128 bits themselves; those of 38 digits are held to 38 digits too.
//!
//! Not for: division, which fails where it cannot be exact.

use arrow::array::{Array, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ExprSchema, Result, ScalarValue, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

/// The rule of this file.
#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let checked = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let checked = expression.transform_up(|expression| replace(expression, &schema))?;
                Ok(checked.update_data(|expression| name.restore(expression)))
            })
        })?;
        Ok(checked.data)
    }
}

fn replace(expression: Expr, schema: &dyn ExprSchema) -> Result<Transformed<Expr>> {
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
    if let DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) = data_type {
        let checked =
            WithinDigits { text: expression.to_string(), signature: Signature::any(1, Volatility::Immutable) };
        return Ok(Transformed::yes(ScalarUDF::new_from_impl(checked).call(vec![expression])));
    }
    if !data_type.is_integer() || range(&expression, schema).is_some_and(|range| fits(range, &data_type)) {
        return Ok(Transformed::no(expression));
    }
    let to_result = |side: Expr| match side.get_type(schema)? == data_type {
        true => Ok::<_, datafusion::common::DataFusionError>(side),
        false => Ok(cast(side, data_type.clone())),
    };
    let (left, right) = (to_result(left)?, to_result(right)?);
    let checked =
        Checked { operation, text: expression.to_string(), signature: Signature::any(2, Volatility::Immutable) };
    Ok(Transformed::yes(ScalarUDF::new_from_impl(checked).call(vec![left, right])))
}

/// The least and the greatest value that an expression of integers can have; none where that is not known.
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
            // What does not fit its new type fails.
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

/// The least and the greatest value of a type of integers.
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
}

impl Operation {
    fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Times),
            _ => None,
        }
    }
}

/// An operation on two integers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    /// As the query has it, for messages.
    text: String,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Plus => "checked_add",
            Operation::Minus => "checked_subtract",
            Operation::Times => "checked_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| internal_datafusion_err!("{} without arguments", self.name()))
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
        let result = match self.operation {
            Operation::Plus => numeric::add(left.as_ref(), right.as_ref()),
            Operation::Minus => numeric::sub(left.as_ref(), right.as_ref()),
            Operation::Times => numeric::mul(left.as_ref(), right.as_ref()),
        };
        let result = result.map_err(|error| {
            exec_datafusion_err!(
                "{} overflows {}: {error}; cast one side to a wider type, such as DECIMAL(38, 0)",
                self.text,
                args.return_field.data_type()
            )
        })?;
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

/// A decimal of 38 digits that has no more than 38 digits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WithinDigits {
    /// As the query has it, for messages.
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
