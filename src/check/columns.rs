//! Counts nulls and follows the smallest and largest value of every column of the query's result.
//!
//! One counter per thread, merged at the end. Smallest and largest are kept for numbers, dates and times, whose
//! comparison costs next to nothing.
//!
//! Not for: judging what it counts (see `rules`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray, RecordBatch, downcast_primitive_array};
use arrow::compute::kernels::{aggregate, cmp};
use arrow::datatypes::{ArrowNumericType, DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::catalog::ColumnStats;

/// Column statistics of the rows seen so far.
#[derive(Debug)]
pub struct ColumnCounter {
    schema: SchemaRef,
    columns: Vec<Counted>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    nulls: u64,
    /// One-element arrays.
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
}

impl ColumnCounter {
    /// A counter for results of this schema.
    pub fn new(schema: SchemaRef) -> Self {
        let columns = vec![Counted::default(); schema.fields().len()];
        Self { schema, columns }
    }

    /// Takes the rows of a batch.
    pub fn take(&mut self, batch: &RecordBatch) {
        for (counted, array) in self.columns.iter_mut().zip(batch.columns()) {
            counted.nulls += array.logical_null_count() as u64;
            if ordered(array.data_type()) {
                counted.extend(array);
            }
        }
    }

    /// Takes what another counter has counted.
    pub fn merge(&mut self, other: &Self) {
        for (counted, more) in self.columns.iter_mut().zip(&other.columns) {
            counted.nulls += more.nulls;
            for array in more.min.iter().chain(&more.max) {
                counted.extend(array);
            }
        }
    }

    /// What the manifest says of the columns.
    pub fn stats(&self) -> Vec<ColumnStats> {
        let fields = self.schema.fields().iter().zip(&self.columns);
        fields
            .map(|(field, counted)| ColumnStats {
                name: field.name().clone(),
                nulls: counted.nulls,
                min: counted.min.as_ref().and_then(shown),
                max: counted.max.as_ref().and_then(shown),
            })
            .collect()
    }
}

impl Counted {
    fn extend(&mut self, array: &ArrayRef) {
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
}

fn ordered(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_temporal()
}

/// The smallest or largest value of an array, alone in an array; nothing where all are null.
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
