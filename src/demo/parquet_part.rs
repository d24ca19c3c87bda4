//! One Parquet file of sample data: written under a temporary name, renamed when complete.
//!
//! The temporary name starts with a dot, so that a job that reads the directory meanwhile ignores it. An unfinished
//! file is removed.
//!
//! Not for: versions of a store; losing sample data in a power cut costs nothing, so nothing is synced here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, IoContext, Result};

/// Rows in a row group: what one file's writer holds in memory at a time, encoded and compressed.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// A Parquet file being written.
pub(super) struct Part {
    writer: Option<ArrowWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Part {
    /// Starts `directory/part-00000.parquet`, for number 0.
    pub(super) fn create(directory: &Path, number: usize, schema: SchemaRef) -> Result<Self> {
        let name = name(number);
        let (path, temporary) = (directory.join(&name), directory.join(format!(".{name}.tmp")));
        let file = File::create(&temporary).io("create", &temporary)?;
        let level = ZstdLevel::try_new(1).map_err(|error| Error::internal("zstd has no level 1").because(error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("cutover demo".to_owned())
            .build();
        let mut part = Self { writer: None, temporary, path };
        part.writer = Some(ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| part.failed(error))?);
        Ok(part)
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let written = self.writer.as_mut().map_or(Ok(()), |writer| writer.write(batch));
        written.map_err(|error| self.failed(error))
    }

    /// Writes the footer and renames the file.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(|error| self.failed(error))?;
        }
        fs::rename(&self.temporary, &self.path).io("replace", &self.path)
    }

    fn failed(&self, error: ParquetError) -> Error {
        Error::unavailable(format!("cannot write {}", self.path.display())).because(error)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a rename there is nothing under this name any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Removes parts with a number of `count` or more, which an earlier, larger set left.
pub(super) fn remove_from(directory: &Path, count: usize) -> Result<()> {
    for entry in fs::read_dir(directory).io("list", directory)? {
        let path = entry.io("list", directory)?.path();
        let number = path.file_name().and_then(|name| parse(name.to_str()?));
        if number.is_some_and(|number| number >= count) {
            fs::remove_file(&path).io("remove", &path)?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

fn parse(text: &str) -> Option<usize> {
    let number = text.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()?;
    (name(number) == text).then_some(number)
}
