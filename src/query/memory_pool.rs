//! The query's memory pool: limits each class of operators, so that none can starve another.
//!
//! | class | consumers | limit |
//! |---|---|---|
//! | spillable | sorts, groups | one half, shared equally by those that hold any |
//! | transit | batches being repartitioned | one eighth, if free |
//! | waiting | rows of partitions not yet processed | one half, if free |
//! | merge | merges of sorted runs | none |
//! | fixed | hash tables and all else that cannot spill | one half for certain, the other if free |
//!
//! No operator blocks on memory, and two rules make sure that what fits is never refused, however threads are
//! scheduled: a sort or aggregate that holds little ([`ClassedPool::least`]) gets what it asks for, since the batch
//! that it asks for is already in memory and it has next to nothing to spill instead; and a merge is never refused,
//! since it holds no more than a copy of what its sort held, for which the other half of the pool is reserved, or one
//! batch of each of a bounded number of runs.
//!
//! Not for: memory that DataFusion does not account for, such as the batch that an operator is working on.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use super::partition_buffer::WAITING;
use super::spilling_repartition::SPILLING_REPARTITION;

/// Name of the consumers of DataFusion's repartitioning.
const REPARTITION: &str = "RepartitionExec";
/// Names of the consumers of merges, and of others that hold no more than was planned.
const MERGE_CONSUMERS: [&str; 4] =
    ["ExternalSorterMerge", "SortPreservingMergeExec", "RepartitionExec[Merge", SPILLING_REPARTITION];
/// Name of the consumers of sort-merge joins: they spill the rows of one key, but do not declare it.
const SORTED_JOIN: &str = "SMJStream";
/// Fraction of the pool that is guaranteed to the spillable class and to the fixed class (1/N).
const SPILLABLE_DIVISOR: usize = 2;
/// Fraction of the pool for batches being repartitioned (1/N). They are produced long before they are consumed, and
/// without this limit would leave nothing for hash tables.
const TRANSIT_DIVISOR: usize = 8;
/// Fraction of the pool that a sort or aggregate may hold at any time (1/N), but no more than [`MAX_MIN_SHARE`].
const MIN_SHARE_DIVISOR: usize = 64;
const MAX_MIN_SHARE: usize = 1 << 20;

/// Name of the consumers of a hash join's build side, and how many times their count they are charged: the join
/// concatenates all batches of the build side into one while it still holds them.
const HASH_JOIN: (&str, usize) = ("HashJoinInput", 2);

/// A memory pool in which no class of operators can starve another.
#[derive(Debug)]
pub(super) struct ClassedPool {
    size: usize,
    used: Mutex<ClassUsage>,
}

/// Memory in use.
#[derive(Debug, Default)]
struct ClassUsage {
    /// Bytes by class.
    classes: [usize; 5],
    /// Bytes of every sort and aggregate that holds any, by consumer id.
    spillable: HashMap<usize, usize>,
    peak: usize,
}

/// In the order of [`ClassUsage::classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConsumerClass {
    /// Batches being repartitioned: they are spilled whenever they get no more memory.
    Transit,
    /// Buffered rows of partitions that are not yet processed; they are spilled too.
    Waiting,
    /// Everything else that can spill.
    Spillable,
    Merge,
    Fixed,
}

impl ConsumerClass {
    fn of(consumer: &MemoryConsumer) -> Self {
        let is = |name: &str| consumer.name().starts_with(name);
        match consumer.can_spill() {
            _ if MERGE_CONSUMERS.into_iter().any(is) => Self::Merge,
            true if is(REPARTITION) => Self::Transit,
            true if is(WAITING) => Self::Waiting,
            true => Self::Spillable,
            false if is(SORTED_JOIN) => Self::Spillable,
            false => Self::Fixed,
        }
    }
}

/// Bytes that a consumer is charged if it asks for `bytes`.
fn taken(consumer: &MemoryConsumer, bytes: usize) -> usize {
    let (name, times) = HASH_JOIN;
    if consumer.name().starts_with(name) { bytes.saturating_mul(times) } else { bytes }
}

impl ClassUsage {
    fn of(&self, class: ConsumerClass) -> usize {
        self.classes[class as usize]
    }

    /// Bytes that a sort or aggregate holds.
    fn held(&self, consumer: &MemoryConsumer) -> usize {
        self.spillable.get(&consumer.id()).copied().unwrap_or(0)
    }

    /// How many sorts and aggregates hold memory, including this one.
    fn spilling(&self, one: &MemoryConsumer) -> usize {
        self.spillable.len() + usize::from(!self.spillable.contains_key(&one.id()))
    }

    fn add(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        let class = ConsumerClass::of(consumer);
        self.classes[class as usize] += bytes;
        if class == ConsumerClass::Spillable && bytes > 0 {
            *self.spillable.entry(consumer.id()).or_default() += bytes;
        }
        self.peak = self.peak.max(self.total());
    }

    fn remove(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        let of_class = &mut self.classes[ConsumerClass::of(consumer) as usize];
        *of_class = of_class.saturating_sub(bytes);
        if let Some(held) = self.spillable.get_mut(&consumer.id()) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.spillable.remove(&consumer.id());
            }
        }
    }

    fn total(&self) -> usize {
        self.classes.iter().sum()
    }
}

