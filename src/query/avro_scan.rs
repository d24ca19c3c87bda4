//! How the query reads Avro: block by block, each checked before it is decoded, and brought to the table's columns.
//!
//! DataFusion's own reader takes a file that is cut off for one that ends, waits for ever on a block that holds more than
//! it says, and unpacks whatever a block unpacks to.
//!
//! Not for: the columns of all files together, which `input` settles.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow_avro::reader::{Reader, ReaderBuilder};
use datafusion::common::nested_struct::cast_column;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use crate::error::Error;
use crate::input::avro::{self, Blocks};

/// A file, and the values of the partition columns in its path.
#[derive(Clone, Debug)]
pub(super) struct AvroFile {
    pub(super) path: PathBuf,
    pub(super) partitions: Vec<ScalarValue>,
}

/// Files that are read one after another.
#[derive(Debug)]
pub(super) struct AvroFiles {
    files: Vec<AvroFile>,
    /// The columns that are asked for.
    schema: SchemaRef,
    /// Names of the partition columns, in the order of their values.
    partition_names: Vec<String>,
}

impl AvroFiles {
    /// Reads the columns of `schema`, of which those in `partition_names` are in the files' paths.
    pub(super) fn new(files: Vec<AvroFile>, schema: SchemaRef, partition_names: Vec<String>) -> Self {
        Self { files, schema, partition_names }
    }
}

impl PartitionStream for AvroFiles {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size();
        let (schema, names) = (Arc::clone(&self.schema), self.partition_names.clone());
        let batches =
            self.files.clone().into_iter().flat_map(move |file| match Batches::open(&file, &schema, &names, rows) {
                Ok(batches) => Box::new(batches) as Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
                Err(error) => Box::new(std::iter::once(Err(error))),
            });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}

/// Where a column of the table comes from.
#[derive(Debug)]
enum Source {
    File(usize),
    Path(ScalarValue),
    Nowhere,
}

/// The batches of one file.
struct Batches {
    path: PathBuf,
    reader: Reader<Blocks>,
    schema: SchemaRef,
    sources: Vec<Source>,
    rows: usize,
    /// Records without any bytes, of which the reader gives none.
    empty: Arc<AtomicU64>,
    failed: bool,
}

impl Batches {
    fn open(file: &AvroFile, schema: &SchemaRef, names: &[String], rows: usize) -> Result<Self> {
        let told = |error| external(Error::input(format!("{} cannot be read", file.path.display())).because(error));
        let open = || avro::open(&file.path).map_err(external);
        let all = ReaderBuilder::new().build(open()?).map_err(told)?.schema();
        let (mut used, mut sources) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            sources.push(match names.iter().position(|name| name == field.name()) {
                Some(at) => Source::Path(file.partitions[at].clone()),
                None => match all.index_of(field.name()) {
                    Ok(at) => {
                        used.push(at);
                        Source::File(used.len() - 1)
                    }
                    Err(_) => Source::Nowhere,
                },
            });
        }
        let blocks = open()?;
        let empty = blocks.empty_records();
        let builder = ReaderBuilder::new().with_batch_size(rows).with_projection(used);
        let reader = builder.build(blocks).map_err(told)?;
        let (path, schema) = (file.path.clone(), Arc::clone(schema));
        Ok(Self { path, reader, schema, sources, rows, empty, failed: false })
    }

    /// The columns of the table, of so many rows.
    fn table(&self, rows: usize, column: impl Fn(usize) -> ArrayRef) -> Result<RecordBatch> {
        // Text that is no number must not become a null on its way to another type.
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.sources.iter().zip(self.schema.fields()).map(|(source, field)| match source {
            Source::File(at) => cast_column(&column(*at), field.data_type(), &exact),
            Source::Path(value) => value.to_array_of_size(rows),
            Source::Nowhere => Ok(new_null_array(field.data_type(), rows)),
        });
        let columns = columns.collect::<Result<Vec<_>>>().map_err(|error| {
            external(
                Error::input(format!("{} cannot be brought to the columns of all files", self.path.display()))
                    .because(error),
            )
        })?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Rows of records without bytes: every field is null.
    fn empty_rows(&self) -> Option<Result<RecordBatch>> {
        let all = self.empty.load(Ordering::Relaxed);
        let rows = usize::try_from(all).unwrap_or(usize::MAX).min(self.rows);
        self.empty.fetch_sub(rows as u64, Ordering::Relaxed);
        let fields = self.reader.schema();
        (rows > 0).then(|| match fields.fields().iter().find(|field| *field.data_type() != DataType::Null) {
            None => self.table(rows, |_| new_null_array(&DataType::Null, rows)),
            Some(field) => {
                let path = self.path.display();
                let name = field.name();
                Err(external(Error::input(format!(
                    "{path}: its records have no bytes, so column {name} has no values"
                ))))
            }
        })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = match self.reader.next() {
            Some(Ok(batch)) => Some(self.table(batch.num_rows(), |at| Arc::clone(batch.column(at)))),
            Some(Err(error)) => {
                let message = format!("{} cannot be read to its end", self.path.display());
                Some(Err(external(Error::input(message).because(error))))
            }
            None => self.empty_rows(),
        };
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
