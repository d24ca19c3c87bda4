//! One suite over every value encoding, and every fold that makes values of several records.
//!
//! Stored values are read back with the manifest's schema, with an Avro library, and after damage. Not for: the bytes
//! of single Avro values, which `value/avro.rs` compares with arrow-avro's.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float64Array, Int8Array, Int64Array, ListArray, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
    types::Float64Type, types::Int8Type, types::Int32Type,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, SchemaStore};
use serde_json::{Value, json};

use super::{AVRO, SINGLE_OBJECT, batch, encode, order_by, output, plan, refusal, strings};
use crate::encode::{EncodePlan, EntryBatch, join_values};
use crate::error::Kind;
use crate::format::{Encoding, ValueSchema};
use crate::job::{Fold, Output, ValueSpec};

fn with(encoding: Encoding, duplicates: Fold) -> Output {
    Output { value: ValueSpec { encoding, columns: None }, duplicates, ..output(&["id"]) }
}

/// Three rows of most types; the last is null except for its key.
fn sample() -> RecordBatch {
    let words: DictionaryArray<Int8Type> = vec![Some("ü\n\""), Some(""), None].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let mut tags = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    tags.keys().append_value("k");
    tags.values().append_value("v");
    tags.append(true).unwrap();
    tags.append(true).unwrap();
    tags.append(false).unwrap();
    let inner = [
        (
            Arc::new(Field::new("a b", DataType::Int8, true)),
            Arc::new(Int8Array::from(vec![Some(-5), None, None])) as ArrayRef,
        ),
        (Arc::new(Field::new("s", DataType::Utf8, true)), Arc::new(StringArray::from(vec![None, Some("x"), None]))),
    ];
    let decimals = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890), Some(-5), None]);
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("word", Arc::new(words)),
        ("big", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(9_007_199_254_740_993), None]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(i64::MAX as u64), Some(0), None]))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(0.1), Some(-1e300), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(b"\xca\xfe".as_slice()), Some(b""), None]))),
        (
            "fixed",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([1, 2]), Some([3, 4]), None].into_iter(), 2)
                    .unwrap(),
            ),
        ),
        ("price", Arc::new(decimals.with_precision_and_scale(30, 2).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![Some(20_779), Some(-1), None]))),
        ("at", Arc::new(Time32SecondArray::from(vec![Some(36_000), Some(0), None]))),
        ("fine", Arc::new(Time64NanosecondArray::from(vec![Some(1), Some(0), None]))),
        (
            "ts",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_795_341_600_000_000), Some(0), None]).with_timezone("UTC"),
            ),
        ),
        ("local", Arc::new(TimestampSecondArray::from(vec![Some(1_795_341_600), Some(-1), None]))),
        ("list", Arc::new(lists)),
        ("inner", Arc::new(StructArray::from(inner.to_vec()))),
        ("tags", Arc::new(tags.finish())),
    ])
}

fn shown(schema: &ValueSchema, entries: &EntryBatch, row: usize) -> Value {
    let stored = [schema.header(), entries.values.get(row)].concat();
    schema.to_json(&stored).unwrap()
}

/// Whether all values are null.
fn all_null(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(all_null),
        value => value.is_null(),
    }
}

#[test]
fn json_values_read_as_documented() {
    let batch = sample();
    let output = with(Encoding::Json, Fold::Error);
    let schema = plan(&batch, &output).unwrap().value_schema().clone();
    let entries = encode(&batch, &output).unwrap();
    let text = std::str::from_utf8(entries.values.get(0)).unwrap();
    let expected = r#"{"word":"ü\n\"","big":-9223372036854775808,"unsigned":9223372036854775807,"ratio":0.1,"flag":true,"bytes":"cafe","fixed":"0102","price":123456789012345678.90,"day":"2026-11-22","at":"10:00:00","fine":"00:00:00.000000001","ts":"2026-11-22T10:00:00Z","local":"2026-11-22T10:00:00","list":[1,null],"inner":{"a b":-5,"s":null},"tags":{"k":"v"}}"#;
    assert_eq!(text, expected);
    assert_eq!(schema.to_text(entries.values.get(0)).unwrap(), expected);
    let second = shown(&schema, &entries, 1);
    assert_eq!(
        [&second["ratio"], &second["big"], &second["word"]],
        [&json!(-1e300), &json!(9_007_199_254_740_993_i64), &json!("")]
    );
    let third = shown(&schema, &entries, 2);
    assert!(all_null(&third), "{third}");
}

