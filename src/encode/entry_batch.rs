//! Encoded rows in columnar form, passed from encode to shuffle.
//!
//! ```text
//!            keys            orders        values           shards
//! row 0      [url,age]       [ts desc]     {"views":7}      2
//! row 1      [url,age]       [ts desc]     {"views":1}      0
//! ```
//!
//! A [`Column`] is one byte buffer and the offsets that cut it into rows; nothing is allocated per row, and `clear`
//! keeps the buffers for the next batch, unless they are far larger than most batches need. Invariant: `offsets` starts
//! at 0, never decreases, and ends at `data.len()`.
//!
//! Not for: anything that depends on the meaning of the bytes. Entries compare by (key, order, value) as separate
//! fields.

/// Bytes of the largest buffer that is kept for the next batch.
const KEPT_BYTES: usize = 16 << 20;

/// Encoded rows of one batch: three binary columns of equal length, and the shard of each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryBatch {
    /// The entry's key as it is stored, without the number that the fold `number` appends.
    pub keys: Column,
    /// Bytes that sort in the job's `order_by` order; empty without one.
    pub orders: Column,
    /// One record of the value, without `ValueSchema::header`.
    pub values: Column,
    /// The shard each row belongs to.
    pub shards: Vec<u32>,
}

impl EntryBatch {
    /// Rows in the batch.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether the batch has no rows.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Total bytes of keys, order bytes and values.
    pub fn bytes(&self) -> usize {
        self.keys.data.len() + self.orders.data.len() + self.values.data.len()
    }

    /// Drops the rows and keeps the buffers, but for very large ones.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.orders.clear();
        self.values.clear();
        self.shards.clear();
    }
}

/// Byte strings in one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The concatenated bytes of all rows.
    pub data: Vec<u8>,
    /// Row `i` is `data[offsets[i]..offsets[i + 1]]`; there is one more offset than rows.
    pub offsets: Vec<usize>,
}

impl Default for Column {
    fn default() -> Self {
        Self { data: Vec::new(), offsets: vec![0] }
    }
}

impl Column {
    /// Rows in the column.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of row `row`, which must be less than [`Column::len`].
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Appends a row.
    pub fn push(&mut self, row: &[u8]) {
        self.data.extend_from_slice(row);
        self.end_row();
    }

    /// Drops the rows and keeps the buffers, but for a very large one.
    pub fn clear(&mut self) {
        self.data.clear();
        if self.data.capacity() > KEPT_BYTES {
            self.data = Vec::new();
        }
        self.offsets.clear();
        self.offsets.push(0);
    }

    /// Appends `rows` empty rows.
    pub(super) fn push_empty(&mut self, rows: usize) {
        self.offsets.resize(self.offsets.len() + rows, self.data.len());
    }

    /// Ends a row: what was written to `data` since the last one.
    #[inline]
    pub(super) fn end_row(&mut self) {
        self.offsets.push(self.data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_and_clearing_keeps_the_buffers() {
        let mut column = Column::default();
        column.push(b"one");
        column.push_empty(2);
        column.push(b"two");
        assert_eq!(column.len(), 4);
        assert_eq!([column.get(0), column.get(1), column.get(2), column.get(3)], [b"one".as_slice(), b"", b"", b"two"]);
        let capacity = column.data.capacity();
        column.clear();
        assert!(column.is_empty());
        assert_eq!(column.data.capacity(), capacity);
        assert_eq!(column, Column::default());
        column.push(&vec![0; KEPT_BYTES + 1]);
        column.clear();
        assert_eq!(column.data.capacity(), 0);
    }
}
