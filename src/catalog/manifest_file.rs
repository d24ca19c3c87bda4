//! `manifest.json` on the disk: written once, durably, read with all its checks.
//!
//! Not for: what is in it (`format::Manifest`).

use std::path::Path;

use super::layout;
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Result};
use crate::format::{Current, FileEntry, Manifest, VersionEntry, hex_checksum, to_checksummed_json};

/// No manifest is larger, not even with 4096 shards of hundreds of files.
const MAX_BYTES: u64 = 256 << 20;

impl Manifest {
    /// Reads and checks the manifest in a version's directory.
    ///
    /// # Errors
    /// `Corrupt` when it is missing, damaged or inconsistent; `Invalid` when a newer program wrote it; `Unavailable`
    /// when it cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = layout::manifest_in(directory);
        let meta = fs::symlink_metadata(directory);
        match meta {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Error::corrupt(format!("{} is not a directory", directory.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::corrupt(format!("{} is missing", directory.display())).because(error));
            }
            Err(error) => return Err(error).io("stat", directory),
        }
        if !fs::exists(&path).io("stat", &path)? {
            return Err(Error::corrupt(format!("{} is missing: the version is incomplete", path.display())));
        }
        Self::parse(&durable_file::read_bounded(&path, MAX_BYTES)?, &path)
    }

    /// Fails unless it is the manifest of the version that `current` lists under its number.
    ///
    /// # Errors
    /// `Corrupt` when it belongs to another one, naming the `place` where it was found.
    pub(super) fn ensure_of(&self, current: &Current, version: u64, entry: &VersionEntry, place: &str) -> Result<()> {
        let same = self.version == version
            && self.dataset == current.dataset
            && self.build_id == entry.build_id
            && self.digest == entry.digest;
        if same {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{place} belongs to version {} of {:?} from build {}, not to version {version} from build {}",
            self.version, self.dataset, self.build_id, entry.build_id
        )))
    }

    /// Writes and syncs the manifest in the directory of a version that has none yet; the directory itself is not
    /// synced.
    ///
    /// # Errors
    /// `Internal` when it is inconsistent; `Unavailable` when it cannot be written.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        if let Some(problem) = self.contradiction() {
            return Err(Error::internal(format!("the manifest of version {} is wrong: {problem}", self.version)));
        }
        durable_file::write_synced(&layout::manifest_in(directory), &to_checksummed_json(self)?)
    }
}

impl FileEntry {
    /// Measures the file at `path`, relative to the version's directory `directory`.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub fn measure(directory: &Path, path: String) -> Result<Self> {
        let (bytes, xxh3) = durable_file::hash_file(&directory.join(&path))?;
        Ok(Self { path, bytes, xxh3: hex_checksum(xxh3), rows: None, first_key: None, last_key: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture;
    use crate::error::Kind;
    use crate::format::{CheckOutcome, CheckResult, Digest, KeyEncoding, KeyKind};

    #[test]
    fn a_manifest_is_read_back_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = fixture::manifest(7, &[("a", "1"), ("b", "2")]);
        manifest.write(directory.path()).unwrap();
        let read = Manifest::read(directory.path()).unwrap();
        assert_eq!((read.version, read.rows, read.digest), (7, 2, manifest.digest));
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&manifest).unwrap());
    }

    #[test]
    fn a_missing_or_damaged_manifest_is_corrupt() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(directory.path()).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(Manifest::read(&directory.path().join("none")).unwrap_err().kind(), Kind::Corrupt);
        fixture::manifest(7, &[("a", "1")]).write(directory.path()).unwrap();
        let path = layout::manifest_in(directory.path());
        let text = std::fs::read_to_string(&path).unwrap().replace("\"rows\": 1,", "\"rows\": 2,");
        std::fs::write(&path, text).unwrap();
        assert_eq!(Manifest::read(directory.path()).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn contradictions_are_found() {
        let good = || fixture::manifest(7, &[("a", "1")]);
        let wrong: [fn(&mut Manifest); 9] = [
            |m| m.key.columns[0].kind = KeyKind::Float64,
            |m| {
                m.key.encoding = KeyEncoding::Tuple;
                m.key.columns[0].kind = KeyKind::Int { bits: 7, signed: true };
            },
            |m| m.key.columns.clear(),
            |m| m.rows += 1,
            |m| m.bytes += 1,
            |m| m.digest = Digest(1),
            |m| m.shard_count = 2,
            |m| m.shards[0].files[0].path = "shard-00000/../../secret".into(),
            |m| m.shards[0].first_key = None,
        ];
        assert_eq!(good().contradiction(), None);
        for (at, change) in wrong.iter().enumerate() {
            let mut manifest = good();
            change(&mut manifest);
            assert!(manifest.contradiction().is_some(), "change {at}");
        }
    }

    #[test]
    fn only_failed_checks_reject() {
        let mut manifest = fixture::manifest(7, &[]);
        let check = |outcome| CheckResult {
            rule: "rows.min".into(),
            outcome,
            expected: "at least 10".into(),
            compared: None,
            found: "0".into(),
        };
        manifest.checks = vec![check(CheckOutcome::Passed), check(CheckOutcome::Warned)];
        assert_eq!(manifest.rejection(), None);
        manifest.checks.push(check(CheckOutcome::Failed));
        assert_eq!(manifest.rejection().unwrap().to_string(), "rows.min: expected at least 10, found 0");
    }
}
