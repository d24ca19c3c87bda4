//! Cuts a batch into slices of about equal size in bytes, so that what is made of one slice stays small however long
//! its values are.
//!
//! Rows that share one long string (dictionaries, views) hold it once, but every encoded entry gets a copy. So rows are
//! weighed with a copy of their values each.
//!
//! Not for: the number of rows that a batch has to begin with (see `session`).

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of a slice, unless it is a single row.
const PIECE_BYTES: usize = 8 << 20;

/// Slices of a batch, in row order.
pub fn pieces(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> + Send {
    // A stack of what is left, the next rows on top.
    let mut left = vec![batch];
    std::iter::from_fn(move || {
        let mut next = left.pop()?;
        while next.num_rows() > 1 && weight(&next) > PIECE_BYTES {
            let half = next.num_rows() / 2;
            left.push(next.slice(half, next.num_rows() - half));
            next = next.slice(0, half);
        }
        Some(next)
    })
}

/// Bytes of a batch's rows if each had its own copy of its values.
pub(super) fn weight(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(of_column).fold(0, usize::saturating_add)
}

/// Bytes of the largest value of a column.
pub(super) fn widest(array: &ArrayRef) -> usize {
    let longest = |offsets: &[i32]| offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0) as usize;
    match array.data_type() {
        DataType::Utf8 => longest(array.as_string::<i32>().value_offsets()),
        DataType::Binary => longest(array.as_binary::<i32>().value_offsets()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(widest).sum(),
        other => match other.primitive_width() {
            Some(width) => width,
            // All other nested types.
            None => (0..array.len()).map(|row| of_column(&array.slice(row, 1))).max().unwrap_or(0),
        },
    }
}

fn of_column(array: &ArrayRef) -> usize {
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
            of_column(&list.values().slice(offsets[0] as usize, span(offsets)))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            of_column(&list.values().slice(offsets[0] as usize, large_span(offsets)))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            let (from, length) = (offsets[0] as usize, span(offsets));
            [map.keys(), map.values()].into_iter().map(|part| of_column(&part.slice(from, length))).sum()
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(of_column).sum(),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            // By the mean of the values; slices whose keys point to longer values are cut further once they are
            // expanded.
            dictionary.len() * (of_column(dictionary.values()) / dictionary.values().len().max(1))
        }
        other => array.len() * other.primitive_width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use std::sync::Arc;

    #[test]
    fn rows_that_share_a_long_text_are_cut_into_pieces() {
        let text = "x".repeat(1 << 20);
        let mut builder = arrow::array::StringViewBuilder::new();
        let block = builder.append_block(text.into_bytes().into());
        (0..100).for_each(|_| builder.try_append_view(block, 0, 1 << 20).unwrap());
        let shared: StringViewArray = builder.finish();
        let batch = RecordBatch::try_from_iter([("text", Arc::new(shared) as ArrayRef)]).unwrap();
        let seen: Vec<usize> = pieces(batch.clone()).map(|piece| piece.num_rows()).collect();
        assert_eq!(seen.iter().sum::<usize>(), 100);
        assert!(seen.iter().all(|rows| *rows <= 8), "{seen:?}");
        assert_eq!(pieces(batch.slice(0, 8)).count(), 1);
        assert_eq!(pieces(batch.slice(0, 0)).count(), 1);
    }
}
