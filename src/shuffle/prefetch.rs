//! Software prefetching of memory that will be read or written soon.
//!
//! Sorted entries are read at addresses that a processor cannot predict, so that each read would wait for memory; the
//! index knows the addresses in advance. Prefetching is only a hint: on processors without an instruction for it here,
//! these functions do nothing.
//!
//! Not for: anything that changes results.

#![expect(unsafe_code, reason = "a prefetch needs an intrinsic; it reads nothing the program can see")]

/// Bytes of a cache line.
const LINE: usize = 64;

/// Prefetches the first two cache lines from `at` on; does nothing outside of `bytes`.
#[inline]
pub(super) fn prefetch(bytes: &[u8], at: usize) {
    for line in [at, at + LINE] {
        if let Some(byte) = bytes.get(line) {
            line_of(byte);
        }
    }
}

/// Prefetches the cache line at the end of `bytes`, to which more will be appended.
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
