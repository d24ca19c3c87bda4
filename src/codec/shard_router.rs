//! Maps rows to shards: a hash of the `shard_by` columns' bytes, modulo the shard count.
//!
//! ```text
//! shard_by omitted, or all key columns in order   the key's bytes (without the number that the fold `number` appends)
//! one string or binary column of the key          its bytes, unchanged
//! other columns of the key                        their tuple encoding
//! ```
//!
//! Only key columns can be used, so a reader finds the shard of a key from the key alone ([`ShardRouter::of_key`]).
//! `murmur2` hashes as Kafka's Java client does, so a shard is the partition that such a producer would choose for the
//! same key bytes.

use xxhash_rust::xxh3::xxh3_64;

use super::tuple;
use crate::error::{Error, Result};
use crate::format::{KeyEncoding, KeySchema, Partitioner};

/// The mapping from keys to shards, the same for the writer and for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRouter {
    partitioner: Partitioner,
    shards: u32,
    pub(crate) by: ShardBy,
    numbered: bool,
}

/// What is hashed; positions are indices into the key's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShardBy {
    /// The whole key, without its number.
    Key,
    /// The bytes of one string or binary column.
    Bytes(usize),
    /// The tuple encoding of these columns.
    Tuple(Vec<usize>),
}

impl ShardRouter {
    /// The mapping for keys of `key`; without `shard_by` columns, all key columns are hashed.
    ///
    /// # Errors
    /// `Invalid` when there are no shards, or a column is not one of the key's or is named twice.
    pub fn new(key: &KeySchema, shard_by: &[String], partitioner: Partitioner, shards: u32) -> Result<Self> {
        if shards == 0 {
            return Err(Error::invalid("a dataset needs at least one shard: set `shards` to 1 or more"));
        }
        let mut positions = Vec::with_capacity(shard_by.len());
        for name in shard_by {
            let Some(position) = key.columns.iter().position(|column| column.name == *name) else {
                let columns: Vec<_> = key.columns.iter().map(|column| column.name.as_str()).collect();
                return Err(Error::invalid(format!(
                    "shard_by names the column '{name}', which is not in the key ({}): readers find a shard by the key \
                     alone, so use key columns",
                    columns.join(", ")
                )));
            };
            if positions.contains(&position) {
                return Err(Error::invalid(format!("shard_by names the column '{name}' twice")));
            }
            positions.push(position);
        }
        let whole = positions.is_empty() || positions.iter().copied().eq(0..key.columns.len());
        let by = match positions.as_slice() {
            _ if whole => ShardBy::Key,
            [one] if key.columns[*one].kind.is_bytes() => ShardBy::Bytes(*one),
            _ => ShardBy::Tuple(positions),
        };
        Ok(Self { partitioner, shards, by, numbered: key.numbered })
    }

    /// The number of shards.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// The shard of a stored key.
    ///
    /// # Errors
    /// `Corrupt` when the key does not match the schema that this mapping was made for.
    pub fn of_key(&self, key: &[u8], schema: &KeySchema) -> Result<u32> {
        if self.shards == 1 {
            return Ok(0);
        }
        if self.by == ShardBy::Key && !self.numbered {
            return Ok(self.of_bytes(key));
        }
        if schema.encoding == KeyEncoding::Bytes {
            return Err(Error::internal("a key of plain bytes has no columns to shard by"));
        }
        let corrupt =
            || Error::corrupt(format!("key {} is not a tuple of the dataset's key columns", super::literals::hex(key)));
        let mut columns = Vec::with_capacity(schema.columns.len());
        let mut end = 0;
        for _ in &schema.columns {
            let (element, size) = tuple::read(&key[end..]).ok_or_else(corrupt)?;
            columns.push((element, end..end + size));
            end += size;
        }
        Ok(match &self.by {
            ShardBy::Key => self.of_bytes(&key[..end]),
            ShardBy::Bytes(position) => match &columns[*position].0 {
                tuple::Element::Str(text) => self.of_bytes(text.as_bytes()),
                tuple::Element::Bytes(bytes) => self.of_bytes(bytes),
                _ => return Err(corrupt()),
            },
            ShardBy::Tuple(positions) => {
                let parts: Vec<&[u8]> = positions.iter().map(|position| &key[columns[*position].1.clone()]).collect();
                self.of_bytes(&parts.concat())
            }
        })
    }

    /// The shard of the `shard_by` columns' bytes.
    #[inline]
    pub(crate) fn of_bytes(&self, bytes: &[u8]) -> u32 {
        match self.partitioner {
            Partitioner::Xxh3 => (xxh3_64(bytes) % u64::from(self.shards)) as u32,
            Partitioner::Murmur2 => (murmur2(bytes) & 0x7fff_ffff) % self.shards,
        }
    }
}

/// 32-bit MurmurHash2 as Kafka's Java client computes it (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (position, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's `UtilsTest`.
    #[test]
    fn murmur2_equals_the_one_of_kafka() {
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }

    #[test]
    fn both_partitioners_use_every_shard() {
        for partitioner in [Partitioner::Xxh3, Partitioner::Murmur2] {
            let rule = ShardRouter { partitioner, shards: 7, by: ShardBy::Key, numbered: false };
            let mut counts = [0; 7];
            for key in 0..7_000_u32 {
                counts[rule.of_bytes(format!("key-{key}").as_bytes()) as usize] += 1;
            }
            assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        }
    }
}
