//! Entries as Arrow: record batches that other libraries take through PyCapsules, without copies.
//!
//! ```text
//! columns of the key, columns of the value                    as the job's query had them
//! columns of the key, `entries`: a list of structs            where a value is a list of records
//! `key` and `value`, binary                                   with raw=True
//! ```
//! Keys and values become one JSON object per entry, which Arrow's own decoder reads by the types in the manifest.
//!
//! Not for: Python values (`version`).

use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, BinaryBuilder, RecordBatch, RecordBatchReader, StructArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowSchema, to_ffi};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use arrow::json::reader::{Decoder, ReaderBuilder};
use cutover::error::{Error, Kind, Result};
use cutover::format::{Encoding, KeySchema, ValueSchema};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::cursor::Cursor;
use crate::detached::detached;
use crate::errors::{OrRaise, raised};
use crate::{fork, keys, type_parser};

/// Entries of a batch, and bytes of them after which it is complete.
const ENTRIES: usize = 1 << 16;
const BYTES: usize = 16 << 20;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
const STREAM: &CStr = c"arrow_array_stream";

/// Makes record batches of entries.
#[derive(Clone)]
struct Batches {
    cursor: Cursor,
    /// What consumers see.
    schema: SchemaRef,
    /// The same for the decoder, which knows no names of time zones: timestamps are instants anyway.
    decoded: SchemaRef,
    raw: bool,
}

impl Batches {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = if self.raw { self.next_raw()? } else { self.next_decoded()? };
        Ok(batch.filter(|batch| batch.num_rows() > 0))
    }

    fn next_raw(&mut self) -> Result<Option<RecordBatch>> {
        let (mut keys, mut values) = (BinaryBuilder::new(), BinaryBuilder::new());
        self.cursor.piece(ENTRIES as u64, BYTES, |key, value| {
            keys.append_value(key);
            values.append_value(value);
            Ok(())
        })?;
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(keys.finish()), Arc::new(values.finish())];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map(Some).map_err(undecodable)
    }

    fn next_decoded(&mut self) -> Result<Option<RecordBatch>> {
        let version = self.cursor.share();
        let (key_schema, value_schema) = (version.key_schema(), version.value_schema());
        let mut decoder = self.decoder().map_err(undecodable)?;
        let (mut object, names) = (Vec::new(), keys::names(key_schema));
        self.cursor.piece(ENTRIES as u64, BYTES, |key, value| {
            object.clear();
            object.push(b'{');
            keys::members(key_schema, &names, key, &mut object)?;
            append_value(value_schema, value, &mut object)?;
            let read = decoder.decode(&object).map_err(undecodable)?;
            if read == object.len() { Ok(()) } else { Err(Error::corrupt("a stored value is not one JSON document")) }
        })?;
        decoder.flush().map_err(undecodable)
    }

    fn decoder(&self) -> std::result::Result<Decoder, ArrowError> {
        ReaderBuilder::new(Arc::clone(&self.decoded))
            .with_strict_mode(true)
            .with_batch_size(ENTRIES + 1)
            .build_decoder()
    }
}

/// Appends the members of a value to an object that ends in a comma, and closes it.
fn append_value(schema: &ValueSchema, value: &[u8], object: &mut Vec<u8>) -> Result<()> {
    let text;
    let body = match schema.encoding {
        Encoding::Json => value,
        _ => {
            text = schema.to_text(value)?;
            text.as_bytes()
        }
    };
    if schema.list && schema.encoding == Encoding::Json {
        object.extend_from_slice(b"\"entries\":");
        object.extend_from_slice(body);
        object.push(b'}');
        return Ok(());
    }
    match body.strip_prefix(b"{") {
        Some(b"}") => {
            object.pop();
            object.push(b'}');
        }
        Some(members) => object.extend_from_slice(members),
        None => return Err(Error::corrupt("a stored value is not a JSON object")),
    }
    Ok(())
}

fn undecodable(error: ArrowError) -> Error {
    Error::corrupt("a stored value does not decode by the types in its manifest").because(error)
}

