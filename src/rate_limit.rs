//! A token bucket that limits the bytes per second of all threads together.
//!
//! It fills evenly and holds one second's worth: a thread that takes more than is in it waits for the rest.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Waits are split into pieces of this length, so that a stop is noticed.
const PIECE: Duration = Duration::from_millis(100);

/// A limit that threads share.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: f64,
    /// When everything taken so far will be within the limit.
    allowed: Mutex<Instant>,
}

impl RateLimit {
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1) as f64, allowed: Mutex::new(Instant::now()) }
    }

    /// Takes `bytes`, and waits until they are within the limit or `stopped` returns true.
    pub fn take(&self, bytes: u64, stopped: impl Fn() -> bool) {
        let costs = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let until = {
            let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            // The bucket holds one second's worth.
            let earliest = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(*allowed);
            *allowed = (*allowed).max(earliest) + costs;
            *allowed
        };
        while !stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(PIECE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_the_limit_wait() {
        let limit = RateLimit::new(1000);
        let start = Instant::now();
        [400; 4].into_iter().for_each(|bytes| limit.take(bytes, || false));
        assert!(start.elapsed() >= Duration::from_millis(500), "600 bytes more than one second's worth");
        let start = Instant::now();
        limit.take(1_000_000, || true);
        assert!(start.elapsed() < Duration::from_secs(5), "a stop is noticed");
    }
}
