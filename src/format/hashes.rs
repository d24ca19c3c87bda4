//! Sorted hashes, serialized as one string of hexadecimal digits: other programs would lose digits of JSON numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Sorted hashes, the smallest first.
///
/// ```
/// use cutover::format::Hashes;
///
/// let hashes: Hashes = serde_json::from_str("\"00000000000000010000000000000002\"")?;
/// assert_eq!(hashes.as_slice(), [1, 2]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes(Vec<u64>);

impl Hashes {
    /// Hexadecimal digits of one hash.
    pub const DIGITS: usize = 16;

    /// All hashes.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// Keeps only the `most` smallest.
    pub fn truncate(&mut self, most: usize) {
        self.0.truncate(most);
    }
}

impl From<Vec<u64>> for Hashes {
    fn from(hashes: Vec<u64>) -> Self {
        Self(hashes)
    }
}

impl Serialize for Hashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.iter().map(|hash| format!("{hash:016x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == Self::DIGITS)?;
            u64::from_str_radix(digits, 16).ok()
        };
        let hashes: Option<Vec<u64>> = text.as_bytes().chunks(Self::DIGITS).map(hash).collect();
        let hashes = hashes.filter(|hashes| hashes.is_sorted());
        hashes.map(Self).ok_or_else(|| de::Error::custom("not a sorted list of hashes"))
    }
}
