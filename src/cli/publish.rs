//! `cutover publish`: makes a version that is built the one readers see.
//!
//! Not for: the order of the steps, and the event log (`publish`).

use std::path::PathBuf;

use super::allow::AllowArgs;
use super::wait::WaitArgs;
use super::{Output, Verdict, flip};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::Allow;
use crate::progress::Progress;
use crate::publish::{self, PublishOptions};

const PUBLISH: &str = "\
Examples:
  cutover publish stores/views_by_age 4
  cutover publish stores/views_by_age 4 --allow rows --reason 'half the shops closed, the loss of rows is real'
  cutover publish stores/views_by_age 4 --wait-consumers 3       until 3 consumers of the topic serve it";

/// Publish a version that is built, so that readers see it
///
/// A version that failed a check, was rolled back, or has older data than what readers see is refused; the message
/// names the --allow KIND that overrides it. If the store is streamed to Kafka, consumers of the topic flip with it.
#[derive(Debug, clap::Args)]
#[command(after_help = PUBLISH)]
pub(super) struct PublishArgs {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version
    #[arg(value_name = "N")]
    version: u64,
    #[command(flatten)]
    allow: AllowArgs,
    /// Stream it to Kafka again, even if its topic exists
    #[arg(long)]
    restream: bool,
    /// Reason, for the store's log
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl PublishArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let (allow, reason, restream) = (self.allow.read()?, self.reason, self.restream);
        if allow.contains(&Allow::Damaged) {
            return Err(Error::invalid(
                "--allow damaged is for `cutover run`: readers are not sent to damaged versions",
            ));
        }
        let options = PublishOptions { allow, reason, restream, progress: Progress::auto() };
        let catalog = Catalog::open(&self.store)?;
        let published = publish::publish(&catalog, self.version, &options)?;
        let (version, announced) = (published.version, published.announced.clone());
        output.ended(if published.flipped() { "published" } else { "unchanged" });
        flip::show(&self.store, published, output)?;
        output.flush()?;
        self.wait.wait(&catalog, version, announced.as_ref())?;
        Ok(Verdict::Yes)
    }
}
