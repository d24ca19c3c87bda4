//! Casts a column to a type that a value encoding can write: dictionaries and runs become their values, at any depth,
//! and types that the encoding does not have become the nearest one that it has.
//!
//! ```text
//! list<dictionary<int8, string>>  ─▶  list<string>        struct<"a b": int16>  ─▶  struct<a_b: int32>   (for Avro)
//! ```
//!
//! Runs once per batch, and not at all for a column that already has the type. Field names in structs are taken from
//! the target, by position. Nothing overflows silently: a value that its new type cannot hold is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

/// The type without dictionaries, run-end encoding and list layouts other than `List` and `LargeList`; `leaf` maps the
/// types that are not nested. Every field except map keys and entries may be null.
pub(super) fn plain(data_type: &DataType, leaf: &impl Fn(&DataType) -> DataType) -> DataType {
    let child = |field: &FieldRef| Arc::new(Field::new(field.name(), plain(field.data_type(), leaf), true));
    match data_type {
        DataType::Dictionary(_, values) => plain(values, leaf),
        DataType::RunEndEncoded(_, values) => plain(values.data_type(), leaf),
        DataType::List(item) | DataType::ListView(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(child(item))
        }
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(child(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        DataType::Map(entries, sorted) => {
            let entries = match entries.data_type() {
                // The entries themselves and their keys are never null.
                DataType::Struct(pair) if pair.len() == 2 => {
                    let key = Field::new(pair[0].name(), plain(pair[0].data_type(), leaf), false);
                    let pair = Fields::from(vec![Arc::new(key), child(&pair[1])]);
                    Arc::new(Field::new(entries.name(), DataType::Struct(pair), false))
                }
                _ => entries.clone(),
            };
            DataType::Map(entries, *sorted)
        }
        other => leaf(other),
    }
}

/// The column cast to `to`, a type from [`plain`] or from a record's fields.
pub(super) fn conform(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match (array.data_type(), to) {
        (DataType::Dictionary(_, values), _) => conform(&cast(array, values)?, to),
        (DataType::RunEndEncoded(_, values), _) => conform(&cast(array, values.data_type())?, to),
        (DataType::ListView(item) | DataType::FixedSizeList(item, _), DataType::List(_)) => {
            conform(&cast(array, &DataType::List(item.clone()))?, to)
        }
        (DataType::LargeListView(item), DataType::LargeList(_)) => {
            conform(&cast(array, &DataType::LargeList(item.clone()))?, to)
        }
        (DataType::List(_), DataType::List(item)) => list::<i32>(array, item),
        (DataType::LargeList(_), DataType::LargeList(item)) => list::<i64>(array, item),
        (DataType::Struct(from), DataType::Struct(fields)) if from.len() == fields.len() => {
            Ok(Arc::new(structure(array.as_struct(), fields)?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => match entries.data_type() {
            DataType::Struct(pair) => {
                let map = array.as_map();
                let inner = structure(map.entries(), pair)?;
                let nulls = map.nulls().cloned();
                Ok(Arc::new(MapArray::try_new(entries.clone(), map.offsets().clone(), inner, nulls, *sorted)?))
            }
            _ => cast(array, to),
        },
        _ => cast(array, to),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let values = conform(list.values(), item.data_type())?;
    let nulls = list.nulls().cloned();
    Ok(Arc::new(GenericListArray::<O>::try_new(item.clone(), list.offsets().clone(), values, nulls)?))
}

fn structure(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns: Vec<_> = array
        .columns()
        .iter()
        .zip(fields)
        .map(|(column, field)| conform(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())
}

/// The values of lists or maps: a slice of them keeps those of the other rows, too.
pub(super) fn in_use<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &OffsetBuffer<O>) -> ArrayRef {
    let (start, end) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    values.slice(start, end - start)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array, ListArray, RunArray, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Int8Type, Int32Type};

    use super::*;

    #[test]
    fn dictionaries_and_runs_are_read_by_value_at_any_depth() {
        let words: DictionaryArray<Int8Type> = vec![Some("b"), None, Some("a"), Some("b")].into_iter().collect();
        let item = Arc::new(Field::new("item", words.data_type().clone(), true));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([1, 3]), Arc::new(words), None);
        let fields = Fields::from(vec![Field::new("words", lists.data_type().clone(), true)]);
        let nested: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::new(lists)], None));
        let to = plain(nested.data_type(), &DataType::clone);
        let plain_array = conform(&nested, &to).unwrap();
        let lists = plain_array.as_struct().column(0).as_list::<i32>();
        assert_eq!(lists.value(1).as_string::<i32>(), &StringArray::from(vec![None, Some("a"), Some("b")]));

        let runs =
            RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec![Some("x"), None]));
        let runs: ArrayRef = Arc::new(runs.unwrap());
        let flat = conform(&runs, &plain(runs.data_type(), &DataType::clone)).unwrap();
        assert_eq!(flat.as_string::<i32>(), &StringArray::from(vec![Some("x"), Some("x"), None]));
    }

    #[test]
    fn a_value_the_new_type_cannot_hold_is_an_error() {
        let wide: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX]));
        assert!(conform(&wide, &DataType::Int64).is_err());
    }
}
