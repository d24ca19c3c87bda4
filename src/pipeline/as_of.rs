//! The time of a run's data, compared with that of the published version: refuses or warns before any work.
//!
//! A time is stated by the job's `as_of` or by `--as-of`, which wins; otherwise it is the clock's, which is never
//! compared.
//!
//! Not for: the rule itself, which the catalog applies again at the flip (`catalog::publish_rules`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::RunOptions;
use crate::catalog::Catalog;
use crate::error::{AGAIN_WITH, Error, Result};
use crate::format::{Allow, Current, allow_flag, shown_params};
use crate::job::Job;

/// The time that a run's data represents.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    pub(super) at: Timestamp,
    pub(super) stated: bool,
}

impl AsOf {
    pub(super) fn of(job: &Job, options: &RunOptions) -> Self {
        let stated = options.as_of.or(job.as_of);
        Self { at: stated.unwrap_or_else(Timestamp::now), stated: stated.is_some() }
    }

    pub(super) fn stated(self) -> Option<Timestamp> {
        self.stated.then_some(self.at)
    }
}

/// Fails if the version that this run would build must not replace the published one; the message lists the options.
pub(super) fn refuse(catalog: &Catalog, current: &Current, options: &RunOptions, as_of: AsOf) -> Result<()> {
    let refused = current.out_of_order(current.next_version, as_of.stated());
    let Some(refused) = refused.filter(|it| !options.stage && !options.allow.contains(&it.allow)) else {
        return Ok(());
    };
    let (store, flag) = (catalog.place(), allow_flag([refused.allow]));
    let so = if refused.allow == Allow::Older { "takes readers back in time" } else { "publishes it anyway" };
    Err(Error::rejected(format!(
        "this run {}; nothing was built\n  --stage builds it and leaves readers where they are: `cutover get {store} KEY \
         --version N` reads it, `cutover publish {store} N {flag}` publishes it\n  {flag} {so}",
        refused.why
    ))
    .with(AGAIN_WITH, "--stage"))
}

/// The command that publishes an unpublished version, with every `--allow` it needs.
///
/// # Errors
/// `Unavailable` or `Corrupt` when the store cannot be read.
pub(super) fn publish_command(catalog: &Catalog, version: u64) -> Result<String> {
    let current = catalog.read()?;
    let refusals = current.versions.get(&version).map(|entry| current.refusals(version, entry)).unwrap_or_default();
    let flag = match refusals.is_empty() {
        true => String::new(),
        false => format!(" {}", allow_flag(refusals.iter().map(|refusal| refusal.allow))),
    };
    Ok(format!("cutover publish {} {version}{flag}", catalog.place()))
}

/// Warns, if a run goes live, of what was not compared; returns the warnings.
pub(super) fn warn(job: &Job, options: &RunOptions, current: &Current, as_of: AsOf) -> Vec<String> {
    let Some((live, entry)) = current.current_entry().filter(|_| !options.stage) else { return Vec::new() };
    let mut notes = Vec::new();
    if as_of.stated && !entry.as_of_stated {
        notes.push(format!(
            "version {live}, which readers see, states no as_of, so this run is not compared with it; from now on, older \
             data is refused"
        ));
    }
    if let Some(params) = entry.params.as_ref().filter(|params| !as_of.stated && **params != job.sets) {
        notes.push(format!(
            "this run has other parameters than version {live}, which readers see: {} instead of {}; it is published, \
             older or not. With `as_of` in the job, such as as_of = \"${{date}}\", older data is refused",
            shown(&job.sets),
            shown(params)
        ));
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    notes
}

fn shown(params: &BTreeMap<String, String>) -> String {
    if params.is_empty() { "none".to_owned() } else { shown_params(params) }
}
