//! Cuts a batch into pieces of about equal weight, so that what is encoded at once stays small however long its values.
//!
//! A batch may hold far less than its rows come to: rows that share one long text hold it once, but every entry gets a
//! copy. Weighed is what the rows come to.
//!
//! Not for: the entries themselves.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of a piece, unless it is a single row.
const PIECE_BYTES: usize = 8 << 20;

/// Calls `each` with the rows of a batch, a piece at a time, in order.
///
/// # Errors
/// The first of `each`.
pub fn pieces<E>(batch: &RecordBatch, each: &mut impl FnMut(&RecordBatch) -> Result<(), E>) -> Result<(), E> {
    let rows = batch.num_rows();
    if rows <= 1 || batch.columns().iter().map(weight).sum::<usize>() <= PIECE_BYTES {
        return each(batch);
    }
    pieces(&batch.slice(0, rows / 2), each)?;
    pieces(&batch.slice(rows / 2, rows - rows / 2), each)
}

/// Bytes that the rows of a column come to, each with a copy of its value.
fn weight(array: &ArrayRef) -> usize {
    let span = |offsets: &[i32]| (offsets[offsets.len() - 1] - offsets[0]) as usize;
    let large_span = |offsets: &[i64]| (offsets[offsets.len() - 1] - offsets[0]) as usize;
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().total_bytes_len(),
        DataType::BinaryView => array.as_binary_view().total_bytes_len(),
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()),
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()),
        DataType::LargeUtf8 => large_span(array.as_string::<i64>().value_offsets()),
        DataType::LargeBinary => large_span(array.as_binary::<i64>().value_offsets()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            weight(&list.values().slice(offsets[0] as usize, span(offsets)))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            weight(&list.values().slice(offsets[0] as usize, large_span(offsets)))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            let (from, length) = (offsets[0] as usize, span(offsets));
            [map.keys(), map.values()].into_iter().map(|part| weight(&part.slice(from, length))).sum()
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(weight).sum(),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            // By the mean of the values; keys that point to the longest ones are cut further when they are unpacked.
            dictionary.len() * (weight(dictionary.values()) / dictionary.values().len().max(1))
        }
        other => array.len() * other.primitive_width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use std::convert::Infallible;
    use std::sync::Arc;

    #[test]
    fn rows_that_share_a_long_text_are_cut_into_pieces() {
        let text = "x".repeat(1 << 20);
        let mut builder = arrow::array::StringViewBuilder::new();
        let block = builder.append_block(text.into_bytes().into());
        (0..100).for_each(|_| builder.try_append_view(block, 0, 1 << 20).unwrap());
        let shared: StringViewArray = builder.finish();
        let batch = RecordBatch::try_from_iter([("text", Arc::new(shared) as ArrayRef)]).unwrap();
        let mut seen = Vec::new();
        let done: Result<(), Infallible> = pieces(&batch, &mut |piece| {
            seen.push(piece.num_rows());
            Ok(())
        });
        done.unwrap();
        assert_eq!(seen.iter().sum::<usize>(), 100);
        assert!(seen.iter().all(|rows| *rows <= 8), "{seen:?}");
        let small = batch.slice(0, 8);
        let mut calls = 0;
        let done: Result<(), Infallible> = pieces(&small, &mut |_| {
            calls += 1;
            Ok(())
        });
        done.unwrap();
        assert_eq!(calls, 1);
    }
}
