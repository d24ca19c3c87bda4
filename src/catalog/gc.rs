//! Garbage collection: deletes versions that `current.json` no longer lists, leftovers of failed installs and crashed
//! builds, and temporary files of `current.json`.
//!
//! ```text
//! current.json no longer lists the version ─▶ its directory is renamed to staging/trash-… ─▶ the trash is deleted
//! ```
//! What a crash between two steps leaves is deleted by the next run. Readers never see half a version: they find
//! versions through `current.json`, and RocksDB keeps the files that it has open. Symbolic links are deleted, never
//! followed.
//!
//! Not for: which versions may be deleted (`retention`), or removing them from `current.json` (`transitions`).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::event::Action;
use super::layout;
use super::lock::Lock;
use super::store::Catalog;
use crate::durable_file::{self, fs};
use crate::error::{IoContext, Result};
use crate::failpoint;
use crate::format::Retention;
use crate::shutdown;

/// How long objects of a remote store that no version names are kept, as a slow builder may have uploaded them.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// The versions, oldest first.
    pub versions: Vec<u64>,
    /// Names of directories and files that belonged to no version and no running build.
    pub leftovers: Vec<String>,
    /// The crashed build that was kept because the next run can resume it.
    pub unfinished: Option<String>,
    /// Bytes that all of it took on disk; files with other hard links are counted but not freed.
    pub bytes: u64,
}

impl Catalog {
    /// Deletes the files of `forgotten` versions and everything else that nothing references. The staging directory of
    /// a build that is running, or that the next run can resume, is kept; so is what is younger than `grace` in a
    /// remote store, as another host may be uploading it.
    ///
    /// # Errors
    /// `Conflict` when another process is committing (the message names it); `Corrupt` when one of the store's
    /// directories is a link; `Unavailable` when something cannot be deleted; running it again then continues.
    pub fn sweep(&self, forgotten: Vec<u64>, grace: Duration) -> Result<GcReport> {
        let mut removed = GcReport::default();
        if let Some(remote) = self.remote() {
            let swept = remote.sweep(&forgotten, grace, || self.lock_build())?;
            removed.bytes += swept.bytes;
            removed.leftovers.extend(swept.builds);
        }
        {
            // Under the lock, so that no version is being installed meanwhile. The state read is durable, so a power
            // cut cannot bring a deleted version back into current.json.
            let _lock = self.lock_commit()?;
            let current = self.read_durable()?;
            for name in names(&self.layout().versions())? {
                // Of a remote store, these are copies: that of the current version is kept for the next command.
                let is_kept = |version: &u64| match self.remote() {
                    None => current.versions.contains_key(version),
                    Some(_) => current.current == Some(*version),
                };
                let Some(version) = layout::parse_version(&name).filter(|version| !is_kept(version)) else { continue };
                self.discard(&self.layout().versions().join(&name))?;
                if self.remote().is_none() && !forgotten.contains(&version) {
                    removed.leftovers.push(name);
                }
            }
            removed.versions = forgotten;
            // No other process can replace the file now, so its temporary files were left by crashed processes.
            let of_current = |name: &String| durable_file::is_left_by_write(name, layout::CURRENT);
            for name in names(self.layout().root())?.into_iter().filter(of_current) {
                removed.bytes += free(&self.layout().root().join(&name))?;
                removed.leftovers.push(name);
            }
        }
        self.prepare_work_dir()?;
        if let Some(lock) = Lock::if_free(&self.layout().build_lock())? {
            removed.unfinished = self.unfinished(&self.read()?)?;
            removed.leftovers.extend(self.discard_dead_builds(&lock, removed.unfinished.as_deref())?);
            if removed.unfinished.is_none() {
                removed.unfinished = self.unfinished_shared()?.map(|building| building.build_id);
            }
        }
        removed.bytes += self.empty_trash()?;
        Ok(removed)
    }

