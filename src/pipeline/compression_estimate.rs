//! Estimates how well the entries of a job compress, on blocks of its first entries with the codec of its tables.
//!
//! Not for: the tables themselves, which RocksDB compresses. It sorts entries and omits shared prefixes of keys first,
//! so tables come out a little smaller than estimated.

use crate::format::{Compression, Tables};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks that each thread compresses.
const BLOCKS: usize = 64;
/// The level at which RocksDB compresses with zstd.
const ZSTD_LEVEL: i32 = 3;

/// What all threads have compressed.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    raw: AtomicU64,
    compressed: AtomicU64,
}

impl Sampled {
    /// Compressed bytes for each byte; `None` if nothing was compressed.
    pub(super) fn ratio(&self) -> Option<f64> {
        match (self.compressed.load(Ordering::Relaxed), self.raw.load(Ordering::Relaxed)) {
            (_, 0) => None,
            (compressed, raw) => Some(compressed as f64 / raw as f64),
        }
    }
}

/// Compresses the first entries of one thread.
pub(super) struct CompressionSampler {
    codec: Compression,
    block_size: usize,
    block: Vec<u8>,
    left: usize,
    all: Arc<Sampled>,
}

impl CompressionSampler {
    pub(super) fn new(tables: &Tables, all: Arc<Sampled>) -> Self {
        let block_size = usize::try_from(tables.block_size).unwrap_or(usize::MAX);
        Self { codec: tables.compression, block_size, block: Vec::new(), left: BLOCKS, all }
    }

    /// Adds an entry.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        if self.left > 0 {
            self.block.extend_from_slice(key);
            self.block.extend_from_slice(value);
            if self.block.len() >= self.block_size {
                self.compress_block();
            }
        }
    }

    fn compress_block(&mut self) {
        self.left = self.left.saturating_sub(1);
        let block = std::mem::take(&mut self.block);
        let compressed = match self.codec {
            Compression::None => block.len(),
            Compression::Lz4 => lz4_flex::block::compress(&block).len(),
            Compression::Zstd => {
                zstd::bulk::compress(&block, ZSTD_LEVEL).map_or(block.len(), |compressed| compressed.len())
            }
        };
        self.all.raw.fetch_add(block.len() as u64, Ordering::Relaxed);
        self.all.compressed.fetch_add(compressed.min(block.len()) as u64, Ordering::Relaxed);
    }
}

impl Drop for CompressionSampler {
    fn drop(&mut self) {
        if !self.block.is_empty() {
            self.compress_block();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitive_data_compresses_and_uncompressed_data_does_not() {
        for (compression, least, most) in
            [(Compression::None, 1.0, 1.0), (Compression::Lz4, 0.0, 0.2), (Compression::Zstd, 0.0, 0.2)]
        {
            let sampled = Arc::new(Sampled::default());
            let tables = Tables { compression, ..Tables::default() };
            let mut sampler = CompressionSampler::new(&tables, Arc::clone(&sampled));
            (0..1000).for_each(|number: u32| sampler.add(&number.to_be_bytes(), &[b'x'; 100]));
            drop(sampler);
            let ratio = sampled.ratio().unwrap();
            assert!((least..=most).contains(&ratio), "{compression:?}: {ratio}");
        }
        assert_eq!(Sampled::default().ratio(), None);
    }
}
