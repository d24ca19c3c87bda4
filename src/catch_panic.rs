//! Runs code that may panic on hostile bytes, and turns the panic into a value.
//!
//! Parquet's decoders check most of what a file claims, not all of it: a flipped bit can still trip an assertion or an
//! index. That is the file's fault, so it must end in an error that names the file. [`contain`] catches such a panic;
//! the hook that the command installs sends its message to the debug log instead of the terminal.
//!
//! Not for: our own bugs, which should be loud.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Returns what `work` returns, or the message of its panic.
///
/// # Errors
/// The panic's message.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Marks a thread whose panics its owner catches, such as a worker of the query's runtime.
pub fn contain_thread() {
    CONTAINED.set(true);
}

/// Sends the messages of contained panics to the debug log; all others are printed as usual.
pub fn install_hook() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if CONTAINED.get() {
            tracing::debug!("contained: {panic}");
        } else {
            loud(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(contain(|| 7), Ok(7));
        let number = 9;
        assert_eq!(
            contain(|| assert!(number < 5, "index {number} is too large")),
            Err("index 9 is too large".to_owned())
        );
        assert!(!CONTAINED.get());
    }
}
