//! Keys, order bytes and shards, from batch to stored bytes and back to literals.
//!
//! The properties compare every kind of key column with plain comparisons of Rust values: bytes sort as the columns do,
//! and what is shown can be parsed again. Not for: the tuple format itself, whose vectors are tested in `tuple.rs`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int64Array, LargeStringArray, StringArray, StringViewArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::Int8Type;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{batch, encode, order_by, output, plan, refusal, strings};
use crate::codec::append_number;
use crate::encode::EntryBatch;
use crate::error::Kind;
use crate::format::{KeyEncoding, KeySchema, Partitioner};
use crate::job::Fold;

/// Rows of every kind of key column; two of each so that equal columns occur.
type Row = (i8, i64, u64, f64, f32, String, Vec<u8>, bool, i32, i128);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof!["[a\u{0}b]{0,3}", any::<String>()];
    let bytes = prop::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..4);
    let decimal = -10_i128.pow(30)..10_i128.pow(30);
    let long = prop_oneof![-300_i64..300, any::<i64>()];
    let double = prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), -2.0..2.0, any::<f64>()];
    let row =
        (any::<i8>(), long, any::<u64>(), double, any::<f32>(), text, bytes, any::<bool>(), -9000_i32..9000, decimal);
    prop::collection::vec(row, 1..40)
}

fn columns(rows: &[Row]) -> Vec<(&'static str, ArrayRef)> {
    macro_rules! column {
        ($array:ty, $($field:tt)+) => {
            Arc::new(<$array>::from_iter_values(rows.iter().map(|row| row.$($field)+))) as ArrayRef
        };
    }
    let micros = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC");
    let decimals = Decimal128Array::from_iter_values(rows.iter().map(|row| row.9));
    vec![
        ("int8", column!(Int8Array, 0)),
        ("int64", column!(Int64Array, 1)),
        ("uint64", column!(UInt64Array, 2)),
        ("float64", column!(Float64Array, 3)),
        ("float32", column!(Float32Array, 4)),
        ("text", column!(StringArray, 5.as_str())),
        ("large", column!(LargeStringArray, 5.as_str())),
        ("view", column!(StringViewArray, 5.as_str())),
        ("bytes", column!(BinaryArray, 6.as_slice())),
        ("bool", Arc::new(rows.iter().map(|row| Some(row.7)).collect::<BooleanArray>())),
        ("date", column!(Date32Array, 8)),
        ("millis", column!(TimestampMillisecondArray, 1)),
        ("micros", Arc::new(micros)),
        ("decimal", Arc::new(decimals.with_precision_and_scale(31, 2).unwrap())),
    ]
}

/// How two rows compare by this column.
fn compare(name: &str, a: &Row, b: &Row) -> std::cmp::Ordering {
    match name {
        "int8" => a.0.cmp(&b.0),
        "int64" | "millis" | "micros" => a.1.cmp(&b.1),
        "uint64" => a.2.cmp(&b.2),
        "float64" => a.3.partial_cmp(&b.3).unwrap(),
        "float32" => a.4.partial_cmp(&b.4).unwrap(),
        "text" | "large" | "view" => a.5.cmp(&b.5),
        "bytes" => a.6.cmp(&b.6),
        "bool" => a.7.cmp(&b.7),
        "date" => a.8.cmp(&b.8),
        "decimal" => a.9.cmp(&b.9),
        other => panic!("no such column {other}"),
    }
}

/// The KEY argument that a user would give for what was shown.
fn typed(shown: &Value) -> String {
    shown.as_str().map_or_else(|| shown.to_string(), str::to_owned)
}