    /// Deletes what nothing references and the versions that `forget` has removed from `current.json`, and logs it.
    ///
    /// # Errors
    /// As [`Catalog::sweep`]; those of `forget`.
    pub fn clean(&self, grace: Duration, forget: impl Fn() -> Result<Vec<u64>>) -> Result<GcReport> {
        // Unreferenced files first: on a full disk, removing a version from `current.json` needs some of their space.
        let mut report = match self.remote() {
            None => self.sweep(Vec::new(), grace)?,
            Some(_) => GcReport::default(),
        };
        let pending = self.read()?.pending.is_some();
        let forgotten = match forget() {
            Err(error) if error.is_disk_full() && self.give_up_reserve()? => forget(),
            forgotten => forgotten,
        }?;
        failpoint::reach("retention.forgotten")?;
        let left = || "stopped: the rest of the old versions is deleted by the next `cutover gc` or run".to_owned();
        if self.remote().is_some() || pending || !forgotten.is_empty() {
            let swept = self.sweep(forgotten, grace).map_err(|error| shutdown::explain_stop(error, left))?;
            report.versions = swept.versions;
            report.leftovers.extend(swept.leftovers);
            report.unfinished = report.unfinished.or(swept.unfinished);
            report.bytes += swept.bytes;
        }
        self.keep_reserve();
        let log = self.log();
        report.versions.iter().for_each(|&version| log.record(Action::Deleted, Some(version), "retention"));
        if !report.leftovers.is_empty() {
            log.record(Action::Deleted, None, format!("leftovers: {}", report.leftovers.join(", ")));
        }
        Ok(report)
    }

    /// Deletes the versions of a store that follows another place which `retention` no longer keeps, and what nothing
    /// references.
    ///
    /// # Errors
    /// As [`Catalog::commit`] and [`Catalog::sweep`].
    pub fn retain(&self, retention: &Retention) -> Result<GcReport> {
        let now = Timestamp::now();
        self.clean(GRACE, || {
            self.commit(|current| {
                let expired = current.expired(retention, now);
                expired.iter().try_for_each(|&version| current.remove(version).map(drop)).map(|()| expired)
            })
        })
    }

    /// Deletes the trash and returns its bytes.
    pub(super) fn empty_trash(&self) -> Result<u64> {
        let staging = self.layout().staging();
        let names = names(&staging)?;
        let trash = names.iter().filter(|name| layout::is_trash(name));
        trash.map(|name| shutdown::check().and_then(|()| free(&staging.join(name)))).sum()
    }

    /// Moves a file or directory into the trash.
    pub(super) fn discard(&self, path: &Path) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let now = jiff::Timestamp::now().as_nanosecond();
        let unique = format!("{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let trash = self.layout().trash(&name, &unique);
        fs::rename(path, &trash).io("move to the trash", path)?;
        failpoint::reach("retention.renamed")
    }
}

/// Names in a directory, sorted; a missing directory has none.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.io("list", directory)?,
    };
    let names = entries.map(|entry| Ok(entry.io("list", directory)?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Deletes a file, a link or a directory tree and returns the bytes that it took on disk, as [`Catalog::stored_bytes`]
/// counts them; what another process deletes meanwhile is no error.
fn free(path: &Path) -> Result<u64> {
    let gone = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
    let meta = match fs::symlink_metadata(path) {
        Err(error) if gone(&error) => return Ok(0),
        meta => meta.io("stat", path)?,
    };
    let mut bytes = fs::bytes_on_disk(&meta);
    let deleted = if meta.is_dir() {
        for name in names(path)? {
            bytes += free(&path.join(name))?;
        }
        fs::remove_dir(path)
    } else {
        fs::remove_file(path)
    };
    match deleted {
        Err(error) if gone(&error) => {}
        deleted => {
            deleted.io("delete", path)?;
            failpoint::reach("retention.deleted")?;
        }
    }
    Ok(bytes)
}
