//! After a query failed on its data: which Parquet file is the damaged one, and where in it.
//!
//! The query's reader does not name the file it failed in, so every file is read once more, one column of one row group
//! after another, until one fails. This only happens on the way out.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::Input;
use crate::contain::contain;
use crate::job::Format;

/// Rows of a batch.
const BATCH_ROWS: usize = 1_024;

/// The first Parquet file that cannot be read to its end, and why.
pub fn find_damaged(inputs: &[Input]) -> Option<(PathBuf, String)> {
    let parquet = inputs.iter().filter(|input| input.format == Format::Parquet);
    let mut files = parquet.flat_map(|input| input.files.iter().map(move |file| (input, file)));
    files.find_map(|(input, file)| {
        let metadata = input.metadata(file)?;
        let read = || {
            let metadata = metadata.get().map_err(|error| error.chain().join(": "))?;
            let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::default());
            read_all(&file.path, &metadata.map_err(|error| error.to_string())?)
        };
        let why = contain(read).unwrap_or_else(Err).err()?;
        Some((file.path.clone(), why))
    })
}

/// Reads a file to its end, column by column: beside another one, a column that is too short is told as an error that
/// names neither.
fn read_all(path: &Path, metadata: &ArrowReaderMetadata) -> Result<(), String> {
    for (group, of_group) in metadata.metadata().row_groups().iter().enumerate() {
        for (column, field) in metadata.schema().fields().iter().enumerate() {
            let place = format!("column {} of row group {group}", field.name());
            let rows = contain(|| read_chunk(path, metadata, group, column)).unwrap_or_else(Err);
            let rows = rows.map_err(|why| format!("{place}: {why}"))?;
            if i64::try_from(rows) != Ok(of_group.num_rows()) {
                return Err(format!("{place} holds {rows} rows, its footer says {}", of_group.num_rows()));
            }
        }
    }
    Ok(())
}

/// Rows of one column in one row group.
fn read_chunk(path: &Path, metadata: &ArrowReaderMetadata, group: usize, column: usize) -> Result<u64, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let only = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let builder = builder.with_projection(only).with_row_groups(vec![group]).with_batch_size(BATCH_ROWS);
    let mut rows = 0;
    for batch in builder.build().map_err(|error| error.to_string())? {
        rows += batch.map_err(|error| error.to_string())?.num_rows() as u64;
    }
    Ok(rows)
}
