//! Counters of what clients asked for, and how long the answers took.
//!
//! A connection counts in a [`Tally`] of its own and adds it to the shared counters once per batch of requests, so that
//! counting costs requests nothing that grows with the number of threads.
//!
//! Not for: the text that Prometheus reads (`http::prometheus`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of latencies, in microseconds; the last bucket has no bound.
pub const BOUNDS: [u64; 14] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// What clients asked for in one dataset.
#[derive(Debug, Default)]
pub struct Reads {
    /// Keys that were there.
    pub hits: AtomicU64,
    /// Keys that were not.
    pub misses: AtomicU64,
}

impl Reads {
    /// Counts keys.
    pub fn add(&self, hits: u64, misses: u64) {
        if hits > 0 {
            self.hits.fetch_add(hits, Ordering::Relaxed);
        }
        if misses > 0 {
            self.misses.fetch_add(misses, Ordering::Relaxed);
        }
    }
}

/// The requests of one protocol.
#[derive(Debug, Default)]
pub struct Requests {
    /// Requests by latency: one counter per bound, and one for all slower ones.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    errors: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Connections that were refused because there were too many.
    pub refused: AtomicU64,
}

/// The requests of one protocol at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Requests up to each bound, and all of them last.
    pub cumulative: Vec<u64>,
    /// The sum of their latencies.
    pub seconds: f64,
    /// Requests that were answered by an error.
    pub errors: u64,
}

/// Requests of one connection that are not in the shared counters yet.
#[derive(Debug, Default)]
pub struct Tally {
    buckets: [u32; BOUNDS.len() + 1],
    nanoseconds: u64,
    errors: u64,
}

impl Tally {
    /// Counts a request.
    pub fn count(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * 1000 < nanoseconds);
        self.buckets[bucket] += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
    }

    /// Counts that a request was answered by an error.
    pub fn count_error(&mut self) {
        self.errors += 1;
    }
}

impl Requests {
    /// Adds what a connection counted, which begins again at zero.
    pub fn add(&self, tally: &mut Tally) {
        for (bucket, count) in self.buckets.iter().zip(&tally.buckets) {
            if *count > 0 {
                bucket.fetch_add(u64::from(*count), Ordering::Relaxed);
            }
        }
        self.nanoseconds.fetch_add(tally.nanoseconds, Ordering::Relaxed);
        if tally.errors > 0 {
            self.errors.fetch_add(tally.errors, Ordering::Relaxed);
        }
        *tally = Tally::default();
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = 0;
        let cumulative = self.buckets.iter().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        });
        Snapshot {
            cumulative: cumulative.collect(),
            seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_the_bucket_of_their_latency() {
        let (requests, mut tally) = (Requests::default(), Tally::default());
        for micros in [1, 10, 11, 1_000_000, 60_000_000] {
            tally.count(Duration::from_micros(micros));
        }
        tally.count_error();
        requests.add(&mut tally);
        requests.add(&mut tally);
        let seen = requests.snapshot();
        assert_eq!((seen.cumulative[0], seen.cumulative[1], seen.cumulative[BOUNDS.len()]), (2, 3, 5));
        assert_eq!(seen.errors, 1);
        assert!((seen.seconds - 61.000_022).abs() < 1e-6, "{}", seen.seconds);
    }
}
