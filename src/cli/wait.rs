//! `--wait-consumers N`, `--wait-replicas N`: waits until consumers of the topic, or hosts that pull, serve what was
//! published.
//!
//! Not for: publishing. What is waited for is live already.

use std::time::Duration;

use super::{notice, parsers};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::StreamedVersion;
use crate::publish::{self, Replicas};
use crate::shutdown;

/// Waiting for those who take a version over, after a publish that `run` and `publish` do.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// Wait until N consumers of the topic serve the version
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    wait_consumers: Option<usize>,
    /// Publish once N hosts that pull from the object store have fetched the version, and wait until they serve it
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    wait_replicas: Option<usize>,
    /// How long to wait for them, such as 10m
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = "10m")]
    wait_for: Duration,
}

impl WaitArgs {
    /// The hosts that have to be ready before the publish.
    pub(super) fn replicas(&self) -> Option<Replicas> {
        self.wait_replicas.map(|count| Replicas { count, patience: self.wait_for })
    }

    /// Waits, if requested. The publish itself is complete.
    pub(super) fn wait(&self, catalog: &Catalog, version: u64, announced: Option<&StreamedVersion>) -> Result<()> {
        self.wait_for_replicas(catalog, version)?;
        let Some(consumers) = self.wait_consumers else { return Ok(()) };
        let announced = announced.ok_or_else(|| {
            Error::invalid("the version was not announced on Kafka, so there is no consumer to wait for")
        })?;
        let serving = publish::wait_for_consumers(catalog, announced, consumers, self.wait_for);
        let in_effect =
            || format!("version {} is live and announced; the wait for its consumers was stopped", announced.version);
        let serving = serving.map_err(|error| shutdown::explain_stop(error, in_effect))?;
        notice(&format!("version {} is served by {}", announced.version, serving.join(", ")));
        Ok(())
    }

    fn wait_for_replicas(&self, catalog: &Catalog, version: u64) -> Result<()> {
        let Some(replicas) = self.replicas() else { return Ok(()) };
        let serving = publish::wait_for_replicas(catalog, version, replicas);
        let in_effect = || format!("version {version} is live; the wait for its replicas was stopped");
        let serving = serving.map_err(|error| shutdown::explain_stop(error, in_effect))?;
        notice(&format!("version {version} is served by {}", serving.join(", ")));
        Ok(())
    }
}
