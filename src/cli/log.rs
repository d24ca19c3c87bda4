//! `cutover log`: the event log of a store.

use std::path::PathBuf;

use super::text_table::Rows;
use super::{Output, Verdict, format, parsers};
use crate::catalog::{Action, Catalog};
use crate::error::Result;

/// Events shown unless asked otherwise.
const DEFAULT_LIMIT: usize = 20;

const EXAMPLES: &str = "\
Examples:
  cutover log stores/views_by_age
  cutover log stores/views_by_age --limit 100 --json";

/// Show what was done to a store, by whom and why: the latest events, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// Show at most N events
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true, default_value_t = DEFAULT_LIMIT)]
    limit: usize,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let events = Catalog::open(&self.store)?.log().events(self.limit)?;
        output.document(&serde_json::json!({"events": events}))?;
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        let mut rows = Rows::new(&["time (UTC)", "event", "version", "by", "detail"], &[2]);
        for event in &events {
            rows.add([
                format::time(event.at),
                word(event.event).to_owned(),
                event.version.map(|version| version.to_string()).unwrap_or_default(),
                event.by.clone(),
                event.detail.clone(),
            ]);
        }
        output.line(rows.text())?;
        Ok(Verdict::Yes)
    }
}

/// An event in a word or two.
pub(super) fn word(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Built => "built",
        Action::Rejected => "rejected",
        Action::Published => "published",
        Action::RolledBack => "rolled back",
        Action::Pinned => "pinned",
        Action::Unpinned => "unpinned",
        Action::Deleted => "deleted",
        Action::Streamed => "streamed",
        Action::Finished => "finished",
        Action::GivenUp => "given up",
        Action::Target => "target",
        Action::Proposed => "proposed",
        Action::Withdrawn => "withdrawn",
    }
}
