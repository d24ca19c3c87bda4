//! The query's share of the memory, and who of its operators may have how much of it.
//!
//! | class | who | how much |
//! |---|---|---|
//! | transit | batches on their way between partitions | a quarter together |
//! | waiting | rows that wait for their turn in memory | what fixed ones leave of five eighths together |
//! | merge | the merges that end sorts | an equal part each of five eighths |
//! | fixed | hash tables and all else that cannot spill | what is free, first come, first served |
//! | spillable | sorts, groups | an equal part each of what the others leave |
//!
//! Batches in transit go to disk when they get no more memory, and nobody asks for them before their turn; without a
//! limit of their own they would fill the pool first, and a join would find nothing left. A merge takes as much as it
//! gets, but can do with little: the first one must not leave nothing to the next. An eighth is kept from operators that
//! can spill for those that cannot.
//!
//! Not for: memory that DataFusion does not count, such as the batch an operator is working on.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use super::shelf::WAITING;

/// What the consumers of DataFusion's repartitioning are called.
const REPARTITION: &str = "RepartitionExec";
/// The part of the pool that batches in transit may have: one in so many.
const TRANSIT: usize = 4;
/// The part of the pool that rows may have that wait for their turn: the rest is for what is made of them.
const WAITING_PART: (usize, usize) = (5, 8);
/// What the consumers of the merges that end sorts are called.
const MERGE: &str = "ExternalSorterMerge";
/// The part of the pool that merges may have: more than the sorts, as a merge in memory holds all that its sort held.
pub(super) const MERGES: (usize, usize) = (5, 8);
/// The part that is kept from operators that can spill, for those that cannot, where there are any: one in so many.
const KEPT: usize = 8;

/// What the consumers of a hash join's build side are called, and how many times what they count they take: the join
/// copies all batches of the build side into one while it still holds them.
const HASH_JOIN: (&str, usize) = ("HashJoinInput", 2);

/// A memory pool in which no kind of operator can starve another.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    used: Mutex<Used>,
}

/// What every class of consumers has in use.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    classes: [Share; 5],
    peak: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    bytes: usize,
    consumers: usize,
}

impl Share {
    /// So many bytes, where anybody asks for them.
    fn needed(self, bytes: usize) -> usize {
        if self.consumers > 0 { bytes } else { 0 }
    }

    /// What each consumer gets of so many bytes.
    fn each(self, bytes: usize) -> usize {
        bytes / self.consumers.max(1)
    }
}

/// In the order of [`Used::classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Transit,
    Waiting,
    Merge,
    Fixed,
    Spillable,
}

impl Class {
    fn of(consumer: &MemoryConsumer) -> Self {
        let is = |name: &str| consumer.name().starts_with(name);
        match consumer.can_spill() {
            true if is(REPARTITION) => Self::Transit,
            true if is(WAITING) => Self::Waiting,
            true => Self::Spillable,
            false if is(MERGE) => Self::Merge,
            false => Self::Fixed,
        }
    }
}

/// Bytes that a consumer takes where it counts `bytes`.
fn taken(consumer: &MemoryConsumer, bytes: usize) -> usize {
    let (name, times) = HASH_JOIN;
    if consumer.name().starts_with(name) { bytes * times } else { bytes }
}

impl Used {
    fn of(&self, class: Class) -> Share {
        self.classes[class as usize]
    }

    fn of_mut(&mut self, class: Class) -> &mut Share {
        &mut self.classes[class as usize]
    }

    fn add(&mut self, class: Class, bytes: usize) {
        self.of_mut(class).bytes += bytes;
        self.peak = self.peak.max(self.total());
    }

    fn total(&self) -> usize {
        self.classes.iter().map(|share| share.bytes).sum()
    }

