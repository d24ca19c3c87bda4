//! Statistics of Parquet column chunks: which can be trusted, and what they say about a whole file.
//!
//! Not for: how the query uses them; it sees those that `footer_repair` keeps.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use arrow::datatypes::{DataType, Schema};
use parquet::basic::{ColumnOrder, SortOrder, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

/// The smallest and the largest value of a column; an empty range if it has none.
pub(super) type Bounds = RangeInclusive<i128>;

/// No values.
const NONE: Bounds = RangeInclusive::new(1, 0);

/// Whether the statistics of a column chunk are in a form that the format defines unambiguously.
pub(super) fn are_trusted(column: &ColumnChunkMetaData, order: ColumnOrder) -> bool {
    let Some(statistics) = column.statistics() else { return false };
    let counted = statistics.null_count_opt().and_then(|nulls| i64::try_from(nulls).ok());
    let Some(nulls) = counted.filter(|nulls| *nulls <= column.num_values()) else { return false };
    let bounded = statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some();
    matches!(column.column_type(), Type::INT32 | Type::INT64)
        && matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(SortOrder::SIGNED | SortOrder::UNSIGNED))
        && column.column_descr().max_rep_level() == 0
        && !statistics.is_min_max_deprecated()
        && (bounded || nulls == column.num_values())
}

/// Nulls per top-level column, for columns whose every row group counts them.
pub(super) fn nulls(groups: &[RowGroupMetaData]) -> BTreeMap<String, u64> {
    let mut nulls: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for column in groups.iter().flat_map(|group| group.columns()) {
        let [name] = column.column_path().parts() else { continue };
        let counted = column.statistics().and_then(|statistics| statistics.null_count_opt());
        let sum = nulls.entry(name.clone()).or_insert(Some(0));
        *sum = sum.zip(counted).map(|(sum, more)| sum.saturating_add(more));
    }
    nulls.into_iter().filter_map(|(name, count)| Some((name, count?))).collect()
}

/// Bounds of the top-level columns of 64-bit integers and timestamps, if every row group has them.
pub(super) fn bounds(metadata: &ParquetMetaData, schema: &Schema) -> BTreeMap<String, Bounds> {
    let file = metadata.file_metadata();
    let order =
        |at: usize| file.column_orders().and_then(|orders| orders.get(at)).copied().unwrap_or(ColumnOrder::UNDEFINED);
    let types: HashMap<&str, &DataType> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    let columns = file.schema_descr().columns().iter().enumerate().filter_map(|(at, column)| {
        let [name] = column.path().parts() else { return None };
        let unsigned = match types.get(name.as_str())? {
            DataType::Int64 | DataType::Timestamp(..) => false,
            DataType::UInt64 => true,
            _ => return None,
        };
        let groups = metadata.row_groups().iter().map(|group| of_chunk(group.column(at), order(at), unsigned));
        let all = groups.reduce(|one, other| Some(both(one?, other?)));
        Some((name.clone(), all.unwrap_or(Some(NONE))?))
    });
    columns.collect()
}

fn of_chunk(column: &ColumnChunkMetaData, order: ColumnOrder, unsigned: bool) -> Option<Bounds> {
    if column.num_values() == 0 {
        return Some(NONE);
    }
    let Some(Statistics::Int64(bounds)) = column.statistics().filter(|_| are_trusted(column, order)) else {
        return None;
    };
    let value = |bound: &i64| if unsigned { i128::from(*bound as u64) } else { i128::from(*bound) };
    Some(match (bounds.min_opt(), bounds.max_opt()) {
        (Some(least), Some(greatest)) => value(least)..=value(greatest),
        _ => NONE,
    })
}

fn both(one: Bounds, other: Bounds) -> Bounds {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => *one.start().min(other.start())..=*one.end().max(other.end()),
    }
}
