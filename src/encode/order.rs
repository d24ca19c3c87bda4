//! The secondary sort: `order_by` columns as bytes whose order is the job's.
//!
//! The bytes are arrow's row format (`arrow::row`), which handles every sortable type, descending columns and where
//! nulls go. They live only between encode and shuffle: nothing stores them, so the format may change with arrow.
//! Floats sort by IEEE 754 total order, as SQL's ORDER BY here does: -0.0 before 0.0, NaN after infinity.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};

use super::entry_batch::Column;
use crate::error::{Error, Result};
use crate::input::contract::type_name;

/// One `order_by` column of the query's output.
#[derive(Clone, Debug)]
pub(super) struct OrderColumn {
    /// Its position in the query's output.
    pub(super) column: usize,
    pub(super) data_type: DataType,
    pub(super) options: SortOptions,
}

impl OrderColumn {
    /// # Errors
    /// `Invalid` when the type has no order.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if RowConverter::supports_fields(&[self.field()]) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "order_by column '{name}' has type {}, which cannot be sorted: cast it in the SELECT, or order by another column",
            type_name(&self.data_type)
        )))
    }

    fn field(&self) -> SortField {
        SortField::new_with_options(self.data_type.clone(), self.options)
    }
}

/// Writes the order bytes of batches.
pub(super) struct OrderEncoder {
    columns: Vec<OrderColumn>,
    converter: RowConverter,
    rows: Rows,
    /// The columns of the batch being written, kept for their allocation.
    arrays: Vec<ArrayRef>,
}

impl OrderEncoder {
    pub(super) fn new(columns: &[OrderColumn]) -> Result<Self> {
        let converter = RowConverter::new(columns.iter().map(OrderColumn::field).collect())
            .map_err(|error| Error::internal("cannot sort by the order_by columns").because(error))?;
        let rows = converter.empty_rows(0, 0);
        Ok(Self { columns: columns.to_vec(), converter, rows, arrays: Vec::new() })
    }

    /// Appends one row of order bytes for every row of the batch.
    pub(super) fn encode(&mut self, batch: &RecordBatch, out: &mut Column) -> Result<()> {
        self.arrays.clear();
        self.arrays.extend(self.columns.iter().map(|order| batch.column(order.column).clone()));
        self.rows.clear();
        self.converter
            .append(&mut self.rows, &self.arrays)
            .map_err(|error| Error::internal("cannot sort by the order_by columns").because(error))?;
        self.arrays.clear();
        for row in &self.rows {
            out.push(row.as_ref());
        }
        Ok(())
    }
}
