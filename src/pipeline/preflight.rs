//! Refuses, before any work, what would stop the publish.
//!
//! Not for: what is wrong with the job or its inputs (`prepare`), and the checks of what was built (`check`).

use super::as_of::{self, AsOf};
use super::prepare::Prepared;
use crate::catalog::Catalog;
use crate::check::Previous;
use crate::error::{Error, Kind, Result};
use crate::format::{Allow, Allowed, CheckOutcome, CheckResult, Current, allow_flag};

/// Refuses to build into a store that takes its versions from a topic or another store.
///
/// # Errors
/// `Invalid` if it does.
pub(super) fn refuse_follower(current: &Current) -> Result<()> {
    match current.followed() {
        None => Ok(()),
        Some(followed) => Err(Error::invalid(format!(
            "this store follows {followed} and takes its versions from there: build into another store"
        ))),
    }
}

/// Refuses what is known to stop the publish; returns the published version, to compare with.
///
/// # Errors
/// `Rejected` when the data is older, or readers of the published version could not read the new one; `Corrupt` when
/// the published one is damaged.
pub(super) fn preflight(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    current: &Current,
    as_of: AsOf,
) -> Result<Option<Previous>> {
    as_of::refuse(catalog, current, prepared.options, as_of)?;
    let Some(previous) = published_manifest(catalog, current, &prepared.options.allow)? else { return Ok(None) };
    let results = prepared.compatibility(Some(&previous));
    let failed = || results.iter().filter(|result| result.outcome == CheckOutcome::Failed);
    let said: Vec<String> = failed()
        .map(|result| format!("{}: expected {}, found {}", result.rule, result.expected, result.found))
        .collect();
    if said.is_empty() {
        return Ok(Some(previous));
    }
    Err(Error::rejected(format!(
        "readers of version {} could not read what this job makes; nothing was built\n  {}\n  {} builds and publishes \
         it, once every reader knows the new schema",
        previous.manifest.version,
        said.join("\n  "),
        allow_flag(failed().map(|result| Allow::of_rule(&result.rule)))
    ))
    .with("checks", checks_as_json(&results)))
}

/// The results of checks, as JSON.
pub(super) fn checks_as_json(results: &[CheckResult]) -> serde_json::Value {
    serde_json::to_value(results).unwrap_or_default()
}

/// The published version, to compare with. With `--allow damaged` a damaged one does not stop the run that replaces it:
/// otherwise no command could repair such a store.
fn published_manifest(catalog: &Catalog, current: &Current, allow: &Allowed) -> Result<Option<Previous>> {
    let Some(live) = current.current else { return Ok(None) };
    match catalog.manifest(current, live) {
        Ok(manifest) => Ok(Some(Previous { manifest })),
        Err(error) if allow.contains(&Allow::Damaged) && error.kind() == Kind::Corrupt => {
            tracing::warn!(
                "version {live} is damaged, so this run is compared with nothing: {}",
                error.chain().join(": ")
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
