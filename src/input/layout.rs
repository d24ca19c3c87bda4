//! The canonical layout of each type: how columns of Parquet files are read, whatever in-memory layout their writer
//! had.
//!
//! Arrow has many layouts for the same values: dictionaries with indexes of any width, views, large offsets, fixed-size
//! lists. Writers store theirs in the file's Arrow schema, and a reader that follows it returns columns that cannot be
//! merged: a dictionary whose index is too narrow for all files, large strings next to strings. That schema is still
//! needed for what Parquet's own cannot express, such as durations.
//!
//! Not for: types with other values; `widen` knows which of two types holds the values of both.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit};

/// The canonical type of the same values.
pub(super) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(plain_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *precision <= DECIMAL128_MAX_PRECISION => {
            DataType::Decimal128(*precision, *scale)
        }
        // An instant, whatever zone its writer noted: its days and hours are UTC's.
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        other => other.clone(),
    }
}

/// The field with strings and binary values as views, which do not copy values: as Parquet is read.
pub(super) fn views(field: &FieldRef) -> FieldRef {
    map_leaves(field, &mut |leaf| match leaf {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    })
}

/// The field in the canonical layout. A field of type null is always nullable.
pub(super) fn plain_field(field: &FieldRef) -> FieldRef {
    match field.data_type() {
        DataType::Null => Arc::new(field.as_ref().clone().with_nullable(true)),
        data_type => with_type(field, plain(data_type)),
    }
}

/// The field in the canonical layout, without its own metadata and that of its children.
pub(super) fn bare_field(field: &FieldRef) -> FieldRef {
    let data_type = match plain(field.data_type()) {
        DataType::List(item) => DataType::List(bare_field(&item)),
        DataType::Map(entries, sorted) => DataType::Map(bare_field(&entries), sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(bare_field).collect()),
        other => other,
    };
    let nullable = field.is_nullable() || data_type == DataType::Null;
    Arc::new(Field::new(field.name(), data_type, nullable))
}

/// The type to read by, from the writer's Arrow schema (`noted`) and from Parquet's schema alone (`said`); both in the
/// canonical layout.
///
/// An Arrow schema that declares binary values to be strings is not trusted, as the reader would not check their UTF-8.
/// Nor is another unit for nanoseconds, as the reader would take the number to be in that unit.
pub(super) fn settle(noted: &DataType, said: &DataType) -> DataType {
    match (noted, said) {
        (DataType::Utf8, DataType::Binary) => DataType::Binary,
        (DataType::Timestamp(_, zone), DataType::Timestamp(TimeUnit::Nanosecond, said)) => {
            DataType::Timestamp(TimeUnit::Nanosecond, zone.clone().or_else(|| said.clone()))
        }
        (DataType::List(noted), DataType::List(said)) => DataType::List(settle_field(noted, said)),
        (DataType::Map(noted, sorted), DataType::Map(said, _)) => DataType::Map(settle_field(noted, said), *sorted),
        (DataType::Struct(noted), DataType::Struct(said)) if noted.len() == said.len() => {
            DataType::Struct(settle_fields(noted, said))
        }
        _ => noted.clone(),
    }
}

/// [`settle`] for all fields.
pub(super) fn settle_fields(noted: &Fields, said: &Fields) -> Fields {
    noted.iter().zip(said).map(|(noted, said)| settle_field(noted, said)).collect()
}

fn settle_field(noted: &FieldRef, said: &FieldRef) -> FieldRef {
    with_type(noted, settle(noted.data_type(), said.data_type()))
}

/// The field with every non-nested type replaced, in the order of Parquet's columns.
pub(super) fn map_leaves(field: &FieldRef, leaf: &mut dyn FnMut(&DataType) -> DataType) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::List(item) => DataType::List(map_leaves(item, leaf)),
        DataType::Map(entries, sorted) => DataType::Map(map_leaves(entries, leaf), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| map_leaves(field, leaf)).collect()),
        other => leaf(other),
    };
    with_type(field, data_type)
}

/// The field with another type.
pub(super) fn with_type(field: &FieldRef, data_type: DataType) -> FieldRef {
    if *field.data_type() == data_type {
        return Arc::clone(field);
    }
    // Not `with_data_type`: the flags of a dictionary must not remain.
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(data_type: DataType) -> FieldRef {
        Arc::new(Field::new("x", data_type, true))
    }

    #[test]
    fn layouts_of_the_same_values_are_one() {
        let narrow = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
        let list = DataType::List(field(DataType::Utf8));
        for (given, expected) in [
            (narrow.clone(), DataType::Utf8),
            (DataType::LargeList(field(narrow.clone())), list.clone()),
            (DataType::FixedSizeList(field(DataType::Utf8View), 3), list.clone()),
            (DataType::Struct(vec![field(narrow)].into()), DataType::Struct(vec![field(DataType::Utf8)].into())),
            (DataType::Decimal32(5, 2), DataType::Decimal128(5, 2)),
            (DataType::Decimal256(38, 2), DataType::Decimal128(38, 2)),
            (DataType::Decimal256(39, 2), DataType::Decimal256(39, 2)),
            (
                DataType::Timestamp(TimeUnit::Second, Some("America/New_York".into())),
                DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
            ),
            (DataType::Int8, DataType::Int8),
        ] {
            assert_eq!(plain(&given), expected, "{given}");
        }
    }

    #[test]
    fn the_arrow_note_adds_only_what_parquet_cannot_express() {
        use DataType::{Binary, Int64, Timestamp, Utf8};
        let nanos = Timestamp(TimeUnit::Nanosecond, None);
        let seconds = Timestamp(TimeUnit::Second, None);
        assert_eq!(settle(&seconds, &Int64), seconds);
        assert_eq!(settle(&seconds, &nanos), nanos);
        assert_eq!(settle(&Utf8, &Binary), Binary);
        let list = |of: &DataType| DataType::List(field(of.clone()));
        assert_eq!(settle(&list(&Utf8), &list(&Binary)), list(&Binary));
    }
}
