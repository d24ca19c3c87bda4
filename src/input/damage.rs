//! After a query failed on its data: which Parquet file is the damaged one.
//!
//! The query's reader does not name the file it failed in, so every file is read once more, one after another, until
//! one fails. This only happens on the way out.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Input;
use crate::contain::contain;
use crate::job::Format;

/// The first Parquet file that cannot be read to its end, and why.
pub fn find_damaged(inputs: &[Input]) -> Option<(PathBuf, String)> {
    let parquet = inputs.iter().filter(|input| input.format == Format::Parquet);
    parquet.flat_map(|input| &input.files).find_map(|file| {
        let why = contain(|| read_all(&file.path)).unwrap_or_else(Err).err()?;
        Some((file.path.clone(), why))
    })
}

fn read_all(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    for batch in reader.map_err(|error| error.to_string())? {
        batch.map_err(|error| error.to_string())?;
    }
    Ok(())
}
