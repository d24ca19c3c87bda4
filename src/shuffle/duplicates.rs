//! Resolves duplicate keys: what is emitted for several entries with one key (`duplicates` in the job).
//!
//! A [`Deduplicator`] gets a range's entries in order and emits finished [`Record`]s: keys ascending, each at most
//! once.
//!
//! | policy | emits for the entries of one key, which come in `order_by` order |
//! |---|---|
//! | `error` | the entry; a second one is an Input error |
//! | `first`, `last` | that entry |
//! | `number` | every entry, its key extended by its position: 0, 1, 2 … |
//! | `list`, `top = n` | one value: the list of all values, or of the first n |
//!
//! Invariant: memory is bounded by the largest value, which is at most [`MAX_VALUE_BYTES`].
//!
//! Not for: counting and summing, which SQL does.

use crate::codec::append_number;
use crate::encode::join_values;
use crate::error::{Error, Result};
use crate::format::{Encoding, KeySchema};
use crate::job::Fold;

use super::Entry;

/// The largest value of a version, in bytes: 16 MiB.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// A finished key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    bytes: &'a [u8],
    key_bytes: usize,
}

impl<'a> Record<'a> {
    /// A record of this key and value, which are copied to `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, key: &[u8], value: &[u8]) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&(key.len() as u32).to_le_bytes());
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(value);
        Self { bytes: buffer, key_bytes: key.len() }
    }

    /// The key as it is stored.
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[4..4 + self.key_bytes]
    }

    /// The value as it is stored.
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[4 + self.key_bytes..]
    }

    /// What the digest is taken over: u32 little-endian key length, key, value.
    pub fn digested(&self) -> &'a [u8] {
        self.bytes
    }
}

/// How duplicate keys are resolved; shared by all ranges.
#[derive(Clone, Debug)]
pub struct DuplicatePolicy {
    /// The policy.
    pub fold: Fold,
    /// How values are written.
    pub encoding: Encoding,
    /// Bytes that precede every finished value.
    pub header: Vec<u8>,
    /// How keys are decoded, for messages.
    pub key: KeySchema,
}

/// Resolves the duplicate keys of one range.
#[derive(Debug)]
pub struct Deduplicator<'f> {
    folding: &'f DuplicatePolicy,
    /// The current key; meaningless before the first entry.
    key: Vec<u8>,
    /// Entries of this key so far.
    count: u64,
    /// Their concatenated values, if the policy needs them.
    values: Vec<u8>,
    /// The end of each value in `values`.
    ends: Vec<usize>,
    joined: Vec<u8>,
    record: Vec<u8>,
}

impl<'f> Deduplicator<'f> {
    /// A deduplicator for one range.
    pub fn new(folding: &'f DuplicatePolicy) -> Self {
        Self {
            folding,
            key: Vec::new(),
            count: 0,
            values: Vec::new(),
            ends: Vec::new(),
            joined: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Takes the next entry and emits the records that are finished.
    ///
    /// # Errors
    /// `Input` for a second entry of a key under `error` and for a value larger than [`MAX_VALUE_BYTES`]; errors of
    /// `emit`.
    pub fn push(&mut self, entry: Entry<'_>, emit: &mut impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        if self.count == 0 || self.key != entry.key {
            self.finish(emit)?;
            self.key.clear();
            self.key.extend_from_slice(entry.key);
        }
        self.count += 1;
        match self.folding.fold {
            Fold::Error if self.count > 1 => Err(self.duplicate(&entry)),
            Fold::Error => self.emit(None, entry.value, emit),
            Fold::First if self.count > 1 => Ok(()),
            Fold::First => self.emit(None, entry.value, emit),
            Fold::Number => self.emit(Some(self.count - 1), entry.value, emit),
            Fold::Last => {
                self.values.clear();
                self.values.extend_from_slice(entry.value);
                Ok(())
            }
            Fold::Top(limit) if self.count > u64::from(limit) => Ok(()),
            Fold::List | Fold::Top(_) => {
                self.values.extend_from_slice(entry.value);
                self.ends.push(self.values.len());
                self.check_size(self.values.len())
            }
        }
    }

    /// Emits the record of the last key, if it is not emitted yet.
    ///
    /// # Errors
    /// As [`Deduplicator::push`].
    pub fn finish(&mut self, emit: &mut impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        match self.folding.fold {
            Fold::Error | Fold::First | Fold::Number => {}
            Fold::Last => {
                let value = std::mem::take(&mut self.values);
                self.emit(None, &value, emit)?;
                self.values = value;
            }
            Fold::List | Fold::Top(_) => {
                let starts = std::iter::once(0).chain(self.ends.iter().copied());
                let values: Vec<&[u8]> = starts.zip(&self.ends).map(|(from, to)| &self.values[from..*to]).collect();
                let mut joined = std::mem::take(&mut self.joined);
                joined.clear();
                join_values(self.folding.encoding, &values, &mut joined);
                self.emit(None, &joined, emit)?;
                self.joined = joined;
            }
        }
        self.values.clear();
        self.ends.clear();
        self.count = 0;
        Ok(())
    }

    fn emit(
        &mut self,
        number: Option<u64>,
        value: &[u8],
        emit: &mut impl FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let header = &self.folding.header;
        self.check_size(header.len() + value.len())?;
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&self.key);
        if let Some(number) = number {
            append_number(record, number);
        }
        let key_bytes = record.len() - 4;
        record[..4].copy_from_slice(&(key_bytes as u32).to_le_bytes());
        record.extend_from_slice(header);
        record.extend_from_slice(value);
        emit(Record { bytes: record, key_bytes })
    }

    fn check_size(&self, bytes: usize) -> Result<()> {
        if bytes <= MAX_VALUE_BYTES {
            return Ok(());
        }
        Err(Error::input(format!(
            "the value of key {} has more than {} MiB; leave columns out, or keep fewer entries with {{ top = n }}",
            self.shown_key(),
            MAX_VALUE_BYTES >> 20
        )))
    }

    fn duplicate(&self, entry: &Entry<'_>) -> Error {
        Error::input(format!(
            "key {} (0x{}) appears more than once in the result of the query; make it unique there, or choose with \
             `duplicates`: \"first\", \"last\", \"number\", \"list\" or {{ top = n }}",
            self.shown_key(),
            entry.key_hex()
        ))
    }

    fn shown_key(&self) -> String {
        // The key has no number yet.
        let shown = KeySchema { numbered: false, ..self.folding.key.clone() }.to_json(&self.key);
        shown.map_or_else(|_| format!("0x{}", super::entry::hex(&self.key)), |key| key.to_string())
    }
}
