//! After a query failed on its data: which Parquet file is the damaged one.
//!
//! The query's reader does not name the file it failed in, so every file is read once more, one after another, until
//! one fails. This only happens on the way out.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::Input;
use crate::contain::contain;
use crate::job::Format;

/// The first Parquet file that cannot be read to its end, and why.
pub fn find_damaged(inputs: &[Input]) -> Option<(PathBuf, String)> {
    let parquet = inputs.iter().filter(|input| input.format == Format::Parquet);
    parquet.flat_map(|input| &input.files).find_map(|file| {
        let promised = file.footer.as_ref().map(|footer| footer.rows);
        let why = contain(|| read_all(&file.path, promised)).unwrap_or_else(Err).err()?;
        Some((file.path.clone(), why))
    })
}

/// Reads a file to its end, which must come after so many rows, column by column: beside another one, a column that is
/// too short is told as an error that names neither.
fn read_all(path: &Path, promised: Option<u64>) -> Result<(), String> {
    let text = |error: parquet::errors::ParquetError| error.to_string();
    let open = || File::open(path).map_err(|error| error.to_string());
    let metadata = ArrowReaderMetadata::load(&open()?, ArrowReaderOptions::default()).map_err(text)?;
    for (column, field) in metadata.schema().fields().iter().enumerate() {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open()?, metadata.clone());
        let only = ProjectionMask::roots(builder.parquet_schema(), [column]);
        let mut rows = 0;
        for batch in builder.with_projection(only).build().map_err(text)? {
            rows += batch.map_err(|error| error.to_string())?.num_rows() as u64;
        }
        if promised.is_some_and(|promised| promised != rows) {
            let promised = promised.unwrap_or_default();
            return Err(format!("its column {} holds {rows} rows, its footer says {promised}", field.name()));
        }
    }
    Ok(())
}
