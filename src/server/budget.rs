//! The memory that requests and answers may take, over all connections.
//!
//! A connection holds a small buffer for free; what it holds beyond that is reserved here, and refused when all of it
//! is in use. Thousands of connections that send half a request, or do not read their answers, then cost a bounded
//! amount of memory.
//!
//! Not for: versions and the block cache, whose size does not depend on clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a buffer has without a reservation.
pub const FREE: usize = 16 << 10;

/// Bytes that may be in buffers at one time.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// A part of the budget, given back when this is dropped.
#[derive(Debug)]
pub struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Bytes that are reserved now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A reservation of nothing yet.
    pub fn none(self: &Arc<Self>) -> Reserved {
        Reserved { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Reserved {
    /// Makes this the reservation for buffers of `held` bytes together. False when there is not so much left; the
    /// reservation is then as before.
    #[must_use]
    pub fn resize(&mut self, held: usize) -> bool {
        let wanted = held.saturating_sub(FREE);
        if wanted <= self.bytes {
            if wanted < self.bytes {
                self.budget.used.fetch_sub(self.bytes - wanted, Ordering::Relaxed);
                self.bytes = wanted;
            }
            return true;
        }
        let more = wanted - self.bytes;
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.budget.limit {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = wanted;
        true
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_there_is() {
        let budget = Budget::new(1000);
        let (mut first, mut second) = (budget.none(), budget.none());
        assert!(first.resize(FREE + 900) && second.resize(FREE));
        assert!(!second.resize(FREE + 101));
        assert_eq!(budget.used(), 900);
        assert!(first.resize(FREE + 10) && second.resize(FREE + 990));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }
}
