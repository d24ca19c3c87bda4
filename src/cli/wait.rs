//! `--wait-consumers N`: waits until consumers of the topic serve what was published.
//!
//! Not for: publishing. What is waited for is live already.

use std::time::Duration;

use super::{notice, parsers};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::StreamedVersion;
use crate::publish;
use crate::shutdown;

/// Waiting for consumers of the topic, after a publish that `run` and `publish` do.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// Wait until N consumers of the topic serve the version
    #[arg(long, value_name = "N")]
    wait_consumers: Option<usize>,
    /// How long to wait for them, such as 10m
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = "10m")]
    wait_for: Duration,
}

impl WaitArgs {
    /// Waits, if requested. The publish itself is complete.
    pub(super) fn wait(&self, catalog: &Catalog, announced: Option<&StreamedVersion>) -> Result<()> {
        let Some(consumers) = self.wait_consumers else { return Ok(()) };
        let announced = announced.ok_or_else(|| {
            Error::invalid("the version was not announced on Kafka, so there is no consumer to wait for")
        })?;
        let serving = publish::wait_for_consumers(catalog, announced, consumers, self.wait_for);
        let stands =
            || format!("version {} is live and announced; the wait for its consumers was stopped", announced.version);
        let serving = serving.map_err(|error| shutdown::stands(error, stands))?;
        notice(&format!("version {} is served by {}", announced.version, serving.join(", ")));
        Ok(())
    }
}
