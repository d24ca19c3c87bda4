//! Refuses to read in a process that was forked from one that had opened a reader.
//!
//! A fork copies memory and no threads. Those that open versions and those that talk to object stores are then missing,
//! and a lock may be held by one of them: reading would hang at some later time. So it fails at once, with what to do.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::detached;
use crate::errors::invalid;

/// Whether this process, or one that it was forked from, opened a reader.
static USED: AtomicBool = AtomicBool::new(false);
/// Whether a fork happened after that.
static FORKED: AtomicBool = AtomicBool::new(false);

#[pyfunction]
fn after_fork() {
    FORKED.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
    detached::after_fork();
}

/// Has the interpreter call this module in each process that it forks.
pub(crate) fn watch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let calls = pyo3::types::PyDict::new(py);
    calls.set_item("after_in_child", wrap_pyfunction!(after_fork, module)?)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&calls))?;
    Ok(())
}

/// Whether reading could hang, and so could closing what was open before the fork.
pub(crate) fn is_unsafe() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// A reader is about to be opened.
pub(crate) fn opening(py: Python<'_>) -> PyResult<()> {
    check(py)?;
    USED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Fails where reading could hang.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    if !is_unsafe() {
        return Ok(());
    }
    Err(invalid(
        py,
        "this process was forked from one that had opened a cutover.Reader: open the first reader after the fork, or \
         start processes by multiprocessing's \"spawn\"",
    ))
}
