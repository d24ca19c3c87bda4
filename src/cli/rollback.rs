//! `cutover rollback`: moves readers back to an earlier version.
//!
//! Not for: which version that is, which the rules of `catalog` decide.

use std::path::PathBuf;

use super::{Output, Verdict, flip, parsers, versions};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::progress::Progress;
use crate::publish;

const ROLLBACK: &str = "\
Examples:
  cutover rollback stores/views_by_age              to the last good version before
  cutover rollback stores/views_by_age --to 3
  cutover rollback stores/views_by_age --local      while Kafka is down";

/// Move readers back to the last good version, or to version N
///
/// The version they leave is marked as rolled back. It is not published again automatically, nor is a new build of the
/// same content, unless a good version has that content too. It is kept for a week, for inspection.
#[derive(Debug, clap::Args)]
#[command(after_help = ROLLBACK)]
pub(super) struct RollbackArgs {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version to go back to
    #[arg(long, value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    to: Option<u64>,
    /// Only for readers of this store, without Kafka: consumers follow with the next command that reaches Kafka
    #[arg(long)]
    local: bool,
}

impl RollbackArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        output.ended("rolled_back");
        if !self.local {
            return flip::show(&self.store, publish::rollback(&catalog, self.to, Progress::auto())?, output);
        }
        flip::show(&self.store, publish::rollback_locally(&catalog, self.to)?, output)?;
        if !output.is_json()
            && let Some(behind) = versions::behind(&catalog.place(), &catalog.read()?)
        {
            output.line(behind)?;
        }
        Ok(Verdict::Yes)
    }
}
