//! `sum` of integers, decimals and durations: exact, or an error that names the sum; never wrapped.
//!
//! ```text
//!  values ─▶ cast to a wider type ─▶ DataFusion's sum of that type ─▶ cast to the result's type, or an error
//! ```
//! No feasible number of rows makes the wider type overflow, so only the final sum is checked against the result's
//! type, and the order of the rows makes no difference.
//!
//! Sums of intervals are rejected.
//!
//! Not for: floats; DataFusion sums them, except over moving frames (see `float_frames`).

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF};

use super::float_frames::{Frame, Of};
use crate::query::delegated_aggregate::delegated;

/// The type in which integers and durations are summed: 128 bits.
const WIDE_INTEGER: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
/// Decimals of at most this many digits can be summed ten billion times in 128 bits.
pub(super) const SAFE_DIGITS: u8 = DECIMAL128_MAX_PRECISION - 10;
/// Digits of a 256-bit decimal.
const WIDEST: u8 = 76;

/// The aggregate function.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ExactSum(Sum);

/// The wider type in which to sum; none if DataFusion's own sum is exact, or is one of floats.
fn wider(result: &DataType, value: &DataType) -> Option<DataType> {
    match (result, value) {
        (DataType::Int64 | DataType::UInt64 | DataType::Duration(_), _) => Some(WIDE_INTEGER),
        (DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale), _) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        (DataType::Decimal128(_, scale), DataType::Decimal128(digits, _)) if *digits > SAFE_DIGITS => {
            Some(DataType::Decimal256(WIDEST, *scale))
        }
        _ => None,
    }
}

/// How the values of a sum are widened, and the sum is narrowed again.
#[derive(Clone, Debug)]
struct Width {
    name: String,
    wide: DataType,
    result: DataType,
}

impl Width {
    fn of(args: &AccumulatorArgs<'_>) -> Option<Self> {
        let result = args.return_field.data_type().clone();
        let wide = wider(&result, args.expr_fields.first()?.data_type())?;
        Some(Self { name: args.name.to_owned(), wide, result })
    }

    /// The arguments of the sum in the wider type.
    fn args<'a>(&self, args: &AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
        let field = Field::new(args.return_field.name(), self.wide.clone(), true);
        AccumulatorArgs {
            return_field: Arc::new(field),
            schema: args.schema,
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys,
            is_reversed: args.is_reversed,
            name: args.name,
            is_distinct: args.is_distinct,
            exprs: args.exprs,
            expr_fields: args.expr_fields,
        }
    }

    fn widen(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let with_type = |wide: PrimitiveArray<Decimal128Type>| Arc::new(wide.with_data_type(self.wide.clone())) as _;
        Ok(match values.data_type() {
            DataType::Int64 => with_type(values.as_primitive::<Int64Type>().unary(i128::from)),
            DataType::UInt64 => with_type(values.as_primitive::<UInt64Type>().unary(i128::from)),
            DataType::Duration(_) => self.widen(&cast(values, &DataType::Int64)?)?,
            _ => cast(values, &self.wide)?,
        })
    }

    fn narrow(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let narrow = match &self.result {
            DataType::Duration(_) => cast_with_options(sums, &DataType::Int64, &exact)
                .and_then(|integers| cast_with_options(&integers, &self.result, &exact)),
            result => cast_with_options(sums, result, &exact),
        };
        narrow.map_err(|error| {
            exec_datafusion_err!(
                "{} overflows {}: {error}; sum a wider type, such as DECIMAL(38, 0)",
                self.name,
                self.result
            )
        })
    }
}

impl AggregateUDFImpl for ExactSum {
    delegated!(0: name, signature, groups_accumulator_supported, set_monotonicity);

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        if let [DataType::Interval(_)] = arg_types {
            return plan_err!("sum of intervals is not supported, as its parts may overflow; sum numbers instead");
        }
        self.0.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match Width::of(&args) {
            Some(width) => Ok(Box::new(Exact { inner: self.0.accumulator(width.args(&args))?, width })),
            None => self.0.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args.input_fields.first().map_or(&DataType::Null, |field| field.data_type());
        let Some(wide) = wider(args.return_field.data_type(), value) else { return self.0.state_fields(args) };
        let return_field = Arc::new(Field::new(args.return_field.name(), wide, true));
        self.0.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match Width::of(&args) {
            Some(width) => {
                Ok(Box::new(ExactGroups { inner: self.0.create_groups_accumulator(width.args(&args))?, width }))
            }
            None => self.0.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match Width::of(&args) {
            Some(width) => Ok(Box::new(Exact { inner: self.0.create_sliding_accumulator(width.args(&args))?, width })),
            None if *args.return_field.data_type() == DataType::Float64 && !args.is_distinct => {
                Ok(Box::new(Frame::new(Of::Sum)))
            }
            None => self.0.create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Accumulator of one sum.
#[derive(Debug)]
struct Exact {
    inner: Box<dyn Accumulator>,
    width: Width,
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let wide = values.iter().map(|values| self.width.widen(values)).collect::<Result<Vec<_>>>()?;
        self.inner.update_batch(&wide)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.width.narrow(&sum)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let wide = values.iter().map(|values| self.width.widen(values)).collect::<Result<Vec<_>>>()?;
        self.inner.retract_batch(&wide)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// Accumulator of many groups' sums.
struct ExactGroups {
    inner: Box<dyn GroupsAccumulator>,
    width: Width,
}

impl ExactGroups {
    fn widen(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|values| self.width.widen(values)).collect()
    }
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let wide = self.widen(values)?;
        self.inner.update_batch(&wide, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit_to)?;
        self.width.narrow(&sums)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let wide = self.widen(values)?;
        self.inner.convert_to_state(&wide, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
