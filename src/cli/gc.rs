//! `cutover gc`: deletes old versions and what crashed builds left behind.
//!
//! Not for: which versions are kept (`catalog`).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{Output, Verdict, format, parsers, versions};
use crate::catalog::Catalog;
use crate::error::Result;
use crate::format::{DEFAULT_KEEP, Retention, VersionEntry};
use crate::publish::{self, GcReport};

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
    #[arg(long, value_name = "N", value_parser = parsers::keep, allow_negative_numbers = true, default_value_t = DEFAULT_KEEP)]
    keep: u32,
    /// Keep every version that was in use within this time, such as 48h
    #[arg(long, value_name = "D", value_parser = parsers::duration)]
    keep_for: Option<Duration>,
    /// Keep objects of a store on an object store that no version names for this long: a slow builder may have uploaded
    /// them
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = "24h")]
    grace: Duration,
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
        let mut discarded = None;
        if self.unfinished {
            catalog.discard_resumable()?;
            discarded = catalog.discard_shared()?;
        }
        let mut report = publish::gc(&catalog, &retention, self.grace)?;
        report.leftovers.extend(discarded);
        let GcReport { versions, leftovers, unfinished, bytes } = &report;
        output.document(&json!({
            "versions": versions, "leftovers": leftovers, "unfinished": unfinished, "bytes": bytes,
        }))?;
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        let mut gone = Vec::new();
        if !report.versions.is_empty() {
            gone.push(format::versions(&report.versions));
        }
        if !report.leftovers.is_empty() {
            gone.push(match report.leftovers.len() {
                1 => "1 leftover directory".to_owned(),
                count => format!("{count} leftover directories"),
            });
        }
        let age =
            self.keep_for.map(|age| format!(" and all in use in the last {}", format::duration(age.as_secs_f64())));
        let kept = format!("keeping the newest {}{}", self.keep, age.unwrap_or_default());
        output.line(match gone.is_empty() {
            true => format!("nothing to delete, {kept}"),
            false => format!("deleted {} ({}), {kept}", gone.join(" and "), format::size(report.bytes)),
        })?;
        output.flush()?;
        self.tell_kept(&catalog, &[], output)?;
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
        output.document(&json!({
            "versions": versions, "leftovers": [], "unfinished": null, "bytes": bytes, "dry_run": true,
        }))?;
        if output.is_json() {
            return Ok(Verdict::Yes);
        }
        output.line(match versions.is_empty() {
            true => "no version would be deleted".to_owned(),
            false => format!("would delete {} and free {}", format::versions(&versions), format::size(bytes)),
        })?;
        self.tell_kept(catalog, &versions, output)?;
        Ok(Verdict::Yes)
    }

    /// Names the versions that are kept only to be inspected or published, with their sizes; not those that are to be
    /// deleted.
    fn tell_kept(&self, catalog: &Catalog, deleted: &[u64], output: &mut Output) -> Result<()> {
        let current = catalog.read()?;
        let waits = |entry: &VersionEntry| entry.state.is_bad() || versions::is_staged(entry);
        let kept = current.versions.iter().filter(|(version, entry)| waits(entry) && !deleted.contains(version));
        for (version, entry) in kept {
            let size = format::size(catalog.stored_bytes(&current, *version)?);
            output.line(format!("version {version} is {} and stays for now: {size}", versions::state(entry)))?;
        }
        Ok(())
    }
}