/// One of the two values would be lost, or which one is read would depend on the reader.
#[test]
fn a_map_with_a_duplicate_key_is_refused() {
    let entries = |keys: [&str; 3]| {
        let mut tags = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for (at, key) in keys.into_iter().enumerate() {
            tags.keys().append_value(key);
            tags.values().append_value("v");
            if at != 1 {
                tags.append(true).unwrap();
            }
        }
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("tags", Arc::new(tags.finish())),
        ])
        .unwrap()
    };
    for encoding in [Encoding::Json, AVRO] {
        // The first row has one entry, the second has two.
        let error = refusal(&entries(["a", "b", "b"]), &with(encoding, Fold::Error));
        assert!(error.contains("'tags'") && error.contains("\"b\" twice"), "{error}");
        encode(&entries(["a", "a", "b"]), &with(encoding, Fold::Error)).unwrap();
    }
}

/// JSON has no number for NaN and infinities, and null would be a different value; Avro holds them, shown as strings.
#[test]
fn numbers_that_json_cannot_hold_are_refused() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([None, Some(vec![Some(0.5), Some(value)])]);
        for column in [Arc::new(Float64Array::from(vec![0.5, value])) as ArrayRef, Arc::new(lists)] {
            let batch = RecordBatch::try_from_iter([("id", Arc::clone(&ids)), ("ratio", column)]).unwrap();
            let keyed = |encoding| with(encoding, Fold::Error);
            let error = encode(&batch, &keyed(Encoding::Json)).unwrap_err();
            assert_eq!(error.kind(), Kind::Input);
            assert_eq!(error.message(), "the value of the entry with id = 2 cannot be stored");
            let cause = error.chain().join(": ");
            assert!(cause.contains("'ratio'") && cause.contains(&value.to_string()), "{cause}");
            let schema = plan(&batch, &keyed(AVRO)).unwrap().value_schema().clone();
            let shown = shown(&schema, &encode(&batch, &keyed(AVRO)).unwrap(), 1);
            assert!(
                shown["ratio"] == json!(value.to_string()) || shown["ratio"][1] == json!(value.to_string()),
                "{shown}"
            );
        }
    }
}

#[test]
fn avro_values_show_the_same_rows() {
    let batch = sample();
    for encoding in [AVRO, SINGLE_OBJECT] {
        let output = with(encoding, Fold::Error);
        let schema = plan(&batch, &output).unwrap().value_schema().clone();
        let entries = encode(&batch, &output).unwrap();
        assert_eq!(
            shown(&schema, &entries, 0),
            json!({
                "word": "ü\n\"", "big": i64::MIN, "unsigned": i64::MAX, "ratio": 0.1, "flag": true, "bytes": "cafe",
                "fixed": "0102", "price": "123456789012345678.90", "day": "2026-11-22", "at": "10:00:00", "fine": 1,
                "ts": "2026-11-22T10:00:00Z", "local": "2026-11-22T10:00:00", "list": [1, null],
                "inner": { "a_b": -5, "s": null }, "tags": { "k": "v" },
            })
        );
        assert_eq!(shown(&schema, &entries, 1)["price"], "-0.05");
        let third = shown(&schema, &entries, 2);
        assert!(all_null(&third), "{third}");
        let stored = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<ValueSchema>(&stored).unwrap(), schema);
        assert_eq!(schema.header().len(), if encoding == SINGLE_OBJECT { 10 } else { 0 });
    }
}

