//! Splitters: where the sorted key space is cut, so that every part holds about the same number of bytes.
//!
//! Samples stand for equal amounts of data, so the cuts are the samples at equal steps of their sorted order
//! (sample sort, Frazer and McKellar 1970). Every shard begins at a cut. A key is never cut through: equal cuts are one.
//!
//! Not for: the order inside a part, or which parts make one output file.

use serde::{Deserialize, Serialize};

/// A place in the key space: the first (shard, key) at or after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cut {
    pub(super) shard: u32,
    pub(super) key: Vec<u8>,
}

/// A part of the key space: from its cut, inclusive, to the next part's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: Cut,
    /// Exclusive end; none for the last part.
    pub(super) to: Option<Cut>,
}

impl Part {
    /// Leading bytes that all keys of this part share.
    pub(super) fn shared_prefix(&self) -> usize {
        match &self.to {
            Some(to) if to.shard == self.from.shard => {
                self.from.key.iter().zip(&to.key).take_while(|(left, right)| left == right).count()
            }
            _ => 0,
        }
    }
}

/// Cuts the key space of `shards` shards into about `parts` parts of equal weight. `samples` are in sorted order.
/// The parts cover the whole space and are in its order; each lies within one shard.
pub(super) fn split(shards: u32, samples: &[(u32, &[u8])], parts: usize) -> Vec<Part> {
    let mut cuts: Vec<Cut> = (0..shards).map(|shard| Cut { shard, key: Vec::new() }).collect();
    cuts.extend((1..parts).filter_map(|part| {
        let (shard, key) = samples.get(part * samples.len() / parts)?;
        Some(Cut { shard: *shard, key: key.to_vec() })
    }));
    cuts.sort_unstable();
    cuts.dedup();
    parts_at(cuts)
}

/// The parts between these cuts, which are in order.
pub(super) fn parts_at(cuts: Vec<Cut>) -> Vec<Part> {
    let ends: Vec<Option<Cut>> = cuts.iter().skip(1).cloned().map(Some).chain([None]).collect();
    cuts.into_iter().zip(ends).map(|(from, to)| Part { from, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_and_whole_shards() {
        let keys: Vec<[u8; 1]> = (0..100).map(|key| [key]).collect();
        let samples: Vec<(u32, &[u8])> = (0..2).flat_map(|s| keys.iter().map(move |key| (s, &key[..]))).collect();
        let parts = split(2, &samples, 8);
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
        assert_eq!(split(1, &samples, 10).len(), 2);
        assert!(split(3, &[], 10).len() == 3);
    }

    #[test]
    fn keys_between_two_cuts_share_their_common_prefix() {
        let cut = |key: &[u8]| Cut { shard: 0, key: key.to_vec() };
        let part = Part { from: cut(b"https://a"), to: Some(cut(b"https://c/x")) };
        assert_eq!(part.shared_prefix(), 8);
        assert_eq!(Part { from: cut(b"a"), to: None }.shared_prefix(), 0);
    }
}