fn check_keys(rows: &[Row], key: &[&str], fold: Fold) -> Result<(), TestCaseError> {
    let names: Vec<_> = columns(rows).into_iter().filter(|(name, _)| key.contains(name)).collect();
    let batch = batch(names);
    let output = crate::job::Output { duplicates: fold, ..output(key) };
    let schema = plan(&batch, &output).unwrap().key_schema().clone();
    let entries = encode(&batch, &output).unwrap();
    for a in 0..rows.len() {
        for b in 0..rows.len() {
            let by_columns = key.iter().map(|name| compare(name, &rows[a], &rows[b])).find(|order| order.is_ne());
            let expected = by_columns.unwrap_or(std::cmp::Ordering::Equal);
            prop_assert_eq!(
                entries.keys.get(a).cmp(entries.keys.get(b)),
                expected,
                "rows {} and {} of {:?}",
                a,
                b,
                key
            );
        }
        let mut stored = entries.keys.get(a).to_vec();
        if fold == Fold::Number {
            append_number(&mut stored, a as u64);
        }
        let shown = schema.to_json(&stored).unwrap();
        prop_assert_eq!(schema.parse(&typed(&shown)).unwrap(), stored.clone(), "{}", shown);
        if let Value::Array(elements) = &shown {
            let prefix = schema.parse_prefix(&Value::from(&elements[..1]).to_string()).unwrap();
            prop_assert!(stored.starts_with(&prefix));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn key_bytes_sort_like_their_columns_and_round_trip(rows in rows(), first in 0_usize..14, second in 0_usize..14) {
        let names: Vec<_> = columns(&rows).iter().map(|(name, _)| *name).collect();
        for name in &names {
            check_keys(&rows, &[name], Fold::Error)?;
        }
        if first != second {
            check_keys(&rows, &[names[first], names[second]], Fold::Error)?;
            check_keys(&rows, &[names[first], names[second]], Fold::Number)?;
        }
        check_keys(&rows, &["text"], Fold::Number)?;
    }

    #[test]
    fn order_bytes_sort_as_the_job_says(values in prop::collection::vec(any::<Option<i64>>(), 1..30), descending: bool, nulls_first: bool) {
        let ids = Int64Array::from_iter_values(0..values.len() as i64);
        let batch = batch(vec![("id", Arc::new(ids)), ("ts", Arc::new(Int64Array::from(values.clone())))]);
        let output = crate::job::Output { order_by: vec![order_by("ts", descending, nulls_first)], ..output(&["id"]) };
        let entries = encode(&batch, &output).unwrap();
        for a in 0..values.len() {
            for b in 0..values.len() {
                let expected = match (values[a], values[b]) {
                    (Some(a), Some(b)) if descending => b.cmp(&a),
                    (Some(a), Some(b)) => a.cmp(&b),
                    (a, b) if nulls_first => a.is_some().cmp(&b.is_some()),
                    (a, b) => a.is_none().cmp(&b.is_none()),
                };
                prop_assert_eq!(entries.orders.get(a).cmp(entries.orders.get(b)), expected);
            }
        }
    }
}

#[test]
fn a_single_string_or_binary_column_is_stored_as_its_bytes() {
    let batch = batch(vec![
        ("url", Arc::new(StringArray::from(vec!["a\0b", ""]))),
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
    ]);
    let entries = encode(&batch, &output(&["url"])).unwrap();
    assert_eq!([entries.keys.get(0), entries.keys.get(1)], [b"a\0b".as_slice(), b""]);
    let numbered = crate::job::Output { duplicates: Fold::Number, ..output(&["url"]) };
    let entries = encode(&batch, &numbered).unwrap();
    assert_eq!(entries.keys.get(0), b"\x02a\x00\xffb\x00");
    let schema = plan(&batch, &numbered).unwrap().key_schema().clone();
    assert_eq!((schema.encoding, schema.numbered), (KeyEncoding::Tuple, true));
}

#[test]
fn null_and_nan_keys_are_refused_with_a_sample() {
    let urls = StringArray::from(vec![Some("a"), None, None]);
    let ages = StringArray::from(vec!["25-34", "18-24", "35-44"]);
    let batch_of = |url: ArrayRef| {
        batch(vec![("url", url), ("age", Arc::new(ages.clone())), ("n", Arc::new(Int8Array::from(vec![1, 2, 3])))])
    };
    let message = refusal(&batch_of(Arc::new(urls.clone())), &output(&["url", "age"]));
    assert!(
        message.contains("key column 'url' is null in 2 of 3 rows of a batch, for example where age = 18-24"),
        "{message}"
    );
    let words: DictionaryArray<Int8Type> = urls.iter().collect();
    assert!(refusal(&batch_of(Arc::new(words)), &output(&["url", "age"])).contains("null in 2 of 3"));
    let numbers = Float64Array::from(vec![1.0, f64::NAN, 2.0]);
    let message = refusal(&batch_of(Arc::new(numbers)), &output(&["age", "url"]));
    assert!(
        message.contains("key column 'url' is NaN in 1 of 3 rows of a batch, for example where age = 18-24"),
        "{message}"
    );
    let mut entries = EntryBatch::default();
    let bad = batch_of(Arc::new(urls));
    let error = plan(&bad, &output(&["url"])).unwrap().encoder().unwrap().encode(&bad, &mut entries).unwrap_err();
    assert_eq!((error.kind(), entries), (Kind::Input, EntryBatch::default()));
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let long = "x".repeat(super::super::MAX_KEY_BYTES);
    let of = |text: &str| {
        batch(vec![("id", Arc::new(Int64Array::from(vec![7]))), ("url", Arc::new(StringArray::from(vec![text])))])
    };
    assert!(encode(&of(&long), &output(&["url"])).is_ok());
    let message = refusal(&of(&long), &output(&["id", "url"]));
    assert!(message.contains("a key is 65540 bytes long, 65536 of them in column 'url'"), "{message}");
}

#[test]
fn a_date64_with_a_time_of_day_is_refused_as_a_key() {
    let of = |millis| batch(vec![("day", Arc::new(Date64Array::from(vec![millis])))]);
    assert_eq!(encode(&of(86_400_000), &output(&["day"])).unwrap().keys.get(0), b"\x15\x01");
    assert!(refusal(&of(86_400_001), &output(&["day"])).contains("'day' has type date64 and holds 86400001 ms"));
}

/// The schema of a key of these columns.
fn schema_of(columns: Vec<(&str, ArrayRef)>, fold: Fold) -> KeySchema {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let output = crate::job::Output { duplicates: fold, ..output(&names) };
    plan(&batch(columns), &output).unwrap().key_schema().clone()
}

#[test]
fn keys_are_shown_as_people_write_them() {
    let date = || ("day", Arc::new(Date32Array::from(vec![0])) as ArrayRef);
    let time = || ("at", Arc::new(Time64NanosecondArray::from(vec![0])) as ArrayRef);
    let one = schema_of(vec![date()], Fold::Error);
    assert_eq!(one.parse("2026-11-22").unwrap(), one.parse("20779").unwrap());
    assert_eq!(one.parse("\"2026-11-22\"").unwrap(), one.parse("20779").unwrap());
    let two = schema_of(vec![date(), time()], Fold::Error);
    assert_eq!(
        two.to_json(&two.parse(r#"["2026-11-22", "10:00:00.5"]"#).unwrap()).unwrap(),
        json!(["2026-11-22", "10:00:00.5"])
    );
    assert_eq!(two.parse_prefix("[20779]").unwrap(), two.parse_prefix("2026-11-22").unwrap());
    let decimals = Decimal128Array::from(vec![0]).with_precision_and_scale(38, 20).unwrap();
    let exact = schema_of(vec![date(), ("n", Arc::new(decimals))], Fold::Error);
    let (number, text) =
        (r#" [ 1 , 123456789012345678.00000000000000000001 ] "#, r#"["1","123456789012345678.00000000000000000001"]"#);
    assert_eq!(exact.parse(number).unwrap(), exact.parse(text).unwrap());
    assert_eq!(exact.parse_prefix("[]").unwrap(), b"");
    let text = schema_of(vec![("url", Arc::new(StringArray::from(vec!["a"])))], Fold::Error);
    assert_eq!(text.parse("[1]").unwrap(), b"[1]");
    assert_eq!(text.parse_prefix("https://").unwrap(), b"https://");
    let binary = schema_of(vec![("id", Arc::new(BinaryArray::from_vec(vec![b"a"])))], Fold::Error);
    assert_eq!(binary.parse("0xca01").unwrap(), [0xca, 1]);
}

#[test]
fn keys_that_do_not_fit_are_refused_with_what_would() {
    let of = |array: ArrayRef| schema_of(vec![("k", array)], Fold::Error);
    let message = |schema: &KeySchema, key: &str| {
        let error = schema.parse(key).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        error.message().to_owned()
    };
    let small = of(Arc::new(Int8Array::from(vec![1])));
    assert_eq!(
        message(&small, "128"),
        "\"128\" does not fit the key column 'k' of type int8: use an integer in its range"
    );
    assert!(small.parse("-128").is_ok());
    assert!(message(&of(Arc::new(BinaryArray::from_vec(vec![b"a"]))), "cafe").contains("0x and hex digits"));
    assert!(message(&of(Arc::new(Float64Array::from(vec![1.0]))), "NaN").contains("a number"));
    let two = schema_of(
        vec![("url", Arc::new(StringArray::from(vec!["a"]))), ("n", Arc::new(UInt64Array::from(vec![1])))],
        Fold::Number,
    );
    assert!(message(&two, r#"["a", 1]"#).contains("has 2 elements, but a key is an array of 3: [url, n, number]"));
    assert!(message(&two, "a").contains("is not a JSON array"));
    assert!(message(&two, r#"[1, 1, 0]"#).contains("'url' of type string: use a string in quotes"));
    assert!(message(&two, r#"["a", null, 0]"#).contains("null does not fit"));
    assert!(message(&two, r#"["a", 1, -1]"#).contains("not the number of an entry"));
}

#[test]
fn invalid_key_bytes_are_corrupt() {
    let schema = schema_of(
        vec![("url", Arc::new(StringArray::from(vec!["a"]))), ("n", Arc::new(Int64Array::from(vec![1])))],
        Fold::Error,
    );
    for bytes in [&b""[..], b"\x02a\x00", b"\x02a\x00\x02b\x00", b"\x02a\x00\x15\x01\x15", b"\x02a\x00\x15"] {
        assert_eq!(schema.to_json(bytes).unwrap_err().kind(), Kind::Corrupt, "{bytes:x?}");
    }
    let text = schema_of(vec![("url", Arc::new(StringArray::from(vec!["a"])))], Fold::Error);
    assert_eq!(text.to_json(b"\xff").unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn key_schemas_are_stored_and_compared() {
    let schema = schema_of(columns(&[(1, 2, 3, 4.0, 5.0, "a".into(), vec![], true, 6, 7)]), Fold::Number);
    let stored = serde_json::to_string(&schema).unwrap();
    assert_eq!(serde_json::from_str::<KeySchema>(&stored).unwrap(), schema);
    assert!(stored.contains(
        r#"{"name":"micros","type":"timestamp[us, UTC]","kind":{"timestamp":{"unit":"microsecond","utc":true}}}"#
    ));
    assert!(schema.changes(&schema).is_empty());
    let other = schema_of(vec![("int8", Arc::new(Int64Array::from(vec![1])))], Fold::Error);
    let before = schema_of(vec![("int8", Arc::new(Int8Array::from(vec![1])))], Fold::Number);
    assert_eq!(
        other.changes(&before),
        ["the key changed from (int8 int8) to (int8 int64)", "the key no longer ends in a number"]
    );
}

#[test]
fn readers_find_the_shard_the_writer_chose() {
    let urls: Vec<_> = (0..200).map(|n| format!("u\0{n}")).collect();
    let batch = batch(vec![
        ("url", Arc::new(StringArray::from(urls.clone()))),
        ("n", Arc::new(Int64Array::from_iter_values(-100..100))),
        ("day", Arc::new(Date32Array::from_iter_values(0..200))),
    ]);
    for (key, shard_by) in [
        (vec!["url"], vec![]),
        (vec!["url"], vec!["url"]),
        (vec!["url", "n", "day"], vec![]),
        (vec!["url", "n", "day"], vec!["url"]),
        (vec!["n", "url", "day"], vec!["day", "n"]),
    ] {
        for duplicates in [Fold::Error, Fold::Number] {
            for partitioner in [Partitioner::Xxh3, Partitioner::Murmur2] {
                let output = crate::job::Output {
                    shard_by: strings(&shard_by),
                    shards: 5,
                    partitioner,
                    duplicates,
                    ..output(&key)
                };
                let plan = plan(&batch, &output).unwrap();
                let entries = encode(&batch, &output).unwrap();
                for row in 0..entries.len() {
                    let mut stored = entries.keys.get(row).to_vec();
                    if duplicates == Fold::Number {
                        append_number(&mut stored, row as u64);
                    }
                    assert_eq!(plan.sharding().of_key(&stored, plan.key_schema()).unwrap(), entries.shards[row]);
                }
                assert!((0..5).all(|shard| entries.shards.contains(&shard)));
            }
        }
    }
    // One text column is hashed as its bytes, whether it is the whole key or a part of it.
    let murmur = |key: &[&str], shard_by: &[&str]| {
        let output = crate::job::Output {
            shard_by: strings(shard_by),
            shards: 9,
            partitioner: Partitioner::Murmur2,
            ..output(key)
        };
        encode(&batch, &output).unwrap().shards
    };
    assert_eq!(murmur(&["url"], &[]), murmur(&["n", "url"], &["url"]));
}

#[test]
fn a_wrong_key_is_refused_with_its_reason() {
    let batch =
        batch(vec![("url", Arc::new(StringArray::from(vec!["a"]))), ("n", Arc::new(Int64Array::from(vec![1])))]);
    let invalid = |output: &crate::job::Output| {
        let error = plan(&batch, output).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        error.message().to_owned()
    };
    assert_eq!(
        invalid(&output(&["urll"])),
        "output.key names the column 'urll', which the query does not have, did you mean \"url\"?"
    );
    assert!(invalid(&output(&[])).contains("no key"));
    assert!(invalid(&output(&["n", "n"])).contains("twice"));
    assert!(
        invalid(&crate::job::Output { shard_by: strings(&["n"]), ..output(&["url"]) }).contains("not in the key (url)")
    );
    assert!(invalid(&crate::job::Output { shards: 0, ..output(&["url"]) }).contains("at least one shard"));
    assert!(
        invalid(&crate::job::Output { order_by: vec![order_by("x", true, false)], ..output(&["url"]) })
            .contains("order_by names")
    );
}
