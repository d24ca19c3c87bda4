//! Scan operator for Avro: reads block by block, checks each block before it is decoded, and casts to the table's
//! columns.
//!
//! DataFusion's own reader takes a truncated file for a complete one, waits forever on a block with more bytes than its
//! header says, and decompresses blocks of any size. Each file is decoded in bounded parts, as rows may be large and a
//! batch holds many.
//!
//! Not for: merging the columns of all files, which `input` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

use crate::error::{Error, Kind};
use crate::input::Source as File;
use crate::input::avro::{self, Blocks, Part};

/// Bytes of decompressed blocks whose rows may go into one batch.
const PART_BYTES: usize = 16 << 20;

/// A file, and the values of the partition columns from its path.
#[derive(Clone, Debug)]
pub(super) struct AvroFile {
    pub(super) source: File,
    pub(super) partitions: Vec<ScalarValue>,
}

/// Files that are read one after another.
#[derive(Debug)]
pub(super) struct AvroFiles {
    files: Vec<AvroFile>,
    /// The columns to return.
    schema: SchemaRef,
    /// Names of the partition columns, in the order of their values.
    partition_names: Vec<String>,
}

impl AvroFiles {
    /// Reads the columns of `schema`; those named in `partition_names` come from the files' paths.
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
    file: File,
    blocks: Arc<Mutex<Blocks>>,
    /// The columns of the file that are used, by index.
    used: Vec<usize>,
    reader: Reader<Part>,
    schema: SchemaRef,
    sources: Vec<Source>,
    rows: usize,
    failed: bool,
}

impl Batches {
    fn open(file: &AvroFile, schema: &SchemaRef, names: &[String], rows: usize) -> Result<Self> {
        let blocks = Arc::new(Mutex::new(avro::open(&file.source).map_err(external)?));
        let all = reader(&file.source, &blocks, 0, None, rows)?.schema();
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
        let reader = reader(&file.source, &blocks, PART_BYTES, Some(&used), rows)?;
        let (file, schema) = (file.source.clone(), Arc::clone(schema));
        Ok(Self { file, blocks, used, reader, schema, sources, rows, failed: false })
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes the next batch of the file.
    fn decoded(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(batch) = self.reader.next() {
                return Some(batch.map_err(|error| unread(&self.file, error)));
            }
            let at_end = self.blocks().at_end();
            match at_end.map_err(|error| unread(&self.file, error)) {
                Ok(true) => return None,
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
            match reader(&self.file, &self.blocks, PART_BYTES, Some(&self.used), self.rows) {
                Ok(next) => self.reader = next,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The table's columns for a batch of `rows` rows.
    fn table(&self, rows: usize, column: impl Fn(usize) -> ArrayRef) -> Result<RecordBatch> {
        // A string that is not a number must fail the cast, not become null.
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.sources.iter().zip(self.schema.fields()).map(|(source, field)| match source {
            Source::File(at) => cast_column(&column(*at), field.data_type(), &exact),
            Source::Path(value) => value.to_array_of_size(rows),
            Source::Nowhere => Ok(new_null_array(field.data_type(), rows)),
        });
        let columns = columns.collect::<Result<Vec<_>>>().map_err(|error| {
            external(Error::input(format!("{} does not fit the input's merged schema", self.file)).because(error))
        })?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Rows of records that are zero bytes long: every field is null.
    fn empty_rows(&self) -> Option<Result<RecordBatch>> {
        let rows = self.blocks().take_empty(self.rows as u64) as usize;
        let fields = self.reader.schema();
        (rows > 0).then(|| match fields.fields().iter().find(|field| *field.data_type() != DataType::Null) {
            None => self.table(rows, |_| new_null_array(&DataType::Null, rows)),
            Some(field) => {
                let path = &self.file;
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
        let batch = match self.decoded() {
            Some(batch) => {
                Some(batch.and_then(|batch| self.table(batch.num_rows(), |at| Arc::clone(batch.column(at)))))
            }
            None => self.empty_rows(),
        };
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

/// Decodes the next part of a file: all of its columns, or those at the given indexes.
fn reader(
    file: &File,
    blocks: &Arc<Mutex<Blocks>>,
    bytes: usize,
    columns: Option<&[usize]>,
    rows: usize,
) -> Result<Reader<Part>> {
    let builder = ReaderBuilder::new().with_batch_size(rows);
    let builder = columns.into_iter().fold(builder, |builder, columns| builder.with_projection(columns.to_vec()));
    builder.build(Part::new(blocks, bytes)).map_err(|error| unread(file, error))
}

fn unread(file: &File, error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    let kind = Error::inside(&error).map_or(Kind::Input, Error::kind);
    external(Error::new(kind, format!("{file} cannot be read")).because(error))
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