/// An Avro library reads the stored values by the schema in the manifest, header and all.
#[test]
fn single_objects_are_read_by_an_avro_library() {
    let batch = sample();
    let output = with(SINGLE_OBJECT, Fold::Error);
    let schema = plan(&batch, &output).unwrap().value_schema().clone();
    let entries = encode(&batch, &output).unwrap();
    let mut store = SchemaStore::new();
    store.register(AvroSchema::new(schema.avro.as_ref().unwrap().to_string())).unwrap();
    let mut decoder = ReaderBuilder::new().with_writer_schema_store(store).build_decoder().unwrap();
    for row in 0..entries.len() {
        let stored = [schema.header(), entries.values.get(row)].concat();
        assert_eq!(decoder.decode(&stored).unwrap(), stored.len());
    }
    let read = decoder.flush().unwrap().unwrap();
    for name in ["big", "ratio", "flag", "bytes", "fixed", "price", "day"] {
        assert_eq!(read.column_by_name(name).unwrap(), batch.column_by_name(name).unwrap(), "{name}");
    }
    let words: Vec<_> = read.column_by_name("word").unwrap().as_string::<i32>().iter().collect();
    assert_eq!(words, [Some("ü\n\""), Some(""), None]);
}

#[test]
fn every_fold_and_encoding_makes_values_that_decode() {
    let batch = sample();
    for encoding in [Encoding::Json, AVRO, SINGLE_OBJECT] {
        for fold in [Fold::Error, Fold::First, Fold::Last, Fold::Number, Fold::List, Fold::Top(2)] {
            let output = with(encoding, fold);
            let schema = plan(&batch, &output).unwrap().value_schema().clone();
            let entries = encode(&batch, &output).unwrap();
            assert_eq!(schema.list, matches!(fold, Fold::List | Fold::Top(_)));
            if !schema.list {
                assert_eq!(shown(&schema, &entries, 1)["flag"], false);
                continue;
            }
            for count in [0, 1, 3, 100] {
                let records: Vec<_> = (0..count).map(|entry| entries.values.get(entry % 3)).collect();
                let mut stored = schema.header().to_vec();
                join_values(encoding, &records, &mut stored);
                let list = schema.to_json(&stored).unwrap();
                let list = if encoding == Encoding::Json { &list } else { &list["entries"] };
                let flags: Vec<_> = list.as_array().unwrap().iter().map(|record| record["flag"].clone()).collect();
                let expected: Vec<_> =
                    (0..count).map(|entry| [json!(true), json!(false), Value::Null][entry % 3].clone()).collect();
                assert_eq!(flags, expected, "{encoding:?} {fold:?}");
            }
        }
    }
}

#[test]
fn raw_values_are_the_bytes_of_one_column() {
    let of = |text: Vec<Option<&str>>| {
        let ids = Int64Array::from_iter_values(0..text.len() as i64);
        batch(vec![("id", Arc::new(ids)), ("body", Arc::new(StringArray::from(text)))])
    };
    let output = with(Encoding::Raw, Fold::Error);
    let batch = of(vec![Some("text"), Some("")]);
    let entries = encode(&batch, &output).unwrap();
    assert_eq!([entries.values.get(0), entries.values.get(1)], [b"text".as_slice(), b""]);
    let schema = plan(&batch, &output).unwrap().value_schema().clone();
    assert_eq!(schema.to_json(b"text").unwrap(), "text");
    assert_eq!(schema.to_json(b"\xff\x00").unwrap(), "0xff00");
    assert!(refusal(&of(vec![Some("a"), None]), &output).contains("value column 'body' is null in 1 of 2 rows"));
    for fold in [Fold::List, Fold::Top(3)] {
        assert!(refusal(&batch, &with(Encoding::Raw, fold)).contains("raw values cannot hold"));
    }
    assert!(refusal(&sample(), &output).contains("the value has 16 columns"));
}

