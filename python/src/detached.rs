//! Runs work without the interpreter's lock, and keeps threads out of an interpreter that ends.
//!
//! When Python ends while a daemon thread reads, Python up to 3.13 ends that thread as soon as it asks for the lock: by
//! `pthread_exit`, which unwinds the frames of Rust below it, and the process crashes. So that no thread asks:
//!
//! ```text
//! attached     enter: count this thread              once the process closes: wait forever, detached
//! detached     work
//! detached     once the process closes: count it as gone, wait forever
//! attached     leave: the thread was counted until it had the lock
//! ```
//! `atexit` calls `close` before the interpreter ends. It marks the process as closing and waits, detached, until no
//! thread is counted. Mark and count are one atomic number: a thread that saw no mark is counted when it is set, so
//! `close` lets it have the lock. The thread that closes may still read: functions of `atexit` do.
//!
//! Not for: Python code that is called back, such as the iterator of `multi_get`'s keys.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The bit of `STATE` that marks the process as closing; the others count threads.
const CLOSING: usize = 1 << (usize::BITS - 1);
static STATE: AtomicUsize = AtomicUsize::new(0);

/// How long closing waits for work to end, and between two looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(1);

thread_local! {
    /// Whether this thread closes the process.
    static CLOSES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` without the interpreter's lock. Does not return in other threads once the process closes.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    if !enter() {
        py.detach(wait_forever);
    }
    let _counted = Counted;
    py.detach(|| {
        let _working = Working;
        work()
    })
}

/// Counts this thread; false when it must not continue.
fn enter() -> bool {
    let count = |state| (!is_closed_to_this_thread(state)).then_some(state + 1);
    STATE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count).is_ok()
}

fn is_closed_to_this_thread(state: usize) -> bool {
    state & CLOSING != 0 && !CLOSES.get()
}

/// Dropped when the thread has the interpreter's lock again.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        STATE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Dropped when the work has ended, also by a panic.
struct Working;

impl Drop for Working {
    fn drop(&mut self) {
        if is_closed_to_this_thread(STATE.load(Ordering::SeqCst)) {
            STATE.fetch_sub(1, Ordering::SeqCst);
            wait_forever();
        }
    }
}

fn wait_forever() {
    loop {
        thread::park();
    }
}

#[pyfunction]
fn close(py: Python<'_>) {
    CLOSES.set(true);
    STATE.fetch_or(CLOSING, Ordering::SeqCst);
    py.detach(|| {
        let until = Instant::now() + PATIENCE;
        while STATE.load(Ordering::SeqCst) != CLOSING && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
        }
    });
}

/// Has Python call `close` before the interpreter ends.
pub(crate) fn watch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let close = wrap_pyfunction!(close, module)?;
    module.py().import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}

/// A forked process has only the thread that forked, which is attached.
pub(crate) fn after_fork() {
    STATE.store(0, Ordering::SeqCst);
}