impl Iterator for Batches {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Batches::next(self).map_err(|error| ArrowError::ExternalError(error.chain().join(": ").into())).transpose()
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The columns of decoded entries; a message when Arrow has no type for one of them here.
fn columns(key: &KeySchema, value: &ValueSchema) -> std::result::Result<Vec<Field>, String> {
    let as_bytes = "use raw=True for their bytes";
    if value.encoding == Encoding::Raw {
        return Err(format!("the values of this dataset have no columns: {as_bytes}"));
    }
    let field = |name: &str, type_name: &str, nullable: bool| match data_type(type_name) {
        Some(data_type) => Ok(Field::new(name, data_type, nullable)),
        None => Err(format!("column {name:?} is of type {type_name}, which to_arrow does not decode: {as_bytes}")),
    };
    let mut fields = Vec::new();
    for column in &key.columns {
        fields.push(field(&column.name, &column.type_name, false)?);
    }
    if key.numbered {
        fields.push(Field::new(keys::NUMBER, DataType::UInt64, false));
    }
    let of_value = value.columns.iter().map(|column| field(&column.name, &column.type_name, column.nullable));
    let of_value = of_value.collect::<std::result::Result<Vec<_>, _>>()?;
    match value.list {
        true => {
            let entry = Field::new_list_field(DataType::Struct(of_value.into()), false);
            fields.push(Field::new("entries", DataType::List(Arc::new(entry)), false));
        }
        false => fields.extend(of_value),
    }
    let twice = |field: &&Field| fields.iter().filter(|other| other.name() == field.name()).count() > 1;
    match fields.iter().find(twice) {
        Some(field) => Err(format!("two columns are called {:?}: {as_bytes}", field.name())),
        None => Ok(fields),
    }
}

fn data_type(name: &str) -> Option<DataType> {
    if name == "binary" { Some(DataType::Binary) } else { type_parser::nested_from_name(name) }
}

/// The field with an offset for each time zone.
fn in_offsets(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::List(item) => DataType::List(Arc::new(in_offsets(item))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| in_offsets(field)).collect()),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Entries for libraries that know Arrow's interface for Python. It can be read any number of times.
#[pyclass(frozen, module = "cutover")]
pub(crate) struct ArrowStream {
    batches: Batches,
}

impl ArrowStream {
    pub(crate) fn new(cursor: Cursor, raw: bool) -> std::result::Result<Self, String> {
        let version = cursor.version();
        let fields = match raw {
            true => ["key", "value"].map(|name| Field::new(name, DataType::Binary, false)).to_vec(),
            false => columns(version.key_schema(), version.value_schema())?,
        };
        let metadata = [
            ("cutover.dataset".to_owned(), version.manifest().dataset.clone()),
            ("cutover.version".to_owned(), version.number().to_string()),
        ];
        let decoded = fields.iter().map(in_offsets).collect::<Vec<_>>();
        let decoded = Arc::new(Schema::new(decoded));
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata.into()));
        Ok(Self { batches: Batches { cursor, schema, decoded, raw } })
    }

    pub(crate) fn batches(&self) -> ArrowBatches {
        ArrowBatches { batches: Mutex::new(self.batches.clone()) }
    }
}

fn schema_capsule<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyCapsule>> {
    let exported = FFI_ArrowSchema::try_from(schema).map_err(|error| raised(py, &undecodable(error)))?;
    PyCapsule::new_with_value(py, exported, SCHEMA)
}

#[pymethods]
impl ArrowStream {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.batches.schema)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer that asks for other types casts by itself: the interface allows to ignore the request.
        drop(requested_schema);
        fork::check(py)?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(self.batches.clone())), STREAM)
    }
}

/// Batches of entries.
#[pyclass(frozen, module = "cutover")]
pub(crate) struct ArrowBatches {
    batches: Mutex<Batches>,
}

#[pymethods]
impl ArrowBatches {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<ArrowBatch>> {
        fork::check(py)?;
        py.check_signals()?;
        let next = detached(py, || Batches::next(&mut self.batches.lock().unwrap_or_else(PoisonError::into_inner)));
        let Some(batch) = next.or_raise(py)? else { return Ok(None) };
        let schema = Arc::clone(&self.batches.lock().unwrap_or_else(PoisonError::into_inner).schema);
        Ok(Some(ArrowBatch { batch, schema }))
    }
}

/// One batch of entries.
#[pyclass(frozen, module = "cutover")]
pub(crate) struct ArrowBatch {
    batch: RecordBatch,
    schema: SchemaRef,
}

#[pymethods]
impl ArrowBatch {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema);
        let data = StructArray::from(self.batch.clone()).to_data();
        let (array, _) = to_ffi(&data).map_err(|error| raised(py, &Error::new(Kind::Internal, error.to_string())))?;
        let schema = schema_capsule(py, &self.schema)?;
        Ok((schema, PyCapsule::new_with_value(py, array, ARRAY)?))
    }
}