/// As LIMIT makes them.
#[test]
fn slices_are_not_refused_for_rows_that_are_not_in_them() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let lists = [Some(vec![Some(0.5)]), Some(vec![Some(f64::NAN)]), Some(vec![Some(1.5)])];
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
    let all = batch(vec![("id", ids), ("ratio", Arc::new(lists))]);
    for (row, value) in [(0, "{\"ratio\":[0.5]}"), (2, "{\"ratio\":[1.5]}")] {
        let one = encode(&all.slice(row, 1), &with(Encoding::Json, Fold::Error)).unwrap();
        assert_eq!(one.values.get(0), value.as_bytes());
    }
    assert!(refusal(&all.slice(1, 1), &with(Encoding::Json, Fold::Error)).contains("NaN"));
}

#[test]
fn values_that_do_not_fit_name_their_column() {
    let ids = || ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef);
    let huge = batch(vec![ids(), ("n", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    assert!(encode(&huge, &with(Encoding::Json, Fold::Error)).is_ok());
    let message = refusal(&huge, &with(AVRO, Fold::Error));
    let expected = "the value of the entry with id = 1 cannot be stored | cannot write the column 'n' in Avro | ";
    assert!(message.starts_with(expected), "{message}");
    let far = batch(vec![ids(), ("t", Arc::new(TimestampSecondArray::from(vec![i64::MAX])))]);
    let message = refusal(&far, &with(Encoding::Json, Fold::Error));
    assert!(message.contains("column 't' holds a date or timestamp more than 95000000 days from 1970"), "{message}");
    let edge = batch(vec![ids(), ("t", Arc::new(Date32Array::from(vec![-95_000_000])))]);
    assert_eq!(encode(&edge, &with(Encoding::Json, Fold::Error)).unwrap().values.get(0), b"{\"t\":\"-258132-11-01\"}");
}

#[test]
fn names_avro_does_not_allow_are_replaced_and_collisions_refused() {
    let ids = || ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef);
    let number = || Arc::new(Int64Array::from(vec![7])) as ArrayRef;
    let odd = batch(vec![ids(), ("count(*)", number()), ("2nd", number())]);
    let output = with(AVRO, Fold::Error);
    let schema = plan(&odd, &output).unwrap().value_schema().clone();
    let avro = schema.avro.clone().unwrap();
    assert_eq!(
        [&avro["name"], &avro["fields"][0]["name"], &avro["fields"][1]["name"]],
        ["the_data", "count___", "_2nd"]
    );
    assert_eq!(
        avro["fields"][0],
        json!({ "name": "count___", "type": ["null", "long"], "default": null, "doc": "column count(*)" })
    );
    assert_eq!(schema.columns[0].name, "count(*)");
    assert_eq!(shown(&schema, &encode(&odd, &output).unwrap(), 0), json!({ "count___": 7, "_2nd": 7 }));
    let message = refusal(&batch(vec![ids(), ("a b", number()), ("a_b", number())]), &output);
    assert!(message.contains("columns 'a b' and 'a_b' are both 'a_b' in Avro"), "{message}");
}

#[test]
fn every_column_of_the_query_must_be_used() {
    let batch = sample();
    let named = |columns: &[&str], encoding| Output {
        value: ValueSpec { encoding, columns: Some(strings(columns)) },
        order_by: vec![order_by("ts", true, false)],
        ..output(&["id"])
    };
    let all: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let rest: Vec<_> = all.iter().map(String::as_str).filter(|name| !["id", "ts", "big"].contains(name)).collect();
    let message = refusal(&batch, &named(&rest, Encoding::Json));
    assert!(message.contains("column 'big' of the query is not used"), "{message}");
    let with_key = [&["id", "big"], rest.as_slice()].concat();
    let entries = encode(&batch, &named(&with_key, Encoding::Json)).unwrap();
    assert!(entries.values.get(0).starts_with(b"{\"id\":1,\"big\":"));
    assert!(!entries.values.get(0).windows(4).any(|part| part == b"\"ts\""));
    assert!(
        refusal(&batch, &named(&["flag", "flag"], Encoding::Json))
            .contains("value.columns names the column 'flag' twice")
    );
    let keys_only = super::batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])))]);
    for (encoding, value) in [(Encoding::Json, b"{}".as_slice()), (AVRO, b"")] {
        let entries = encode(&keys_only, &with(encoding, Fold::Error)).unwrap();
        assert_eq!([entries.values.get(0), entries.values.get(1)], [value, value]);
    }
    assert!(refusal(&keys_only, &with(Encoding::Raw, Fold::Error)).contains("the value has 0 columns"));
}

