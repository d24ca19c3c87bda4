//! Bytes that one kind of use may take, over all that use it: buffers, connections, or open versions.
//!
//! A connection holds small buffers for free; what it holds beyond those is reserved, and refused when all of the budget
//! is in use. Thousands of connections that send half a request, or do not read their answers, then cost a bounded
//! amount of memory.
//!
//! Not for: how large each budget is (`memory`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::refusal::Refusal;

/// Bytes that a buffer has without a reservation.
pub const FREE: usize = 8 << 10;
/// What a command builds is reserved in steps of this many bytes.
const STEP: usize = 64 << 10;

/// Bytes that may be in use at one time.
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

    /// Bytes of the whole budget.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are reserved now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A reservation of nothing yet.
    pub fn none(self: &Arc<Self>) -> Reserved {
        Reserved { budget: Arc::clone(self), bytes: 0 }
    }

    /// A reservation of this many bytes; none when fewer are left.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let mut reserved = self.none();
        reserved.set(bytes).then_some(reserved)
    }
}

impl Reserved {
    /// Makes this the reservation for buffers of `held` bytes together, of which some are free. False when there is not
    /// so much left; the reservation is then as before.
    #[must_use]
    pub fn resize(&mut self, held: usize) -> bool {
        self.set(held.saturating_sub(FREE))
    }

    /// Makes this the reservation of exactly this many bytes. False when fewer are left; the reservation is
    /// then as before.
    #[must_use]
    pub fn set(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            if bytes < self.bytes {
                self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
                self.bytes = bytes;
            }
            return true;
        }
        let more = bytes - self.bytes;
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.budget.limit {
            self.budget.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes;
        true
    }

    /// Makes this at least the reservation for what a command builds: `held` bytes so far.
    ///
    /// # Errors
    /// `Later` when there is not so much left.
    pub fn hold(&mut self, held: usize) -> Result<(), Refusal> {
        let wanted = held.saturating_sub(FREE);
        if wanted <= self.bytes || self.set(wanted.next_multiple_of(STEP)) || self.set(wanted) {
            return Ok(());
        }
        Err(Refusal::busy())
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
        assert!(budget.reserve(1).is_none());
        drop((first, second));
        assert_eq!(budget.used(), 0);
        assert!(budget.reserve(1000).is_some());
    }

    #[test]
    fn what_is_built_is_reserved_in_steps_as_far_as_there_is_room() {
        let budget = Budget::new(3 * STEP / 2);
        let mut building = budget.none();
        building.hold(FREE).unwrap();
        assert_eq!(budget.used(), 0);
        building.hold(FREE + 1).unwrap();
        assert_eq!(budget.used(), STEP);
        building.hold(FREE + STEP + 1).unwrap();
        assert_eq!(budget.used(), STEP + 1, "the step is larger than what is left");
        assert!(building.hold(FREE + 2 * STEP).is_err());
        building.hold(1).unwrap();
        assert_eq!(budget.used(), STEP + 1, "it never shrinks by itself");
    }
}
