//! Whether a run fits this machine: its memory, and the disks that it writes to.
//!
//! Not for: stopping a run. A prediction may be wrong; a run that really does not fit reports that itself.

use std::path::Path;

use super::predict::Predicted;
use super::prepare::Prepared;
use crate::catalog::Catalog;
use crate::report::Fits;
use crate::resources::{available_memory, free_disk};

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Compares what a run is predicted to need with what the machine has.
pub(super) fn fits(prepared: &Prepared<'_>, predicted: &Predicted) -> Fits {
    let mut problems = Vec::new();
    let needed = predicted.prediction.memory;
    let memory = needed <= available_memory();
    if !memory {
        problems.push(format!(
            "it needs {} MiB of memory, and {} MiB are available; set a smaller --memory",
            needed.div_ceil(MIB),
            available_memory() / MIB
        ));
    }
    let store = Catalog::directory_for(&prepared.job.store).unwrap_or_else(|_| prepared.job.store.clone());
    let disk = predicted.sizes.as_ref().map(|sizes| {
        let (in_store, aside) = match &prepared.options.spill_dir {
            None => (sizes.stored_bytes + sizes.spill_bytes, None),
            Some(spill) => (sizes.stored_bytes, Some((spill.as_path(), sizes.spill_bytes))),
        };
        let before = problems.len();
        for (path, needed) in [Some((store.as_path(), in_store)), aside].into_iter().flatten() {
            problems.extend(short_of(path, needed));
        }
        problems.len() == before
    });
    Fits { memory, disk, problems }
}

fn short_of(path: &Path, needed: u64) -> Option<String> {
    let free = free_disk(path).filter(|free| *free < needed)?;
    let (needed, free) = (needed.div_ceil(MIB), free / MIB);
    Some(format!("{} needs {needed} MiB of disk, and {free} MiB are free", path.display()))
}
