//! Asks the processor for memory that will be read or written soon.
//!
//! Sorted entries are read at addresses that no processor can foresee, and each would wait for memory; the index knows
//! them all. Only a hint: on processors where Rust has no way to give it, nothing happens but the waiting.
//!
//! Not for: anything that changes what is read.

/// Bytes that a processor fetches at once.
const LINE: usize = 64;

/// Asks for the first two lines from `at` on; nothing happens where that is outside of `bytes`.
#[inline]
pub(super) fn prefetch(bytes: &[u8], at: usize) {
    for line in [at, at + LINE] {
        if let Some(byte) = bytes.get(line) {
            line_of(byte);
        }
    }
}

/// Asks for the line where `bytes` ends, as more will be appended to it.
#[inline]
pub(super) fn prefetch_end(bytes: &[u8]) {
    if let Some(last) = bytes.last() {
        line_of(last);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line_of(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing the program can see; the address is that of a byte that is there.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn line_of(byte: &u8) {
    // SAFETY: a prefetch reads nothing the program can see; the address is that of a byte that is there.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) std::ptr::from_ref(byte), options(readonly, nostack, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn line_of(_: &u8) {}
