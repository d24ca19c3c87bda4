//! `cutover pin` and `cutover unpin`: hold readers on a version, and let them go.
//!
//! Not for: what a pin stops, which the rules of `catalog` decide.

use std::path::PathBuf;

use serde_json::json;

use super::{Output, Verdict, flip, format, parsers};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::escape::escaped;
use crate::format::{State, VersionEntry};
use crate::progress::Progress;
use crate::publish;

const PIN: &str = "\
Examples:
  cutover pin stores/views_by_age --reason 'audit of November'
  cutover pin stores/views_by_age 3 --reason 'incident 17'";

/// Hold readers on the current version, or on version N
///
/// Builds continue and their versions wait; nothing else is published until `cutover unpin`.
#[derive(Debug, clap::Args)]
#[command(after_help = PIN)]
pub(super) struct PinArgs {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version; the current one if left out
    #[arg(value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
    /// Reason, shown when the pin blocks a publish
    #[arg(long, value_name = "R")]
    reason: String,
}

impl PinArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        let before = catalog.read()?.pin.filter(|pin| pin.reason != self.reason.trim());
        let pinned = publish::pin(&catalog, self.version, &self.reason, Progress::auto())?;
        output.ended("pinned");
        output.next(format!("cutover unpin {}", format::shell_quote(&self.store.display().to_string())));
        output.document(&json!({"version": pinned.version, "previous": pinned.previous, "reason": self.reason}))?;
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        if pinned.flipped() {
            output.line(flip::sentence(&self.store, &pinned))?;
        }
        output.line(format!(
            "readers of {0} stay on version {1} until `cutover unpin {0}`",
            format::shell_quote(&self.store.display().to_string()),
            pinned.version
        ))?;
        if let Some(before) = before {
            output.line(format!(
                "this replaces the pin since {}: {}",
                format::time(before.since),
                escaped(&before.reason)
            ))?;
        }
        Ok(Verdict::Yes)
    }
}

const UNPIN: &str = "\
Examples:
  cutover unpin stores/views_by_age";

/// Remove the pin, so that versions can be published again
#[derive(Debug, clap::Args)]
#[command(after_help = UNPIN)]
pub(super) struct UnpinArgs {
    /// Directory of the store
    store: PathBuf,
}

impl UnpinArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        let pin = publish::unpin(&catalog)?;
        output.ended("unpinned");
        output.document(&pin)?;
        let current = catalog.read()?;
        let built = |(version, entry): (&u64, &VersionEntry)| {
            let held = entry.state == State::Complete && !entry.staged && entry.created_at >= pin.since;
            held.then_some(*version)
        };
        let built: Vec<u64> = current.versions.iter().filter_map(built).collect();
        let store = format::shell_quote(&self.store.display().to_string());
        // A follower takes over what is published where the versions are built.
        let newest = built.last().filter(|_| current.follows.is_none());
        let publish = newest.map(|newest| format!("cutover publish {store} {newest}"));
        publish.iter().for_each(|command| output.next(command.clone()));
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        output.line(format!(
            "version {} was pinned since {}: {}",
            pin.version,
            format::time(pin.since),
            escaped(&pin.reason)
        ))?;
        let held = publish.map_or(String::new(), |command| {
            format!("; built meanwhile and held back: {}; `{command}` publishes the newest", format::versions(&built))
        });
        output.say(format!("readers still see it{held}"))?;
        Ok(Verdict::Yes)
    }
}
