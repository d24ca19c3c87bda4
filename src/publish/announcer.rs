//! Kafka as carrying a change out needs it: a cluster gives a lease, and with the lease versions are streamed and
//! announced.
//!
//! ```text
//! carry ──▶ Cluster, Announcer ──▶ kafka::Connection, kafka::Lease
//!                               └▶ in this crate's unit tests: the cluster of the thread, where a test gave it one
//! ```
//! Not for: how any of it is done (`kafka`), or what a simulated cluster does (`simulation`).

use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{Announcement, Kafka, StreamedVersion};
use crate::kafka::{self, AnnounceError, Connection, Lease};
use crate::progress::Progress;
use crate::serve::Store;

/// Where leases come from.
pub(crate) trait Cluster {
    /// As [`Lease::acquire`].
    fn lease<'c>(
        &'c self,
        target: &'c Kafka,
        dataset: &str,
        ours: &dyn Fn(&str) -> bool,
    ) -> Result<Box<dyn Announcer + 'c>>;
}

/// Who has the lease of a topic.
pub(crate) trait Announcer {
    /// The last announcement.
    fn last_announcement(&self) -> Option<&Announcement>;

    /// Whether a topic was there when the lease was taken.
    fn has_topic(&self, name: &str) -> bool;

    /// Whether all that was streamed of a version can still be read.
    fn is_fully_readable(&self, streamed: &StreamedVersion) -> Result<bool>;

    /// Streams a version of a store into a topic of its own: as [`kafka::stream`].
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
        let opened = Store::open(catalog.layout().root())?.version(version)?;
        kafka::stream(self, &opened, progress)
    }

    fn announce(&mut self, announcement: &Announcement) -> Result<(), AnnounceError> {
        self.announce(announcement)
    }

    fn delete_unlisted(&self) -> Result<()> {
        self.delete_unlisted(|_| false)
    }
}

/// The cluster of a target, with its settings.
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

/// A cluster that takes the place of Kafka's, on one thread.
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

    /// Runs something with clusters that `connect` gives, on this thread.
    pub(crate) fn on_cluster<T>(connect: impl Fn() -> Box<dyn Cluster> + 'static, run: impl FnOnce() -> T) -> T {
        /// Takes it away again, also after a panic.
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
