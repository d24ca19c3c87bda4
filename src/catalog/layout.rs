//! Every path of a store; only this file builds or parses them.
//!
//! ```text
//! store/
//!   current.json  build.lock  publish.lock  commit.lock
//!   versions/00000042/manifest.json  versions/00000042/shard-00000/…
//!   staging/<build id>/…             staging/trash-…      (on its way to deletion)
//!   log/events.jsonl  reserve
//! ```
//! Not for: I/O. Nothing here touches the disk.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::shard_name;

/// The name of the one mutable file.
pub(super) const CURRENT: &str = "current.json";

/// Names of a version's files outside its shards.
const MANIFEST: &str = "manifest.json";
const JOB: &str = "job.toml";
const QUERY: &str = "query.sql";
const REPORT: &str = "report.json";

/// Prefix of entries of `staging/` that await deletion; no build id may start with it.
const TRASH: &str = "trash-";

/// The paths of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the store at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `current.json`, the only file that is ever replaced.
    pub fn current(&self) -> PathBuf {
        self.root.join(CURRENT)
    }

    /// The directory of all versions.
    pub fn versions(&self) -> PathBuf {
        self.root.join("versions")
    }

    /// The directory of version `version`.
    pub fn version_dir(&self, version: u64) -> PathBuf {
        self.versions().join(version_name(version))
    }

    /// What is reported of the run that built version `version`.
    pub fn report_of(&self, version: u64) -> PathBuf {
        self.version_dir(version).join(REPORT)
    }

    /// The manifest of version `version`.
    pub fn manifest(&self, version: u64) -> PathBuf {
        manifest_in(&self.version_dir(version))
    }

    /// The database of one shard of version `version`.
    pub fn shard_dir(&self, version: u64, shard: u32) -> PathBuf {
        self.version_dir(version).join(shard_name(shard))
    }

    /// The directory of unfinished builds and of trash.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// The directory in which the build `build_id` works.
    ///
    /// # Errors
    /// `Invalid` when the id cannot be the name of a directory or has the prefix of trash.
    pub fn staging_dir(&self, build_id: &str) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if build_id.is_empty() || build_id.len() > 128 || !build_id.chars().all(plain) || is_trash(build_id) {
            return Err(Error::invalid(format!(
                "build id {build_id:?} must be 1 to 128 letters, digits, '-' or '_', and not begin with {TRASH:?}"
            )));
        }
        Ok(self.staging().join(build_id))
    }

    /// The directories of the build `build_id`.
    ///
    /// # Errors
    /// As [`Layout::staging_dir`].
    pub fn build_dirs(&self, build_id: &str) -> Result<BuildPaths> {
        Ok(BuildPaths { root: self.staging_dir(build_id)? })
    }

    /// The path in `staging/` to which something is moved before it is deleted.
    pub fn trash(&self, name: &str, unique: &str) -> PathBuf {
        self.staging().join(format!("{TRASH}{name}-{unique}"))
    }

    /// The directory of the event log.
    pub fn log_dir(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The event log, one JSON object per line.
    pub fn events(&self) -> PathBuf {
        self.log_dir().join("events.jsonl")
    }

    /// The file that sets a little of the disk aside.
    pub fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Held for the length of a build.
    pub fn build_lock(&self) -> PathBuf {
        self.root.join("build.lock")
    }

    /// Held for the duration of a publish to Kafka.
    pub fn publish_lock(&self) -> PathBuf {
        self.root.join("publish.lock")
    }

    /// Held around every read-check-replace of `current.json`.
    pub fn commit_lock(&self) -> PathBuf {
        self.root.join("commit.lock")
    }

    /// The paths that every store has: its fixed files, the event log included, and its directories.
    pub(super) fn fixed_paths(&self) -> [PathBuf; 9] {
        let locks = [self.build_lock(), self.publish_lock(), self.commit_lock()];
        let [build, publish, commit] = locks;
        let [versions, staging, log] = [self.versions(), self.staging(), self.log_dir()];
        [self.current(), build, publish, commit, self.events(), self.reserve(), versions, staging, log]
    }
}

