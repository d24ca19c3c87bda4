//! Threads with large stacks: planning and running a query recurse as deep as its SQL is nested.
//!
//! Only pages that are used take memory. `query::sql_limits` limits how deep SQL may be; change both together.
//!
//! Not for: threads that run no part of a query.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

/// Stack bytes of a thread that runs a part of a query.
pub const BYTES: usize = 128 << 20;
/// Stack bytes of a thread that plans it.
pub const PLANNING: usize = 512 << 20;

/// How often to check whether to keep waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs `work` on a thread whose stack is deep enough to plan any query, and waits until it finishes or `instead`
/// returns a result; in the latter case the thread is detached.
///
/// # Errors
/// Those of the system, which may refuse the thread.
pub fn on_deep_stack<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    instead: impl Fn() -> Option<T>,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = move || drop(sender.send(work()));
    let thread = Builder::new().name("main".to_owned()).stack_size(PLANNING).spawn(work)?;
    loop {
        match receiver.recv_timeout(POLL_INTERVAL) {
            Ok(done) => {
                // What the thread holds is dropped before the caller continues.
                let _ = thread.join();
                return Ok(done);
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(done) = instead() {
                    return Ok(done);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the thread panicked")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(levels: u64) -> u64 {
        let held = std::hint::black_box([levels; 64]);
        if levels == 0 { 0 } else { deep(levels - 1) + held[0] - levels + 1 }
    }

    #[test]
    fn deep_recursion_fits() {
        assert_eq!(on_deep_stack(|| deep(200_000), || None).unwrap(), 200_000);
    }

    #[test]
    fn work_that_takes_too_long_is_abandoned() {
        let never = || std::thread::sleep(Duration::from_secs(3600));
        on_deep_stack(never, || Some(())).unwrap();
    }
}
