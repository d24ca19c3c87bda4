//! The accumulator of sums and averages of floats over moving window frames: recomputed for each row.
//!
//! DataFusion subtracts values that leave a frame from its running sum, which is inexact for floats: the 1 that was
//! lost when added to 1e16 does not come back, and NaN never leaves.
//!
//! Not for: frames that only grow, which subtract nothing.

use std::collections::VecDeque;
use std::mem::size_of_val;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::Accumulator;

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
