//! What clients get when a request cannot be answered: what is wrong with the request, but no path and no cause.
//!
//! Not for: the operator, for whom the cause is logged here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Kind};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the refusal.
    pub reason: Reason,
    /// A sentence for the client.
    pub message: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The request is wrong.
    Wrong,
    /// A part of it is larger than a limit.
    TooLarge,
    /// The dataset, the version or the page is not here.
    Missing,
    /// The version is no longer kept.
    Gone,
    /// The value has another type than the command reads.
    WrongType,
    /// A version is not loaded yet, or memory is short.
    Later,
    /// The client's address has shown too many wrong passwords.
    Guessed,
    /// Stored data could not be read.
    Failed,
}

impl Refusal {
    /// A refusal with a sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// There is no such dataset.
    pub fn no_dataset(name: &[u8]) -> Self {
        let shown: String = String::from_utf8_lossy(name).chars().take(64).collect();
        Self::new(Reason::Missing, format!("there is no dataset {shown:?}"))
    }

    /// The dataset has no version that could be read.
    pub fn not_loaded(name: &str) -> Self {
        Self::new(Reason::Later, format!("no version of {name} is loaded yet"))
    }

    /// The answer is too large.
    pub fn reply_too_large(limit: usize) -> Self {
        Self::new(Reason::TooLarge, format!("the answer is larger than {limit} bytes: ask for fewer keys"))
    }

    /// There are too many keys.
    pub fn too_many_keys(limit: usize) -> Self {
        Self::new(Reason::TooLarge, format!("a request can have {limit} keys"))
    }

    /// The address has to wait before it can show another password.
    pub fn guessed(wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil();
        Self::new(Reason::Guessed, format!("too many wrong passwords from this address: try again in {seconds} s"))
    }

    /// All memory for requests and answers is in use.
    pub fn busy() -> Self {
        Self::new(Reason::Later, "the memory for answers is in use: try again")
    }
}

impl From<Error> for Refusal {
    /// A mistake in the request is explained to the client; a failure is logged, at most once per second.
    fn from(error: Error) -> Self {
        static LOGGED: AtomicU64 = AtomicU64::new(0);
        if error.kind() == Kind::Invalid {
            return Self::new(Reason::Wrong, error.message());
        }
        let now = Timestamp::now().as_second().unsigned_abs();
        if LOGGED.swap(now, Ordering::Relaxed) != now {
            tracing::error!("a request failed: {}", error.chain().join(": "));
        }
        Self::new(Reason::Failed, "stored data could not be read; the server's log says why")
    }
}
