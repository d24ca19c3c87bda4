//! Profiles of generated tables: what they contain, and that they depend on nothing but the rows.

use crate::format::{InputProfile, PartProfile, TableProfile};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    ListArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;

use super::cells::mix;
use super::*;
use crate::job::DEFAULT_BOUNDS;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn sketch(batches: &[RecordBatch]) -> TableSketch {
    let mut sketch = TableSketch::new(batches[0].schema(), Seed::new("d"));
    batches.iter().for_each(|batch| sketch.take(batch));
    sketch
}

/// Rows derived from their numbers.
fn rows(numbers: impl Iterator<Item = u64> + Clone, text: impl Fn(u64) -> String) -> RecordBatch {
    let ids: Int64Array = numbers.clone().map(|number| Some((mix(number, 1) % 20_000) as i64)).collect();
    let texts: StringArray = numbers.clone().map(|number| Some(text(number))).collect();
    let kinds: StringArray = numbers
        .clone()
        .map(|number| (number % 11 > 0).then_some(["a", "b", "c", "d", "e"][number as usize % 5]))
        .collect();
    let amounts: Float64Array = numbers.map(|number| Some((mix(number, 2) % 1000) as f64 / 8.0)).collect();
    batch(vec![
        ("id", Arc::new(ids)),
        ("text", Arc::new(texts)),
        ("kind", Arc::new(kinds)),
        ("amount", Arc::new(amounts)),
    ])
}

fn item(number: u64) -> String {
    format!("item-{:05}", mix(number, 3) % 900)
}

fn profile(table: TableProfile) -> Profile {
    let part = PartProfile { partition: None, table: table.clone(), listed: None };
    let input =
        InputProfile { name: "events".into(), read: Some(table.rows), tables: vec![part], ..Default::default() };
    Profile {
        query: "q".into(),
        inputs: vec![input],
        result: table,
        key_bytes: 1,
        value_bytes: 1,
        ..Profile::default()
    }
}

fn amounts(before: &TableProfile, now: &TableProfile) -> Vec<(String, f64)> {
    let comparison = compare(Some(&profile(before.clone())), &mut profile(now.clone()), false);
    comparison
        .changes
        .iter()
        .filter(|change| change.input.is_some())
        .map(|change| (change.title(), change.amount))
        .collect()
}

fn beyond(before: &TableProfile, now: &TableProfile) -> Vec<String> {
    let bound = |title: &str| {
        let of = |(measure, _): &&(&str, _)| title.ends_with(&format!(" {measure}"));
        DEFAULT_BOUNDS.iter().find(of).and_then(|(_, bound)| bound.warn).unwrap()
    };
    let changes = amounts(before, now).into_iter();
    changes.filter(|(title, amount)| *amount > bound(title)).map(|(title, _)| title).collect()
}

#[test]
fn a_profile_depends_on_the_rows_alone() {
    for (all, one_in) in [(15_000_u64, 1), (600_000, 64)] {
        let whole = sketch(&[rows(0..all, item)]).profile();
        assert_eq!(whole.one_in, one_in);
        for parts in [2_u64, 5] {
            let mut merged = sketch(&[rows(0..0, item)]);
            for part in (0..parts).rev() {
                let of_part = (0..all).rev().filter(move |number| number % parts == part).collect::<Vec<_>>();
                let batches: Vec<_> = of_part.chunks(777).map(|chunk| rows(chunk.iter().copied(), item)).collect();
                merged.merge(sketch(&batches));
            }
            assert_eq!(merged.profile(), whole);
        }
    }
}

#[test]
fn a_profile_describes_its_columns() {
    let table = sketch(&[rows(0..16_000, item)]).profile();
    let [id, text, kind, amount] = &table.columns[..] else { panic!("four columns") };
    let near = |found: Option<u64>, expected: f64| (found.unwrap() as f64 / expected - 1.0).abs() < 0.2;
    assert_eq!(table.rows, 16_000);
    assert!(near(id.distinct, 20_000.0 * (1.0 - (-0.8_f64).exp())), "{:?}", id.distinct);
    assert!(near(text.distinct, 900.0), "{:?}", text.distinct);
    assert_eq!(text.patterns, [("a-9".to_owned(), 1.0)]);
    assert_eq!((text.mean, text.deviation), (Some(10.0), Some(0.0)));
    assert_eq!((text.min.as_ref(), text.max.as_ref()), (None, None), "no text is kept");
    assert_eq!((kind.nulls, kind.distinct, kind.frequent.len()), (1455, Some(5), 5));
    assert!((kind.frequent[0].1 - 0.2).abs() < 0.01);
    assert!((amount.mean.unwrap() - 62.4).abs() < 4.0, "{:?}", amount.mean);
    assert_eq!((amount.min.clone().unwrap(), amount.max.clone().unwrap()), (0.0.into(), 124.875.into()));
    let text = serde_json::to_string(&profile(table.clone())).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile(table));
    assert!(!text.contains("item-"), "values are hashes");
}

#[test]
fn every_type_is_measured_or_its_nulls_are_counted() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None, Some(vec![])]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(1), None, Some(-1)]))),
        ("float", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(f64::INFINITY), None]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![Some(150), None, Some(250)]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("b")]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(b"a".as_slice()), None, Some(b"bb")]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(1)]))),
        ("list", Arc::new(list)),
    ];
    let table = sketch(&[batch(columns)]).profile();
    for column in &table.columns {
        assert_eq!(column.nulls, 1, "{}", column.name);
        assert_eq!(column.distinct, (column.name != "list").then_some(2), "{}", column.name);
        assert!(column.mean.is_none_or(f64::is_finite), "{}", column.name);
    }
    serde_json::from_str::<TableProfile>(&serde_json::to_string(&table).unwrap()).unwrap();
}

