//! Buffers rows of one partition in memory until they are read, with memory accounting.
//!
//! Not for: spilling when memory is short (see `spilling_repartition`).

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::spill::get_record_batch_memory_size;

/// Name of the memory consumer.
pub(super) const WAITING: &str = "Waiting";

/// The memory reservation of one task, empty at first.
pub(super) fn memory(task: usize, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
    MemoryConsumer::new(format!("{WAITING}[{task}]")).with_can_spill(true).register(pool)
}

/// The rows of all tasks.
#[derive(Debug, Default)]
pub(super) struct PartitionBuffer(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    rows: RecordBatch,
    _memory: MemoryReservation,
}

impl PartitionBuffer {
    /// Buffers the rows if there is memory for them; false if not.
    pub(super) fn try_push(&self, rows: &RecordBatch, memory: &MemoryReservation) -> bool {
        let bytes = get_record_batch_memory_size(rows);
        let fits = memory.try_grow(bytes).is_ok();
        if fits {
            let kept = Kept { rows: rows.clone(), _memory: memory.split(bytes) };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
        fits
    }

    /// Returns all rows; each is no longer accounted for once it is returned.
    pub(super) fn take(&self) -> impl Iterator<Item = RecordBatch> + use<> {
        let kept = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        kept.into_iter().map(|kept| kept.rows)
    }
}
