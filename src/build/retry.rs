//! Retries a unit of work after a transient error, such as that of a disk which is being reattached.
//!
//! The number of attempts is bounded. The pause before each doubles and is jittered, so that units which failed
//! together do not retry together. When all attempts fail, the first error is reported.
//!
//! Not for: a full disk, which needs space to be freed, or errors that every attempt would meet again.

use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Number of attempts.
const TRIES: u32 = 3;
/// The pause before the second attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs `work`, up to three times while it fails with transient errors. `unit` names it in messages.
///
/// # Errors
/// Those of `work`; the first one if all attempts failed.
pub(super) fn retrying<T>(unit: &str, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let first = match work() {
        Err(error) if is_transient(&error) => error,
        done => return done,
    };
    tracing::warn!("{unit} failed and is retried: {}", first.chain().join(": "));
    for tried in 1..TRIES {
        std::thread::sleep(jittered(PAUSE * 2u32.pow(tried - 1)));
        match work() {
            Err(error) if is_transient(&error) => tracing::warn!("{unit} failed again: {}", error.chain().join(": ")),
            done => return done,
        }
    }
    Err(first.during(format!("{unit} failed after {TRIES} attempts; first error")))
}

fn is_transient(error: &Error) -> bool {
    error.kind() == Kind::Unavailable && !error.is_disk_full()
}

/// A random pause between half and one and a half times `pause`.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a unit whose attempts have these outcomes, and the number of attempts.
    fn tried(outcomes: &[Option<&'static str>]) -> (Result<()>, usize) {
        let mut tries = 0;
        let done = retrying("range 3", || {
            tries += 1;
            match outcomes[tries - 1] {
                None => Ok(()),
                Some("wrong") => Err(Error::input("wrong data")),
                Some("full") => Err(Error::unavailable("cannot write").because("IO error: No space left on device")),
                Some(why) => Err(Error::unavailable(why)),
            }
        });
        (done, tries)
    }

    #[test]
    fn a_transient_error_is_retried_and_a_lasting_one_is_reported_with_its_first_cause() {
        assert!(matches!(tried(&[None]), (Ok(()), 1)));
        assert!(matches!(tried(&[Some("EIO"), Some("gone"), None]), (Ok(()), 3)));
        let (failed, tries) = tried(&[Some("EIO"), Some("gone"), Some("gone")]);
        assert_eq!(tries, 3);
        let chain = failed.unwrap_err().chain();
        assert!(chain[0].contains("range 3 failed after 3 attempts") && chain[1] == "EIO", "{chain:?}");
    }

    #[test]
    fn permanent_errors_are_not_retried() {
        assert!(matches!(tried(&[Some("wrong")]), (Err(_), 1)));
        assert!(matches!(tried(&[Some("full")]), (Err(_), 1)));
        let (failed, tries) = tried(&[Some("EIO"), Some("wrong")]);
        assert_eq!((failed.unwrap_err().kind(), tries), (Kind::Input, 2));
    }
}
