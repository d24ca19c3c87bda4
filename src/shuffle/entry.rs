//! One entry, and its binary layout in memory and in spill blocks.
//!
//! ```text
//!  ┌───────┬─────┬───────┬───────┬───────┬─────────┬─────────┐
//!  │ shard │ key │ order │ value │ key … │ order … │ value … │   four LEB128 numbers: the shard and three lengths
//!  └───────┴─────┴───────┴───────┴───────┴─────────┴─────────┘   in bytes, one byte each below 128
//! ```
//!
//! Invariant: an offset passed to [`Entry::at`] is one at which [`Entry::append_to`] wrote; bytes from disk go through
//! [`Entry::parse`], which checks all lengths.
//!
//! Not for: any order other than (shard, key, order, value).

/// Largest size of an entry's header, four LEB128 numbers.
const MAX_HEADER_BYTES: usize = 20;
/// The continuation bits of four one-byte numbers; all are clear if every number fits into one byte.
const CONTINUED: u32 = 0x8080_8080;

/// A key with its value, its shard, and its order among the entries of the same key.
///
/// Entries compare by shard, key, order and value, in this order of fields; bytes compare as unsigned.
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

    /// The key in hexadecimal, shortened if long, for messages.
    pub fn key_hex(&self) -> String {
        hex(self.key)
    }

    /// Bytes this entry takes in a buffer.
    pub(super) fn stored_bytes(&self) -> usize {
        let numbers = self.numbers();
        let header = if all_short(numbers) { 4 } else { numbers.map(number_bytes).iter().sum() };
        header + self.key.len() + self.order.len() + self.value.len()
    }

    /// The numbers of its header.
    fn numbers(&self) -> [u32; 4] {
        [self.shard, self.key.len() as u32, self.order.len() as u32, self.value.len() as u32]
    }

    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        let numbers = self.numbers();
        if all_short(numbers) {
            buffer.extend_from_slice(&numbers.map(|number| number as u8));
        } else {
            let mut header = [0; MAX_HEADER_BYTES];
            let mut bytes = 0;
            for mut number in numbers {
                while number >= 0x80 {
                    header[bytes] = number as u8 | 0x80;
                    number >>= 7;
                    bytes += 1;
                }
                header[bytes] = number as u8;
                bytes += 1;
            }
            buffer.extend_from_slice(&header[..bytes]);
        }
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(self.order);
        buffer.extend_from_slice(self.value);
    }

    /// The entry that was appended at `offset`.
    pub(super) fn at(buffer: &'a [u8], offset: usize) -> Self {
        let stored = &buffer[offset..];
        let ([shard, key, order, value], header) = numbers(stored).unwrap_or_default();
        let (key, order, value) = (key as usize, order as usize, value as usize);
        let body = &stored[header..header + key + order + value];
        let (key, rest) = body.split_at(key);
        let (order, value) = rest.split_at(order);
        Self { shard, key, order, value }
    }

    /// The entry at the front of `bytes` and the bytes after it; nothing if the lengths do not fit.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([shard, key, order, value], header) = numbers(bytes)?;
        let (key, rest) = bytes[header..].split_at_checked(key as usize)?;
        let (order, rest) = rest.split_at_checked(order as usize)?;
        let (value, rest) = rest.split_at_checked(value as usize)?;
        Some((Self { shard, key, order, value }, rest))
    }
}

/// Whether each number fits into one byte.
fn all_short([shard, key, order, value]: [u32; 4]) -> bool {
    (shard | key | order | value) < 0x80
}

/// Bytes of a number in a header.
fn number_bytes(number: u32) -> usize {
    ((u32::BITS - (number | 1).leading_zeros()).div_ceil(7)) as usize
}

/// The four numbers at the front of `bytes` and the bytes that they take; nothing if they are truncated or too large.
#[inline]
fn numbers(bytes: &[u8]) -> Option<([u32; 4], usize)> {
    match bytes.first_chunk::<4>() {
        Some(first) if u32::from_le_bytes(*first) & CONTINUED == 0 => Some((first.map(u32::from), 4)),
        _ => long_numbers(bytes),
    }
}

fn long_numbers(bytes: &[u8]) -> Option<([u32; 4], usize)> {
    let mut numbers = [0; 4];
    let mut at = 0;
    for number in &mut numbers {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        *number = u32::try_from(value).ok()?;
    }
    Some((numbers, at))
}

/// Length of the common prefix.
pub(super) fn shared_bytes(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// The first 64 bytes of `bytes` in hexadecimal, with an ellipsis if there are more.
pub(super) fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let mut text: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

/// Computes normalized key prefixes: 64-bit numbers that order most entries of a part without reading their keys.
///
/// A prefix holds the shard in its top bits and as many key bytes as fit below it, starting after the `skip` bytes
/// that all keys of the part share. A smaller prefix means a smaller entry; entries with equal prefixes have to be
/// compared themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    shard_bits: u32,
    skip: usize,
}

impl Prefix {
    /// For arbitrary keys of `shards` shards.
    pub(super) fn new(shards: u32) -> Self {
        Self { shard_bits: u32::BITS - shards.saturating_sub(1).leading_zeros(), skip: 0 }
    }

    /// For keys of one shard that share their first `skip` bytes.
    pub(super) fn within_shard(skip: usize) -> Self {
        Self { shard_bits: 0, skip }
    }

    pub(super) fn of(self, shard: u32, key: &[u8]) -> u64 {
        let key = key.get(self.skip..).unwrap_or_default();
        let head = u64::from_be_bytes(match key.first_chunk::<8>() {
            Some(head) => *head,
            None => {
                let mut head = [0; 8];
                head[..key.len()].copy_from_slice(key);
                head
            }
        });
        if self.shard_bits == 0 { head } else { head >> self.shard_bits | u64::from(shard) << (64 - self.shard_bits) }
    }
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
        fn appended_entries_are_read_back(
            shard: u32, key: Vec<u8>, order: Vec<u8>, value in proptest::collection::vec(0u8..9, 0..20_000), cut in 0usize..100,
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
