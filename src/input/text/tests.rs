//! Survey and batches together: whatever the pieces and threads, the rows are those of the files.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;

use super::survey::Plan;
use super::{Batches, Part, Survey};
use crate::error::Result;
use crate::input::{Input, InputFile, Source};
use crate::job::Format;

fn input(directory: &Path, format: Format, files: &[(&str, String)]) -> Arc<Input> {
    let file = |(name, text): &(&str, String)| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap().try_into().unwrap();
        InputFile { source: Source::Local(path), bytes: text.len() as u64, modified, partitions: vec![], footer: None }
    };
    Arc::new(Input {
        name: "t".to_owned(),
        format,
        csv: Default::default(),
        files: files.iter().map(file).collect(),
        partition_columns: vec![],
        partitions: None,
        schema: None,
        contract: None,
        surveyed: OnceLock::new(),
        share: None,
    })
}

fn survey(input: &Input, threads: usize, piece: usize) -> Result<Arc<Survey>> {
    Survey::by(input, Plan { threads, piece }).map(|survey| Arc::new(survey.unwrap()))
}

/// Reads all rows of some columns.
fn read(input: &Arc<Input>, survey: &Arc<Survey>, columns: &[usize], rows: usize) -> Result<Vec<RecordBatch>> {
    let chunks = |(file, of): (usize, &super::Surveyed)| {
        let chunks = of.chunks.iter().enumerate();
        chunks.map(move |(chunk, _)| Part { file, chunk, rows: u64::MAX }).collect::<Vec<_>>()
    };
    let parts = survey.files().iter().enumerate().flat_map(chunks).collect();
    let batches = Batches::new(Arc::clone(input), Arc::clone(survey), parts, columns.to_vec(), rows)?;
    batches.map(|batch| batch.map(|(_, batch)| batch)).collect()
}

/// The values of a string column.
fn texts(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    let of = |batch: &RecordBatch| {
        batch.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

fn whole(batches: &[RecordBatch], column: usize) -> Vec<Option<i64>> {
    batches
        .iter()
        .flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
        .collect()
}

fn row() -> impl Strategy<Value = (Option<String>, i64)> {
    (prop::option::of("[a,\"\n\r é]{0,8}"), any::<i64>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_do_not_depend_on_pieces_threads_and_batches(
        rows in prop::collection::vec(row(), 1..40),
        piece in 1_usize..60,
        threads in 1_usize..4,
        batch in 1_usize..10,
        cut in 0_usize..40,
        json: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let csv = |(text, number): &(Option<String>, i64)| {
            let text = text.as_ref().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).unwrap_or_default();
            (format!("{number},{text}\n"), format!("{text},x,{number}\r\n"))
        };
        let object = |(text, number): &(Option<String>, i64)| {
            let object = serde_json::json!({"n": number, "text": text}).to_string() + "\n";
            (object.clone(), object.replacen('{', "{\"x\": [{}], ", 1))
        };
        let (first, second) = rows.split_at(cut.min(rows.len()));
        let (format, files) = if json {
            let a = first.iter().map(|row| object(row).0).collect();
            let b = second.iter().map(|row| object(row).1).collect();
            (Format::Json, [("a.json", a), ("b.json", b)])
        } else {
            let a = "n,text\n".to_owned() + &first.iter().map(|row| csv(row).0).collect::<String>();
            let b = "text,x,n\n".to_owned() + &second.iter().map(|row| csv(row).1).collect::<String>();
            (Format::Csv, [("a.csv", a), ("b.csv", b)])
        };
        let input = input(directory.path(), format, &files);
        let survey = survey(&input, threads, piece).unwrap();
        prop_assert_eq!(survey.rows(), rows.len() as u64);
        let place = |name: &str| survey.schema().index_of(name).unwrap();
        let numbers = read(&input, &survey, &[place("n")], batch).unwrap();
        prop_assert_eq!(whole(&numbers, 0), rows.iter().map(|row| Some(row.1)).collect::<Vec<_>>());
        prop_assert!(numbers.iter().all(|numbers| numbers.num_rows() <= batch));
        if rows.iter().any(|row| row.0.is_some()) {
            let both = read(&input, &survey, &[place("n"), place("text")], batch).unwrap();
            prop_assert_eq!(texts(&both, 1), rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>());
        }
        let none = read(&input, &survey, &[], batch).unwrap();
        prop_assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), rows.len());
    }

    #[test]
    fn the_first_error_is_reported(bad in prop::collection::btree_set(0_usize..60, 1..4), piece in 1_usize..40, threads in 1_usize..5) {
        let directory = tempfile::tempdir().unwrap();
        let lines = |file: usize| {
            let line = |row: usize| if bad.contains(&(file * 20 + row)) { "1,2,3\n" } else { "1,2\n" };
            "a,b\n".to_owned() + &(0..20).map(line).collect::<String>()
        };
        let input = input(directory.path(), Format::Csv, &[("0.csv", lines(0)), ("1.csv", lines(1)), ("2.csv", lines(2))]);
        let first = bad.first().unwrap();
        let expected = format!("{}.csv, line {}:", first / 20, first % 20 + 2);
        let error = survey(&input, threads, piece).unwrap_err();
        prop_assert!(error.message().contains(&expected), "{} in {error}", expected);
    }
}

#[test]
fn changes_since_the_survey_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    for (text, later) in
        [("a\n1\n2\n", "a\n1\n2\n3\n"), ("a\n1\n2\n", "a\n1\nx\n"), ("a\n1\n2\n", "a\n12\n"), ("a\n1\n2\n", "a\n1")]
    {
        let input = input(directory.path(), Format::Csv, &[("a.csv", text.to_owned())]);
        let survey = survey(&input, 1, 100).unwrap();
        fs::write(input.files[0].source.local().unwrap(), later).unwrap();
        let error = read(&input, &survey, &[0], 10).unwrap_err();
        assert!(error.message().contains("a.csv: changed while it was being read"), "{error}");
        // Size and modification time do not show the change.
        let mut blind = Arc::unwrap_or_clone(input);
        blind.files[0].bytes = later.len() as u64;
        blind.files[0].modified =
            fs::metadata(blind.files[0].source.local().unwrap()).unwrap().modified().unwrap().try_into().unwrap();
        let blind = read(&Arc::new(blind), &survey, &[0], 10);
        assert!(blind.is_err() || later.len() > text.len(), "{blind:?}");
    }
}

#[test]
fn files_of_one_name_and_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let input = input(directory.path(), Format::Csv, &[("a.csv", "a\n\n\"\"\nx".to_owned()), ("b.csv", String::new())]);
    let survey = survey(&input, 2, 3).unwrap();
    assert_eq!(survey.schema().field(0).data_type(), &DataType::Utf8);
    let rows = texts(&read(&input, &survey, &[0], 2).unwrap(), 0);
    assert_eq!(rows, [None, Some(String::new()), Some("x".to_owned())]);
    assert_eq!(read(&input, &survey, &[0], 2).unwrap()[0].column(0).null_count(), 1);
}
