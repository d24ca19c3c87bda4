//! Values as binary Avro records without a prefix: smaller than JSON, and readable only with the schema.
//!
//! ```text
//! columns ─▶ cast to the types of `avro_schema.rs` ─▶ `avro_write.rs`, row by row ─▶ value column
//! ```
//!
//! The schema is in the manifest; the fold prepends the single-object header, if configured, to the finished value.
//!
//! Not for: decoding (`avro_decode.rs`).

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::Fields;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SINGLE_OBJECT_MAGIC};
use serde_json::Value;

use super::avro_write::AvroField;
use super::cannot;
use super::cast::conform;
use super::map_keys::refuse_repeated;
use crate::encode::entry_batch::Column;
use crate::error::{Error, Result};

/// Writes records in Avro binary.
pub(in crate::encode) struct AvroEncoder {
    /// The columns' original names, for messages.
    names: Vec<String>,
    fields: Fields,
}

impl AvroEncoder {
    /// `names` are those of the columns, `fields` the Avro record's, from `avro_schema.rs`.
    pub(super) fn new(names: Vec<String>, fields: Fields) -> Self {
        Self { names, fields }
    }

    /// Appends one record per row.
    ///
    /// # Errors
    /// `Input` naming the column when a value does not fit its Avro type.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Column) -> Result<()> {
        let mut arrays = Vec::with_capacity(columns.len());
        for ((name, field), column) in self.names.iter().zip(&self.fields).zip(columns) {
            let array = conform(column, field.data_type()).map_err(|error| cannot("in Avro", name, error))?;
            refuse_repeated(name, &array)?;
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(Error::internal(format!("column '{name}' cannot be null by its type, but is")));
            }
            arrays.push(array);
        }
        let sites: Vec<_> = arrays
            .iter()
            .zip(&self.fields)
            .map(|(array, field)| AvroField::new(field, array))
            .collect::<Result<_>>()?;
        out.offsets.reserve(rows);
        for row in 0..rows {
            for site in &sites {
                site.write(row, &mut out.data);
            }
            out.end_row();
        }
        Ok(())
    }
}

/// The single-object header of records of this schema: `C3 01` and its 64-bit Rabin fingerprint, little-endian.
pub(super) fn single_object_header(schema: &Value) -> Result<Vec<u8>> {
    let fingerprint = AvroSchema::new(schema.to_string())
        .fingerprint(FingerprintAlgorithm::Rabin)
        .map_err(|error| Error::internal("cannot fingerprint the value's Avro schema").because(error))?;
    let Fingerprint::Rabin(fingerprint) = fingerprint else {
        return Err(Error::internal("the fingerprint of the value's Avro schema is not a Rabin fingerprint"));
    };
    Ok([&SINGLE_OBJECT_MAGIC[..], &fingerprint.to_le_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal256Array, Int64Array, RecordBatch, new_null_array};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Schema, i256};
    use arrow_avro::schema::SCHEMA_METADATA_KEY;
    use arrow_avro::writer::WriterBuilder;
    use arrow_avro::writer::format::AvroBinaryFormat;
    use proptest::prelude::*;

    use super::*;
    use crate::encode::value::ValueField;
    use crate::encode::value::avro_schema::record;

    proptest! {
        /// arrow-avro's encoder, given the same schema and columns, writes the same bytes.
        #[test]
        fn values_equal_those_that_arrow_avro_writes(
            longs in prop::collection::vec(any::<Option<i64>>(), 2..20), shift in 0_u32..64, texts in prop::collection::vec(any::<Option<String>>(), 20),
        ) {
            let rows = longs.len();
            let longs: Vec<_> = longs.into_iter().map(|value| value.map(|value| value >> shift)).collect();
            let long: ArrayRef = Arc::new(Int64Array::from(longs.clone()));
            let text: ArrayRef = Arc::new(texts[..rows].iter().map(Option::as_deref).collect::<arrow::array::StringArray>());
            let wide = longs.iter().map(|value| value.map(|value| i256::from_i128(i128::from(value)).wrapping_mul(i256::from_i128(i128::MAX))));
            let wide: ArrayRef = Arc::new(wide.collect::<Decimal256Array>().with_precision_and_scale(76, 3).unwrap());
            let cast = |array: &ArrayRef, to: DataType| arrow::compute::cast(array, &to).unwrap();
            let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
            let inner = Field::new_struct("inner", vec![Field::new("long", DataType::Int64, true)], true);
            let nested = arrow::array::StructArray::from(vec![(Arc::new(Field::new("long", DataType::Int64, true)), long.clone())]);
            let columns: Vec<ArrayRef> = vec![
                long.clone(), text.clone(), wide, cast(&long, list), cast(&text, DataType::Utf8View), cast(&text, DataType::LargeBinary),
                cast(&long, DataType::Float64), cast(&long, DataType::Float32), cast(&long, DataType::Boolean), Arc::new(nested),
                cast(&long, DataType::Decimal128(38, 2)), new_null_array(&DataType::Date32, rows),
            ];
            let fields: Vec<_> = columns.iter().enumerate().map(|(at, column)| match column.data_type() {
                DataType::Struct(_) => inner.clone(),
                data_type => Field::new(format!("c{at}"), data_type.clone(), true),
            }).collect();
            let value_fields: Vec<_> = fields.iter().map(|field| ValueField {
                name: field.name().clone(), data_type: field.data_type().clone(), nullable: true,
            }).collect();
            let record = record("r", &value_fields).unwrap();
            let mut ours = Column::default();
            AvroEncoder::new(vec![String::new(); columns.len()], record.fields.clone()).encode(&columns, rows, &mut ours).unwrap();

            let conformed = columns.iter().zip(&record.fields).map(|(column, field)| conform(column, field.data_type()).unwrap());
            let metadata = [(SCHEMA_METADATA_KEY.to_owned(), record.schema.to_string())].into();
            let schema = Arc::new(Schema::new(record.fields.clone()).with_metadata(metadata));
            let batch = RecordBatch::try_new(schema.clone(), conformed.collect()).unwrap();
            let batch = concat_batches(&schema, [&batch]).unwrap();
            let mut theirs = WriterBuilder::new(schema.as_ref().clone()).build_encoder::<AvroBinaryFormat>().unwrap();
            theirs.encode(&batch).unwrap();
            let theirs = theirs.flush();
            prop_assert_eq!(&ours.data[..], &theirs.bytes()[..]);
            prop_assert_eq!(&ours.offsets[..], theirs.offsets());
        }
    }
}
