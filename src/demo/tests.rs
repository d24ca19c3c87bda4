//! What the sample data promises: the same rows for the same shape, the right number, in the ranges that the
//! documentation gives.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::error::Kind;

fn small() -> Shape {
    Shape { events: 50_000, profiles: 5_000, urls: 500, files: 3, seed: 42, day: 0 }
}

fn read(directory: &Path) -> Vec<RecordBatch> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let open = |path| ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    paths.iter().flat_map(|path| open(path).map(|batch| batch.unwrap())).collect()
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn integers(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    let values = |batch: &RecordBatch| batch.column(column).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).collect()
}

fn strings(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let values = |batch: &RecordBatch| -> Vec<String> {
        batch.column(column).as_string::<i32>().iter().map(|value| value.unwrap().to_owned()).collect()
    };
    batches.iter().flat_map(values).collect()
}

#[test]
fn the_same_shape_gives_the_same_bytes_and_another_cut_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (once, again, cut) =
        (directory.path().join("once"), directory.path().join("again"), directory.path().join("cut"));
    generate(&once, &small()).unwrap();
    generate(&again, &small()).unwrap();
    generate(&cut, &Shape { files: 7, ..small() }).unwrap();
    for file in ["events/part-00000.parquet", "events/part-00002.parquet", "profiles/part-00000.parquet"] {
        assert!(fs::read(once.join(file)).unwrap() == fs::read(again.join(file)).unwrap(), "{file}");
    }
    let concat = |dir: &Path| arrow::compute::concat_batches(&events::schema(), &read(&dir.join("events"))).unwrap();
    assert!(concat(&once) == concat(&cut));
}

#[test]
fn events_are_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &small()).unwrap();
    let events = read(&directory.path().join("events"));
    assert_eq!(rows(&events), 50_000);
    assert_eq!(events[0].schema(), events::schema());

    let users = integers(&events, 0);
    let strangers = users.iter().filter(|user| **user > 5_000).count();
    assert!(users.iter().all(|user| (1..=5_100).contains(user)));
    assert!((800..1_200).contains(&strangers), "{strangers}");

    let hour = 3_600_000_000;
    let (first, last) = (events::FIRST_HOUR as i64 * hour, (events::FIRST_HOUR + events::WINDOW_HOURS) as i64 * hour);
    let times = |batch: &RecordBatch| batch.column(1).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let times: Vec<i64> = events.iter().flat_map(times).collect();
    assert!(times.iter().all(|time| (first..last).contains(time)));
    assert!(times.windows(2).all(|pair| pair[1] > pair[0] - 2_000_000), "more than 2 s out of order");

    let urls: HashSet<String> = strings(&events, 2).into_iter().collect();
    assert!(urls.len() > 450 && urls.len() <= 500, "{}", urls.len());
    assert!(urls.contains("https://shop.example/p/10000"));

    let mut actions = BTreeMap::new();
    strings(&events, 3).into_iter().for_each(|action| *actions.entry(action).or_insert(0) += 1);
    assert_eq!(actions.keys().collect::<Vec<_>>(), ["buy", "click", "view"]);
    assert!((44_500..45_500).contains(&actions["view"]) && (800..1_200).contains(&actions["buy"]), "{actions:?}");

    let durations = |batch: &RecordBatch| batch.column(4).as_primitive::<Int32Type>().values().to_vec();
    let durations: Vec<i32> = events.iter().flat_map(durations).collect();
    assert!(durations.iter().all(|duration| (0..600_000).contains(duration)));
}

#[test]
fn profiles_are_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &small()).unwrap();
    let profiles = read(&directory.path().join("profiles"));
    assert_eq!(profiles[0].schema(), profiles::schema());
    assert_eq!(integers(&profiles, 0), (1..=5_000).collect::<Vec<i64>>());

    let ages = |batch: &RecordBatch| batch.column(2).as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
    let ages: Vec<Option<i32>> = profiles.iter().flat_map(ages).collect();
    let unknown = ages.iter().filter(|age| age.is_none()).count();
    assert!(ages.iter().flatten().all(|age| (16..=89).contains(age)));
    assert!((100..200).contains(&unknown), "{unknown}");
    assert_eq!(strings(&profiles, 3).into_iter().collect::<HashSet<_>>().len(), 20);
    let names: HashSet<String> = strings(&profiles, 1).into_iter().collect();
    assert!(names.len() > 500, "{}", names.len());
    assert!(names.iter().any(|name| !name.is_ascii()));
}

#[test]
fn the_next_day_has_new_events_and_changes_some_profiles() {
    let directory = tempfile::tempdir().unwrap();
    let (today, tomorrow) = (directory.path().join("today"), directory.path().join("tomorrow"));
    generate(&today, &small()).unwrap();
    generate(&tomorrow, &Shape { day: 1, ..small() }).unwrap();
    let concat = |dir: &Path| arrow::compute::concat_batches(&events::schema(), &read(&dir.join("events"))).unwrap();
    let (today_events, tomorrow_events) = (concat(&today), concat(&tomorrow));
    let second_day = (events::FIRST_HOUR as i64 + 24) * 3_600_000_000;
    let times = today_events.column(1).as_primitive::<TimestampMicrosecondType>();
    let dropped = times.values().iter().filter(|time| **time < second_day).count();
    let shared = today_events.num_rows() - dropped;
    assert!((48_333..=48_334).contains(&shared), "{shared}");
    assert!(today_events.slice(dropped, shared) == tomorrow_events.slice(0, shared));

    let countries = |dir: &Path| strings(&read(&dir.join("profiles")), 3);
    let changed = countries(&today).iter().zip(countries(&tomorrow)).filter(|(before, after)| *before != after).count();
    assert!((150..300).contains(&changed), "{changed}");
    assert_eq!(strings(&read(&today.join("profiles")), 1), strings(&read(&tomorrow.join("profiles")), 1));
}

#[test]
fn a_smaller_set_replaces_a_larger_one_and_leaves_other_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &Shape { files: 5, ..small() }).unwrap();
    let events = directory.path().join("events");
    fs::write(events.join("part-of-mine.parquet"), b"mine").unwrap();
    fs::write(events.join("_SUCCESS"), b"").unwrap();
    generate(directory.path(), &Shape { files: 2, ..small() }).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&events).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["_SUCCESS", "part-00000.parquet", "part-00001.parquet", "part-of-mine.parquet"]);
}

#[test]
fn a_shape_outside_its_limits_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for shape in [Shape { profiles: 0, ..small() }, Shape { urls: 0, ..small() }, Shape { files: 721, ..small() }] {
        let error = generate(&directory.path().join("none"), &shape).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert!(!directory.path().join("none").exists());
}

#[test]
fn a_data_set_without_events_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &Shape { events: 0, files: 1, ..small() }).unwrap();
    assert_eq!(rows(&read(&directory.path().join("events"))), 0);
}
