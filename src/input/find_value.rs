//! After a query failed on a value: finds its file, its line or row, and its column.
//!
//! DataFusion reports the value alone, so the string columns that the query reads are searched for it, file by file; so
//! is the column of a key or value that must not be null. This happens only after a failure.
//!
//! Not for: values of other types, and Avro.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
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
    let (place, column) = search(inputs, used, &Sought::Text(value))?;
    let shown: String = value.chars().take(60).collect();
    Some(format!("{place}: column {column:?} holds {shown:?}, which the query cannot read"))
}

/// Locates the first null of a column of this name that is read from an input; none if the query computed it.
pub fn locate_null(inputs: &[Input], used: &BTreeMap<String, BTreeSet<String>>, column: &str) -> Option<String> {
    search(inputs, used, &Sought::NullOf(column)).map(|(place, _)| place)
}

/// What is searched for.
enum Sought<'s> {
    /// This string in any column of strings.
    Text(&'s str),
    /// A null in the column of this name.
    NullOf(&'s str),
}

impl Sought<'_> {
    /// Whether a column that is read may hold it.
    fn may_be_in(&self, field: &Field) -> bool {
        match self {
            Self::Text(_) => is_text(field.data_type()),
            Self::NullOf(column) => field.name() == column,
        }
    }

    /// The first row of a batch that has it, and its column.
    fn first_in(&self, batch: &RecordBatch) -> Option<(usize, String)> {
        let row = |column: &ArrayRef| match self {
            Self::Text(value) => {
                let texts = cast(column, &DataType::Utf8).ok()?;
                texts.as_any().downcast_ref::<StringArray>()?.iter().position(|text| text == Some(*value))
            }
            Self::NullOf(_) => column.logical_nulls()?.iter().position(|valid| !valid),
        };
        let schema = batch.schema();
        let columns = batch.columns().iter().zip(schema.fields());
        columns.filter_map(|(column, field)| Some((row(column)?, field.name().clone()))).min()
    }
}

/// The place and the column of the first row that has it.
fn search(
    inputs: &[Input],
    used: &BTreeMap<String, BTreeSet<String>>,
    sought: &Sought<'_>,
) -> Option<(String, String)> {
    inputs.iter().find_map(|input| {
        let columns = used.get(&input.name)?;
        let wanted = |field: &Field| columns.contains(field.name()) && sought.may_be_in(field);
        contain(|| match input.format {
            Format::Parquet => input.files.iter().find_map(|file| in_parquet(input, file, &wanted, sought)),
            Format::Csv | Format::Json => in_text(input, &wanted, sought),
            Format::Avro => None,
        })
        .ok()?
    })
}

fn in_parquet(
    input: &Input,
    file: &InputFile,
    wanted: &dyn Fn(&Field) -> bool,
    sought: &Sought<'_>,
) -> Option<(String, String)> {
    let metadata = input.metadata(file)?.get().ok()?;
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default()).ok()?;
    let fields = metadata.schema().fields().iter().enumerate();
    let places: Vec<usize> = fields.filter(|(_, field)| wanted(field)).map(|(place, _)| place).collect();
    if places.is_empty() {
        return None;
    }
    let only = ProjectionMask::roots(metadata.parquet_schema(), places);
    let opened = file.source.open().ok()?;
    let mut before = 0;
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let chunks = opened.chunks(chunks(group, &only)).ok()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata.clone());
        let builder = builder.with_projection(only.clone()).with_row_groups(vec![number]).with_batch_size(BATCH_ROWS);
        for batch in builder.build().ok()? {
            let batch = batch.ok()?;
            shutdown::check().ok()?;
            if let Some((row, column)) = sought.first_in(&batch) {
                return Some((format!("{}, row {}", file.source, before + row + 1), column));
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

fn in_text(input: &Input, wanted: &dyn Fn(&Field) -> bool, sought: &Sought<'_>) -> Option<(String, String)> {
    let survey = input.surveyed.get()?;
    let fields = survey.schema().fields().iter().enumerate();
    let places: Vec<usize> = fields.filter(|(_, field)| wanted(field)).map(|(place, _)| place).collect();
    if places.is_empty() {
        return None;
    }
    let files = survey.files().iter().enumerate();
    let parts = files
        .flat_map(|(file, surveyed)| (0..surveyed.chunks.len()).map(move |chunk| Part { file, chunk, rows: u64::MAX }));
    let parts = parts.collect();
    let batches = Batches::new(Arc::new(input.clone()), Arc::clone(survey), parts, places, BATCH_ROWS).ok()?;
    let mut batches = batches.with_lines();
    while let Some(batch) = batches.next() {
        let (file, batch) = batch.ok()?;
        shutdown::check().ok()?;
        if let Some((row, column)) = sought.first_in(&batch) {
            return Some((format!("{}, line {}", input.files.get(file)?.source, batches.line_of(row)?), column));
        }
    }
    None
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        || matches!(data_type, DataType::Dictionary(_, values) if **values == DataType::Utf8)
}
