//! The digest of a set of entries: equal for two builds of the same data.
//!
//! Digest = sum mod 2^128 over all entries of XXH3-128(u32 little-endian key length ‖ key ‖ value). A sum does not
//! depend on order, so neither sharding nor retries nor the number of threads changes it, and the digests of shards
//! add up to the digest of their version. Key lengths are in it so that moving a byte from key to value changes it.
//!
//! Not for: finding damage in files, which have their own checksums, or protection against forgery.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// Entries up to this many bytes are copied into one buffer and hashed in one call, which is faster for small ones.
const ONE_SHOT: usize = 64 << 10;

/// The digest of a set of entries, written as 32 hexadecimal digits. The empty set has the digest 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of one entry.
    pub fn of_entry(key: &[u8], value: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.add(key, value);
        digester.digest()
    }

    /// The digest of one entry that is already framed: u32 little-endian key length, key, value.
    pub fn of_framed(entry: &[u8]) -> Self {
        Self(xxh3_128(entry))
    }

    /// The digest of the union of two disjoint sets.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl std::iter::Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        digests.fold(Self::default(), Self::plus)
    }
}

/// Adds up the digest of entries, one at a time.
///
/// ```
/// use cutover::format::{Digest, Digester};
///
/// let mut digester = Digester::new();
/// digester.add(b"a", b"1");
/// digester.add(b"b", b"2");
/// // The order of entries makes no difference.
/// let parts = Digest::of_entry(b"b", b"2").plus(Digest::of_entry(b"a", b"1"));
/// assert_eq!(digester.digest(), parts);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Digester {
    sum: Digest,
    entry: Vec<u8>,
}

impl Digester {
    /// A digester without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one entry. Keys are far below 4 GiB: the encoder limits them.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let length = (key.len() as u32).to_le_bytes();
        let hash = if key.len() + value.len() <= ONE_SHOT {
            self.entry.clear();
            self.entry.extend_from_slice(&length);
            self.entry.extend_from_slice(key);
            self.entry.extend_from_slice(value);
            xxh3_128(&self.entry)
        } else {
            let mut hasher = Xxh3Default::new();
            hasher.update(&length);
            hasher.update(key);
            hasher.update(value);
            hasher.digest128()
        };
        self.sum = self.sum.plus(Digest(hash));
    }

    /// The digest of all entries added so far.
    pub fn digest(&self) -> Digest {
        self.sum
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = digits.then(|| u128::from_str_radix(&text, 16).ok().map(Self)).flatten();
        digest.ok_or_else(|| D::Error::custom(format!("{text:?} is not 32 hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(entries: &[(&[u8], &[u8])]) -> Digest {
        let mut digester = Digester::new();
        entries.iter().for_each(|(key, value)| digester.add(key, value));
        digester.digest()
    }

    #[test]
    fn order_and_grouping_do_not_matter_but_boundaries_do() {
        let whole = digest(&[(b"a", b"1"), (b"b", b"2")]);
        assert_eq!(whole, digest(&[(b"b", b"2"), (b"a", b"1")]));
        assert_eq!(whole, [digest(&[(b"a", b"1")]), digest(&[(b"b", b"2")])].into_iter().sum());
        assert_ne!(digest(&[(b"ab", b"c")]), digest(&[(b"a", b"bc")]));
        assert_ne!(digest(&[(b"a", b"")]), digest(&[]));
    }

    #[test]
    fn both_ways_of_hashing_agree_with_the_definition() {
        for size in [0, 1, ONE_SHOT - 3, ONE_SHOT - 2, 3 * ONE_SHOT] {
            let value: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let mut bytes = vec![3, 0, 0, 0];
            bytes.extend_from_slice(b"key");
            bytes.extend_from_slice(&value);
            assert_eq!(digest(&[(b"key", &value)]), Digest(xxh3_128(&bytes)), "{size}");
        }
    }

    #[test]
    fn a_digest_survives_json() {
        let json = serde_json::to_string(&Digest(0xab)).unwrap();
        assert_eq!(json, r#""000000000000000000000000000000ab""#);
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), Digest(0xab));
        assert!(serde_json::from_str::<Digest>(r#""ab""#).is_err());
    }
}