impl ClassedPool {
    /// A pool of `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Self { size, used: Mutex::default() }
    }

    /// Peak bytes in use.
    pub(super) fn peak(&self) -> usize {
        self.used().peak
    }

    /// Bytes that a sort or aggregate may hold at any time.
    fn least(&self) -> usize {
        (self.size / MIN_SHARE_DIVISOR).min(MAX_MIN_SHARE)
    }

    /// Bytes by which a consumer may grow.
    fn available(&self, used: &ClassUsage, consumer: &MemoryConsumer) -> usize {
        let free = self.size.saturating_sub(used.total());
        let half = self.size / SPILLABLE_DIVISOR;
        match ConsumerClass::of(consumer) {
            ConsumerClass::Merge => usize::MAX,
            ConsumerClass::Fixed => free.max(half.saturating_sub(used.of(ConsumerClass::Fixed))),
            ConsumerClass::Transit => {
                free.min((self.size / TRANSIT_DIVISOR).saturating_sub(used.of(ConsumerClass::Transit)))
            }
            ConsumerClass::Waiting => free.min(half.saturating_sub(used.of(ConsumerClass::Waiting))),
            ConsumerClass::Spillable if used.held(consumer) < self.least() => usize::MAX,
            ConsumerClass::Spillable => (half / used.spilling(consumer)).saturating_sub(used.held(consumer)),
        }
    }

    /// The counters are consistent after every statement, so the lock may be used after a panic.
    fn used(&self) -> MutexGuard<'_, ClassUsage> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for ClassedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the query's share ({} bytes)", self.size)
    }
}

impl MemoryPool for ClassedPool {
    fn name(&self) -> &str {
        "query"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let consumer = reservation.consumer();
        self.used().add(consumer, taken(consumer, additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let consumer = reservation.consumer();
        self.used().remove(consumer, taken(consumer, shrink));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let additional = taken(consumer, additional);
        let mut used = self.used();
        let available = self.available(&used, consumer);
        if additional > available {
            let (name, held) = (consumer.name(), taken(consumer, reservation.size()));
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{name} holds {held} bytes and needs {additional} more, but {self} has {available} left for it"
            )));
        }
        used.add(consumer, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used().total()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn register(pool: &Arc<dyn MemoryPool>, name: &str, can_spill: bool) -> MemoryReservation {
        MemoryConsumer::new(name).with_can_spill(can_spill).register(pool)
    }

    #[test]
    fn queued_batches_leave_memory_for_a_join() {
        let pool: Arc<dyn MemoryPool> = Arc::new(ClassedPool::new(1000));
        let queued = register(&pool, "RepartitionExec[3]", true);
        let waiting = super::super::partition_buffer::memory(0, &pool);
        queued.try_grow(125).unwrap();
        waiting.try_grow(375).unwrap();
        assert!(queued.try_grow(1).is_err());
        let join = register(&pool, "HashJoinInput[0]", false);
        join.try_grow(250).unwrap();
        let error = join.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("HashJoinInput[0] holds 500 bytes and needs 2 more"), "{error}");
        assert_eq!(pool.reserved(), 1000);
    }

    #[test]
    fn sorts_and_groups_share_one_half_evenly_whatever_others_hold() {
        let pool: Arc<dyn MemoryPool> = Arc::new(ClassedPool::new(800));
        let join = register(&pool, "HashJoinInput[0]", false);
        join.try_grow(400).unwrap();
        let sorts = [register(&pool, "ExternalSorter[0]", true), register(&pool, "ExternalSorter[1]", true)];
        sorts[0].try_grow(400).unwrap();
        assert!(sorts[0].try_grow(1).is_err());
        sorts[0].free();
        sorts.iter().for_each(|sort| sort.try_grow(200).unwrap());
        assert!(sorts.iter().all(|sort| sort.try_grow(1).is_err()));
    }

    #[test]
    fn a_sort_that_holds_little_and_every_merge_are_granted_their_requests() {
        let pool: Arc<dyn MemoryPool> = Arc::new(ClassedPool::new(64 * 8));
        let join = register(&pool, "NestedLoopJoinLoad[0]", false);
        join.try_grow(64 * 8).unwrap();
        assert!(join.try_grow(1).is_err());
        let sort = register(&pool, "ExternalSorter[0]", true);
        sort.try_grow(7).unwrap();
        sort.try_grow(10_000).unwrap();
        assert!(sort.try_grow(1).is_err());
        register(&pool, "ExternalSorterMerge[0]", false).try_grow(10_000).unwrap();
    }

    #[test]
    fn released_memory_is_available_again() {
        let pool: Arc<dyn MemoryPool> = Arc::new(ClassedPool::new(100));
        for _ in 0..3 {
            let join = MemoryConsumer::new("HashJoinInput").register(&pool);
            join.try_grow(50).unwrap();
        }
        assert_eq!(pool.reserved(), 0);
        assert_eq!(pool.downcast_ref::<ClassedPool>().map(ClassedPool::peak), Some(100));
    }
}
