//! Averages of integers, decimals and durations: an exact sum, divided once at the end, for decimals rounded half away
//! from zero.
//!
//! ```text
//!  avg(x)  ─▶  quotient(sum(x in a wider type), count(x))
//! ```
//! DataFusion sums integers as doubles, so that an average depends on the order of the rows, and durations in 64 bits,
//! which wrap, and cuts off averages of decimals. Moving frames, `DISTINCT` and `FILTER` apply to the sum and the
//! count.
//!
//! Not for: floats, which DataFusion averages, except over moving frames (see `float_frames`); and decimals of more
//! than 38 digits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Int64Type, i256};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, internal_datafusion_err, internal_err, plan_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ExprSchemable, LogicalPlan,
    LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, Window,
    WindowFunctionDefinition, cast,
};
use datafusion::optimizer::AnalyzerRule;

use super::float_frames::{Frame, Of};
use super::quotients::Number;
use super::sum::{ExactSum, SAFE_DIGITS};
use crate::query::delegated_aggregate::delegated;

/// Maximum digits of a 64-bit integer.
const INTEGER_DIGITS: u8 = 20;
/// Digits that the average of decimals has in addition to theirs.
const MORE_DIGITS: u8 = 4;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct ExactAverages;

impl AnalyzerRule for ExactAverages {
    fn name(&self) -> &'static str {
        "exact_averages"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(divided)?.data)
    }
}

/// The result type of an average computed as sum and count; none if DataFusion's own average is right.
pub(super) fn type_of_average(of: &DataType) -> Option<DataType> {
    match of {
        of if of.is_integer() => Some(DataType::Float64),
        DataType::Duration(unit) => Some(DataType::Duration(*unit)),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => {
            let room = DECIMAL128_MAX_PRECISION.saturating_sub(*digits).min(MORE_DIGITS);
            Some(DataType::Decimal128(digits + room, scale.saturating_add(room.cast_signed())))
        }
        _ => None,
    }
}

/// DataFusion's average, except over moving frames of floats and for results that [`ExactAverages`] divides at the end.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Average {
    inner: Avg,
    signature: Signature,
}

impl Default for Average {
    fn default() -> Self {
        Self { inner: Avg::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Average {
    delegated!(
        inner: name, aliases, accumulator, state_fields, groups_accumulator_supported, create_groups_accumulator,
        reverse_expr, order_sensitivity
    );

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let [DataType::Interval(_)] = types {
            return plan_err!(
                "avg of intervals is not supported, as a month has no fixed length; average numbers instead"
            );
        }
        match types.first().and_then(type_of_average) {
            Some(exact) => Ok(exact),
            None => self.inner.return_type(types),
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [of] if of.is_integer() || of.is_decimal() => Ok(types.to_vec()),
            [DataType::Duration(_) | DataType::Interval(_)] => Ok(types.to_vec()),
            [of] if of.is_floating() || of.is_null() => Ok(vec![DataType::Float64]),
            _ => plan_err!("avg takes one number, not {types:?}"),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 if !args.is_distinct => Ok(Box::new(Frame::new(Of::Average))),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }
}

fn divided(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (made, expressions) = match &plan {
        LogicalPlan::Aggregate(of) => (of.schema.fields().len() - of.aggr_expr.len(), &of.aggr_expr),
        LogicalPlan::Window(of) => (of.input.schema().fields().len(), &of.window_expr),
        _ => return Ok(Transformed::no(plan)),
    };
    let Some(input) = plan.inputs().first().map(|input| Arc::clone(input.schema())) else {
        return Ok(Transformed::no(plan));
    };
    let mut results: Vec<Expr> = plan.schema().columns().into_iter().take(made).map(Expr::Column).collect();
    let mut inner = Vec::with_capacity(expressions.len());
    let mut changed = false;
    for expression in expressions {
        let (relation, name) = expression.qualified_name();
        let Some((sum, count, result)) = parts(expression, &input)? else {
            inner.push(expression.clone());
            results.push(Expr::Column(Column::new(relation, name)));
            continue;
        };
        let names = [format!("cutover: sum of {name}"), format!("cutover: count of {name}")];
        let quotient = Quotient { result, signature: Signature::any(2, Volatility::Immutable) };
        let columns = names.iter().map(|name| Expr::Column(Column::from_name(name))).collect();
        results.push(ScalarUDF::new_from_impl(quotient).call(columns).alias_qualified(relation, name));
        inner.extend([sum, count].into_iter().zip(names).map(|(part, name)| part.alias(name)));
        changed = true;
    }
    if !changed {
        return Ok(Transformed::no(plan));
    }
    let plan = match plan {
        LogicalPlan::Aggregate(of) => LogicalPlan::Aggregate(Aggregate::try_new(of.input, of.group_expr, inner)?),
        LogicalPlan::Window(of) => LogicalPlan::Window(Window::try_new(inner, of.input)?),
        plan => plan,
    };
    Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(results)?.build()?))
}

/// The sum and the count that an average is computed from, and its type.
fn parts(expression: &Expr, schema: &DFSchema) -> Result<Option<(Expr, Expr, DataType)>> {
    let expression = expression.clone().unalias();
    let (name, args) = match &expression {
        Expr::AggregateFunction(of) => (of.func.name(), &of.params.args),
        Expr::WindowFunction(of) => (of.fun.name(), &of.params.args),
        _ => return Ok(None),
    };
    let (true, [value]) = (name == "avg", args.as_slice()) else { return Ok(None) };
    let of = value.get_type(schema)?;
    let Some(result) = type_of_average(&of) else { return Ok(None) };
    let wide = match &of {
        DataType::Decimal128(digits, _) if *digits <= SAFE_DIGITS => value.clone(),
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            cast(value.clone(), DataType::Decimal128(*digits, *scale))
        }
        DataType::Decimal128(_, scale) => cast(value.clone(), DataType::Decimal256(DECIMAL128_MAX_PRECISION, *scale)),
        DataType::Duration(_) => cast(cast(value.clone(), DataType::Int64), DataType::Decimal128(INTEGER_DIGITS, 0)),
        _ => cast(value.clone(), DataType::Decimal128(INTEGER_DIGITS, 0)),
    };
    let value = value.clone();
    let with = |function: Arc<AggregateUDF>, argument: Expr| match expression.clone() {
        Expr::AggregateFunction(mut of) => {
            of.func = function;
            of.params.args = vec![argument];
            Expr::AggregateFunction(of)
        }
        Expr::WindowFunction(mut of) => {
            of.fun = WindowFunctionDefinition::AggregateUDF(function);
            of.params.args = vec![argument];
            Expr::WindowFunction(of)
        }
        other => other,
    };
    let sum = Arc::new(AggregateUDF::new_from_impl(ExactSum::default()));
    Ok(Some((with(sum, wide), with(count_udaf(), value), result)))
}

