//! `cutover versions`: what a store has, newest first.

use std::path::PathBuf;

use super::table::Rows;
use super::{Answer, Output, format};
use crate::catalog::{Catalog, Current};
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  cutover versions stores/views_by_age
  cutover versions stores/views_by_age --json";

/// List the versions of a store with their states, and which one readers see
///
/// Published: readers see it. Retired: a newer one was published. Rolled back: readers were taken off it because it was
/// bad. Rejected: a check stopped it. Complete: built, but not published yet.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder of the store
    store: PathBuf,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Answer> {
        let current = Catalog::open(&self.store)?.read()?;
        if output.is_json() {
            output.document(&current)?;
        } else {
            show(&current, output)?;
        }
        Ok(Answer::Yes)
    }
}

/// Shows the versions as a table, with a line for whatever holds one back.
pub(super) fn show(current: &Current, output: &mut Output) -> Result<()> {
    if current.versions.is_empty() {
        return output.line(format!("the store of {} has no version yet", current.dataset));
    }
    let mut rows = Rows::new(&["version", "state", "rows", "data", "as of (UTC)", "built (UTC)"], &[0, 2, 3]);
    for (version, entry) in current.versions.iter().rev() {
        rows.add([
            version.to_string(),
            entry.state.to_string(),
            format::count(entry.rows),
            format::size(entry.bytes),
            format::minute(entry.as_of),
            format::minute(entry.created_at),
        ]);
    }
    output.line(rows.text())?;
    match &current.pin {
        Some(pin) => output.line(format!(
            "readers see version {}, pinned since {}: {}",
            pin.version,
            format::time(pin.since),
            pin.reason
        ))?,
        None => match current.current {
            Some(version) => output.line(format!("readers see version {version}"))?,
            None => output.line("nothing is published")?,
        },
    }
    if let Some(pending) = &current.pending {
        output.line(format!(
            "{} was cut off or is going on since {}; the next command that changes the store finishes it",
            pending.change,
            format::time(pending.at)
        ))?;
    }
    for (version, entry) in &current.versions {
        if let Some(why) = &entry.rejected {
            output.line(format!("version {version} did not pass its checks: {why}"))?;
        }
    }
    Ok(())
}
