//! The secondary sort key: `order_by` columns as bytes that sort in the job's order.
//!
//! The bytes are arrow's row format (`arrow::row`), which handles every sortable type, descending columns and the
//! position of nulls. They exist only between encode and shuffle and are not part of a version, so the format may
//! change with arrow. Floats sort in IEEE 754 total order, as ORDER BY does in queries: -0.0 before 0.0, NaN after
//! infinity.

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
    /// `Invalid` when the type cannot be sorted.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if RowConverter::supports_fields(&[self.field()]) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "order_by column '{name}' has type {}, which cannot be sorted: cast it in the SELECT, or order by another \
             column",
            type_name(&self.data_type)
        )))
    }

    fn field(&self) -> SortField {
        SortField::new_with_options(self.data_type.clone(), self.options)
    }
}

/// Encodes the order bytes of batches.
pub(super) struct OrderEncoder {
    columns: Vec<OrderColumn>,
    converter: RowConverter,
    rows: Rows,
    /// The columns of the batch being written; a field only to reuse the allocation.
    arrays: Vec<ArrayRef>,
}

impl OrderEncoder {
    pub(super) fn new(columns: &[OrderColumn]) -> Result<Self> {
        let converter = RowConverter::new(columns.iter().map(OrderColumn::field).collect())
            .map_err(|error| Error::internal("cannot sort by the order_by columns").because(error))?;
        let rows = converter.empty_rows(0, 0);
        Ok(Self { columns: columns.to_vec(), converter, rows, arrays: Vec::new() })
    }

    /// Appends the order bytes of every row of the batch.
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
