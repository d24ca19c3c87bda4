//! After a query failed to parse a value: finds its file, row and column.
//!
//! DataFusion reports the value alone, so the string columns that the query reads are searched for it, file by file.
//! This happens only after a failure.
//!
//! Not for: values of other types, and Avro.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;

use super::text::{Batches, Part};
use super::{Input, InputFile};
use crate::catch_panic::contain;
use crate::job::Format;
use crate::shutdown;

/// Rows per batch.
const BATCH_ROWS: usize = 8_192;

/// Locates the first such string in the columns that are read from each input, as the beginning of a message; none if
/// it does not occur in them, because the query computed it.
pub fn locate(inputs: &[Input], used: &BTreeMap<String, BTreeSet<String>>, value: &str) -> Option<String> {
    inputs.iter().find_map(|input| {
        let columns = used.get(&input.name)?;
        contain(|| match input.format {
            Format::Parquet => input.files.iter().find_map(|file| in_parquet(input, file, columns, value)),
            Format::Csv | Format::Json => in_text(input, columns, value),
            Format::Avro => None,
        })
        .ok()?
    })
}

fn in_parquet(input: &Input, file: &InputFile, columns: &BTreeSet<String>, value: &str) -> Option<String> {
    let metadata = input.metadata(file)?.get().ok()?;
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default()).ok()?;
    let fields = metadata.schema().fields().iter().enumerate();
    let texts: Vec<usize> = fields.filter(|(_, field)| is_text(field, columns)).map(|(place, _)| place).collect();
    if texts.is_empty() {
        return None;
    }
    let only = ProjectionMask::roots(metadata.parquet_schema(), texts);
    let opened = file.source.open().ok()?;
    let mut before = 0;
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let chunks = opened.chunks(chunks(group, &only)).ok()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata.clone());
        let builder = builder.with_projection(only.clone()).with_row_groups(vec![number]).with_batch_size(BATCH_ROWS);
        for batch in builder.build().ok()? {
            let batch = batch.ok()?;
            shutdown::check().ok()?;
            if let Some((row, column)) = find(&batch, value) {
                return Some(said(file, before + row, &column, value));
            }
            before += batch.num_rows();
        }
    }
    None
}

/// The places of the chunks of some columns in their file.
pub(super) fn chunks(group: &RowGroupMetaData, only: &ProjectionMask) -> Vec<Range<u64>> {
    let columns = group.columns().iter().enumerate().filter(|(leaf, _)| only.leaf_included(*leaf));
    let places = columns.map(|(_, column)| column.byte_range());
    places.map(|(start, length)| start..start.saturating_add(length)).collect()
}

fn in_text(input: &Input, columns: &BTreeSet<String>, value: &str) -> Option<String> {
    let survey = input.surveyed.get()?;
    let fields = survey.schema().fields().iter().enumerate();
    let texts: Vec<usize> = fields.filter(|(_, field)| is_text(field, columns)).map(|(place, _)| place).collect();
    let files = survey.files().iter().enumerate();
    let parts = files
        .flat_map(|(file, surveyed)| (0..surveyed.chunks.len()).map(move |chunk| Part { file, chunk, rows: u64::MAX }));
    let parts = parts.collect();
    let batches = Batches::new(Arc::new(input.clone()), Arc::clone(survey), parts, texts, BATCH_ROWS).ok()?;
    let (mut at, mut before) = (0, 0);
    for batch in batches {
        let (file, batch) = batch.ok()?;
        shutdown::check().ok()?;
        if file != at {
            (at, before) = (file, 0);
        }
        if let Some((row, column)) = find(&batch, value) {
            return Some(said(input.files.get(file)?, before + row, &column, value));
        }
        before += batch.num_rows();
    }
    None
}

fn is_text(field: &Field, columns: &BTreeSet<String>) -> bool {
    let is_text = |data_type: &DataType| {
        matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            || matches!(data_type, DataType::Dictionary(_, values) if **values == DataType::Utf8)
    };
    columns.contains(field.name()) && is_text(field.data_type())
}

/// The first row of a batch that has the value, and its column.
fn find(batch: &RecordBatch, value: &str) -> Option<(usize, String)> {
    let place = |(column, field): (&arrow::array::ArrayRef, &Arc<Field>)| {
        let texts = cast(column, &DataType::Utf8).ok()?;
        let texts = texts.as_any().downcast_ref::<StringArray>()?;
        let row = texts.iter().position(|text| text == Some(value))?;
        Some((row, field.name().clone()))
    };
    batch.columns().iter().zip(batch.schema().fields()).filter_map(place).min()
}

fn said(file: &InputFile, row: usize, column: &str, value: &str) -> String {
    let shown: String = value.chars().take(60).collect();
    format!("{}, row {}: column {column:?} holds {shown:?}, which the query cannot read", file.source, row + 1)
}
