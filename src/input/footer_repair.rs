//! Corrects a footer for the reader: known mistakes of writers are fixed, what cannot be trusted is dropped.
//!
//! - A dictionary page at offset 0, or behind the data, does not exist (parquet-mr up to 1.8 writes 0).
//! - Enums and JSON become strings, so that the reader checks their UTF-8.
//! - Statistics must never change an answer. Only those of integers, and of dates, times and decimals stored as
//!   integers, are kept, if they are in the fields with a defined order, have a null count, and the column is not
//!   widened. Readers take a missing null count for zero, floats have NaN and two zeros, strings were once ordered by
//!   signed bytes.
//! - Page indexes and Bloom filters are dropped.
//! - Of the writer's key-value metadata only the Arrow schema to read by is kept.
//!
//! Not for: contradictions, which `footer` rejects.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, Schema};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema, parquet_to_arrow_schema};
use parquet::basic::{ColumnOrder, ConvertedType, LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataBuilder};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::layout::{plain_field, settle_fields, views};
use super::statistics;

/// The metadata with corrected dictionary offsets and string types.
///
/// # Errors
/// Those of the Parquet reader.
pub(super) fn put_right(metadata: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata().clone();
    let schema = match with_texts(file.schema())? {
        Some(root) => Arc::new(SchemaDescriptor::new(Arc::new(root))),
        None => file.schema_descr_ptr(),
    };
    let notes = file.key_value_metadata().cloned();
    change(metadata, (schema, notes), |column, _| match column.dictionary_page_offset() {
        Some(offset) if !(1..column.data_page_offset()).contains(&offset) => {
            column.into_builder().set_dictionary_page_offset(None).build()
        }
        _ => Ok(column),
    })
}

/// The columns of a file in the canonical layout; the writer's Arrow schema is used where it can be trusted.
///
/// # Errors
/// The Parquet reader's, for a type that it does not know.
pub(super) fn columns(file: &FileMetaData) -> Result<Fields, ParquetError> {
    let plain = |schema: Schema| -> Fields { schema.fields().iter().map(plain_field).collect() };
    let said = plain(parquet_to_arrow_schema(file.schema_descr(), None)?);
    // An Arrow schema that does not fit does not make the file unreadable: Parquet's own schema is enough.
    Ok(match parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).map(plain) {
        Ok(noted) if noted.len() == said.len() => settle_fields(&noted, &said),
        _ => said,
    })
}

/// The metadata that the query reads by: columns have the types of `own`, with strings as views, and statistics are
/// kept if they can be trusted and the column in `table` has the file's own type.
///
/// # Errors
/// Those of the Parquet reader.
pub(super) fn for_query(
    metadata: ParquetMetaData,
    own: &Schema,
    table: &Schema,
) -> Result<ParquetMetaData, ParquetError> {
    let layout = Schema::new(own.fields().iter().map(views).collect::<Fields>());
    let note = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&layout));
    let types = |schema: &Schema| -> HashMap<String, DataType> {
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    let (own, table) = (types(own), types(table));
    let as_it_is = |column: &ColumnChunkMetaData| match column.column_path().parts() {
        [name] => own.get(name).is_some_and(|own| is_whole(own) && table.get(name) == Some(own)),
        _ => false,
    };
    let schema = metadata.file_metadata().schema_descr_ptr();
    change(metadata, (schema, Some(vec![note])), |column, order| {
        let trusted = as_it_is(&column) && statistics::are_trusted(&column, order);
        let builder = column
            .into_builder()
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .set_offset_index_offset(None)
            .set_offset_index_length(None)
            .set_bloom_filter_offset(None)
            .set_bloom_filter_length(None);
        if trusted { builder } else { builder.clear_statistics() }.build()
    })
}

/// Types whose statistics are integers.
fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Decimal128(..)
        )
}

/// Replaces the schema and the key-value metadata, and applies `corrected` to every column chunk.
fn change(
    metadata: ParquetMetaData,
    (schema, notes): (Arc<SchemaDescriptor>, Option<Vec<KeyValue>>),
    corrected: impl Fn(ColumnChunkMetaData, ColumnOrder) -> Result<ColumnChunkMetaData, ParquetError>,
) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata();
    let orders = file.column_orders().cloned();
    let order =
        |at: usize| orders.as_ref().and_then(|orders| orders.get(at)).copied().unwrap_or(ColumnOrder::UNDEFINED);
    let created_by = file.created_by().map(str::to_owned);
    let changed =
        FileMetaData::new(file.version(), file.num_rows(), created_by, notes, schema, file.column_orders().cloned());
    let groups = ParquetMetaDataBuilder::new_from_metadata(metadata).take_row_groups().into_iter().map(|group| {
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().enumerate();
        let columns = columns.map(|(at, column)| corrected(column, order(at))).collect::<Result<_, _>>()?;
        group.set_column_metadata(columns).build()
    });
    Ok(ParquetMetaDataBuilder::new(changed).set_row_groups(groups.collect::<Result<_, _>>()?).build())
}

/// The schema with enums and JSON as strings; none if it has neither.
fn with_texts(schema: &Type) -> Result<Option<Type>, ParquetError> {
    let info = schema.get_basic_info();
    if schema.is_primitive() {
        let text = matches!(info.logical_type_ref(), Some(LogicalType::Enum | LogicalType::Json))
            || matches!(info.converted_type(), ConvertedType::ENUM | ConvertedType::JSON);
        if !text || schema.get_physical_type() != Physical::BYTE_ARRAY {
            return Ok(None);
        }
        let text = Type::primitive_type_builder(schema.name(), Physical::BYTE_ARRAY)
            .with_repetition(info.repetition())
            .with_logical_type(Some(LogicalType::String))
            .with_id(info.has_id().then(|| info.id()));
        return text.build().map(Some);
    }
    let changed = schema.get_fields().iter().map(|field| with_texts(field)).collect::<Result<Vec<_>, _>>()?;
    if changed.iter().all(Option::is_none) {
        return Ok(None);
    }
    let fields = changed
        .into_iter()
        .zip(schema.get_fields())
        .map(|(changed, field)| changed.map_or_else(|| Arc::clone(field), Arc::new));
    let mut group = Type::group_type_builder(schema.name())
        .with_fields(fields.collect())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_id(info.has_id().then(|| info.id()));
    if info.logical_type_ref().is_none() {
        group = group.with_converted_type(info.converted_type());
    }
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    group.build().map(Some)
}
