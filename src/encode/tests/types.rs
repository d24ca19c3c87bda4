//! Every Arrow type, as a key column and in every value encoding, is encoded or refused by name when planned.
//!
//! The list names every variant of `DataType`; a type is accepted only if batches of it, empty and null, go through the
//! real encoder.

use std::sync::Arc;

use arrow::array::{new_empty_array, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit, UnionFields, UnionMode};

use super::{AVRO, batch, output};
use crate::encode::EncodePlan;
use crate::error::Kind;
use crate::format::Encoding;
use crate::job::{Output, ValueSpec};

const KEY: u8 = 1;
const JSON: u8 = 2;
const IN_AVRO: u8 = 4;
const RAW: u8 = 8;
const ALL: u8 = KEY | JSON | IN_AVRO | RAW;
const TYPED: u8 = KEY | JSON | IN_AVRO;
const VALUE: u8 = JSON | IN_AVRO;

fn field(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

fn map(key: DataType, value: DataType) -> DataType {
    let pair = Fields::from(vec![Field::new("keys", key, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new_struct("entries", pair, false)), false)
}

fn dictionary(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int16), Box::new(values))
}

fn runs(values: DataType) -> DataType {
    DataType::RunEndEncoded(
        Arc::new(Field::new("run_ends", DataType::Int32, false)),
        Arc::new(Field::new("values", values, true)),
    )
}

fn union(mode: UnionMode) -> DataType {
    DataType::Union([(0, field(DataType::Int32))].into_iter().collect::<UnionFields>(), mode)
}

/// Every variant of `DataType`, and where it is accepted.
fn types() -> Vec<(DataType, u8)> {
    use DataType::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let structure = |inner| Struct(vec![Field::new("a b", inner, true), Field::new("é", Utf8, true)].into());
    let mut types = vec![
        (Null, VALUE),
        (Binary, ALL),
        (LargeBinary, ALL),
        (BinaryView, ALL),
        (FixedSizeBinary(3), ALL),
        (Utf8, ALL),
        (LargeUtf8, ALL),
        (Utf8View, ALL),
        (dictionary(Utf8), ALL),
        (runs(Utf8View), ALL),
        (dictionary(Int64), TYPED),
        (runs(Float64), TYPED),
        (Decimal32(9, 2), TYPED),
        (Decimal64(18, 2), TYPED),
        (Decimal128(38, 10), TYPED),
        (Decimal256(76, 10), TYPED),
        (Decimal256(20, 0), TYPED),
        (Decimal128(10, -2), KEY | JSON),
        (List(field(Int16)), VALUE),
        (LargeList(field(dictionary(Utf8))), VALUE),
        (ListView(field(Utf8View)), VALUE),
        (LargeListView(field(Int32)), VALUE),
        (FixedSizeList(field(Float32), 3), VALUE),
        (List(field(structure(Time64(Nanosecond)))), VALUE),
        (structure(List(field(Null))), VALUE),
        (Struct(Fields::empty()), VALUE),
        (map(Utf8, Int32), VALUE),
        (map(Utf8View, structure(Float16)), VALUE),
        (map(Int32, Utf8), 0),
        (List(field(Interval(IntervalUnit::DayTime))), JSON),
        (List(field(union(UnionMode::Dense))), 0),
        (union(UnionMode::Dense), 0),
        (union(UnionMode::Sparse), 0),
    ];
    let typed = [
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Time32(Second),
        Time32(Millisecond),
        Time64(Microsecond),
        Time64(Nanosecond),
    ];
    types.extend(typed.map(|data_type| (data_type, TYPED)));
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        let zones = [None, Some("UTC".into()), Some("+02:00".into()), Some("Europe/Berlin".into())];
        types.extend(zones.map(|zone| (Timestamp(unit, zone), TYPED)));
        types.push((Duration(unit), TYPED));
    }
    types.extend(
        [IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano].map(|unit| (Interval(unit), JSON)),
    );
    types.push((Timestamp(Second, Some("Nowhere/Land".into())), KEY | IN_AVRO));
    types
}

/// Plans, then encodes a batch without rows, of a key `id` and a column `x`.
fn accepts(data_type: &DataType, output: &Output) -> bool {
    let rows = |array| batch(vec![("id", new_empty_array(&DataType::Int64)), ("x", array)]);
    let empty = rows(new_empty_array(data_type));
    match EncodePlan::new(&empty.schema(), output, "d") {
        Ok(plan) => {
            let mut entries = crate::encode::EntryBatch::default();
            plan.encoder().unwrap().encode(&empty, &mut entries).unwrap();
            assert!(entries.is_empty());
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Invalid, "{data_type}");
            let name = crate::input::contract::type_name(data_type);
            let message = error.message();
            assert!(message.contains("'x'") && message.contains(&name), "{data_type}: {message}");
            false
        }
    }
}

#[test]
fn every_type_encodes_or_is_refused_by_name() {
    let value = |encoding| Output { value: ValueSpec { encoding, columns: None }, ..output(&["id"]) };
    for (data_type, expected) in types() {
        let mut found = 0;
        for (flag, output) in [
            (KEY, output(&["id", "x"])),
            (JSON, value(Encoding::Json)),
            (IN_AVRO, value(AVRO)),
            (RAW, value(Encoding::Raw)),
        ] {
            if accepts(&data_type, &output) {
                found |= flag;
            }
        }
        assert_eq!(found, expected, "{data_type}: key {KEY}, json {JSON}, avro {IN_AVRO}, raw {RAW}");
    }
}

#[test]
fn a_null_of_every_accepted_type_is_a_null() {
    for (data_type, accepted) in types() {
        for (flag, encoding) in [(JSON, Encoding::Json), (IN_AVRO, AVRO)] {
            if accepted & flag == 0 {
                continue;
            }
            let ids = Arc::new(arrow::array::Int64Array::from(vec![1]));
            let batch = batch(vec![("id", ids), ("x", new_null_array(&data_type, 1))]);
            let output = Output { value: ValueSpec { encoding, columns: None }, ..output(&["id"]) };
            let plan = super::plan(&batch, &output).unwrap();
            let entries = super::encode(&batch, &output).unwrap();
            let shown = plan.value_schema().to_json(entries.values.get(0)).unwrap();
            assert_eq!(shown, serde_json::json!({ "x": null }), "{data_type} in {encoding:?}");
        }
    }
}
