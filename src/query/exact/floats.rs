//! One zero and one NaN: no float of a query is −0.0, and every NaN has the same bits.
//!
//! In SQL 0.0 equals −0.0, and NaN equals NaN (PostgreSQL, DuckDB; also this tool's key encoding), but DataFusion
//! compares, groups, joins and partitions floats by their bits. So floats are normalized where they enter a query, from
//! a file ([`normal`]) or from an expression ([`OneZero`]); every comparison is then right without further care.
//!
//! Not for: intermediate results of arithmetic, where −0.0 has a meaning (1 / −0.0) until the value is used.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_array};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility, Window,
};
use datafusion::optimizer::AnalyzerRule;

/// The analyzer rule of this file.
#[derive(Debug)]
pub(super) struct OneZero;

impl AnalyzerRule for OneZero {
    fn name(&self) -> &'static str {
        "one_zero"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let normalized =
            plan.transform_up_with_subqueries(|plan| super::expressions_of(plan, replace)?.transform_data(results))?;
        Ok(normalized.data)
    }
}

/// Normalizes an expression that may yield −0.0 or another NaN.
fn replace(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let makes = match &expression {
        Expr::Negative(_) | Expr::BinaryExpr(BinaryExpr { .. }) => true,
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => !expr.get_type(schema)?.is_integer(),
        Expr::ScalarFunction(of) => of.func.inner().downcast_ref::<Normalize>().is_none(),
        Expr::Literal(..) => true,
        _ => false,
    };
    if !makes || !has_floats(&expression.get_type(schema)?) {
        return Ok(Transformed::no(expression));
    }
    match expression {
        Expr::Literal(value, metadata) => {
            let normal = ScalarValue::try_from_array(&normal(&value.to_array()?)?, 0)?;
            Ok(Transformed::no(Expr::Literal(normal, metadata)))
        }
        // Operands of arithmetic were wrapped already; only the outermost result is.
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let whole = BinaryExpr::new(Box::new(unwrapped(*left)), op, Box::new(unwrapped(*right)));
            Ok(Transformed::yes(function().call(vec![Expr::BinaryExpr(whole)])))
        }
        other => Ok(Transformed::yes(function().call(vec![other]))),
    }
}

fn unwrapped(expression: Expr) -> Expr {
    match expression {
        Expr::ScalarFunction(mut of) if of.func.inner().downcast_ref::<Normalize>().is_some() => {
            of.args.pop().unwrap_or(Expr::Literal(ScalarValue::Null, None))
        }
        other => other,
    }
}

/// Normalizes the floats that aggregates and windows yield, such as an average of infinities, and computes `min` and
/// `max` of floats over integers of the same order: DataFusion ignores NaN when it compares two floats for them.
fn results(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (plan, made) = match plan {
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => {
            let aggr_expr = aggr_expr.into_iter().map(|of| by_order(of, input.schema())).collect::<Result<_>>()?;
            let aggregate = Aggregate::try_new(input, group_expr, aggr_expr)?;
            let made = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            (LogicalPlan::Aggregate(aggregate), made)
        }
        LogicalPlan::Window(Window { input, window_expr, .. }) => {
            let window_expr = window_expr.into_iter().map(|of| by_order(of, input.schema())).collect::<Result<_>>()?;
            let made = input.schema().fields().len();
            (LogicalPlan::Window(Window::try_new(window_expr, input)?), made)
        }
        plan => return Ok(Transformed::no(plan)),
    };
    let expressions = match &plan {
        LogicalPlan::Aggregate(aggregate) => &aggregate.aggr_expr,
        LogicalPlan::Window(window) => &window.window_expr,
        _ => return Ok(Transformed::no(plan)),
    };
    let back: Vec<Option<ScalarUDF>> = expressions.iter().map(ordered_from).collect();
    let fields = plan.schema().fields();
    if !fields.iter().skip(made).any(|field| has_floats(field.data_type())) && back.iter().all(Option::is_none) {
        return Ok(Transformed::no(plan));
    }
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(place, (relation, field))| {
            let column = Expr::Column(datafusion::common::Column::new(relation.cloned(), field.name()));
            let change = match place.checked_sub(made).and_then(|number| back.get(number)) {
                Some(Some(back)) => back.clone(),
                Some(None) if has_floats(field.data_type()) => function(),
                _ => return column,
            };
            change.call(vec![column]).alias_qualified(relation.cloned(), field.name())
        })
        .collect();
    Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(columns)?.build()?))
}

/// `min` or `max` of floats over the integers of their order, under the same name.
fn by_order(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    let (relation, name) = expression.qualified_name();
    let ordered = |args: &mut Vec<Expr>, function: &str| -> Result<bool> {
        let [argument] = args.as_mut_slice() else { return Ok(false) };
        let to = match (function, argument.get_type(schema)?) {
            ("min" | "max", of @ (DataType::Float64 | DataType::Float32)) => Order::new(of == DataType::Float64, false),
            _ => return Ok(false),
        };
        *argument = ScalarUDF::new_from_impl(to).call(vec![argument.clone()]);
        Ok(true)
    };
    let mut inner = expression.clone().unalias();
    let changed = match &mut inner {
        Expr::AggregateFunction(of) => {
            let name = of.func.name().to_owned();
            ordered(&mut of.params.args, &name)?
        }
        Expr::WindowFunction(of) => {
            let name = of.fun.name().to_owned();
            ordered(&mut of.params.args, &name)?
        }
        _ => false,
    };
    Ok(if changed { inner.alias_qualified(relation, name) } else { expression })
}

