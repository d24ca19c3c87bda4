//! What crashed builds left in staging, and which of them a later run can resume.
//!
//! The rule: of the builds that sealed their shuffle on disk and did not become a version, the newest is kept until the
//! next run of the store, which resumes or deletes it. Everything else in staging is debris once no build is running.
//!
//! Not for: whether a run can use that build's work, which depends on the run's job and inputs (`pipeline`).

use super::lock::Lock;
use super::remote::{Building, Remote};
use super::store::{BuildLock, Catalog};
use super::{gc, layout};
use crate::durable_file::{self, fs};
use crate::error::{IoContext, Result};
use crate::format::Current;

impl Catalog {
    /// The ID of the build that a later run can resume. Without the build lock, it may still be running.
    ///
    /// # Errors
    /// `Unavailable` when the staging directory cannot be read.
    pub fn unfinished(&self, current: &Current) -> Result<Option<String>> {
        let is_file = |path| fs::metadata(path).is_ok_and(|found| found.is_file());
        let sealed = |id: &str| self.layout().build_dirs(id).is_ok_and(|dirs| is_file(dirs.shuffle_journal()));
        // IDs start with the time at which the build began, and names are sorted.
        let names = gc::names(&self.layout().staging())?;
        Ok(names.into_iter().rev().find(|name| sealed(name) && !became_version(current, name)))
    }

    /// Makes the build that a later run could resume unresumable, so that it is debris like others; returns its ID.
    /// Does nothing while a build is running.
    ///
    /// # Errors
    /// As [`Catalog::read`]; `Unavailable` when its journal cannot be deleted.
    pub fn discard_resumable(&self) -> Result<Option<String>> {
        self.prepare_work_dir()?;
        let Some(_lock) = Lock::if_free(&self.layout().build_lock())? else { return Ok(None) };
        let Some(id) = self.unfinished(&self.read()?)? else { return Ok(None) };
        let journal = self.layout().build_dirs(&id)?.shuffle_journal();
        fs::remove_file(&journal).io("delete", &journal)?;
        durable_file::sync_dir(journal.parent().unwrap_or(&journal))?;
        Ok(Some(id))
    }

    /// Deletes the unfinished build of a remote store that several machines share, so that the next run begins anew;
    /// returns its ID.
    ///
    /// # Errors
    /// `Conflict` while another process is the store's builder; as [`Catalog::read`] and as those of a deletion.
    pub fn discard_shared(&self) -> Result<Option<String>> {
        let Some(remote) = self.remote() else { return Ok(None) };
        if self.unfinished_shared()?.is_none() {
            return Ok(None);
        }
        let _building = self.lock_build()?;
        let Some(building) = self.unfinished_shared()? else { return Ok(None) };
        remote.discard_unfinished(&building.build_id)?;
        Ok(Some(building.build_id))
    }

    /// The build of a remote store that several machines share, unless it became a version. Without the store's lease,
    /// it may still be running.
    ///
    /// # Errors
    /// As those of a read, and as [`Catalog::read`].
    pub fn unfinished_shared(&self) -> Result<Option<Building>> {
        let Some(building) = self.remote().map(Remote::building).transpose()?.flatten() else { return Ok(None) };
        let current = self.read()?;
        Ok(Some(building).filter(|building| !became_version(&current, &building.build_id)))
    }

    /// Deletes what crashed builds left in staging, except the build `keep`; returns the names. The caller's lock
    /// proves that no other build is running.
    ///
    /// # Errors
    /// `Unavailable` when something cannot be deleted.
    pub fn clear_staging(&self, building: &BuildLock, keep: Option<&str>) -> Result<Vec<String>> {
        let dead = self.discard_dead_builds(building.local(), keep)?;
        self.empty_trash()?;
        Ok(dead)
    }

    /// Moves what crashed builds left, except the build `keep`, into the trash; returns the names.
    pub(super) fn discard_dead_builds(&self, _building: &Lock, keep: Option<&str>) -> Result<Vec<String>> {
        let mut names = gc::names(&self.layout().staging())?;
        names.retain(|name| !layout::is_trash(name) && Some(name.as_str()) != keep);
        names.iter().try_for_each(|name| self.discard(&self.layout().staging().join(name)))?;
        Ok(names)
    }
}

fn became_version(current: &Current, build_id: &str) -> bool {
    current.versions.values().any(|entry| entry.build_id == build_id)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::catalog::fixture;

    /// Creates a directory in staging as a crashed build leaves it.
    fn die(catalog: &Catalog, id: &str, sealed: bool) {
        let dirs = catalog.layout().build_dirs(id).unwrap();
        fs::create_dir_all(dirs.version()).unwrap();
        if sealed {
            fs::create_dir_all(dirs.shuffle_journal().parent().unwrap()).unwrap();
            fs::write(dirs.shuffle_journal(), "").unwrap();
        }
    }

    fn left(catalog: &Catalog) -> Vec<String> {
        gc::names(&catalog.layout().staging()).unwrap()
    }

    fn store(directory: &Path) -> Catalog {
        let catalog = Catalog::open_or_create(directory.join("store"), "d").unwrap();
        die(&catalog, "20260101T000000Z-aa", true);
        die(&catalog, "20260102T000000Z-aa", true);
        die(&catalog, "20260103T000000Z-aa", false);
        catalog
    }

    #[test]
    fn the_newest_sealed_build_is_kept_until_it_is_discarded() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = store(directory.path());
        let swept = catalog.sweep(Vec::new(), Duration::ZERO).unwrap();
        assert_eq!(swept.unfinished.as_deref(), Some("20260102T000000Z-aa"));
        assert_eq!(swept.leftovers, ["20260101T000000Z-aa", "20260103T000000Z-aa"]);
        assert_eq!(left(&catalog), ["20260102T000000Z-aa"]);
        let building = catalog.lock_build().unwrap();
        assert_eq!(catalog.discard_resumable().unwrap(), None, "it may be the one that is being built");
        drop(building);
        assert_eq!(catalog.discard_resumable().unwrap().as_deref(), Some("20260102T000000Z-aa"));
        assert_eq!(catalog.sweep(Vec::new(), Duration::ZERO).unwrap().leftovers, ["20260102T000000Z-aa"]);
        assert_eq!(left(&catalog), [""; 0]);
    }

    #[test]
    fn a_build_that_became_a_version_is_not_resumable() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = store(directory.path());
        let mut current = fixture::store_of(1);
        for entry in current.versions.values_mut() {
            entry.build_id = "20260102T000000Z-aa".to_owned();
        }
        assert_eq!(catalog.unfinished(&current).unwrap().as_deref(), Some("20260101T000000Z-aa"));
    }

    #[test]
    fn a_run_removes_every_build_but_the_one_it_resumes() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = store(directory.path());
        let building = catalog.lock_build().unwrap();
        let gone = catalog.clear_staging(&building, Some("20260102T000000Z-aa")).unwrap();
        assert_eq!(gone, ["20260101T000000Z-aa", "20260103T000000Z-aa"]);
        assert_eq!(left(&catalog), ["20260102T000000Z-aa"]);
    }
}
