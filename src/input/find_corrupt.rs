//! After a query failed on its data: finds the corrupt Parquet file, and the place in it.
//!
//! The query's reader does not name the file it failed in, so every file is read again, one column of one row group at
//! a time, until one fails. This happens only after a failure.

use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::find_value::chunks;
use super::layout::plain;
use super::source::Opened;
use super::{Input, InputFile, contract};
use crate::catch_panic::contain;
use crate::error::Error;
use crate::job::Format;

/// Rows per batch.
const BATCH_ROWS: usize = 1_024;

/// Describes the first Parquet file that cannot be read to its end, or whose values do not fit the type that its column
/// has in all files together.
pub fn find_damaged(inputs: &[Input]) -> Option<Error> {
    let parquet = inputs.iter().filter(|input| input.format == Format::Parquet);
    let mut files = parquet.flat_map(|input| input.files.iter().map(move |file| (input, file)));
    files.find_map(|(input, file)| {
        let path = &file.source;
        let fault = contain(|| read_all(input, file)).unwrap_or_else(|panic| Err(Fault::Damaged(panic))).err()?;
        Some(match fault {
            Fault::Damaged(why) => Error::input(format!("{path} is damaged: {why}; write it again, then run again")),
            Fault::Unfit(why) => Error::input(format!("{path}: {why}; write it with the same type as the other files")),
            Fault::Unread(error) => error,
        })
    })
}

/// What is wrong with a file.
enum Fault {
    /// It cannot be read.
    Damaged(String),
    /// Its values do not fit the type of all files.
    Unfit(String),
    /// Its bytes cannot be had.
    Unread(Error),
}

/// Reads a file to its end, one column at a time: when columns are read together, the error about one that is too short
/// names none of them.
fn read_all(input: &Input, file: &InputFile) -> Result<(), Fault> {
    let (Some(metadata), Some(table)) = (input.metadata(file), input.schema()) else { return Ok(()) };
    let metadata = metadata.get().map_err(|error| Fault::Damaged(error.chain().join(": ")))?;
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default());
    let metadata = metadata.map_err(|error| Fault::Damaged(error.to_string()))?;
    let opened = file.source.open().map_err(Fault::Unread)?;
    for (group, of_group) in metadata.metadata().row_groups().iter().enumerate() {
        for (column, field) in metadata.schema().fields().iter().enumerate() {
            let place = format!("column {} of row group {group}", field.name());
            let wanted = wanted(&table, field.name(), field.data_type());
            let rows = contain(|| read_chunk((file, &opened), &metadata, (group, column), wanted));
            let rows = rows.unwrap_or_else(|panic| Err(Fault::Damaged(panic))).map_err(|fault| match fault {
                Fault::Damaged(why) => Fault::Damaged(format!("{place}: {why}")),
                Fault::Unfit(why) => Fault::Unfit(format!("{place} {why}")),
                unread => unread,
            })?;
            if i64::try_from(rows) != Ok(of_group.num_rows()) {
                let promised = of_group.num_rows();
                return Err(Fault::Damaged(format!("{place} holds {rows} rows, its footer says {promised}")));
            }
        }
    }
    Ok(())
}

/// The type that a column has in all files together, if it differs from the file's and is not nested.
fn wanted<'a>(table: &'a Schema, name: &str, own: &DataType) -> Option<&'a DataType> {
    let all = table.field_with_name(name).ok()?.data_type();
    (*all != plain(own) && !all.is_nested()).then_some(all)
}

/// Reads one column of one row group, checks that its values fit the wanted type, and returns their number.
fn read_chunk(
    (file, opened): (&InputFile, &Opened),
    metadata: &ArrowReaderMetadata,
    (group, column): (usize, usize),
    wanted: Option<&DataType>,
) -> Result<u64, Fault> {
    let damaged = |why: String| Fault::Damaged(why);
    let only = ProjectionMask::roots(metadata.parquet_schema(), [column]);
    let read = opened.chunks(chunks(metadata.metadata().row_group(group), &only));
    let read = file.source.with_source("read", read).map_err(Fault::Unread)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(read, metadata.clone());
    let builder = builder.with_projection(only).with_row_groups(vec![group]).with_batch_size(BATCH_ROWS);
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let mut rows = 0;
    for batch in builder.build().map_err(|error| damaged(error.to_string()))? {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        rows += batch.num_rows() as u64;
        if let Some(wanted) = wanted {
            cast_with_options(batch.column(0), wanted, &exact).map_err(|error| {
                Fault::Unfit(format!(
                    "does not fit into {}, its type in all files together: {error}",
                    contract::type_name(wanted)
                ))
            })?;
        }
    }
    Ok(rows)
}
