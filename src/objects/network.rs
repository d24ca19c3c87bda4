//! The runtime under all requests, and the way from a thread that blocks to it.
//!
//! One runtime of few threads serves the process: its threads wait for answers, encrypt and hash. Work that panics, as
//! a client may on an invalid answer, ends in an error.
//!
//! Not for: the query's own work, which has another runtime.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::catch_panic;
use crate::error::{Error, Result};
use crate::shutdown;

const THREADS: usize = 2;

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Starts the runtime, once.
///
/// # Errors
/// `Unavailable` when threads cannot be started.
pub(super) fn start() -> Result<Handle> {
    let mut started = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if started.is_none() {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(THREADS)
            .thread_name("network")
            .enable_all()
            .on_thread_start(catch_panic::contain_thread);
        let runtime = builder.build().map_err(|error| Error::unavailable("cannot start threads").because(error))?;
        *started = Some(runtime);
    }
    started.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(|| Error::internal("no runtime"))
}

/// Runs `work`; gives it up soon after a signal.
///
/// # Errors
/// `Stopped` after a signal; `Unavailable` when it panicked.
pub(super) fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    wait(work, shutdown::check)
}

/// Runs `work` to its end, signal or not.
///
/// # Errors
/// `Unavailable` when it panicked.
pub(super) fn run_to_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    wait(work, || Ok(()))
}

fn wait<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    check: impl Fn() -> Result<()>,
) -> Result<T> {
    let (sender, receiver) = sync_channel(1);
    let task = start()?.spawn(async move {
        // After a signal there is no receiver any more.
        let _ = sender.send(work.await);
    });
    loop {
        if let Err(stopped) = check() {
            task.abort();
            return Err(stopped);
        }
        match receiver.recv_timeout(shutdown::POLL_INTERVAL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::unavailable("a request ended without a result: the store sent an invalid answer"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_from_any_thread_and_a_panic_is_an_error() {
        assert_eq!(run(async { 7 }).unwrap(), 7);
        let from_elsewhere = start().unwrap().spawn_blocking(|| run(async { 8 }).unwrap());
        assert_eq!(run_to_end(from_elsewhere).unwrap().unwrap(), 8);
        let panicked = run(async { assert!(std::hint::black_box(false), "invalid answer") }).unwrap_err();
        assert_eq!(panicked.kind(), crate::error::Kind::Unavailable);
    }
}
