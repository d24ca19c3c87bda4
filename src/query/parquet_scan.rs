//! Reads Parquet with the metadata that `input` has checked, not with the file's own footer.
//!
//! DataFusion's own reader would parse the footer again, and use statistics and indexes that were never checked.
//!
//! Not for: reading and correcting the metadata, which `input` does.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::physical_plan::parquet::{DefaultParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::object_store::{ObjectStore, PutPayload};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::error::Error;
use crate::input::{ChunkCheck, Metadata, ObjectFile};

/// Bytes of a file, as object stores return them.
type Bytes = <PutPayload as IntoIterator>::Item;

/// A Parquet source whose files carry their [`Metadata`] as an extension.
pub(super) fn source(schema: TableSchema, store: Arc<dyn ObjectStore>) -> ParquetSource {
    let mut options = TableParquetOptions::default();
    options.global.enable_page_index = false;
    options.global.bloom_filter_on_read = false;
    let readers = Readers(DefaultParquetFileReaderFactory::new(store));
    ParquetSource::new(schema).with_table_parquet_options(options).with_parquet_file_reader_factory(Arc::new(readers))
}

#[derive(Debug)]
struct Readers(DefaultParquetFileReaderFactory);

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let metadata = file.extension::<Metadata>().cloned();
        let metadata = metadata.ok_or_else(|| DataFusionError::Internal("a file has no metadata".to_owned()))?;
        let bytes = match metadata.source().remote() {
            Some(object) => Box::new(ObjectBytes(Arc::clone(object))),
            None => self.0.create_reader(partition, file, hint, metrics)?,
        };
        Ok(Box::new(Reader { bytes, metadata, check: None }))
    }
}

struct Reader {
    bytes: Box<dyn AsyncFileReader + Send>,
    metadata: Metadata,
    /// Set once the metadata was requested, which happens before any chunk is read.
    check: Option<ChunkCheck>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("file", &self.metadata.source().to_string()).finish_non_exhaustive()
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.bytes.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            let bytes = self.bytes.get_byte_ranges(ranges.clone()).await?;
            if let Some(check) = &mut self.check {
                let mut read = ranges.iter().zip(&bytes);
                read.try_for_each(|(range, bytes)| check.check(range, bytes)).map_err(external)?;
            }
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let metadata = self.metadata.get().map_err(external);
        if let Ok(metadata) = &metadata {
            self.check = Some(ChunkCheck::new(&self.metadata, Arc::clone(metadata)));
        }
        async move { metadata }.boxed()
    }
}

/// The bytes of an object.
struct ObjectBytes(Arc<ObjectFile>);

impl AsyncFileReader for ObjectBytes {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = self.0.ranges(vec![range]);
        async move { Ok(read.await.map_err(external)?.pop().unwrap_or_default()) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let read = self.0.ranges(ranges);
        async move { read.await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let internal = || ParquetError::General("the metadata of an object is known".to_owned());
        async move { Err(internal()) }.boxed()
    }
}

fn external(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
