//! System random numbers for unique names.
//!
//! Not for: delays, which need no strong randomness.

use crate::error::{Error, Result};

/// A number of 32 bits.
///
/// # Errors
/// `Unavailable` when the system gives none.
pub fn u32() -> Result<u32> {
    getrandom::u32().map_err(none)
}

/// A number of 64 bits.
///
/// # Errors
/// As [`u32`].
pub fn u64() -> Result<u64> {
    getrandom::u64().map_err(none)
}

fn none(error: getrandom::Error) -> Error {
    Error::unavailable("the system provides no random numbers").because(error)
}
