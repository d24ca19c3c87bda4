//! Rows of one partition that wait in memory for their turn, counted until they are taken.
//!
//! Not for: where they wait when there is no more memory (see `spread`).

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::spill::get_record_batch_memory_size;

/// What their memory is asked for as.
pub(super) const WAITING: &str = "Waiting";

/// What one task takes of the pool for rows that wait; nothing yet.
pub(super) fn memory(task: usize, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
    MemoryConsumer::new(format!("{WAITING}[{task}]")).with_can_spill(true).register(pool)
}

/// The rows, from all tasks.
#[derive(Debug, Default)]
pub(super) struct PartitionBuffer(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    rows: RecordBatch,
    _memory: MemoryReservation,
}

impl PartitionBuffer {
    /// Keeps rows, if there is memory for them.
    pub(super) fn try_push(&self, rows: &RecordBatch, memory: &MemoryReservation) -> bool {
        let bytes = get_record_batch_memory_size(rows);
        let fits = memory.try_grow(bytes).is_ok();
        if fits {
            let kept = Kept { rows: rows.clone(), _memory: memory.split(bytes) };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
        fits
    }

    /// Hands out everything, no longer counted once it is handed out.
    pub(super) fn take(&self) -> impl Iterator<Item = RecordBatch> + use<> {
        let kept = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        kept.into_iter().map(|kept| kept.rows)
    }
}
