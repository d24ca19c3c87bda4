//! Sums and averages of floats over moving window frames: computed anew for each row.
//!
//! DataFusion subtracts values that leave a frame from its running sum, which is inexact for floats: the 1 that was
//! lost when added to 1e16 does not come back, and NaN never leaves.
//!
//! Not for: frames that only grow, which subtract nothing.

use std::collections::VecDeque;
use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};

use super::averages::type_of_average;

/// The aggregate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Sum,
    Average,
}

/// The values in a frame, in order, without nulls.
#[derive(Debug)]
pub(super) struct Frame {
    of: Of,
    values: VecDeque<f64>,
}

impl Frame {
    pub(super) fn new(of: Of) -> Self {
        Self { of, values: VecDeque::new() }
    }
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for array in values {
            self.values.extend(array.as_primitive::<Float64Type>().iter().flatten());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving: usize = values.iter().map(|array| array.len() - array.null_count()).sum();
        self.values.drain(..leaving.min(self.values.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum: f64 = self.values.iter().sum();
        let value = match self.of {
            Of::Sum => sum,
            Of::Average => sum / self.values.len() as f64,
        };
        Ok(ScalarValue::Float64((!self.values.is_empty()).then_some(value)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("a frame is not merged")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("a frame is not merged")
    }
}

/// DataFusion's average, except over moving frames of floats and for results that are divided at the end (see
/// `averages`).
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
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

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

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Float64 if !args.is_distinct => Ok(Box::new(Frame::new(Of::Average))),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }
}