#[test]
fn integers_of_any_width_and_zeros_of_any_sign_are_one_value() {
    let hashes = |array: ArrayRef| sketch(&[batch(vec![("x", array)])]).profile().columns[0].hashes.clone();
    assert_eq!(hashes(Arc::new(Int32Array::from(vec![-7]))), hashes(Arc::new(Int64Array::from(vec![-7]))));
    assert_eq!(hashes(Arc::new(Float64Array::from(vec![0.0]))), hashes(Arc::new(Float64Array::from(vec![-0.0]))));
}

#[test]
fn another_day_like_the_day_before_is_no_change() {
    let before = sketch(&[rows(0..30_000, item)]).profile();
    let now = sketch(&[rows(30_000..58_000, item)]).profile();
    assert_eq!(beyond(&before, &now), [""; 0]);
}

#[test]
fn what_has_changed_is_named() {
    let before = sketch(&[rows(0..30_000, item)]).profile();
    let of = |text: &dyn Fn(u64) -> String| sketch(&[rows(30_000..60_000, text)]).profile();
    for (now, expected) in [
        (of(&|number| item(number).to_uppercase().replace('-', "_")), "events text pattern"),
        (of(&|number| ["view", "buy"][number as usize % 2].to_owned()), "events text distinct"),
        (sketch(&[rows((0..30_000).map(|number| number * 11), item)]).profile(), "events kind nulls"),
        (sketch(&[rows(30_000..40_000, item)]).profile(), "events rows"),
    ] {
        let found = beyond(&before, &now);
        assert!(found.iter().any(|title| title == expected), "{found:?} for {expected}");
    }
}

#[test]
fn dates_times_and_counters_may_advance() {
    let day = |day: u64| {
        let numbers = day * 20_000..(day + 1) * 20_000;
        let counter: Int64Array = numbers.clone().map(|number| Some(number as i64)).collect();
        let time: TimestampMicrosecondArray = numbers.clone().map(|number| Some(number as i64)).collect();
        let hours: StringArray = numbers.map(|number| Some(format!("2026-11-{day:02} {:02}", number % 24))).collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("counter", Arc::new(counter)), ("time", Arc::new(time)), ("hour", Arc::new(hours))];
        sketch(&[batch(columns)]).profile()
    };
    assert_eq!(beyond(&day(1), &day(2)), [""; 0]);
}

#[test]
fn unique_values_are_distinguished_from_those_that_recurred_until_now() {
    let of =
        |prefix: u64| sketch(&[rows(0..30_000, |number| format!("s-{:020}", mix(number, prefix << 40)))]).profile();
    let (one, mut two, three) = (of(1), of(2), of(3));
    assert_eq!(beyond(&one, &two), [""; 0], "nothing is known of what is usual");
    two.columns[1].overlap = Some(0.0);
    assert_eq!(beyond(&two, &three), [""; 0]);
    two.columns[1].overlap = Some(0.9);
    assert_eq!(beyond(&two, &three), ["events text overlap"]);
    two.columns[1].overlaps = vec![0.9, 0.0, 1.0];
    assert_eq!(beyond(&two, &three), [""; 0], "the least of the last ones is usual");
}

#[test]
fn a_profile_of_many_columns_stays_small() {
    let column = |number: u64| -> ArrayRef {
        Arc::new((0..2_000).map(|row| Some((mix(row, number) % 1_500) as i64)).collect::<Int64Array>())
    };
    let names: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    let columns = names.iter().zip(0..).map(|(name, number)| (name.as_str(), column(number))).collect();
    let mut profile = profile(sketch(&[batch(columns)]).profile());
    profile.trim();
    assert!(serde_json::to_string(&profile).unwrap().len() < 120_000);
    let comparison = compare(Some(&profile.clone()), &mut profile, false);
    assert!(comparison.changes.iter().all(|change| change.amount == 0.0), "shortened hashes are still compared");
}

#[test]
fn of_twenty_thousand_columns_some_are_measured_and_all_are_counted() {
    let null: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
    let names: Vec<String> = (0..20_000).map(|number| format!("c{number}")).collect();
    let batch = batch(names.iter().map(|name| (name.as_str(), Arc::clone(&null))).collect());
    let mut sketch = sketch(std::slice::from_ref(&batch));
    (0..200).for_each(|_| sketch.take(&batch));
    let mut profile = profile(sketch.profile());
    profile.trim();
    assert_eq!(profile.inputs[0].tables[0].table.columns.len(), MAX_COLUMNS);
    let [first, .., last] = &profile.result.columns[..] else { panic!("all columns of the result") };
    assert_eq!((first.nulls, first.max.clone()), (201, Some(7.into())));
    assert_eq!((last.nulls, last.max.clone()), (201, None));
    let comparison = compare(Some(&profile.clone()), &mut profile, false);
    assert!(comparison.changes.len() < 20 * MAX_COLUMNS);
}

#[test]
fn every_measure_has_bounds() {
    let bounds = DEFAULT_BOUNDS.map(|(name, _)| name);
    assert_eq!(super::change::Measure::ALL.map(|(name, _)| name), bounds);
}

#[test]
fn a_profile_is_shown_as_lines() {
    let lines = profile(sketch(&[rows(0..3_000, item)]).profile()).lines();
    assert_eq!(lines.len(), 10, "a line for each table and column");
    assert_eq!(lines[0][..2], ["events", "3,000 rows"]);
    assert_eq!(lines[2], ["", "text", "Utf8", "0", &lines[2][4], "", "", "\"a-9\" in 100.0 %"]);
}
