//! Smallest and largest value of a column of numbers, dates or times, which are cheap to compare.
//!
//! Not for: strings, which may be personal data.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, PrimitiveArray, downcast_primitive_array};
use arrow::compute::kernels::{aggregate, cmp};
use arrow::datatypes::{ArrowNumericType, DataType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Values that are compared at a time.
const LANES: usize = 4;

/// The smallest and largest value so far, alone in an array each.
#[derive(Clone, Debug, Default)]
pub(super) struct Extremes {
    pub(super) min: Option<ArrayRef>,
    pub(super) max: Option<ArrayRef>,
}

impl Extremes {
    /// Adds the values of a column.
    pub(super) fn take(&mut self, array: &ArrayRef) {
        if !ordered(array.data_type()) {
            return;
        }
        let Some((smallest, largest)) = extremes(array) else { return };
        for (best, extreme, descending) in [(&mut self.min, smallest, false), (&mut self.max, largest, true)] {
            let better = best.as_ref().is_none_or(|held| {
                let ahead = if descending { cmp::gt(&extreme, held) } else { cmp::lt(&extreme, held) };
                ahead.is_ok_and(|ahead| ahead.value(0))
            });
            if better {
                *best = Some(extreme);
            }
        }
    }

    /// Adds the contents of another.
    pub(super) fn merge(&mut self, other: &Self) {
        other.min.iter().chain(&other.max).for_each(|array| self.take(array));
    }

    /// Both as JSON: numbers as numbers, others as strings.
    pub(super) fn shown(&self) -> (Option<serde_json::Value>, Option<serde_json::Value>) {
        (self.min.as_ref().and_then(shown), self.max.as_ref().and_then(shown))
    }
}

fn ordered(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_temporal()
}

/// The smallest and the largest value of an array, alone in an array each; nothing where all are null.
fn extremes(array: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    downcast_primitive_array!(
        array => extremes_of(array),
        _ => None
    )
}

fn extremes_of<T: ArrowNumericType>(array: &PrimitiveArray<T>) -> Option<(ArrayRef, ArrayRef)> {
    let (smallest, largest) = match array.null_count() {
        0 => of_all(array.values())?,
        _ => (aggregate::min(array)?, aggregate::max(array)?),
    };
    let one = |value| -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter_values([value]).with_data_type(array.data_type().clone()))
    };
    Some((one(smallest), one(largest)))
}

/// The smallest and the largest of values in one pass, in lanes that do not wait for each other.
fn of_all<N: ArrowNativeTypeOp>(values: &[N]) -> Option<(N, N)> {
    let first = *values.first()?;
    let wider = |(smallest, largest): (N, N), value: N| {
        let smallest = if value.is_lt(smallest) { value } else { smallest };
        (smallest, if value.is_gt(largest) { value } else { largest })
    };
    let mut lanes = [(first, first); LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane = wider(*lane, *value));
    }
    let ends = lanes.iter().flat_map(|(smallest, largest)| [*smallest, *largest]);
    Some(ends.chain(rest.iter().copied()).fold((first, first), wider))
}

fn shown(value: &ArrayRef) -> Option<serde_json::Value> {
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(value, &options).ok()?.value(0).try_to_string().ok()?;
    let number = value.data_type().is_numeric().then(|| text.parse().ok().map(serde_json::Value::Number)).flatten();
    number.or(Some(serde_json::Value::String(text)))
}
