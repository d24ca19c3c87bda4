//! Keys that clients read recently: a sample, from which a new version is warmed up.
//!
//! Connections note every 64th key. Noting never waits: when two connections note at the same moment, one key is lost.
//!
//! Not for: statistics; the sample is not exact.

use std::sync::{Mutex, PoisonError, TryLockError};

/// Keys that are remembered.
const KEYS: usize = 4096;
/// Longer keys are not remembered.
const LONGEST: usize = 256;
/// One of how many keys a connection notes.
pub const NOTED: u32 = 64;

/// The last sampled keys, in no order.
#[derive(Debug, Default)]
pub struct HotKeys(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    keys: Vec<Box<[u8]>>,
    next: usize,
}

impl HotKeys {
    /// Remembers a stored key, unless another connection does so at this moment.
    pub fn note(&self, key: &[u8]) {
        if key.len() > LONGEST {
            return;
        }
        let mut ring = match self.0.try_lock() {
            Ok(ring) => ring,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let at = ring.next;
        match ring.keys.get_mut(at) {
            Some(slot) => *slot = key.into(),
            None => ring.keys.push(key.into()),
        }
        ring.next = (at + 1) % KEYS;
    }

    /// The keys that are remembered now.
    pub fn sample(&self) -> Vec<Box<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let hot = HotKeys::default();
        (0..KEYS + 10).for_each(|at| hot.note(&at.to_be_bytes()));
        hot.note(&[0; LONGEST + 1]);
        let sample = hot.sample();
        assert_eq!(sample.len(), KEYS);
        assert!(!sample.iter().any(|key| **key == 9_usize.to_be_bytes()));
        assert!(sample.iter().any(|key| **key == (KEYS + 9).to_be_bytes()));
    }
}