/// The function that turns the result of [`by_order`] back into floats.
fn ordered_from(expression: &Expr) -> Option<ScalarUDF> {
    let args = match expression.clone().unalias() {
        Expr::AggregateFunction(of) => of.params.args,
        Expr::WindowFunction(of) => of.params.args,
        _ => return None,
    };
    let [Expr::ScalarFunction(argument)] = args.as_slice() else { return None };
    let order = argument.func.inner().downcast_ref::<Order>()?;
    Some(ScalarUDF::new_from_impl(Order::new(order.double, true)))
}

/// Maps floats to integers of the same order, in which NaN is the greatest, and back.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    double: bool,
    back: bool,
    signature: Signature,
}

impl Order {
    fn new(double: bool, back: bool) -> Self {
        Self { double, back, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &'static str {
        if self.back { "from_order" } else { "to_order" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match (self.double, self.back) {
            (true, true) => DataType::Float64,
            (true, false) => DataType::Int64,
            (false, true) => DataType::Float32,
            (false, false) => DataType::Int32,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        super::of_arrays(&args.args, |arrays| match arrays {
            [array] => Ok(self.changed(array)),
            _ => Err(internal_datafusion_err!("{} takes a value", self.name())),
        })
    }
}

impl Order {
    fn changed(&self, array: &ArrayRef) -> ArrayRef {
        // All bits but the sign are inverted for negative numbers; applied twice, that is the identity.
        let (long, int) = (|bits: i64| bits ^ (bits >> 63 & i64::MAX), |bits: i32| bits ^ (bits >> 31 & i32::MAX));
        match (self.double, self.back) {
            (true, false) => {
                let floats = array.as_primitive::<Float64Type>();
                Arc::new(floats.unary::<_, Int64Type>(|value| long(value.to_bits() as i64)))
            }
            (true, true) => {
                let integers = array.as_primitive::<Int64Type>();
                Arc::new(integers.unary::<_, Float64Type>(|value| f64::from_bits(long(value) as u64)))
            }
            (false, false) => {
                let floats = array.as_primitive::<Float32Type>();
                Arc::new(floats.unary::<_, Int32Type>(|value| int(value.to_bits() as i32)))
            }
            (false, true) => {
                let integers = array.as_primitive::<Int32Type>();
                Arc::new(integers.unary::<_, Float32Type>(|value| f32::from_bits(int(value) as u32)))
            }
        }
    }
}

fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Normalize { signature: Signature::any(1, Volatility::Immutable) })
}

/// The function that normalizes floats, at any depth of lists, structs and maps.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Normalize {
    signature: Signature,
}

impl ScalarUDFImpl for Normalize {
    fn name(&self) -> &'static str {
        "one_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| internal_datafusion_err!("{} takes a value", self.name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        super::of_arrays(&args.args, |arrays| match arrays {
            [array] => normal(array),
            _ => Err(internal_datafusion_err!("{} takes a value", self.name())),
        })
    }
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) | DataType::Map(of, _) => {
            has_floats(of.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// The same values with one zero and one NaN.
pub(in crate::query) fn normal(array: &ArrayRef) -> Result<ArrayRef> {
    let data_type = array.data_type();
    if !has_floats(data_type) {
        return Ok(Arc::clone(array));
    }
    Ok(match data_type {
        DataType::Float16 => floats::<Float16Type>(array, Half::NAN),
        DataType::Float32 => floats::<Float32Type>(array, f32::NAN),
        DataType::Float64 => floats::<Float64Type>(array, f64::NAN),
        _ => children(array)?,
    })
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn floats<T: ArrowPrimitiveType>(array: &ArrayRef, nan: T::Native) -> ArrayRef
where
    T::Native: PartialOrd,
{
    let zero = T::default_value();
    let normal: PrimitiveArray<T> = array.as_primitive::<T>().unary(|value| match value.partial_cmp(&zero) {
        Some(Ordering::Equal) => zero,
        None => nan,
        _ => value,
    });
    Arc::new(normal)
}

/// The same list, struct or map with normalized values.
fn children(array: &ArrayRef) -> Result<ArrayRef> {
    let data = array.to_data();
    let children = data.child_data().iter().map(|child| Ok(normal(&make_array(child.clone()))?.to_data()));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(make_array(data.into_builder().child_data(children).build()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, ListArray};
    use arrow::datatypes::Float64Type;

    #[test]
    fn floats_are_normal_at_any_depth() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1);
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(-0.0), None, Some(other_nan)]),
            None,
            Some(vec![Some(1.5)]),
        ]);
        let lists: ArrayRef = Arc::new(lists.slice(0, 2));
        let normal = normal(&lists).unwrap();
        assert_eq!((normal.len(), normal.null_count()), (2, 1));
        let first = normal.as_list::<i32>().value(0);
        let values: &Float64Array = first.as_primitive();
        assert_eq!(values.value(0).to_bits(), 0);
        assert!(values.is_null(1));
        assert_eq!(values.value(2).to_bits(), f64::NAN.to_bits());
    }
}
