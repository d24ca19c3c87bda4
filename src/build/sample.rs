//! Entries remembered while they are written, so that they can be looked up in what was built.
//!
//! An entry is remembered when the low bits of its digest are zero. The number of bits, the level, rises whenever more
//! than [`MOST`] are remembered, so a shard keeps between half of that and all of it, spread over its keys by chance,
//! and a small shard keeps everything.
//!
//! Not for: splitters (see `shuffle`).

use std::sync::{Mutex, PoisonError};

use crate::catalog::Digest;

/// Entries of a shard that are remembered at most; at least half of it, far above the 1,000 a read-back looks up.
const MOST: u64 = 4096;

/// A remembered entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The stored key.
    pub key: Vec<u8>,
    /// The digest of the entry.
    pub digest: Digest,
}

/// What one shard remembers, shared by the threads that write its ranges.
#[derive(Debug, Default)]
pub(super) struct Sampler(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    level: u32,
    samples: Vec<Sample>,
}

impl Sampler {
    /// Remembers the entry where its turn has come. `level` is the caller's copy of the level.
    pub(super) fn offer(&self, level: &mut u32, key: &[u8], digest: Digest) {
        if !selected(digest, *level) {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if selected(digest, kept.level) {
            kept.samples.push(Sample { key: key.to_vec(), digest });
        }
        while kept.samples.len() as u64 > MOST {
            kept.level += 1;
            let level = kept.level;
            kept.samples.retain(|sample| selected(sample.digest, level));
        }
        *level = kept.level;
    }

    pub(super) fn into_samples(self) -> Vec<Sample> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).samples
    }
}

fn selected(digest: Digest, level: u32) -> bool {
    digest.0.trailing_zeros() >= level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shards_remember_all_and_large_ones_enough() {
        for (entries, least) in [(0u64, 0), (1_000, 1_000), (1_000_000, 1_000)] {
            let sampler = Sampler::default();
            let mut level = 0;
            for entry in 0..entries {
                sampler.offer(&mut level, &entry.to_be_bytes(), Digest::of_entry(&entry.to_be_bytes(), b""));
            }
            let kept = sampler.into_samples().len();
            assert!(kept >= least && kept as u64 <= MOST, "{entries}: {kept}");
        }
    }
}
