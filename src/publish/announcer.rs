//! The traits through which a commit uses Kafka: a cluster grants a lease, and with the lease versions are streamed and
//! announced.
//!
//! ```text
//! two_phase ──▶ Cluster, Announcer ──▶ kafka::Connection, kafka::Lease
//!                                   └▶ in this crate's unit tests: the thread's simulated cluster, if a test set one
//! ```
//! Not for: the implementation (`kafka`), or the simulated cluster (`simulation`).

use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{Announcement, Kafka, StreamedVersion};
use crate::kafka::{self, AnnounceError, Connection, Lease};
use crate::progress::Progress;
use crate::serve::Store;

/// A cluster that grants leases.
pub(crate) trait Cluster {
    /// As [`Lease::acquire`].
    fn lease<'c>(
        &'c self,
        target: &'c Kafka,
        dataset: &str,
        ours: &dyn Fn(&str) -> bool,
    ) -> Result<Box<dyn Announcer + 'c>>;
}

/// The holder of a topic's lease.
pub(crate) trait Announcer {
    /// The last announcement.
    fn last_announcement(&self) -> Option<&Announcement>;

    /// Whether a topic existed when the lease was taken.
    fn has_topic(&self, name: &str) -> bool;

    /// Whether all records of a streamed version can still be read.
    fn is_fully_readable(&self, streamed: &StreamedVersion) -> Result<bool>;

    /// Streams a version of a store to a new topic: as [`kafka::stream`].
    fn stream(&self, catalog: &Catalog, version: u64, progress: Progress) -> Result<StreamedVersion>;

    /// As [`Lease::announce`].
    fn announce(&mut self, announcement: &Announcement) -> Result<(), AnnounceError>;

    /// Deletes the topics that the last announcement does not list.
    fn delete_unlisted(&self) -> Result<()>;
}

impl Cluster for Connection {
    fn lease<'c>(
        &'c self,
        target: &'c Kafka,
        dataset: &str,
        ours: &dyn Fn(&str) -> bool,
    ) -> Result<Box<dyn Announcer + 'c>> {
        Ok(Box::new(Lease::acquire(self, target, dataset, ours)?))
    }
}

impl Announcer for Lease<'_> {
    fn last_announcement(&self) -> Option<&Announcement> {
        self.last_announcement()
    }

    fn has_topic(&self, name: &str) -> bool {
        self.has_topic(name)
    }

    fn is_fully_readable(&self, streamed: &StreamedVersion) -> Result<bool> {
        self.is_fully_readable(streamed)
    }

    fn stream(&self, catalog: &Catalog, version: u64, progress: Progress) -> Result<StreamedVersion> {
        let opened = Store::of(catalog.clone()).version(version)?;
        kafka::stream(self, &opened, progress)
    }

    fn announce(&mut self, announcement: &Announcement) -> Result<(), AnnounceError> {
        self.announce(announcement)
    }

    fn delete_unlisted(&self) -> Result<()> {
        self.delete_unlisted(|_| false)
    }
}

/// Connects to a target's cluster with its settings.
///
/// # Errors
/// `Invalid` when the settings or credentials cannot be used.
pub(super) fn connect(target: &Kafka) -> Result<Box<dyn Cluster>> {
    #[cfg(test)]
    if let Some(given) = simulated::given() {
        return Ok(given);
    }
    Ok(Box::new(Connection::new(&target.brokers, target.properties.as_deref())?))
}

/// A cluster that replaces Kafka's, on one thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::RefCell;

    use super::Cluster;

    type Connect = Box<dyn Fn() -> Box<dyn Cluster>>;

    thread_local! {
        static CONNECT: RefCell<Option<Connect>> = const { RefCell::new(None) };
    }

    pub(super) fn given() -> Option<Box<dyn Cluster>> {
        CONNECT.with_borrow(|connect| connect.as_ref().map(|connect| connect()))
    }

    /// Runs `run` on this thread with clusters that `connect` makes.
    pub(crate) fn on_cluster<T>(connect: impl Fn() -> Box<dyn Cluster> + 'static, run: impl FnOnce() -> T) -> T {
        /// Removes it again, also after a panic.
        struct Remove;
        impl Drop for Remove {
            fn drop(&mut self) {
                CONNECT.set(None);
            }
        }
        CONNECT.set(Some(Box::new(connect)));
        let _remove = Remove;
        run()
    }
}