/// A sum divided by a count; null if the count is zero.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Quotient {
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Quotient {
    fn name(&self) -> &'static str {
        "quotient"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        super::of_arrays(&args.args, |arrays| match arrays {
            [sums, counts] => self.divide(sums, counts.as_primitive::<Int64Type>()),
            _ => Err(internal_datafusion_err!("{} takes a sum and a count", self.name())),
        })
    }
}

impl Quotient {
    fn divide(&self, sums: &ArrayRef, counts: &Int64Array) -> Result<ArrayRef> {
        let counted = |row: usize| sums.is_valid(row) && counts.is_valid(row) && counts.value(row) != 0;
        if let DataType::Decimal128(digits, scale) = self.result {
            let value = |row: usize| match sums.data_type() {
                DataType::Decimal256(..) => sums.as_primitive::<Decimal256Type>().value(row),
                _ => i256::from(sums.as_primitive::<Decimal128Type>().value(row)),
            };
            let (DataType::Decimal128(_, of_sums) | DataType::Decimal256(_, of_sums)) = sums.data_type() else {
                return internal_err!("{} takes a sum of decimals", self.name());
            };
            let factor = i256::from(10).wrapping_pow(u32::from((scale - of_sums).unsigned_abs()));
            let of_row = |row: usize| match counted(row) {
                true => value(row).wrapping_mul(factor).rounded(i256::from(counts.value(row)))?.to_i128(),
                false => None,
            };
            let quotients: Decimal128Array = (0..sums.len()).map(of_row).collect();
            return Ok(Arc::new(quotients.with_precision_and_scale(digits, scale)?));
        }
        let sums = sums.as_primitive::<Decimal128Type>();
        let quotient = |row: usize| {
            let count = i128::from(counts.value(row));
            (sums.value(row) / count, (sums.value(row) % count) as f64 / count as f64)
        };
        if self.result == DataType::Float64 {
            let of_row = |row: usize| counted(row).then(|| quotient(row)).map(|(whole, rest)| whole as f64 + rest);
            return Ok(Arc::new((0..sums.len()).map(of_row).collect::<Float64Array>()));
        }
        let of_row = |row: usize| counted(row).then(|| quotient(row).0 as i64);
        let whole: ArrayRef = Arc::new((0..sums.len()).map(of_row).collect::<Int64Array>());
        Ok(cast_array(&whole, &self.result)?)
    }
}
