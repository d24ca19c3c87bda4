//! The error type of the crate, and what its kinds ask of the caller.
//!
//! Every fallible function returns [`Error`]: a [`Kind`] that says what to do next, a message for the user, and its
//! cause. Messages are lower case without a final period and name the file, column, key, shard or version they are
//! about. The chain of causes is printed once, by `main.rs`, the only place that maps kinds to exit codes.
//!
//! Not for: deciding what to do about an error. Callers match on [`Error::kind`].

use std::fmt;
use std::io::ErrorKind;

/// What the user should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The job file, a flag or an argument is wrong: fix it and run again.
    Invalid,
    /// The source data breaks the job: fix the data or the contract.
    Input,
    /// A resource did not answer or is full (disk, file system): run again once it is back.
    Unavailable,
    /// Another process holds the lock or changed the store: wait, then run again.
    Conflict,
    /// What is stored does not match its checksums or its format: do not serve it.
    Corrupt,
    /// A check stopped the publish: inspect the version, then fix or publish it by hand.
    Rejected,
    /// A signal asked the process to stop: the message says what is in effect; run again.
    Stopped,
    /// A bug in Cutover: please report it.
    Internal,
}

impl Kind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Input => "input",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
        }
    }
}

/// The system's messages for a full disk and an exceeded quota.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// Whether a message says that a disk or a quota is full.
pub(crate) fn says_disk_full(text: &str) -> bool {
    FULL.iter().any(|words| text.contains(words))
}

/// The name of a detail: arguments with which the same command would succeed. The command line makes the next command
/// of it.
pub(crate) const AGAIN_WITH: &str = "again_with";

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and why.
///
/// ```
/// use cutover::error::{Error, Kind};
///
/// let error = Error::input("events.csv, line 7: column \"age\" holds \"x\"").during("the contract is broken");
/// assert_eq!(error.kind(), Kind::Input);
/// assert_eq!(error.chain().len(), 2);
/// assert_eq!(Kind::Input.name(), "input");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    details: Details,
}

/// Fields for programs, in addition to the message: names and values.
type Details = Vec<(&'static str, serde_json::Value)>;

impl Error {
    /// An error of `kind` without a deeper cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, details: Details::new() }
    }

    /// The job, a flag or an argument is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The source data breaks the job.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// A resource did not answer or is full.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// Another process holds the lock or changed the store.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// What is stored cannot be trusted.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }

    /// A check stopped the publish.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(Kind::Rejected, message)
    }

    /// A signal asked the process to stop.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::new(Kind::Stopped, message)
    }

    /// A bug in Cutover.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The same error with a cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An error of the same kind that says what was being done when `self` happened.
    #[must_use]
    pub fn during(self, message: impl Into<String>) -> Self {
        let kind = self.kind;
        Self { kind, message: message.into(), source: Some(Box::new(self)), details: Details::new() }
    }

    /// The same error with a field for programs, such as the checks that failed.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// The fields for programs of this error and its causes.
    pub fn details(&self) -> Vec<(&'static str, &serde_json::Value)> {
        let mut all: Vec<_> = self.details.iter().map(|(name, value)| (*name, value)).collect();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let ours = error.downcast_ref::<Self>();
            all.extend(ours.into_iter().flat_map(|error| &error.details).map(|(name, value)| (*name, value)));
            cause = error.source();
        }
        all
    }

    /// What the user should do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The error of this crate in another one or among its causes, also in an I/O error.
    pub(crate) fn inside<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // The cause of an I/O error is not what it holds, but the cause of that.
            let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            let held = held.and_then(|held| held.downcast_ref::<Self>());
            if let Some(ours) = held.or_else(|| error.downcast_ref::<Self>()) {
                return Some(ours);
            }
            next = error.source();
        }
        None
    }

    /// The message alone, without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether a disk or a quota is full, which is not transient: the kind of an I/O error says so, or the text of a
    /// library (RocksDB, Arrow) that keeps no kind. Our own messages are not searched, as they hold names of others.
    pub fn is_disk_full(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let full = match error.downcast_ref::<std::io::Error>() {
                Some(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => true,
                Some(io) if io.raw_os_error().is_some() => false,
                _ => !error.is::<Self>() && says_disk_full(&error.to_string()),
            };
            if full {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// The message and every cause below it, outermost first; a cause that only repeats the one above is left out.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.message.clone()];
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if lines.last().is_none_or(|above| !above.contains(&text)) {
                lines.push(text);
            }
            cause = error.source();
        }
        lines
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

/// Converts an I/O error, adding what was being done to which path.
pub trait IoContext<T> {
    /// # Errors
    /// `Unavailable`, with `doing` and `path` in the message and the I/O error as its cause.
    fn io(self, doing: &str, path: &std::path::Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn io(self, doing: &str, path: &std::path::Path) -> Result<T> {
        self.map_err(|error| of_io(error, || format!("cannot {doing} {}", path.display())))
    }
}

/// An I/O error as `Unavailable` with a message; one that holds an error of this crate is that error.
pub(crate) fn of_io(error: std::io::Error, message: impl FnOnce() -> String) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| Error::unavailable(message()).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_cutover_is_found_inside_others() {
        let held = std::io::Error::other(Error::input("s3://lake/a changed"));
        assert_eq!(Error::inside(&held).unwrap().message(), "s3://lake/a changed");
        let wrapped = Error::unavailable("cannot read").because(held);
        assert_eq!(Error::inside(std::error::Error::source(&wrapped).unwrap()).unwrap().kind(), Kind::Input);
        assert!(Error::inside(&std::io::Error::other("x")).is_none());
        let read: std::io::Result<()> = Err(std::io::Error::other(Error::input("changed")));
        assert_eq!(read.io("read", std::path::Path::new("a")).unwrap_err().kind(), Kind::Input);
    }

    #[test]
    fn the_chain_names_every_cause_once() {
        let io = std::io::Error::other("disk is on fire");
        let error = Error::unavailable("cannot write a.sst").because(io).during("build failed");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(error.chain(), ["build failed", "cannot write a.sst", "disk is on fire"]);
    }

    #[test]
    fn details_are_found_below_other_errors() {
        let error = Error::rejected("no").with("version", 3).during("run").with("next", "cutover versions s");
        assert_eq!(error.details(), [("next", &"cutover versions s".into()), ("version", &3.into())]);
    }

    #[test]
    fn a_full_disk_is_distinguished_from_other_errors() {
        let error = |code| {
            let io: std::io::Result<()> = Err(std::io::Error::from_raw_os_error(code));
            io.io("write", std::path::Path::new("a.sst")).unwrap_err().during("build failed")
        };
        assert!(error(28).is_disk_full() && error(122).is_disk_full(), "ENOSPC, EDQUOT");
        assert!(!error(5).is_disk_full(), "EIO");
        let of_a_library = |text: &str| Error::unavailable("cannot ingest").because(text.to_owned()).is_disk_full();
        assert!(of_a_library("IO error: No space left on device: While appending to file: a.sst"));
        assert!(!of_a_library("IO error: Input/output error"));
        assert!(!Error::invalid("no input 'No space left on device'").during("run").is_disk_full(), "a name");
    }
}
