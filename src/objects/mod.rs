//! The client of object stores: S3 and compatible stores, Google Cloud Storage, Azure's blobs; and, for reading
//! only, https and a local directory.
//!
//! ```text
//! URL ─▶ Location ─▶ Bucket::open(&Location, &Settings)
//!                      read.rs    head, get, get_if_changed, range, read
//!                      ranges.rs  parts of an object, for scans
//!                      reader.rs  an object from front to back
//!                      write.rs   put, put_if_absent, put_if_match ─▶ Applied | Lost | Unknown; settle
//!                      upload.rs  large files in parts, with bounded memory
//!                      list.rs    list page by page, delete many
//!                      persist.rs what the client gives up is tried again
//! ```
//! Every call but `ranges` blocks its thread, while the requests run on a small runtime of this directory's own; waits
//! end soon after a signal, those for a conditional put excepted. What fails is retried for a bounded time, but for
//! conditional puts, which are sent once: sent twice, the second would meet the first and report a conflict that does
//! not exist.
//!
//! Not for: what the objects mean. Nothing here knows of versions, inputs or jobs.

mod connect;
mod failure;
mod first_contact;
mod key;
mod list;
mod location;
mod names;
mod network;
mod persist;
mod ranges;
mod read;
mod reader;
mod settings;
mod settings_file;
#[cfg(test)]
pub(crate) mod simulated;
mod traffic;
mod upload;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use tokio::sync::Semaphore;

pub use key::Key;
pub use location::{Location, Scheme};
pub use ranges::Asked;
pub use read::{Changed, Entry, STEP as READ_BYTES, Tag};
pub use reader::Reader;
pub use settings::{Patience, Settings};
pub use traffic::Traffic;
pub use upload::{OpenUpload, upload_requests};
pub use write::{Condition, Put};

use crate::error::{Error, Result};

/// The objects below one location.
#[derive(Clone)]
pub struct Bucket {
    location: Location,
    /// Retries what fails.
    store: Arc<dyn ObjectStore>,
    /// What can be written to has both; what can only be read has neither.
    writer: Option<Writer>,
    counts: Arc<traffic::Counts>,
    /// How long a conditional put is tried until it is settled.
    settle_for: Duration,
    /// Parts of uploads that may be in memory, over all uploads.
    parts: Arc<Semaphore>,
}

#[derive(Clone)]
struct Writer {
    /// Sends every request once.
    once: Arc<dyn ObjectStore>,
    multipart: Arc<dyn MultipartStore>,
}

impl Bucket {
    /// The client of a location. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` for settings that are missing, wrong, or would send credentials without TLS, and for a file of settings
    /// that cannot be read; `Unavailable` when the runtime cannot be started.
    pub fn open(location: &Location, settings: &Settings) -> Result<Self> {
        network::start()?;
        connect::connect(location, &settings.for_bucket(location)?)
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The requests and bytes so far, of this client and its clones.
    pub fn traffic(&self) -> Traffic {
        self.counts.traffic()
    }

    /// The URL of an object, for people.
    pub fn url(&self, key: &Key) -> String {
        format!("{}/{key}", self.location)
    }

    fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "{} can only be read: write to s3://, gs:// or az://, or name a local directory by its path",
                self.location
            ))
        })
    }

    /// An object's place in the store.
    fn path(&self, key: &Key) -> Result<object_store::path::Path> {
        key.below(self.location.prefix())
    }
}

/// Without what it was opened with, which holds secrets.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("location", &self.location).field("traffic", &self.traffic()).finish()
    }
}
