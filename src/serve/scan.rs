//! Scans a range of keys over all shards: a k-way merge of their iterators.
//!
//! One RocksDB iterator per shard; a heap holds the next key of each. Every key is in one shard only, so the merge
//! never sees duplicates.
//!
//! Not for: verification, which reads shard by shard (`verify`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rocksdb::{DB, DBRawIterator, ReadOptions};

use super::db_options;
use crate::error::Result;

/// A half-open range of keys: from `start`, inclusive, to `end`, exclusive.
///
/// ```no_run
/// use cutover::serve::{Range, Reader};
///
/// # fn main() -> cutover::error::Result<()> {
/// let version = Reader::open("stores/planes")?.snapshot();
/// for entry in version.scan(&Range::prefix(b"N1")).take(10) {
///     let (key, value) = entry?;
///     println!("{}: {} bytes", version.key_schema().to_json(&key)?, value.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Range {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key with this prefix, byte by byte. For the first columns of a key, see [`Range::columns`].
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let end = end.split_last().map(|(last, head)| [head, &[last + 1]].concat());
        Self { start: prefix.to_vec(), end }
    }

    /// Every key that begins with these complete columns, as they are stored. A string or binary column ends with a zero
    /// byte, and a zero byte in it is stored as `00 FF`, so that the bytes of "a" also begin those of "a\0b": keys like
    /// that are not in the range.
    pub fn columns(columns: &[u8]) -> Self {
        // No column begins with this byte.
        Self { start: columns.to_vec(), end: Some([columns, &[u8::MAX]].concat()) }
    }

    /// Every key from `start`, inclusive, to `end`, exclusive.
    pub fn between(start: &[u8], end: &[u8]) -> Self {
        Self { start: start.to_vec(), end: Some(end.to_vec()) }
    }

    /// The keys of this range behind `key`, without it; all of them when there is none.
    #[must_use]
    pub fn after(mut self, key: Option<&[u8]>) -> Self {
        if let Some(key) = key {
            // The smallest key that is greater.
            self.start = self.start.max([key, &[0]].concat());
        }
        self
    }

    /// Every key from `start` on.
    pub fn from(start: &[u8]) -> Self {
        Self { start: start.to_vec(), end: None }
    }
}

/// An iterator over entries in key order. Ends after the first error.
pub struct Scan<'a> {
    shards: Vec<DBRawIterator<'a>>,
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    failed: Option<rocksdb::Error>,
    version: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(shards: &'a [DB], range: &Range, version: u64) -> Self {
        let iterate = |db: &'a DB| {
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(range.start.as_slice());
            if let Some(end) = &range.end {
                options.set_iterate_upper_bound(end.as_slice());
            }
            db.raw_iterator_opt(options)
        };
        let shards: Vec<_> = shards.iter().map(iterate).collect();
        let mut scan = Self { next: BinaryHeap::with_capacity(shards.len()), shards, failed: None, version };
        if range.end.as_ref().is_none_or(|end| *end > range.start) {
            (0..scan.shards.len()).for_each(|shard| scan.step(shard, DBRawIterator::seek_to_first));
        }
        scan
    }

    /// Moves one shard's iterator and puts its key into the heap.
    fn step(&mut self, shard: usize, step: impl FnOnce(&mut DBRawIterator<'a>)) {
        let entries = &mut self.shards[shard];
        step(entries);
        match entries.key() {
            Some(key) => self.next.push(Reverse((key.to_vec(), shard))),
            None => self.failed = self.failed.take().or(entries.status().err()),
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.next.clear();
            return Some(Err(db_options::failed(error, &format!("cannot scan version {}", self.version))));
        }
        let Reverse((key, shard)) = self.next.pop()?;
        let value = self.shards[shard].value().unwrap_or_default().to_vec();
        self.step(shard, DBRawIterator::next);
        Some(Ok((key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(Range::prefix(b"ab"), Range::between(b"ab", b"ac"));
        assert_eq!(Range::prefix(&[1, 255, 255]), Range::between(&[1, 255, 255], &[2]));
        assert_eq!(Range::prefix(&[255, 255]), Range::from(&[255, 255]));
        assert_eq!(Range::prefix(b""), Range::all());
        assert_eq!(Range::prefix(b"ab").after(Some(b"abc")), Range::between(b"abc\0", b"ac"));
        assert_eq!(Range::prefix(b"ab").after(Some(b"aa")), Range::prefix(b"ab"));
        assert_eq!(Range::columns(&[2, 97, 0]), Range::between(&[2, 97, 0], &[2, 97, 0, 255]));
    }
}
