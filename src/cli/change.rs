//! The commands that change what readers see or what a store keeps: publish, rollback, pin, unpin, gc.
//!
//! Each is one call of `publish`, which defines the order of steps and writes the store's event log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::allow::AllowArgs;
use super::{Output, Verdict, format, notice, parsers, versions};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::{Allow, DEFAULT_KEEP, Retention, State, StreamedVersion, VersionEntry};
use crate::progress::Progress;
use crate::publish::{self, GcReport, PublishOptions, Published};
use crate::shutdown;

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
        let announced = published.announced.clone();
        output.ended(if published.flipped() { "published" } else { "unchanged" });
        flipped(&self.store, published, output)?;
        output.flush()?;
        self.wait.wait(&catalog, announced.as_ref())?;
        Ok(Verdict::Yes)
    }
}

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
    #[arg(long, value_name = "N")]
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
            return flipped(&self.store, publish::rollback(&catalog, self.to, Progress::auto())?, output);
        }
        flipped(&self.store, publish::rollback_locally(&catalog, self.to)?, output)?;
        if !output.is_json()
            && let Some(behind) = versions::behind(&catalog.read()?)
        {
            output.line(behind)?;
        }
        Ok(Verdict::Yes)
    }
}

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
    #[arg(value_name = "N")]
    version: Option<u64>,
    /// Reason, shown when the pin blocks a publish
    #[arg(long, value_name = "R")]
    reason: String,
}

impl PinArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let pinned = publish::pin(&Catalog::open(&self.store)?, self.version, &self.reason, Progress::auto())?;
        output.ended("pinned");
        output.next(format!("cutover unpin {}", format::shell_quote(&self.store.display().to_string())));
        output.document(&json!({"version": pinned.version, "previous": pinned.previous, "reason": self.reason}))?;
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        if pinned.flipped() {
            output.line(sentence(&self.store, &pinned))?;
        }
        output.line(format!(
            "readers of {0} stay on version {1} until `cutover unpin {0}`",
            format::shell_quote(&self.store.display().to_string()),
            pinned.version
        ))?;
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
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        output.line(format!("version {} was pinned since {}: {}", pin.version, format::time(pin.since), pin.reason))?;
        let waiting = |(version, entry): (u64, VersionEntry)| (entry.state == State::Complete).then_some(version);
        let waiting: Vec<u64> = catalog.read()?.versions.into_iter().filter_map(waiting).collect();
        if !waiting.is_empty() {
            output.line(format!(
                "readers still see it; built meanwhile: {}; `cutover publish {} N` publishes one",
                format::versions(&waiting),
                format::shell_quote(&self.store.display().to_string())
            ))?;
        }
        Ok(Verdict::Yes)
    }
}

const GC: &str = "\
Examples:
  cutover gc stores/views_by_age                       keep the 3 newest versions
  cutover gc stores/views_by_age --keep 1 --keep-for 48h
  cutover gc stores/views_by_age --keep 1 --dry-run    how much space that would free
  cutover gc stores/views_by_age --unfinished          also the build that could be resumed";

/// Delete old versions and what crashed builds left behind
///
/// Keeps the current version, the newest good versions (--keep), versions in recent use (--keep-for), builds in
/// progress, and the newest build that the next run can resume. As many staged and as many bad versions are kept in
/// addition, for a week or until a newer version is published, whichever is later. The retention in job files is not
/// read: every run already applies it.
#[derive(Debug, clap::Args)]
#[command(after_help = GC)]
pub(super) struct GcArgs {
    /// Directory of the store
    store: PathBuf,
    /// Good versions to keep
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEEP)]
    keep: u32,
    /// Keep every version that was in use within this time, such as 48h
    #[arg(long, value_name = "D", value_parser = parsers::duration)]
    keep_for: Option<Duration>,
    /// Also delete the build that the next run could resume
    #[arg(long)]
    unfinished: bool,
    /// Show which versions would be deleted and how much space that would free; delete nothing
    #[arg(long, conflicts_with = "unfinished")]
    dry_run: bool,
}

