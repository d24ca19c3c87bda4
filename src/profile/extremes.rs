//! Smallest and largest value of a column of numbers, dates or times, which are cheap to compare.
//!
//! Not for: strings, which may be personal data.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray, downcast_primitive_array};
use arrow::compute::kernels::{aggregate, cmp};
use arrow::datatypes::{ArrowNumericType, DataType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The smallest and the largest value so far, each as an array of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Extremes {
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
}

impl Extremes {
    /// Adds the values of a column.
    pub(super) fn take(&mut self, array: &ArrayRef) {
        if !ordered(array.data_type()) {
            return;
        }
        for (best, descending) in [(&mut self.min, false), (&mut self.max, true)] {
            let Some(extreme) = extreme(array, descending) else { continue };
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

/// The smallest or largest value of an array, as an array of one; none if all are null.
fn extreme(array: &ArrayRef, largest: bool) -> Option<ArrayRef> {
    downcast_primitive_array!(
        array => extreme_of(array, largest),
        _ => None
    )
}

fn extreme_of<T: ArrowNumericType>(array: &PrimitiveArray<T>, largest: bool) -> Option<ArrayRef> {
    let found = if largest { aggregate::max(array) } else { aggregate::min(array) }?;
    let one = PrimitiveArray::<T>::from_iter_values([found]).with_data_type(array.data_type().clone());
    Some(Arc::new(one))
}

fn shown(value: &ArrayRef) -> Option<serde_json::Value> {
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(value, &options).ok()?.value(0).try_to_string().ok()?;
    let number = value.data_type().is_numeric().then(|| text.parse().ok().map(serde_json::Value::Number)).flatten();
    number.or(Some(serde_json::Value::String(text)))
}
