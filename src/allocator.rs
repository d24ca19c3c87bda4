//! The memory of the command: its allocator, for Rust and for RocksDB's C++ alike, and the pages of its own code.
//!
//! The allocator is mimalloc, which keeps what was freed.
//!
//! By default it gives freed memory back to the system after ten milliseconds, and batches of rows then cost a page
//! fault per page, again and again: a third of a build's time. A command ends by itself, so it keeps its memory, unless it was
//! given little.
//!
//! Not for: the library. Programs that embed it choose their own allocator.

use std::fs;
use std::thread;
use std::time::Duration;

use mimalloc::MiMalloc;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

/// mimalloc's `mi_option_purge_delay`; its crate names only some options.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Never.
const NEVER: std::ffi::c_long = -1;
/// Milliseconds, mimalloc's own default.
const SOON: std::ffi::c_long = 10;

/// Time between two times that the code is given back.
const CODE_EVERY: Duration = Duration::from_millis(250);

/// Keeps freed memory in the process until it ends.
pub fn keep_freed_memory() {
    purge(NEVER);
}

/// Gives freed memory back to the system, where the budget is so small that what one stage leaves would be missed by
/// the next. Not in huge pages, of which one stays whole while anything in it is in use: a third of the memory that was
/// held with 128 MiB.
pub fn give_back_freed_memory() {
    purge(SOON);
    give_back_code();
    #[cfg(target_os = "linux")]
    // SAFETY: sets one flag of this process; the other arguments have to be 0.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Gives the pages of the program's code back, again and again: those that are used come back from the page cache, and
/// those that only planned the query do not. All of them are 60 MiB of what the system counts.
fn give_back_code() {
    let code = code();
    let give_back = move || {
        loop {
            thread::sleep(CODE_EVERY);
            for (start, bytes) in &code {
                // SAFETY: a range of this process that is mapped from its program file for as long as it runs, and that
                // nobody can write to: its pages are the file's, and are mapped again when they are next used.
                unsafe { libc::madvise(*start as *mut libc::c_void, *bytes, libc::MADV_DONTNEED) };
            }
        }
    };
    // Without the thread the process holds more, and no more.
    drop(thread::Builder::new().name("code".to_owned()).spawn(give_back));
}

/// Where the program's code is mapped, and how many bytes.
fn code() -> Vec<(usize, usize)> {
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let is_code = rest.starts_with("r-xp") && line.ends_with(program.to_str()?);
        let (start, end) = range.split_once('-')?;
        let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).ok());
        is_code.then_some((start?, end?.checked_sub(start?)?))
    };
    maps.lines().filter_map(range).collect()
}

fn purge(delay: std::ffi::c_long) {
    // SAFETY: sets one number that mimalloc reads whenever it frees pages; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay) };
}
