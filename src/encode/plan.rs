//! Plans the encoding once, before any row: which columns are key, order and value, and that all can be encoded.
//!
//! ```text
//! url   age_group   ts            views   country
//! key   key         order_by      value   value        every column of the query is used, or the plan is refused
//!                   (and value)
//! ```
//!
//! All threads share the plan; each makes its own [`Encoder`] from it. Not for: reading data.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, SchemaRef};

use super::Encoder;
use super::order::{OrderColumn, OrderEncoder};
use super::value::{self, ValueEncoder, ValueField};
use crate::codec::{ShardRouter, listing};
use crate::error::{Error, Result};
use crate::format::{KeySchema, ValueSchema};
use crate::job::{Fold, Output, suggest};

/// How the rows of one query become entries.
#[derive(Clone, Debug)]
pub struct EncodePlan {
    parts: Arc<Parts>,
}

#[derive(Debug)]
pub(super) struct Parts {
    dataset: String,
    /// Columns of the query.
    pub(super) width: usize,
    pub(super) key: KeySchema,
    /// Positions of the key's columns in the query's output.
    pub(super) key_columns: Vec<usize>,
    pub(super) sharding: ShardRouter,
    order: Vec<OrderColumn>,
    value: ValueSchema,
    value_fields: Vec<ValueField>,
    /// Positions of the value's columns in the query's output.
    pub(super) value_columns: Vec<usize>,
}

impl EncodePlan {
    /// Plans the entries of a query with this output schema. `dataset` names the Avro record.
    ///
    /// # Errors
    /// `Invalid` when a column is missing, is not used, or has a type that is not possible where it is used.
    pub fn new(schema: &SchemaRef, output: &Output, dataset: &str) -> Result<Self> {
        let columns = Columns::new(schema)?;
        let key_columns = columns.find_all("output.key", &output.key)?;
        let key_fields: Vec<&Field> = key_columns.iter().map(|column| schema.field(*column)).collect();
        let key = KeySchema::new(&key_fields, output.duplicates == Fold::Number)?;
        let sharding = ShardRouter::new(&key, &output.shard_by, output.partitioner, output.shards)?;
        let order = order(&columns, output)?;
        let value_columns = match &output.value.columns {
            Some(named) => columns.find_all("value.columns", named)?,
            None => (0..schema.fields().len()).filter(|column| !key_columns.contains(column)).collect(),
        };
        for column in 0..schema.fields().len() {
            let ordering = order.iter().any(|order| order.column == column);
            if !ordering && !key_columns.contains(&column) && !value_columns.contains(&column) {
                return Err(Error::invalid(format!(
                    "column '{}' of the query is not used: it is not in key, order_by or value.columns; drop it from \
                     the SELECT or add it to value.columns",
                    schema.field(column).name()
                )));
            }
        }
        let field = |column: &usize| {
            let field = schema.field(*column);
            ValueField {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
            }
        };
        let value_fields: Vec<_> = value_columns.iter().map(field).collect();
        let list = matches!(output.duplicates, Fold::List | Fold::Top(_));
        let value = value::plan(output.value.encoding, dataset, &value_fields, list)?;
        let width = schema.fields().len();
        let dataset = dataset.to_owned();
        let parts = Parts { dataset, width, key, key_columns, sharding, order, value, value_fields, value_columns };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The key's columns and encoding.
    pub fn key_schema(&self) -> &KeySchema {
        &self.parts.key
    }

    /// The value's columns and encoding.
    pub fn value_schema(&self) -> &ValueSchema {
        &self.parts.value
    }

    /// The mapping from keys to shards.
    pub fn sharding(&self) -> &ShardRouter {
        &self.parts.sharding
    }

    /// An encoder for one thread.
    ///
    /// # Errors
    /// `Internal` only: problems of the job were found when the plan was made.
    pub fn encoder(&self) -> Result<Encoder> {
        let Parts { dataset, order, value, value_fields, .. } = self.parts();
        let values = ValueEncoder::new(value.encoding, dataset, value_fields, value.list)?;
        let order = if order.is_empty() { None } else { Some(OrderEncoder::new(order)?) };
        Ok(Encoder { plan: self.clone(), order, values, shard_bytes: Vec::new() })
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// The `order_by` columns.
fn order(columns: &Columns<'_>, output: &Output) -> Result<Vec<OrderColumn>> {
    let names: Vec<_> = output.order_by.iter().map(|order| order.column.clone()).collect();
    let positions = columns.find_all("order_by", &names)?;
    let mut order = Vec::with_capacity(positions.len());
    for (column, by) in positions.into_iter().zip(&output.order_by) {
        let options = SortOptions { descending: by.descending, nulls_first: by.nulls_first };
        let by_column = OrderColumn { column, data_type: columns.schema.field(column).data_type().clone(), options };
        by_column.check(&by.column)?;
        order.push(by_column);
    }
    Ok(order)
}

/// The columns of the query, by name.
struct Columns<'a> {
    schema: &'a SchemaRef,
    names: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn new(schema: &'a SchemaRef) -> Result<Self> {
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        for (position, name) in names.iter().enumerate() {
            if names[..position].contains(name) {
                return Err(Error::invalid(format!(
                    "the query has two columns '{name}' ({}): rename one with AS",
                    listing(names.iter().copied())
                )));
            }
        }
        Ok(Self { schema, names })
    }

    /// The positions of the columns that `setting` names.
    fn find_all(&self, setting: &str, wanted: &[String]) -> Result<Vec<usize>> {
        let mut positions = Vec::with_capacity(wanted.len());
        for name in wanted {
            let Some(position) = self.names.iter().position(|column| column == name) else {
                let hint = suggest::hint(name, &self.names);
                return Err(Error::invalid(format!(
                    "{setting} names the column '{name}', which the query does not have{hint}"
                )));
            };
            if positions.contains(&position) {
                return Err(Error::invalid(format!("{setting} names the column '{name}' twice")));
            }
            positions.push(position);
        }
        Ok(positions)
    }
}
