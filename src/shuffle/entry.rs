//! One entry, and how it lies in memory and in spill blocks.
//!
//! ```text
//!  ┌────────────┬────────────┬────────────┬────────────┬───────┬─────────┬─────────┐
//!  │ shard  u32 │ key    u32 │ order  u32 │ value  u32 │ key … │ order … │ value … │   little-endian lengths in bytes
//!  └────────────┴────────────┴────────────┴────────────┴───────┴─────────┴─────────┘
//! ```
//!
//! Invariant: an offset handed to [`Entry::at`] is one that [`Entry::append_to`] wrote at; bytes from disk go through
//! [`Entry::parse`], which trusts nothing.
//!
//! Not for: choosing entries or comparing them by anything but (shard, key, order, value).

use std::cmp::Ordering;

/// Bytes of the four lengths in front of an entry.
pub(super) const HEADER_BYTES: usize = 16;

/// A key with its value, the shard it belongs to and its place among the entries of the same key.
///
/// Entries order by shard, key, order, value, in this order of fields: each compared as unsigned bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry<'a> {
    /// The shard, from 0.
    pub shard: u32,
    /// The encoded key.
    pub key: &'a [u8],
    /// The encoded `order_by` columns; empty without any.
    pub order: &'a [u8],
    /// The encoded value.
    pub value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Bytes of key, order and value.
    pub fn bytes(&self) -> u64 {
        (self.key.len() + self.order.len() + self.value.len()) as u64
    }

    /// The key in hexadecimal, for messages; shortened when long.
    pub fn key_hex(&self) -> String {
        hex(self.key)
    }

    /// Bytes this entry takes in a buffer.
    pub(super) fn stored_bytes(&self) -> usize {
        HEADER_BYTES + self.key.len() + self.order.len() + self.value.len()
    }

    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&self.shard.to_le_bytes());
        header[4..8].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(self.order.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&(self.value.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(self.order);
        buffer.extend_from_slice(self.value);
    }

    /// The entry that was appended at `offset`.
    pub(super) fn at(buffer: &'a [u8], offset: usize) -> Self {
        let header = &buffer[offset..offset + HEADER_BYTES];
        let [shard, key, order, value] = lengths(header);
        let body = &buffer[offset + HEADER_BYTES..offset + HEADER_BYTES + (key + order + value) as usize];
        let (key, rest) = body.split_at(key as usize);
        let (order, value) = rest.split_at(order as usize);
        Self { shard, key, order, value }
    }

    /// The entry at the front of `bytes` and what follows it, or nothing where the lengths do not fit.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        let [shard, key, order, value] = lengths(header);
        let (key, rest) = body.split_at_checked(key as usize)?;
        let (order, rest) = rest.split_at_checked(order as usize)?;
        let (value, rest) = rest.split_at_checked(value as usize)?;
        Some((Self { shard, key, order, value }, rest))
    }
}

fn lengths(header: &[u8]) -> [u32; 4] {
    std::array::from_fn(|field| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[field * 4..field * 4 + 4]);
        u32::from_le_bytes(bytes)
    })
}

/// The first 64 bytes of `bytes` in hexadecimal, with an ellipsis where there are more.
pub(super) fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut text: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

/// Where keys of one part of the key space differ, and the number that orders them there.
///
/// A prefix holds the shard in its top bits and as many key bytes as fit below it, starting after the `skip` bytes
/// that all keys of that part share. Smaller prefix, smaller entry; equal prefixes say nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    shard_bits: u32,
    skip: usize,
}

impl Prefix {
    /// For keys of `shards` shards of which nothing is known.
    pub(super) fn new(shards: u32) -> Self {
        Self { shard_bits: u32::BITS - shards.saturating_sub(1).leading_zeros(), skip: 0 }
    }

    /// For keys of one shard that share their first `skip` bytes.
    pub(super) fn within_shard(skip: usize) -> Self {
        Self { shard_bits: 0, skip }
    }

    pub(super) fn of(self, shard: u32, key: &[u8]) -> u64 {
        let key = key.get(self.skip..).unwrap_or_default();
        let mut head = [0; 8];
        let known = key.len().min(8);
        head[..known].copy_from_slice(&key[..known]);
        let head = u64::from_be_bytes(head);
        if self.shard_bits == 0 { head } else { head >> self.shard_bits | u64::from(shard) << (64 - self.shard_bits) }
    }
}

/// Compares entries by prefix, and by their fields where prefixes are equal.
pub(super) fn compare<'a>(left: (u64, impl FnOnce() -> Entry<'a>), right: (u64, impl FnOnce() -> Entry<'a>)) -> Ordering {
    left.0.cmp(&right.0).then_with(|| left.1().cmp(&right.1()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_smaller_prefix_means_a_smaller_entry(
            shards in 1u32..5000, a in 0u32..5000, b in 0u32..5000,
            x in proptest::collection::vec(0u8..4, 0..12), y in proptest::collection::vec(0u8..4, 0..12),
        ) {
            let (a, b) = (a % shards, b % shards);
            let prefix = Prefix::new(shards);
            let (left, right) = (prefix.of(a, &x), prefix.of(b, &y));
            if left < right { prop_assert!((a, &x) < (b, &y)); }
            if left > right { prop_assert!((a, &x) > (b, &y)); }
        }

        #[test]
        fn what_is_appended_is_read_back(
            shard: u32, key: Vec<u8>, order: Vec<u8>, value: Vec<u8>, cut in 0usize..100,
        ) {
            let entry = Entry { shard, key: &key, order: &order, value: &value };
            let mut buffer = vec![7; 3];
            entry.append_to(&mut buffer);
            prop_assert_eq!(buffer.len(), 3 + entry.stored_bytes());
            prop_assert_eq!(Entry::at(&buffer, 3), entry);
            prop_assert_eq!(Entry::parse(&buffer[3..]), Some((entry, &[][..])));
            let short = &buffer[3..buffer.len() - 1 - cut % entry.stored_bytes()];
            prop_assert!(Entry::parse(short).is_none());
        }
    }
}