    /// Bytes by which a consumer of this class, which holds `held`, may grow in a pool of `size` bytes.
    fn available(&self, class: Class, held: usize, size: usize) -> usize {
        let free = size.saturating_sub(self.total());
        let [transit, waiting, merge, fixed, spillable] =
            [Class::Transit, Class::Waiting, Class::Merge, Class::Fixed, Class::Spillable].map(|class| self.of(class));
        let for_transit = transit.needed(size / TRANSIT);
        let for_merges = merge.needed(size / MERGES.1 * MERGES.0);
        let kept = fixed.needed(size / KEPT);
        let limit = match class {
            Class::Transit => for_transit.saturating_sub(transit.bytes),
            Class::Waiting => (size / WAITING_PART.1 * WAITING_PART.0).saturating_sub(waiting.bytes + fixed.bytes),
            Class::Merge => merge.each(for_merges).saturating_sub(held),
            Class::Fixed => free.saturating_sub(for_transit.saturating_sub(transit.bytes)),
            Class::Spillable => {
                let others = for_transit + waiting.bytes + for_merges + fixed.bytes.max(kept);
                spillable.each(size.saturating_sub(others)).saturating_sub(held)
            }
        };
        limit.min(free)
    }
}

impl Pool {
    /// A pool of `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Self { size, used: Mutex::default() }
    }

    /// The most bytes that were in use at a time.
    pub(super) fn peak(&self) -> usize {
        self.used().peak
    }

    /// What is counted here is whole after every statement, so a panic elsewhere does no harm.
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the query's share ({} bytes)", self.size)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used().of_mut(Class::of(consumer)).consumers += 1;
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut used = self.used();
        let consumers = &mut used.of_mut(Class::of(consumer)).consumers;
        *consumers = consumers.saturating_sub(1);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let consumer = reservation.consumer();
        self.used().add(Class::of(consumer), taken(consumer, additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let (consumer, mut used) = (reservation.consumer(), self.used());
        let bytes = &mut used.of_mut(Class::of(consumer)).bytes;
        *bytes = bytes.saturating_sub(taken(consumer, shrink));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let (class, held, additional) =
            (Class::of(consumer), taken(consumer, reservation.size()), taken(consumer, additional));
        let mut used = self.used();
        let available = used.available(class, held, self.size);
        if additional > available {
            let name = consumer.name();
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{name} holds {held} bytes and needs {additional} more, but {self} has {available} left for it"
            )));
        }
        used.add(class, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.total()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn batches_in_transit_leave_room_for_a_join() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
        let transit = MemoryConsumer::new("RepartitionExec[3]").with_can_spill(true).register(&pool);
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        transit.try_grow(250).unwrap();
        assert!(transit.try_grow(1).is_err());
        join.try_grow(375).unwrap();
        let error = join.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("HashJoinInput[0] holds 750 bytes and needs 2 more"), "{error}");
        assert_eq!(pool.reserved(), 1000);
    }

    #[test]
    fn rows_that_wait_leave_room_for_what_is_made_of_them() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(800));
        let waiting = super::super::shelf::memory(0, &pool);
        waiting.try_grow(500).unwrap();
        assert!(waiting.try_grow(1).is_err());
        let groups = MemoryConsumer::new("FinalHashAggregateStream[0]").with_can_spill(true).register(&pool);
        groups.try_grow(300).unwrap();
        assert!(groups.try_grow(1).is_err());
        waiting.shrink(100);
        groups.try_grow(100).unwrap();
        groups.free();
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        join.try_grow(25).unwrap();
        waiting.try_grow(50).unwrap();
        assert!(waiting.try_grow(1).is_err());
    }

    #[test]
    fn operators_that_spill_share_evenly_and_leave_room_for_those_that_do_not() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(800));
        let spiller = |number: usize| {
            MemoryConsumer::new(format!("ExternalSorter[{number}]")).with_can_spill(true).register(&pool)
        };
        let sorts = [spiller(0), spiller(1)];
        sorts[0].try_grow(400).unwrap();
        assert!(sorts[0].try_grow(1).is_err());
        sorts[0].free();
        let merge = |number: usize| MemoryConsumer::new(format!("ExternalSorterMerge[{number}]")).register(&pool);
        let merges = [merge(0), merge(1)];
        sorts.iter().for_each(|sort| sort.try_grow(150).unwrap());
        assert!(sorts[0].try_grow(1).is_err());
        for merge in &merges {
            merge.try_grow(250).unwrap();
            assert!(merge.try_grow(1).is_err());
        }
        assert_eq!(pool.reserved(), 800);
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(100));
        for _ in 0..3 {
            let join = MemoryConsumer::new("HashJoinInput").register(&pool);
            join.try_grow(50).unwrap();
        }
        assert_eq!(pool.reserved(), 0);
        assert_eq!(pool.downcast_ref::<Pool>().map(Pool::peak), Some(100));
    }
}