#[test]
fn slices_other_layouts_and_reused_buffers_give_the_same_bytes() {
    let batch = sample();
    for encoding in [Encoding::Json, AVRO] {
        let output = with(encoding, Fold::Error);
        let plan = plan(&batch, &output).unwrap();
        let mut encoder = plan.encoder().unwrap();
        let (mut whole, mut part) = (EntryBatch::default(), EntryBatch::default());
        encoder.encode(&batch, &mut whole).unwrap();
        for row in (0..3).rev() {
            encoder.encode(&batch.slice(row, 1), &mut part).unwrap();
            assert_eq!((part.keys.get(0), part.values.get(0)), (whole.keys.get(row), whole.values.get(row)));
        }
        let views = arrow::compute::cast(batch.column(1), &DataType::Utf8View).unwrap();
        let mut columns = batch.columns().to_vec();
        columns[1] = views;
        let fields: Vec<_> = batch
            .schema()
            .fields()
            .iter()
            .zip(&columns)
            .map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true))
            .collect();
        let other = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        encoder.encode(&other, &mut part).unwrap();
        assert_eq!(part, whole);
    }
}

#[test]
fn columns_that_cannot_be_null_have_no_branch() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Int64, false)]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_new(schema.clone(), vec![ids.clone(), ids]).unwrap();
    let plan = EncodePlan::new(&schema, &with(AVRO, Fold::Error), "d").unwrap();
    assert_eq!(
        plan.value_schema().avro,
        Some(json!({ "type": "record", "name": "d", "fields": [{ "name": "n", "type": "long" }] }))
    );
    let mut entries = EntryBatch::default();
    plan.encoder().unwrap().encode(&batch, &mut entries).unwrap();
    assert_eq!(entries.values.get(0), [2]);
}

#[test]
fn damaged_values_are_corrupt() {
    let batch = sample();
    for encoding in [Encoding::Json, AVRO, SINGLE_OBJECT] {
        let output = with(encoding, Fold::Error);
        let schema = plan(&batch, &output).unwrap().value_schema().clone();
        let stored = [schema.header(), encode(&batch, &output).unwrap().values.get(0)].concat();
        for end in 0..stored.len() {
            assert_eq!(schema.to_json(&stored[..end]).unwrap_err().kind(), Kind::Corrupt, "{encoding:?} cut at {end}");
        }
        let longer = [stored.as_slice(), b"x"].concat();
        assert_eq!(schema.to_json(&longer).unwrap_err().kind(), Kind::Corrupt);
    }
}

#[test]
fn schema_changes_that_break_readers_are_reported() {
    let schema = |columns, output: &Output| plan(&batch(columns), output).unwrap().value_schema().clone();
    let ids = || ("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef);
    let old = schema(
        vec![ids(), ("a", Arc::new(Int8Array::from(vec![1]))), ("b", Arc::new(Int8Array::from(vec![1])))],
        &with(AVRO, Fold::Error),
    );
    let grown = schema(
        vec![
            ids(),
            ("a", Arc::new(Int8Array::from(vec![1]))),
            ("b", Arc::new(Int8Array::from(vec![1]))),
            ("c", Arc::new(Int8Array::from(vec![1]))),
        ],
        &with(AVRO, Fold::Error),
    );
    assert!(grown.compatible(&old).is_empty());
    let new = schema(vec![ids(), ("a", Arc::new(StringArray::from(vec!["1"])))], &with(Encoding::Json, Fold::List));
    assert_eq!(
        new.compatible(&old),
        [
            "the value's encoding changed from avro to json",
            "a value changed from one record to a list of records",
            "value column 'a' changed from int8 to string",
            "value column 'b' was removed",
        ]
    );
}
