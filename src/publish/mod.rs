//! The steps that make a finished build the version readers see, in types that consume the one before.
//!
//! ```text
//! Staged ──install──▶ Complete ──publish──▶ Published
//!                       (may be rejected: then only `force` publishes it)
//! ```
//! Thin over `catalog`, which holds the rules: here the files of a version are looked at before readers are sent to it,
//! the flip is one commit, and the log gets its line after it. A store is one system, so its flip is one atomic replace
//! and a crash leaves nothing to finish.
//!
//! Not for: checks of the data (`check`), which are over before a version is installed and recorded in its manifest.

mod steps;

use jiff::Timestamp;

pub use self::steps::{Complete, Staged};
use crate::catalog::{Action, Catalog, Current, FileDepth, Flip, inspect};
pub use crate::catalog::{GcReport, Pin};
use crate::error::{Error, Result};
use crate::job::Retention;

/// How a version is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Publish it though it is rejected, rolled back, or older than what readers see.
    pub force: bool,
    /// Why, for the log.
    pub reason: Option<String>,
}

/// A version that readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub version: u64,
    /// What readers saw before; equal to `version` when they already saw it.
    pub previous: Option<u64>,
}

impl From<Flip> for Published {
    fn from(flip: Flip) -> Self {
        Self { version: flip.to, previous: flip.from }
    }
}

impl Published {
    /// Whether readers see something else than before.
    pub fn flipped(&self) -> bool {
        self.previous != Some(self.version)
    }
}

/// Makes `version` the one readers see.
///
/// # Errors
/// As [`Current::publish`]; `Corrupt` when its files are not as its manifest says; `Unavailable` when the disk does not
/// do it, with the message saying whether it was applied.
pub fn publish(catalog: &Catalog, version: u64, options: &PublishOptions) -> Result<Published> {
    let now = Timestamp::now();
    let current = catalog.read()?;
    current.clone().publish(version, options.force, now)?;
    intact(catalog, &current, version)?;
    let published = Published::from(catalog.commit(|current| current.publish(version, options.force, now))?);
    if published.flipped() {
        let forced = if options.force { "forced" } else { "" };
        let why = options.reason.as_deref().unwrap_or_default();
        let said = [before(published.previous).as_str(), forced, why].map(str::to_owned);
        catalog.log().record(Action::Published, Some(version), join(&said));
    }
    Ok(published)
}

/// Takes readers back to version `to`, or to the last good one before the current.
///
/// # Errors
/// As [`Current::rollback`]; `Corrupt` when the files of the version it would go to are damaged; `Conflict` when
/// another command changed the store meanwhile; `Unavailable` as [`publish`].
pub fn rollback(catalog: &Catalog, to: Option<u64>) -> Result<Published> {
    let now = Timestamp::now();
    let current = catalog.read()?;
    let target = current.clone().rollback(to, now)?.to;
    intact(catalog, &current, target)?;
    let flip = catalog.commit(|latest| {
        if latest.current != current.current || latest.rollback_target(to)? != target {
            return Err(Error::conflict("not applied: another command changed the store meanwhile; run again"));
        }
        latest.rollback(to, now)
    })?;
    catalog.log().record(Action::RolledBack, flip.from, format!("readers are back on version {target}"));
    Ok(flip.into())
}

/// Holds readers on `version`, or on the one they see.
///
/// # Errors
/// As [`Current::pin`]; `Corrupt` when its files are damaged; `Unavailable` as [`publish`].
pub fn pin(catalog: &Catalog, version: Option<u64>, reason: &str) -> Result<Published> {
    let now = Timestamp::now();
    let current = catalog.read()?;
    let flip = current.clone().pin(version, reason, now)?;
    if flip.from != Some(flip.to) {
        intact(catalog, &current, flip.to)?;
    }
    let published = Published::from(catalog.commit(|current| current.pin(version, reason, now))?);
    let from = if published.flipped() { before(published.previous) } else { String::new() };
    catalog.log().record(Action::Pinned, Some(published.version), join(&[from, reason.trim().to_owned()]));
    Ok(published)
}

/// Lets publishes go ahead again, and returns what held them.
///
/// # Errors
/// As [`Current::unpin`]; `Unavailable` as [`publish`].
pub fn unpin(catalog: &Catalog) -> Result<Pin> {
    let pin = catalog.commit(Current::unpin)?;
    catalog.log().record(Action::Unpinned, Some(pin.version), format!("it was pinned since {}", pin.since));
    Ok(pin)
}

/// Deletes the versions that `retention` no longer keeps, and what crashed commands left behind.
///
/// # Errors
/// As [`Catalog::remove`].
pub fn gc(catalog: &Catalog, retention: &Retention) -> Result<GcReport> {
    let now = Timestamp::now();
    let report = catalog.remove(|current| current.expired(retention, now))?;
    let log = catalog.log();
    report.versions.iter().for_each(|&version| log.record(Action::Deleted, Some(version), "retention"));
    if !report.leftovers.is_empty() {
        log.record(Action::Deleted, None, format!("leftovers: {}", report.leftovers.join(", ")));
    }
    Ok(report)
}

/// Fails when the files of a version are not as its manifest says, as far as a quick look shows.
fn intact(catalog: &Catalog, current: &Current, version: u64) -> Result<()> {
    let manifest = catalog.manifest(current, version)?;
    let findings = inspect(&catalog.layout().version_dir(version), &manifest, FileDepth::SmallFiles);
    let Some(first) = findings.first() else { return Ok(()) };
    Err(Error::corrupt(format!(
        "not applied: version {version} is damaged, {} problems, the first: {first}; `cutover verify STORE {version}` \
         lists all, `cutover run JOB.toml --rebuild` builds it again",
        findings.len()
    )))
}

fn before(previous: Option<u64>) -> String {
    previous.map_or("the first one".to_owned(), |previous| format!("after version {previous}"))
}

fn join(parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests;
