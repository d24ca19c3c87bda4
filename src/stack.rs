//! Threads with large stacks: planning and running a query recurse as deep as its SQL is nested.
//!
//! Only pages that are used take memory. `query::sql_limits` limits how deep SQL may be; change both together.
//!
//! Not for: threads that run no part of a query.

use std::io;
use std::thread::{Builder, scope};

/// Stack bytes of a thread that runs a part of a query.
pub const BYTES: usize = 128 << 20;
/// Stack bytes of the thread that plans it.
const PLANNING: usize = 512 << 20;

/// Runs `work` on a thread whose stack is deep enough to plan any query, and waits for it.
///
/// # Errors
/// When the system cannot start the thread.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    scope(|scope| {
        let thread = Builder::new().name("main".to_owned()).stack_size(PLANNING).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("the thread panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(levels: u64) -> u64 {
        let held = std::hint::black_box([levels; 64]);
        if levels == 0 { 0 } else { deep(levels - 1) + held[0] - levels + 1 }
    }

    #[test]
    fn what_would_end_another_thread_fits() {
        assert_eq!(on_deep_stack(|| deep(200_000)).unwrap(), 200_000);
    }
}
