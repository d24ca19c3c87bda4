//! `cutover versions`: the versions of a store, newest first.

use std::path::PathBuf;

use super::text_table::Rows;
use super::{Output, Verdict, format};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::escape::escaped;
use crate::format::{Current, State, VersionEntry, shown_params};

const EXAMPLES: &str = "\
Examples:
  cutover versions stores/views_by_age
  cutover versions stores/views_by_age --json";

/// List the versions of a store with their states, and which one readers see
///
/// Published: readers see it. Retired: another version replaced it. Rolled back: it was published and found bad.
/// Rejected: a check stopped it. Complete: built, but not published yet. Staged: the same, as requested by --stage.
/// Stored is the size on disk, data the size of keys and values before compression. A time in brackets was not stated:
/// it is the time of the build. Parameters of jobs are shown where there are any; `cutover show` has the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        let current = catalog.read()?;
        output.document(&document(&catalog, &current)?)?;
        if !output.is_json() {
            show(&catalog, &current, output)?;
        }
        Ok(Verdict::Yes)
    }
}

/// The content of `current.json`, with the size of each version on disk.
fn document(catalog: &Catalog, current: &Current) -> Result<serde_json::Value> {
    let unwritten = |error| Error::internal("the versions cannot be written as JSON").because(error);
    let mut document = serde_json::to_value(current).map_err(unwritten)?;
    for version in current.versions.keys() {
        document["versions"][version.to_string()]["stored_bytes"] = catalog.stored_bytes(current, *version)?.into();
    }
    Ok(document)
}

/// Shows the versions as a table, followed by the pin, pending changes and rejections.
pub(super) fn show(catalog: &Catalog, current: &Current, output: &mut Output) -> Result<()> {
    if current.versions.is_empty() {
        return output.line(format!("the store of {} has no version yet", current.dataset));
    }
    let given = |entry: &VersionEntry| entry.params.as_ref().is_some_and(|params| !params.is_empty());
    let with_params = current.versions.values().any(given);
    let last = if with_params { "parameters" } else { "built (UTC)" };
    let mut rows = Rows::new(&["version", "state", "rows", "data", "stored", "as of (UTC)", last], &[0, 2, 3, 4]);
    for (version, entry) in current.versions.iter().rev() {
        let as_of = format::date_or_time(entry.as_of);
        let shown = [
            version.to_string(),
            state(entry),
            format::count(entry.rows),
            format::size(entry.bytes),
            format::size(catalog.stored_bytes(current, *version)?),
            if entry.as_of_stated { as_of } else { format!("({as_of})") },
            match with_params {
                true => entry.params.as_ref().map(shown_params).unwrap_or_default(),
                false => format::minute(entry.created_at),
            },
        ];
        rows.add(shown);
    }
    output.line(rows.text())?;
    if current.versions.values().any(|entry| !entry.as_of_stated) {
        output.say("(…) by the clock: no as_of was stated")?;
    }
    match &current.pin {
        Some(pin) => output.say(format!(
            "readers see version {}, pinned since {}: {}",
            pin.version,
            format::time(pin.since),
            escaped(&pin.reason)
        ))?,
        None => match current.current {
            Some(version) => output.line(format!("readers see version {version}"))?,
            None => output.line("nothing is published")?,
        },
    }
    if let Some(candidate) = &current.candidate {
        let who = if candidate.canary { "canary hosts serve it, all others fetch it" } else { "hosts fetch it" };
        let (version, since) = (candidate.version, format::time(candidate.since));
        output.line(format!("version {version} is the candidate since {since}: {who}"))?;
    }
    if let Some(behind) = behind(&catalog.place(), current) {
        output.line(behind)?;
    }
    if let Some(pending) = &current.pending {
        output.line(format!(
            "{} was interrupted or is in progress since {}; the next command that changes the store completes it",
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

/// The state of a version in a word or two.
pub(super) fn state(entry: &VersionEntry) -> String {
    if is_staged(entry) { "staged".to_owned() } else { entry.state.to_string() }
}

/// Whether a version was built with `--stage` and is not published yet.
pub(super) fn is_staged(entry: &VersionEntry) -> bool {
    entry.staged && entry.state == State::Complete
}

/// A sentence if consumers of the topic have not followed a local rollback.
pub(super) fn behind(store: &str, current: &Current) -> Option<String> {
    let (ledger, behind) = (current.targets.kafka.as_ref()?, current.behind()?);
    let version = current.current?;
    Some(format!(
        "consumers of topic {} are behind: it was not announced that readers here left version {} at {}; the next \
         command that reaches Kafka moves them to version {version}, such as `cutover publish {} {version}`",
        ledger.target.topic,
        behind.left,
        format::time(behind.since),
        format::shell_quote(store)
    ))
}