impl GcArgs {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let retention = Retention { keep: self.keep, keep_for: self.keep_for };
        let catalog = Catalog::open(&self.store)?;
        if self.dry_run {
            return self.foresee(&catalog, &retention, output);
        }
        if self.unfinished {
            catalog.discard_resumable()?;
        }
        let report = publish::gc(&catalog, &retention)?;
        if output.is_json() {
            let GcReport { versions, leftovers, unfinished, bytes } = report;
            output.document(&json!({
                "versions": versions, "leftovers": leftovers, "unfinished": unfinished, "bytes": bytes,
            }))?;
            return Ok(Verdict::Yes);
        }
        let mut gone = Vec::new();
        if !report.versions.is_empty() {
            gone.push(format::versions(&report.versions));
        }
        if !report.leftovers.is_empty() {
            gone.push(format::plural(report.leftovers.len() as u64, "leftover directory"));
        }
        let age =
            self.keep_for.map(|age| format!(" and all in use in the last {}", format::duration(age.as_secs_f64())));
        let kept = format!("keeping the newest {}{}", self.keep, age.unwrap_or_default());
        output.line(match gone.is_empty() {
            true => format!("nothing to delete, {kept}"),
            false => format!("deleted {} ({}), {kept}", gone.join(" and "), format::size(report.bytes)),
        })?;
        output.flush()?;
        self.tell_kept(&catalog, output)?;
        if let Some(build) = report.unfinished {
            let store = format::shell_quote(&self.store.display().to_string());
            output.line(format!(
                "build {build} was not finished and stays: the next run of its job resumes it, `cutover gc {store} \
                 --unfinished` deletes it"
            ))?;
        }
        Ok(Verdict::Yes)
    }

    fn foresee(&self, catalog: &Catalog, retention: &Retention, output: &mut Output) -> Result<Verdict> {
        let (versions, bytes) = publish::would_free(catalog, retention)?;
        if output.is_json() {
            output.document(&json!({
                "versions": versions, "leftovers": [], "unfinished": null, "bytes": bytes, "dry_run": true,
            }))?;
        } else if versions.is_empty() {
            output.line("no version would be deleted")?;
        } else {
            output.line(format!("would delete {} and free {}", format::versions(&versions), format::size(bytes)))?;
        }
        if !output.is_json() {
            self.tell_kept(catalog, output)?;
        }
        Ok(Verdict::Yes)
    }

    /// Names the versions that are kept only to be inspected or published, with their sizes.
    fn tell_kept(&self, catalog: &Catalog, output: &mut Output) -> Result<()> {
        let kept = catalog.read()?.versions;
        for (version, entry) in kept.iter().filter(|(_, entry)| entry.state.is_bad() || versions::is_staged(entry)) {
            let size = format::size(catalog.stored_bytes(*version)?);
            output.line(format!("version {version} is {} and stays for now: {size}", versions::state(entry)))?;
        }
        Ok(())
    }
}

fn flipped(store: &Path, published: Published, output: &mut Output) -> Result<Verdict> {
    let topic = published.announced.as_ref().map(|announced| &announced.topic);
    let rows = published.announced.as_ref().map(|announced| announced.rows);
    let seconds = published.streaming.map(|took| took.as_secs_f64());
    output.document(&json!({
        "version": published.version, "previous": published.previous, "topic": topic, "rows": rows, "seconds": seconds,
    }))?;
    if !output.is_json() {
        output.line(sentence(store, &published))?;
        if let Some(announced) = &published.announced {
            let how = match &published.streaming {
                Some(took) => format!("streamed in {}, ", format::duration(took.as_secs_f64())),
                None => String::new(),
            };
            output.line(format!("announced to consumers of the topic: {how}{}", announced.topic))?;
        }
    }
    Ok(Verdict::Yes)
}

/// What readers see now, and what they saw before.
fn sentence(store: &Path, published: &Published) -> String {
    let (store, version) = (store.display(), published.version);
    match published.previous {
        Some(previous) if previous == version => format!("readers of {store} already see version {version}"),
        Some(previous) => {
            format!("version {version} is live: readers of {store} went from version {previous} to {version}")
        }
        None => format!("version {version} is live: it is the first that readers of {store} see"),
    }
}
