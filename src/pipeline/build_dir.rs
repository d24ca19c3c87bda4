//! A running build and its directory in staging: a new one, or that of a dead build.
//!
//! The directory is removed when the build ends, successfully or not, with one exception: the shuffle is sealed, and
//! what stopped the build is not the fault of its work. A killed build leaves its directory too. In both cases `resume`
//! finds it.
//!
//! Not for: what is in the directory.

use std::path::PathBuf;

use super::RunOptions;
use super::spill_dir::{self, SpillDir};
use crate::catalog::{BuildPaths, Catalog};
use crate::durable_file;
use crate::error::{Error, Kind, Result};
use crate::report::BuildReport;

/// A running build and its directory.
#[derive(Debug)]
pub(super) struct BuildDir {
    id: String,
    dirs: BuildPaths,
    spill: SpillDir,
    keep: bool,
}

/// Where a query and the shuffle that it fills spill.
#[derive(Clone, Debug)]
pub(super) struct Spills {
    pub(super) query: PathBuf,
    pub(super) shuffle: PathBuf,
}

/// A name for a new build.
///
/// # Errors
/// `Unavailable` when the system provides no random numbers.
pub(super) fn new_id() -> Result<String> {
    Ok(format!("{}-{:08x}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), crate::random::u32()?))
}

impl BuildDir {
    /// Creates the directory of a new build.
    ///
    /// # Errors
    /// `Unavailable` when the write fails.
    pub(super) fn start(catalog: &Catalog, options: &RunOptions, id: String) -> Result<Self> {
        let dirs = catalog.layout().build_dirs(&id)?;
        let spill = match &options.spill_dir {
            Some(directory) => SpillDir::in_directory(directory, &id, Some(&dirs.shuffle_journal()))?,
            None => SpillDir::in_staging(dirs.spill()),
        };
        durable_file::create_dir_durable(&dirs.version())?;
        Ok(Self { id, dirs, spill, keep: false })
    }

    /// Takes over the directory of a dead build; `None` if its spill directory is not where this run spills. Its
    /// unfinished databases are removed: they are built again from tables.
    ///
    /// # Errors
    /// `Unavailable` when the write fails.
    pub(super) fn adopt(catalog: &Catalog, options: &RunOptions, id: String) -> Result<Option<Self>> {
        let dirs = catalog.layout().build_dirs(&id)?;
        let spill = match &options.spill_dir {
            Some(directory) => SpillDir::left_in_directory(directory, &id)?,
            None => dirs.spill().is_dir().then(|| SpillDir::in_staging(dirs.spill())),
        };
        let Some(mut spill) = spill else { return Ok(None) };
        spill.keep(true);
        let build = Self { id, dirs, spill, keep: true };
        spill_dir::remove(&build.dirs.version());
        spill_dir::remove(&build.query_spill());
        durable_file::create_dir_durable(&build.dirs.version())?;
        Ok(Some(build))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn dirs(&self) -> &BuildPaths {
        &self.dirs
    }

    /// Where the query spills.
    pub(super) fn query_spill(&self) -> PathBuf {
        self.spill.path().join("query")
    }

    /// Warns if the disk has less space than the version or the spill may need.
    pub(super) fn warn_of_full_disk(&self, bytes: u64, spill_bytes: u64) {
        for (directory, what, needed) in
            [(self.dirs.root(), "the version", bytes), (self.spill.root(), "spilling", spill_bytes)]
        {
            if let Ok(free) = durable_file::free_space(directory)
                && free < needed
            {
                let directory = directory.display();
                tracing::warn!("{what} may need up to {needed} bytes in {directory}, which has {free} bytes free");
            }
        }
    }

    /// Adds to the error of a full disk the directory that rows are spilled to, and the bytes that sorting may need
    /// there; 0 if none are expected, or that is not known.
    pub(super) fn with_space_needed(&self, error: Error, spill_bytes: u64) -> Error {
        if !error.is_disk_full() {
            return error;
        }
        let directory = self.spill.root().display();
        error.during(match spill_bytes {
            0 => format!("a disk became full; rows were spilled to {directory}"),
            _ => format!("a disk became full; sorting may need up to {spill_bytes} bytes in {directory}"),
        })
    }

    /// Where the query and the shuffle spill.
    pub(super) fn spills(&self) -> Spills {
        Spills { query: self.query_spill(), shuffle: self.shuffle_spill() }
    }

    /// Where the shuffle spills.
    pub(super) fn shuffle_spill(&self) -> PathBuf {
        self.spill.path().join("shuffle")
    }

    /// Makes the spill directory survive a power cut.
    ///
    /// # Errors
    /// `Unavailable` when the sync fails.
    pub(super) fn sync_spill(&self) -> Result<()> {
        self.spill.sync()
    }

    /// Writes what the version's directory keeps about the run.
    ///
    /// # Errors
    /// `Unavailable` when the write fails.
    pub(super) fn write_report(&self, report: &BuildReport) -> Result<()> {
        let text = serde_json::to_vec_pretty(report)
            .map_err(|error| Error::internal("the run's report cannot be written").because(error))?;
        durable_file::write_synced(&self.dirs.report(), &text)
    }

    /// Ends the build, which `error` stopped if there is one; returns whether a later run can resume it.
    pub(super) fn end(mut self, error: Option<&Error>) -> bool {
        self.keep = error.is_some_and(is_worth_resuming) && self.dirs.shuffle_journal().is_file();
        self.keep
    }
}

/// Whether resuming could succeed. Not after a full disk: what is kept would stop all other writers, even a rollback of
/// this store.
fn is_worth_resuming(error: &Error) -> bool {
    match error.kind() {
        Kind::Unavailable | Kind::Conflict => !error.is_disk_full(),
        Kind::Stopped => true,
        Kind::Invalid | Kind::Input | Kind::Corrupt | Kind::Rejected | Kind::Internal => false,
    }
}

impl Drop for BuildDir {
    /// Removes what is left of the build; what cannot be removed is left to `gc`.
    fn drop(&mut self) {
        self.spill.keep(self.keep);
        if !self.keep {
            spill_dir::remove(self.dirs.root());
        }
    }
}
