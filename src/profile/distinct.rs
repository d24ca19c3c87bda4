//! Sketch of a column's distinct values (k minimum values): the smallest hashes, each with its count.
//!
//! With up to [`KEPT`] distinct values everything is known. With more, the smallest hashes are a sample of the distinct
//! *values*, chosen in the same way in every version: their density estimates the number of distinct values (error
//! about 1/√[`KEPT`], 6 %), and the overlap of two samples estimates the overlap of the columns. The result does not
//! depend on the order of rows, nor on how they are distributed to threads: a hash below the final limit was below
//! every earlier limit.
//!
//! After Bar-Yossef et al., "Counting Distinct Elements in a Data Stream" (2002), and Beyer et al., "On Synopses for
//! Distinct-Value Estimation Under Multiset Operations" (2007).

/// Number of hashes that are kept.
pub(super) const KEPT: usize = 256;
/// Slots of a cache of recent values, which are counted without a search.
const RECENT: usize = 128;

/// The smallest hashes of a column's values.
#[derive(Clone, Debug)]
pub(super) struct Distinct {
    /// Sorted, with the count of each.
    pub(super) kept: Vec<(u64, u64)>,
    /// The largest hash that may still be kept.
    pub(super) limit: u64,
    recent: Box<[(u64, u64)]>,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { kept: Vec::new(), limit: u64::MAX, recent: Box::default() }
    }
}

impl Distinct {
    /// Adds the hash of a value.
    pub(super) fn add(&mut self, hash: u64) {
        if hash > self.limit {
            return;
        }
        if self.recent.is_empty() {
            self.recent = vec![(0, 0); RECENT].into_boxed_slice();
        }
        let slot = &mut self.recent[hash as usize % RECENT];
        if slot.0 == hash {
            slot.1 += 1;
            return;
        }
        let (before, times) = std::mem::replace(slot, (hash, 1));
        self.count(before, times);
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn count(&mut self, hash: u64, times: u64) {
        if times == 0 || hash > self.limit {
            return;
        }
        match self.kept.binary_search_by_key(&hash, |(hash, _)| *hash) {
            Ok(at) => self.kept[at].1 += times,
            Err(at) => {
                self.kept.insert(at, (hash, times));
                self.kept.truncate(KEPT);
                if let Some((last, _)) = self.kept.get(KEPT - 1) {
                    self.limit = *last;
                }
            }
        }
    }

    fn settle(&mut self) {
        for (hash, times) in std::mem::take(&mut self.recent) {
            self.count(hash, times);
        }
    }

    /// Adds the contents of another sketch.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.settle();
        other.settle();
        other.kept.iter().for_each(|(hash, times)| self.count(*hash, *times));
    }

    /// The smallest hashes, sorted, with their counts.
    pub(super) fn hashes(mut self) -> Vec<(u64, u64)> {
        self.settle();
        self.kept
    }
}

/// Estimated number of distinct values, from their smallest hashes.
pub(super) fn estimate(smallest: &[(u64, u64)]) -> u64 {
    match smallest.get(KEPT - 1) {
        None => smallest.len() as u64,
        Some((last, _)) => ((KEPT - 1) as f64 / ((*last as f64 + 1.0) / 2f64.powi(64))) as u64,
    }
}

/// The share of the values of the smaller of two columns that the other one has too, from their smallest hashes and
/// numbers of distinct values.
pub(super) fn overlap(one: &[u64], other: &[u64], of_one: u64, of_other: u64) -> Option<f64> {
    let all_known = |kept: &[u64], of: u64| kept.len() as u64 >= of;
    let known = |kept: &[u64], of| if all_known(kept, of) { u64::MAX } else { kept.last().copied().unwrap_or(0) };
    let limit = known(one, of_one).min(known(other, of_other));
    let below = |kept: &[u64]| kept.partition_point(|hash| *hash <= limit);
    let (one, other) = (&one[..below(one)], &other[..below(other)]);
    let common = one.iter().filter(|hash| other.binary_search(hash).is_ok()).count();
    let smaller = one.len().min(other.len());
    (smaller > 0).then(|| common as f64 / smaller as f64)
}

#[cfg(test)]
mod tests {
    use super::super::cells::mix;
    use super::*;

    fn sketch(values: impl IntoIterator<Item = u64>) -> Distinct {
        let mut sketch = Distinct::default();
        values.into_iter().for_each(|value| sketch.add(mix(value, 7)));
        sketch
    }

    fn only(hashes: &[(u64, u64)]) -> Vec<u64> {
        hashes.iter().map(|(hash, _)| *hash).collect()
    }

    #[test]
    fn few_values_are_known_exactly_and_many_within_a_fifth() {
        for exact in [0, 1, 3, KEPT as u64 - 1] {
            let hashes = sketch((0..5 * exact).map(|value| value % exact.max(1))).hashes();
            assert_eq!(estimate(&hashes), exact);
            assert!(hashes.iter().all(|(_, times)| *times == 5), "{exact}: how often each came");
        }
        for many in [300, 1_000, 20_000, 500_000_u64] {
            for offset in [0, 1 << 40] {
                let estimated = estimate(&sketch((0..many).map(|value| value + offset)).hashes()) as f64;
                // Three standard errors of 1/√254.
                assert!((estimated / many as f64 - 1.0).abs() < 0.19, "{estimated} for {many}");
            }
        }
    }

    #[test]
    fn merging_in_any_order_gives_the_same_as_one_pass() {
        let value = |row: u64| mix(row % 3_000, 3) % 5_000;
        let all = sketch((0..60_000).map(value)).hashes();
        for parts in [2_u64, 3, 7] {
            let part = |part: u64| sketch((0..60_000).filter(move |row| row % parts == part).map(value));
            let (mut forth, mut back) = (Distinct::default(), Distinct::default());
            (0..parts).for_each(|number| forth.merge(part(number)));
            (0..parts).rev().for_each(|number| back.merge(part(number)));
            assert_eq!(forth.hashes(), all);
            assert_eq!(back.hashes(), all);
        }
    }

    #[test]
    fn the_common_part_of_two_columns_is_estimated() {
        let of = |values: std::ops::Range<u64>| {
            let hashes = sketch(values).hashes();
            (only(&hashes), estimate(&hashes))
        };
        for (one, other, expected) in [
            (0..100, 0..100, 1.0),
            (0..100, 100..200, 0.0),
            (0..100, 50..150, 0.5),
            (0..50_000, 0..50_000, 1.0),
            (0..50_000, 25_000..75_000, 0.5),
            (0..50_000, 50_000..100_000, 0.0),
            (0..50_000, 0..25_000, 1.0),
        ] {
            let ((one, of_one), (other, of_other)) = (of(one), of(other));
            let found = overlap(&one, &other, of_one, of_other).unwrap();
            assert!((found - expected).abs() < 0.12, "{found} for {expected}");
        }
        assert_eq!(overlap(&[], &[1], 0, 1), None);
    }
}
