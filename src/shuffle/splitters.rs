//! Splitters: the keys that cut the key space into parts of about the same number of bytes.
//!
//! Every sample represents the same amount of data, so the splitters are the samples at equal steps of their sorted
//! order (sample sort, Frazer and McKellar 1970). Every shard begins at a splitter. Equal splitters are merged, so all
//! entries of a key are in one part.
//!
//! Not for: the order inside a part (`bucket`), or which parts make one range (`range`).

use serde::{Deserialize, Serialize};

use super::entry::{Prefix, shared_bytes};

/// Cells per part in the lookup table of [`RangePartitioner`].
const CELLS_PER_PART: usize = 4;

/// A position in the key space, before all entries with this (shard, key).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Splitter {
    pub(super) shard: u32,
    pub(super) key: Vec<u8>,
}

/// A part of the key space: from its splitter, inclusive, to that of the next part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) from: Splitter,
    /// Exclusive end; none for the last part.
    pub(super) to: Option<Splitter>,
}

impl KeyRange {
    /// The whole key space.
    pub(super) fn whole() -> Self {
        Self { from: Splitter { shard: 0, key: Vec::new() }, to: None }
    }

    /// Whether all of it is in one shard.
    pub(super) fn is_within_shard(&self, shards: u32) -> bool {
        match &self.to {
            Some(to) => to.shard == self.from.shard || (to.shard == self.from.shard + 1 && to.key.is_empty()),
            None => self.from.shard + 1 == shards,
        }
    }

    /// The prefix for keys of this part.
    pub(super) fn prefix(&self, shards: u32) -> Prefix {
        match &self.to {
            _ if !self.is_within_shard(shards) => Prefix::new(shards),
            Some(to) if to.shard == self.from.shard => Prefix::within_shard(shared_bytes(&self.from.key, &to.key)),
            _ => Prefix::within_shard(0),
        }
    }

    /// Cuts it into about `parts` parts of equal weight, each within one shard. `samples` are sorted. The parts are in
    /// order and cover it completely.
    pub(super) fn split(&self, shards: u32, samples: &[(u32, &[u8])], parts: usize) -> Vec<Self> {
        let mut cuts = vec![self.from.clone()];
        cuts.extend((self.from.shard + 1..shards).map(|shard| Splitter { shard, key: Vec::new() }));
        cuts.extend((1..parts).filter_map(|part| {
            let (shard, key) = samples.get(part * samples.len() / parts)?;
            Some(Splitter { shard: *shard, key: key.to_vec() })
        }));
        cuts.retain(|cut| *cut >= self.from && self.to.as_ref().is_none_or(|to| cut < to));
        cuts.sort_unstable();
        cuts.dedup();
        parts_at(cuts, self.to.clone())
    }
}

/// The parts between these splitters, which are sorted, up to `end`.
pub(super) fn parts_at(cuts: Vec<Splitter>, end: Option<Splitter>) -> Vec<KeyRange> {
    let ends: Vec<Option<Splitter>> = cuts.iter().skip(1).cloned().map(Some).chain([end]).collect();
    cuts.into_iter().zip(ends).map(|(from, to)| KeyRange { from, to }).collect()
}

/// Parts in key order, with a lookup of the part that an entry belongs to.
///
/// The span of prefixes is divided into equal cells, several per part. A lookup searches only the parts that begin in
/// the entry's cell, mostly one or two.
#[derive(Debug)]
pub(super) struct RangePartitioner {
    prefix: Prefix,
    /// The smallest prefix of each part.
    starts: Vec<u64>,
    /// How many parts begin before each cell, with one more at the end.
    cells: Vec<u32>,
    /// The first prefix of the first cell.
    base: u64,
    /// A cell spans `1 << bits` prefixes.
    bits: u32,
    parts: Vec<KeyRange>,
}

impl RangePartitioner {
    /// For entries of `shards` shards; the parts cover the key space of all entries.
    pub(super) fn new(parts: Vec<KeyRange>, shards: u32) -> Self {
        let prefix = Prefix::new(shards);
        let starts: Vec<u64> = parts.iter().map(|part| prefix.of(part.from.shard, &part.from.key)).collect();
        // The first part begins before all keys, so its start would only widen the cells.
        let base = starts.get(1).copied().unwrap_or(0);
        let span = starts.last().map_or(0, |last| last.saturating_sub(base));
        let cells_bits = (parts.len() * CELLS_PER_PART).next_power_of_two().trailing_zeros();
        let bits = (u64::BITS - span.leading_zeros()).saturating_sub(cells_bits);
        let count = (span >> bits) + 1;
        let cells = (0..count)
            .map(|cell| starts.partition_point(|start| *start < base.saturating_add(cell << bits)))
            .chain([starts.len()])
            .map(|before| before as u32)
            .collect();
        Self { prefix, starts, cells, base, bits, parts }
    }