/// The directories of one build, below `staging/<build-id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildPaths {
    root: PathBuf,
}

impl BuildPaths {
    /// The build's own directory; all others are in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that becomes the version.
    pub fn version(&self) -> PathBuf {
        self.root.join("version")
    }

    /// The database of one shard.
    pub fn shard(&self, shard: u32) -> PathBuf {
        self.version().join(shard_name(shard))
    }

    /// The version's copy of the job file; its query and contracts are copied alongside it.
    pub fn job(&self) -> PathBuf {
        self.version().join(JOB)
    }

    /// See [`BuildPaths::job`].
    pub fn query(&self) -> PathBuf {
        self.version().join(QUERY)
    }

    /// See [`BuildPaths::job`]. Names of inputs are checked by the job parser.
    pub fn schema(&self, input: &str) -> PathBuf {
        self.version().join(schema_name(input))
    }

    /// The run's report.
    pub fn report(&self) -> PathBuf {
        self.version().join(REPORT)
    }

    /// Journal of a shard's finished key ranges, for a run that resumes the build after a crash.
    pub fn journal(&self, shard: u32) -> PathBuf {
        self.root.join("journal").join(format!("{}.jsonl", shard_name(shard)))
    }

    /// Journal of the sealed shuffle. A build can be resumed if and only if this file exists.
    pub fn shuffle_journal(&self) -> PathBuf {
        self.root.join("journal").join("shuffle.jsonl")
    }

    /// Finished tables of a shard; a run that resumes the build reuses them.
    pub fn tables(&self, shard: u32) -> PathBuf {
        self.root.join("tables").join(shard_name(shard))
    }

    /// Hard links to the same tables, which RocksDB ingests and removes.
    pub fn ingest(&self, shard: u32) -> PathBuf {
        self.root.join("ingest").join(shard_name(shard))
    }

    /// Spill files: data that did not fit into memory.
    pub fn spill(&self) -> PathBuf {
        self.root.join("spill")
    }
}

/// The name of a version's directory: at least eight digits.
pub(super) fn version_name(version: u64) -> String {
    format!("{version:08}")
}

/// The version number of a directory name; `None` for any name that [`version_name`] would not produce.
pub(super) fn parse_version(name: &str) -> Option<u64> {
    name.parse().ok().filter(|&version| version_name(version) == name)
}

/// The manifest inside a version's directory, wherever that directory is.
pub(super) fn manifest_in(directory: &Path) -> PathBuf {
    directory.join(MANIFEST)
}

/// The copy of an input's contract, in a version's directory.
fn schema_name(input: &str) -> PathBuf {
    Path::new("schemas").join(format!("{input}.json"))
}

/// Every file that a version with these inputs may have outside its shards, relative to its directory.
pub(super) fn files_outside_shards<'a>(inputs: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    [MANIFEST, JOB, QUERY, REPORT].into_iter().map(PathBuf::from).chain(inputs.map(schema_name)).collect()
}

/// Whether a name in `staging/` is trash, which awaits deletion.
pub(super) fn is_trash(name: &str) -> bool {
    name.starts_with(TRASH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_sort_and_parse_back() {
        assert_eq!(version_name(42), "00000042");
        assert_eq!(parse_version("00000042"), Some(42));
        assert_eq!(parse_version(&version_name(123_456_789_012)), Some(123_456_789_012));
        for name in ["42", "+0000042", "00000042.tmp", "", "000000042"] {
            assert_eq!(parse_version(name), None, "{name}");
        }
    }

    #[test]
    fn build_ids_stay_inside_staging() {
        let layout = Layout::new("store");
        assert_eq!(layout.staging_dir("b-1_a").unwrap(), Path::new("store/staging/b-1_a"));
        for id in ["", "..", "a/b", "trash-1", "a b"] {
            assert!(layout.staging_dir(id).is_err(), "{id}");
        }
    }
}
