//! The allocator of the command, for Rust and for RocksDB's C++ alike: mimalloc, which keeps what was freed.
//!
//! By default it gives freed memory back to the system after ten milliseconds, and batches of rows then cost a page
//! fault per page, again and again: a third of a build's time. A command ends by itself, so it keeps its memory, unless
//! it was given little.
//!
//! Not for: the library. Programs that embed it choose their own allocator.

use mimalloc::MiMalloc;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

/// mimalloc's `mi_option_purge_delay`; its crate names only some options.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Never.
const NEVER: std::ffi::c_long = -1;
/// Milliseconds, mimalloc's own default.
const SOON: std::ffi::c_long = 10;

/// Keeps freed memory in the process until it ends.
pub fn keep_freed_memory() {
    purge(NEVER);
}

/// Gives freed memory back to the system, where the budget is so small that what one stage leaves would be missed by
/// the next. Not in huge pages, of which one stays whole while anything in it is in use: a third of the memory that was
/// held with 128 MiB.
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