    pub(super) fn parts(&self) -> &[KeyRange] {
        &self.parts
    }

    pub(super) fn into_parts(self) -> Vec<KeyRange> {
        self.parts
    }

    /// The part of an entry: the last one that starts at or before it.
    pub(super) fn find(&self, shard: u32, key: &[u8]) -> usize {
        let own = self.prefix.of(shard, key);
        let Some(above) = own.checked_sub(self.base) else { return 0 };
        let cell = ((above >> self.bits) as usize).min(self.cells.len() - 2);
        let (from, to) = (self.cells[cell] as usize, self.cells[cell + 1] as usize);
        let after = from + self.starts[from..to].partition_point(|start| *start <= own);
        if after == 0 || self.starts[after - 1] != own {
            return after.saturating_sub(1);
        }
        // With equal prefixes, the keys themselves are compared.
        let equal = self.starts[..after].partition_point(|start| *start < own);
        let starts_before = |part: &KeyRange| (part.from.shard, part.from.key.as_slice()) <= (shard, key);
        (equal + self.parts[equal..after].partition_point(starts_before)).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_weights_and_whole_shards() {
        let keys: Vec<[u8; 1]> = (0..100).map(|key| [key]).collect();
        let samples: Vec<(u32, &[u8])> = (0..2).flat_map(|s| keys.iter().map(move |key| (s, &key[..]))).collect();
        let parts = KeyRange::whole().split(2, &samples, 8);
        let starts: Vec<(u32, Vec<u8>)> = parts.iter().map(|part| (part.from.shard, part.from.key.clone())).collect();
        let at = |shard, key: u8| (shard, vec![key]);
        assert_eq!(
            starts,
            [(0, vec![]), at(0, 25), at(0, 50), at(0, 75), (1, vec![]), at(1, 0), at(1, 25), at(1, 50), at(1, 75)]
        );
        assert_eq!(parts.last().map(|part| &part.to), Some(&None));
    }

    #[test]
    fn one_key_with_most_of_the_data_is_one_part() {
        let samples = vec![(0, &b"hot"[..]); 50];
        assert_eq!(KeyRange::whole().split(1, &samples, 10).len(), 2);
        assert!(KeyRange::whole().split(3, &[], 10).len() == 3);
    }

    #[test]
    fn a_part_is_split_within_its_bounds() {
        let cut = |key: &[u8]| Splitter { shard: 1, key: key.to_vec() };
        let part = KeyRange { from: cut(b"b"), to: Some(cut(b"m")) };
        let samples: Vec<(u32, &[u8])> = vec![(1, b"b"), (1, b"f"), (1, b"j"), (1, b"l")];
        let starts = |part: &KeyRange| part.split(3, &samples, 4).into_iter().map(|part| part.from).collect::<Vec<_>>();
        assert_eq!(starts(&part), [cut(b"b"), cut(b"f"), cut(b"j"), cut(b"l")]);
        assert_eq!(part.split(3, &samples, 4).last().unwrap().to, part.to);
        assert_eq!(part.split(3, &[], 4), std::slice::from_ref(&part));
    }

    #[test]
    fn keys_of_a_part_share_their_common_prefix() {
        let cut = |shard, key: &[u8]| Splitter { shard, key: key.to_vec() };
        let prefix = |from, to, key: &[u8]| KeyRange { from, to }.prefix(2).of(0, key);
        let skipped = prefix(cut(0, b"https://a"), Some(cut(0, b"https://c/x")), b"https://b1234567");
        assert_eq!(skipped, u64::from_be_bytes(*b"b1234567"));
        assert_eq!(prefix(cut(0, b"a"), Some(cut(1, b"")), b"b1234567"), u64::from_be_bytes(*b"b1234567"));
        assert_eq!(prefix(cut(0, b"a"), None, b"b1234567"), u64::from_be_bytes(*b"b1234567") >> 1);
    }

    proptest! {
        /// Keys of few bytes and keys that share more than a prefix holds.
        #[test]
        fn an_entry_belongs_to_the_last_part_that_starts_before_it(
            cuts in proptest::collection::vec((0u32..3, proptest::collection::vec(0u8..3, 0..12)), 0..40),
            shard in 0u32..3, key in proptest::collection::vec(0u8..3, 0..12),
        ) {
            let samples: Vec<(u32, &[u8])> = cuts.iter().map(|(shard, key)| (*shard, key.as_slice())).collect();
            let cuts = RangePartitioner::new(KeyRange::whole().split(3, &samples, samples.len() + 1), 3);
            let part = &cuts.parts()[cuts.find(shard, &key)];
            let own = Splitter { shard, key: key.clone() };
            prop_assert!(part.from <= own && part.to.as_ref().is_none_or(|to| own < *to), "{:?} in {:?}", own, part);
        }
    }
}
