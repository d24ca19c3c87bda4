//! Encodes rows of the query as entries: key and value in the bytes that RocksDB stores.
//!
//! ```text
//! query ─▶ RecordBatch ─▶ Encoder ─▶ EntryBatch { keys, orders, values, shards } ─▶ shuffle
//!                            │
//!          EncodePlan: made once from the query's schema and the job's output; every problem that these two show is
//!          Invalid here, before any work; KeySchema and ValueSchema go into the manifest
//! ```
//!
//! Synchronous and pure: no files, no clock. One [`Encoder`] per thread; types are resolved once per batch, buffers are
//! reused, nothing is allocated per row. The same rows always give the same bytes.
//!
//! Not for: sorting, folding and numbering entries (shuffle), or writing them to files (build).

mod entry_batch;
mod key;
mod key_columns;
mod order;
mod plan;
mod value;

#[cfg(test)]
mod tests;

use arrow::array::{ArrayRef, RecordBatch};

pub use self::entry_batch::{Column, EntryBatch};
use self::key_columns::KeyCells;
use self::order::OrderEncoder;
pub use self::plan::EncodePlan;
use self::value::ValueEncoder;
pub use self::value::join_values;
use crate::codec::{ShardBy, ShardRouter};
use crate::error::{Error, Result};
use crate::format::{KeyEncoding, KeySchema};

/// The longest key that is accepted: far longer than any sensible key, and short enough for RocksDB's index blocks.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// Turns batches of one query into entries. One per thread, made by [`EncodePlan::encoder`].
pub struct Encoder {
    plan: EncodePlan,
    order: Option<OrderEncoder>,
    values: ValueEncoder,
    /// The `shard_by` bytes of one row, if they are not the key's.
    shard_bytes: Vec<u8>,
}

impl Encoder {
    /// Encodes a batch into `out`, replacing its rows and reusing its buffers.
    ///
    /// # Errors
    /// `Input` when a key is null, NaN or longer than [`MAX_KEY_BYTES`], or a value does not fit its type in the value
    /// encoding; `out` is then empty.
    pub fn encode(&mut self, batch: &RecordBatch, out: &mut EntryBatch) -> Result<()> {
        out.clear();
        let result = self.fill(batch, out);
        if result.is_err() {
            out.clear();
        }
        result
    }

    fn fill(&mut self, batch: &RecordBatch, out: &mut EntryBatch) -> Result<()> {
        let parts = self.plan.parts();
        if batch.num_columns() != parts.width {
            return Err(Error::internal(format!(
                "the query returned {} columns instead of the {} it was planned with",
                batch.num_columns(),
                parts.width
            )));
        }
        let names: Vec<_> = parts.key.columns.iter().map(|column| column.name.as_str()).collect();
        let keys = key_columns::key_columns(&names, &parts.key_columns, batch)?;
        let cells: Vec<_> = keys.iter().map(KeyCells::new).collect::<Result<_>>()?;
        let rows = batch.num_rows();
        write_keys(&parts.key, &cells, rows, &mut out.keys)?;
        write_shards(&parts.sharding, &cells, &out.keys, &mut self.shard_bytes, &mut out.shards);
        match &mut self.order {
            Some(order) => order.encode(batch, &mut out.orders)?,
            None => out.orders.push_empty(rows),
        }
        let values: Vec<ArrayRef> = parts.value_columns.iter().map(|column| batch.column(*column).clone()).collect();
        self.values.encode(&values, rows, &mut out.values).map_err(|error| match self.refused_row(&values, rows) {
            Some(row) => error.during(format!(
                "the value of the entry with {} cannot be stored",
                key_columns::shown_key(&names, &keys, row)
            )),
            None => error,
        })
    }

    /// The first row whose value cannot be encoded, after that of all rows failed. Takes about as long as encoding them
    /// twice.
    fn refused_row(&self, values: &[ArrayRef], rows: usize) -> Option<usize> {
        let fails = |start: usize, end: usize| {
            let part: Vec<_> = values.iter().map(|column| column.slice(start, end - start)).collect();
            self.values.encode(&part, end - start, &mut Column::default()).is_err()
        };
        let (mut start, mut end) = (0, rows);
        while end - start > 1 {
            let middle = start + (end - start) / 2;
            if fails(start, middle) { end = middle } else { start = middle }
        }
        fails(start, end).then_some(start)
    }
}

/// Writes the key of every row.
fn write_keys(schema: &KeySchema, cells: &[KeyCells<'_>], rows: usize, out: &mut Column) -> Result<()> {
    out.offsets.reserve(rows);
    let mut longest = 0;
    let mut start = 0;
    for row in 0..rows {
        match (schema.encoding, cells) {
            (KeyEncoding::Bytes, [cell]) => out.data.extend_from_slice(cell.bytes(row)),
            _ => cells.iter().for_each(|cell| cell.write_tuple(row, &mut out.data)),
        }
        out.end_row();
        longest = longest.max(out.data.len() - start);
        start = out.data.len();
    }
    if longest > MAX_KEY_BYTES { Err(too_long(schema, cells, rows, longest)) } else { Ok(()) }
}

fn too_long(schema: &KeySchema, cells: &[KeyCells<'_>], rows: usize, longest: usize) -> Error {
    let longest_of = |cell: &KeyCells<'_>| (0..rows).map(|row| cell.bytes(row).len()).max().unwrap_or(0);
    let column = schema.columns.iter().zip(cells).max_by_key(|(_, cell)| longest_of(cell));
    Error::input(match column {
        Some((column, cell)) => format!(
            "a key is {longest} bytes long, {} of them in column '{}', but at most {MAX_KEY_BYTES} are allowed: leave \
             such rows out, or use a hash of the column as the key",
            longest_of(cell),
            column.name
        ),
        None => format!("a key is {longest} bytes long, but at most {MAX_KEY_BYTES} are allowed"),
    })
}

/// Writes the shard of every row, from its key's bytes or from those of the `shard_by` columns.
fn write_shards(rule: &ShardRouter, cells: &[KeyCells<'_>], keys: &Column, scratch: &mut Vec<u8>, out: &mut Vec<u32>) {
    let rows = keys.len();
    if rule.shards() == 1 {
        out.resize(rows, 0);
        return;
    }
    match &rule.by {
        ShardBy::Key => out.extend((0..rows).map(|row| rule.of_bytes(keys.get(row)))),
        ShardBy::Bytes(position) => out.extend((0..rows).map(|row| rule.of_bytes(cells[*position].bytes(row)))),
        ShardBy::Tuple(positions) => out.extend((0..rows).map(|row| {
            scratch.clear();
            positions.iter().for_each(|position| cells[*position].write_tuple(row, scratch));
            rule.of_bytes(scratch)
        })),
    }
}
