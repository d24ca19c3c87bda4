//! Tries again what the client of the store gives up: an answer that breaks off after its head, and a failure of single
//! keys inside an answer that as a whole is a success.
//!
//! Not for: answers that are errors, which the client itself tries again, and puts with a condition (`write`).

use std::time::{Duration, Instant};

use super::Bucket;
use crate::error::{Kind, Result};
use crate::shutdown;

/// The wait before the second time; doubled each time.
const WAIT: Duration = if cfg!(test) { Duration::from_micros(20) } else { Duration::from_millis(100) };
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long something is tried again, since it last made progress.
pub(super) struct Persistence {
    retry_for: Duration,
    until: Instant,
    wait: Duration,
}

impl Persistence {
    /// What failed made progress since the last failure.
    pub(super) fn begin_anew(&mut self) {
        (self.until, self.wait) = (Instant::now() + self.retry_for, WAIT);
    }

    /// Waits before the next time.
    ///
    /// # Errors
    /// The failure, if it would come again or time is up; `Stopped` after a signal.
    pub(super) fn wait_after(&mut self, failure: crate::error::Error) -> Result<()> {
        if failure.kind() != Kind::Unavailable || Instant::now() >= self.until {
            return Err(failure);
        }
        shutdown::sleep(self.wait)?;
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        Ok(())
    }
}

impl Bucket {
    /// As long as requests are tried again.
    pub(super) fn persistence(&self) -> Persistence {
        Persistence { retry_for: self.settle_for, until: Instant::now() + self.settle_for, wait: WAIT }
    }

    /// Does what may be done several times, until it succeeds.
    ///
    /// # Errors
    /// The last failure; `Stopped` after a signal.
    pub(super) fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut persistence = self.persistence();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => persistence.wait_after(error)?,
            }
        }
    }
}
