//! A sketch in a form that another machine can read: what it has gathered, without the schema and the seed, which both
//! sides know.
//!
//! Merging a sketch that was carried over gives the same as merging it where it was made. Numbers are carried as their
//! bits, as JSON has no NaN.
//!
//! Not for: a version's profile, which is the outcome of a sketch (`table`).

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};

use super::distinct::{Distinct, KEPT};
use super::extremes::Extremes;
use super::sample::Cell;
use super::table::{Seed, TableSketch};

/// What a table's sketch has gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortableSketch {
    level: usize,
    rows: u64,
    columns: Vec<PortableColumn>,
    sample: Vec<PortableRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PortableColumn {
    nulls: u64,
    min: Option<Vec<u8>>,
    max: Option<Vec<u8>>,
    distinct: Vec<Vec<(u64, u64)>>,
}

/// A sampled row: its place, how often it came, and the number and the pattern of each cell.
type PortableRow = ((u64, u64), u64, Vec<(u64, Option<String>)>);

impl TableSketch {
    /// What it has gathered.
    pub fn into_portable(mut self) -> PortableSketch {
        let columns = self.columns.iter_mut().map(|column| PortableColumn {
            nulls: column.nulls,
            min: column.extremes.min.as_ref().map(bytes_of),
            max: column.extremes.max.as_ref().map(bytes_of),
            distinct: std::mem::take(&mut column.distinct).into_iter().map(Distinct::hashes).collect(),
        });
        let columns = columns.collect();
        let row = |(place, (times, cells)): (_, (u64, Box<[Cell]>))| {
            let cell = |cell: &Cell| (cell.number.to_bits(), cell.pattern.as_deref().map(str::to_owned));
            (place, times, cells.iter().map(cell).collect())
        };
        PortableSketch {
            level: self.level,
            rows: self.rows,
            columns,
            sample: self.sample.rows.into_iter().map(row).collect(),
        }
    }

    /// The sketch of these columns that another machine carried over; none if it is of other columns.
    pub fn from_portable(schema: SchemaRef, seed: Seed, portable: PortableSketch) -> Option<Self> {
        let mut sketch = Self::new(schema, seed);
        let fits = portable.columns.len() == sketch.columns.len()
            && portable
                .columns
                .iter()
                .zip(&sketch.columns)
                .all(|(one, other)| one.distinct.len() == other.distinct.len())
            && portable.level < super::table::LEVELS;
        if !fits {
            return None;
        }
        (sketch.level, sketch.rows) = (portable.level, portable.rows);
        let schema = sketch.schema.clone();
        for ((column, carried), field) in sketch.columns.iter_mut().zip(portable.columns).zip(schema.fields()) {
            column.nulls = carried.nulls;
            let value = |bytes: Option<Vec<u8>>| bytes.map(|bytes| array_of(field.data_type(), bytes));
            column.extremes = Extremes { min: value(carried.min).flatten(), max: value(carried.max).flatten() };
            column.distinct = carried.distinct.into_iter().map(Distinct::from_hashes).collect();
        }
        for (place, times, cells) in portable.sample {
            let cell = |(number, pattern): (u64, Option<String>)| Cell {
                number: f64::from_bits(number),
                pattern: pattern.map(String::into_boxed_str),
            };
            sketch.sample.count(place, times, || cells.into_iter().map(cell).collect());
        }
        Some(sketch)
    }
}

impl Distinct {
    fn from_hashes(hashes: Vec<(u64, u64)>) -> Self {
        let limit = hashes.get(KEPT - 1).map_or(u64::MAX, |(last, _)| *last);
        let mut distinct = Self::default();
        (distinct.kept, distinct.limit) = (hashes, limit);
        distinct
    }
}

/// The bytes of the value in an array of one number.
fn bytes_of(array: &ArrayRef) -> Vec<u8> {
    let data = array.to_data();
    let width = array.data_type().primitive_width().unwrap_or_default();
    let from = data.offset() * width;
    data.buffers().first().and_then(|buffer| buffer.as_slice().get(from..from + width)).unwrap_or_default().to_vec()
}

/// An array of one number.
fn array_of(data_type: &DataType, bytes: Vec<u8>) -> Option<ArrayRef> {
    if data_type.primitive_width() != Some(bytes.len()) {
        return None;
    }
    let data = ArrayData::builder(data_type.clone()).len(1).add_buffer(Buffer::from_vec(bytes)).align_buffers(true);
    data.build().ok().map(make_array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn batch(from: i64, to: i64) -> RecordBatch {
        let numbers = || from..to;
        let schema = Schema::new(vec![
            Field::new("i", DataType::Int64, true),
            Field::new("f", DataType::Float64, true),
            Field::new("s", DataType::Utf8, true),
            Field::new("d", DataType::Date32, true),
            Field::new("n", DataType::Decimal128(20, 2), true),
        ]);
        let decimals: Decimal128Array = numbers().map(|number| Some(i128::from(number) * 7)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(numbers().map(|number| (number % 7 != 0).then_some(number)).collect::<Int64Array>()),
            Arc::new(
                numbers().map(|number| (number % 3 != 0).then_some(number as f64 / 3.0)).collect::<Float64Array>(),
            ),
            Arc::new(numbers().map(|number| Some(format!("item-{}", number % 1000))).collect::<StringArray>()),
            Arc::new(numbers().map(|number| Some((number % 400) as i32)).collect::<Date32Array>()),
            Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn deserialized_sketches_merge_like_the_originals() {
        let seed = Seed::new("t");
        let sketch = |from, to| {
            let batch = batch(from, to);
            let mut sketch = TableSketch::new(batch.schema(), seed);
            sketch.take(&batch);
            sketch
        };
        for parts in [vec![0, 5, 9], vec![0, 20_000, 50_000, 120_000], vec![0, 0, 1]] {
            let whole = sketch(0, *parts.last().unwrap()).profile();
            let mut merged = TableSketch::new(batch(0, 0).schema(), seed);
            for part in parts.windows(2) {
                let text = serde_json::to_string(&sketch(part[0], part[1]).into_portable()).unwrap();
                let carried = serde_json::from_str(&text).unwrap();
                merged.merge(TableSketch::from_portable(batch(0, 0).schema(), seed, carried).unwrap());
            }
            assert_eq!(merged.profile(), whole);
        }
    }

    #[test]
    fn a_sketch_of_other_columns_is_refused() {
        let seed = Seed::new("t");
        let carried = TableSketch::new(batch(0, 0).schema(), seed).into_portable();
        let other = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, true)]));
        assert!(TableSketch::from_portable(other, seed, carried).is_none());
    }
}
