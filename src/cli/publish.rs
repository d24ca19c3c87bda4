//! `cutover publish`: makes a version that is built the one readers see.
//!
//! Not for: the order of the steps, and the event log (`publish`).

use std::path::PathBuf;

use serde_json::json;

use super::allow::AllowArgs;
use super::wait::WaitArgs;
use super::{Output, Verdict, flip, parsers};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::{Allow, Allowed};
use crate::progress::Progress;
use crate::publish::{self, PublishOptions};

const PUBLISH: &str = "\
Examples:
  cutover publish stores/views_by_age 4
  cutover publish stores/views_by_age 4 --allow rows --reason 'half the shops closed, the loss of rows is real'
  cutover publish stores/views_by_age 4 --wait-consumers 3       until 3 consumers of the topic serve it
  cutover publish s3://serving/views_by_age 4 --wait-replicas 20     once 20 hosts have fetched it
  cutover publish s3://serving/views_by_age 4 --canary               hosts that run with --canary try it first";

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
    #[arg(value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: u64,
    #[command(flatten)]
    allow: AllowArgs,
    /// Stream it to Kafka again, even if its topic exists
    #[arg(long)]
    restream: bool,
    /// Reason, for the store's log
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    /// Do not publish it yet, but let hosts that pull fetch it, and canary hosts serve it
    #[arg(long, conflicts_with_all = ["restream", "wait_consumers", "wait_replicas"])]
    canary: bool,
    /// Withdraw it: canary hosts go back to the published version
    #[arg(long, conflicts_with_all = ["canary", "restream", "wait_consumers", "wait_replicas"])]
    withdraw: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Makes a version the candidate, or ends that.
fn candidate(catalog: &Catalog, version: u64, canary: bool, allow: &Allowed, output: &mut Output) -> Result<Verdict> {
    let place = catalog.place();
    let line = if canary {
        publish::propose(catalog, version, true, allow)?;
        output.next(format!("cutover publish {place} {version}"));
        format!(
            "canary hosts of {place} take version {version}; all others fetch it and stay on their version; `cutover \
             publish {place} {version}` publishes it, --withdraw takes canary hosts back"
        )
    } else {
        publish::withdraw(catalog, version)?;
        format!("version {version} is withdrawn: canary hosts of {place} go back to what is published")
    };
    output.ended(if canary { "proposed" } else { "withdrawn" });
    output.document(&json!({ "version": version }))?;
    if !output.is_json() {
        output.line(line)?;
    }
    Ok(Verdict::Yes)
}

impl PublishArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let (allow, reason, restream) = (self.allow.read()?, self.reason, self.restream);
        if allow.contains(&Allow::Damaged) {
            return Err(Error::invalid(
                "--allow damaged is for `cutover run`: readers are not sent to damaged versions",
            ));
        }
        let catalog = Catalog::open(&self.store)?;
        if self.canary || self.withdraw {
            return candidate(&catalog, self.version, self.canary, &allow, output);
        }
        let replicas = self.wait.replicas();
        let options = PublishOptions { allow, reason, restream, progress: Progress::auto(), replicas };
        let published = publish::publish(&catalog, self.version, &options)?;
        let (version, announced) = (published.version, published.announced.clone());
        output.ended(if published.flipped() { "published" } else { "unchanged" });
        flip::show(&self.store, published, output)?;
        output.flush()?;
        self.wait.wait(&catalog, version, announced.as_ref())?;
        Ok(Verdict::Yes)
    }
}
