//! Moves several files at a time: as many threads as requests can be waited for, until one fails.
//!
//! Not for: work that needs a processor, which is rayon's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Files that are moved at a time.
const AT_A_TIME: usize = 8;

/// Calls `work` with each of `items`. After a failure no other one is begun.
///
/// # Errors
/// The first of `work`.
pub(super) fn for_each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let (next, has_failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                    && !has_failed.load(Ordering::Relaxed)
                {
                    if let Err(why) = work(item) {
                        has_failed.store(true, Ordering::Relaxed);
                        error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
                    }
                }
            });
        }
    });
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
