//! The allocator of the command, for Rust and for RocksDB's C++: mimalloc, set to keep freed memory.
//!
//! By default it returns freed memory to the system after ten milliseconds, and batches of rows then cost a page fault
//! per page, again and again: a third of a build's time. A command is a short-lived process, so it keeps its memory,
//! unless its budget is small.
//!
//! Not for: the library. Programs that embed it choose their own allocator.

#![expect(unsafe_code, reason = "sets options of mimalloc and of the process")]

use mimalloc::MiMalloc;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

/// mimalloc's `mi_option_purge_delay`, which its crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Never purge.
const NEVER: std::ffi::c_long = -1;
/// Purge after this many milliseconds, mimalloc's default.
const SOON: std::ffi::c_long = 10;

/// Keeps freed memory in the process until it ends.
pub fn keep_freed_memory() {
    purge(NEVER);
}

/// Returns freed memory to the system, for budgets so small that the next stage needs what the previous one freed.
/// Without huge pages, as each is kept while anything in it is in use: that was a third of the memory in use with 128
/// MiB.
pub fn give_back_freed_memory() {
    purge(SOON);
    #[cfg(target_os = "linux")]
    // SAFETY: sets one flag of this process; the other arguments have to be 0.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

fn purge(delay: std::ffi::c_long) {
    // SAFETY: sets one number that mimalloc reads whenever it frees pages; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay) };
}
