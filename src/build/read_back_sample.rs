//! A sample of the entries that are written, to be looked up in the finished database.
//!
//! An entry is sampled when the low bits of its digest are zero. The number of bits, the level, rises whenever the
//! sample exceeds [`MAX`] entries or its memory. So the sample is between half full and full, spread at random over
//! the keys, and a small shard is sampled completely. With long keys, or very many shards, the sample can be smaller
//! than a read-back needs; such a shard is then read back completely.
//!
//! Not for: the samples that choose splitters (`shuffle`).

use crate::format::Digest;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::table::Table;

/// Most entries in the sample of a shard; even half of it is far more than the 1,000 that a read-back looks up.
const MAX: usize = 4096;
/// Bytes that a sampled entry takes in addition to its key.
const ENTRY_BYTES: usize = 80;

/// A sampled entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The stored key.
    #[serde(with = "crate::format::as_text")]
    pub key: Vec<u8>,
    /// The digest of the entry.
    pub digest: Digest,
}

/// The sampler of one shard, shared by the threads that write its ranges.
#[derive(Debug)]
pub(super) struct Sampler {
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    level: u32,
    /// Bytes that the samples take.
    bytes: usize,
    /// Digests by key: a range that is written twice is sampled once.
    samples: BTreeMap<Vec<u8>, Digest>,
}

impl Sampler {
    /// A sampler that takes at most `most_bytes` of memory.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, kept: Mutex::default() }
    }

    /// Adds the entry to the sample if its digest selects it. `level` is the caller's copy of the level.
    pub(super) fn observe(&self, level: &mut u32, key: &[u8], digest: Digest) {
        if !selected(digest, *level) {
            return;
        }
        let mut kept = self.kept();
        if selected(digest, kept.level) && kept.samples.insert(key.to_vec(), digest).is_none() {
            kept.bytes += bytes(key);
        }
        while kept.samples.len() > MAX || kept.bytes > self.most_bytes {
            kept.level += 1;
            let level = kept.level;
            kept.samples.retain(|_, digest| selected(*digest, level));
            kept.bytes = kept.samples.keys().map(|key| bytes(key)).sum();
        }
        *level = kept.level;
    }

    /// The sampled entries of these tables, which are in key order.
    pub(super) fn samples_between(&self, tables: &[Table]) -> Vec<Sample> {
        let (Some(first), Some(last)) = (tables.first(), tables.last()) else { return Vec::new() };
        let kept = self.kept();
        let within = kept.samples.range(first.first_key.clone()..=last.last_key.clone());
        within.map(|(key, digest)| Sample { key: key.clone(), digest: *digest }).collect()
    }

    /// Adds the sample of an earlier attempt. As the digest alone selects an entry, the final sample is the same as if
    /// this attempt had written all entries.
    pub(super) fn seed(&self, samples: &[Sample]) {
        let mut level = 0;
        samples.iter().for_each(|sample| self.observe(&mut level, &sample.key, sample.digest));
    }

    pub(super) fn into_samples(self) -> Vec<Sample> {
        let kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        kept.samples.into_iter().map(|(key, digest)| Sample { key, digest }).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(key: &[u8]) -> usize {
    key.len() + ENTRY_BYTES
}

fn selected(digest: Digest, level: u32) -> bool {
    digest.0.trailing_zeros() >= level
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    #[test]
    fn small_shards_keep_every_key_and_large_ones_a_sample() {
        for (entries, least) in [(0u64, 0), (1_000, 1_000), (1_000_000, 1_000)] {
            let sampler = Sampler::new(ROOM);
            let mut level = 0;
            for entry in 0..entries {
                sampler.observe(&mut level, &entry.to_be_bytes(), Digest::of_entry(&entry.to_be_bytes(), b""));
            }
            let kept = sampler.into_samples().len();
            assert!(kept >= least && kept <= MAX, "{entries}: {kept}");
        }
    }

    #[test]
    fn long_keys_take_no_more_memory() {
        let sampler = Sampler::new(ROOM);
        let mut level = 0;
        for entry in 0..2_000_u32 {
            let key = [&[0; 60_000][..], &entry.to_be_bytes()].concat();
            sampler.observe(&mut level, &key, Digest::of_entry(&key, b""));
        }
        let samples = sampler.into_samples();
        let held: usize = samples.iter().map(|sample| bytes(&sample.key)).sum();
        assert!(held <= ROOM && held > ROOM / 8, "{held}");
    }

    #[test]
    fn samples_of_an_earlier_attempt_count_like_new_ones() {
        let write = |sampler: &Sampler, keys: std::ops::Range<u64>| {
            let mut level = 0;
            for key in keys.map(u64::to_be_bytes) {
                sampler.observe(&mut level, &key, Digest::of_entry(&key, b""));
            }
        };
        let table = |keys: std::ops::Range<u64>| Table {
            first_key: keys.start.to_be_bytes().to_vec(),
            last_key: (keys.end - 1).to_be_bytes().to_vec(),
            ..Table::default()
        };
        let [whole, dead, next] = [(); 3].map(|()| Sampler::new(ROOM));
        write(&whole, 0..40_000);
        write(&dead, 0..10_000);
        let remembered = dead.samples_between(&[table(0..5_000), table(5_000..10_000)]);
        assert_eq!(remembered.len(), dead.kept().samples.len());
        assert!(dead.samples_between(&[table(20_000..30_000)]).is_empty() && dead.samples_between(&[]).is_empty());
        next.seed(&remembered);
        write(&next, 10_000..40_000);
        write(&next, 10_000..20_000); // as an attempt that failed would have
        assert_eq!(next.into_samples(), whole.into_samples());
    }
}
