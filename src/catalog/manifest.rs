//! `manifest.json`: what one version is made of, where it came from and what was found when it was checked.
//!
//! Written last into a staged directory, sealed with its own checksum, never changed again. Everything a reader needs
//! to open, route to and verify the version is in it; so is its lineage, for people.
//!
//! Invariants, checked on every read: shards are numbered 0, 1, … without a gap; rows, bytes and digests of the shards
//! add up to the version's; no file lies outside of its own shard's directory.
//!
//! Not for: the version's state. States change, a manifest does not; they are in `current.json`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::{checksummed_json, layout, rfc3339};
use crate::durable_file::{self, fs, hex_checksum};
use crate::encode::{KeySchema, ValueSchema};
use crate::error::{Error, IoContext, Result};
use crate::job::{Partitioner, Tables};
use crate::profile::Profile;

/// The format version that this program writes, and the newest one it reads.
pub(super) const FORMAT: u32 = 1;
/// No manifest is larger, not even with 4096 shards of hundreds of files.
const MAX_BYTES: u64 = 256 << 20;

/// What one version is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Always the format this program writes, 1.
    pub format_version: u32,
    /// The dataset that this is a version of.
    pub dataset: String,
    /// The version's number.
    pub version: u64,
    /// The build that made it.
    pub build_id: String,
    /// The version of the program that built it.
    pub tool_version: String,
    /// Digest of all of the job that decides the result.
    pub job_digest: String,
    /// Digest of the list of inputs.
    pub input_digest: String,
    /// The time the data speaks for.
    #[serde(with = "rfc3339")]
    pub as_of: Timestamp,
    /// Whether the job or a flag stated it; otherwise it is what the clock said when the run began.
    #[serde(default)]
    pub as_of_stated: bool,
    /// When the build finished.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Who built it: user, host and process. None where nobody noted it.
    #[serde(default)]
    pub built_by: Option<String>,
    /// Whether it was built to wait until it is published by its number.
    #[serde(default)]
    pub staged: bool,
    /// Values of the job's parameters; none where nobody noted them.
    #[serde(default)]
    pub params: Option<BTreeMap<String, String>>,
    /// The files that were read.
    pub inputs: Vec<InputFile>,
    /// How keys are encoded.
    pub key: KeySchema,
    /// How values are encoded.
    pub value: ValueSchema,
    /// The key columns that decide a row's shard.
    pub shard_by: Vec<String>,
    /// How their bytes decide it.
    pub partitioner: Partitioner,
    /// Number of shards.
    pub shard_count: u32,
    /// How the table files were written.
    pub tables: Tables,
    /// The shards, in order.
    pub shards: Vec<ShardEntry>,
    /// Entries in all shards.
    pub rows: u64,
    /// Key and value bytes in all shards, before compression.
    pub bytes: u64,
    /// Digest of all entries.
    pub digest: Digest,
    /// What is known about each column of the query's result.
    pub columns: Vec<ColumnStats>,
    /// What the checks found.
    pub checks: Vec<CheckResult>,
    /// How long each stage took.
    pub stages: Vec<StageTiming>,
    /// The largest entry; `None` in a version without entries.
    pub largest: Option<LargestEntry>,
    /// What its rows looked like on their way; `None` in versions that were not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// One input file, as it was when the build listed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// The input's name in the job.
    pub input: String,
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed: RFC 3339 with nanoseconds.
    pub modified: String,
    /// Rows in it, where its format says so.
    pub rows: Option<u64>,
}

/// One shard: a complete RocksDB database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Its number, from 0.
    pub shard: u32,
    /// Entries in it.
    pub rows: u64,
    /// Key and value bytes in it, before compression.
    pub bytes: u64,
    /// Digest of its entries.
    pub digest: Digest,
    /// Its smallest key in hexadecimal digits; `None` when it is empty.
    pub first_key: Option<String>,
    /// Its largest key; `None` when it is empty.
    pub last_key: Option<String>,
    /// Every file in its directory that matters: tables, CURRENT, MANIFEST, OPTIONS.
    pub files: Vec<FileEntry>,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path, relative to the version's directory, with `/` between the parts.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// XXH3-64 of its content, 16 hexadecimal digits.
    pub xxh3: String,
    /// Entries in it, for a table.
    pub rows: Option<u64>,
    /// Its smallest key in hexadecimal digits, for a table.
    pub first_key: Option<String>,
    /// Its largest key, for a table.
    pub last_key: Option<String>,
}

/// What is known about one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    /// The column.
    pub name: String,
    /// Rows in which it is null.
    pub nulls: u64,
    /// Its smallest value, where its type has an order.
    pub min: Option<serde_json::Value>,
    /// Its largest value, where its type has an order.
    pub max: Option<serde_json::Value>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The rule, as the job names it.
    pub rule: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What the rule asks for.
    pub expected: String,
    /// What was there.
    pub found: String,
    /// More of it, of the check that compares what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// What a comparison of measures came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// What was not compared, and why: sentences.
    pub left_out: Vec<String>,
    /// What moved most, from what to what, the largest changes first.
    pub moved: Vec<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is as it must be.
    Passed,
    /// Worth a look, but no reason to stop.
    Warned,
    /// It failed, and whoever ran the build had allowed that by name.
    Allowed,
    /// The version must not be published by itself.
    Failed,
}

/// What one stage of the build took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    /// The stage.
    pub name: String,
    /// Milliseconds of wall-clock time.
    pub millis: u64,
    /// Rows that left it.
    pub rows: u64,
    /// Bytes that left it.
    pub bytes: u64,
}

/// The largest entry of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LargestEntry {
    /// Its key in hexadecimal digits.
    pub key_hex: String,
    /// Key and value bytes together.
    pub bytes: u64,
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

/// Values of parameters in a line: `date=2026-11-25 region=eu`. What could move a terminal's cursor is escaped.
pub fn shown_params(params: &BTreeMap<String, String>) -> String {
    let shown = |(name, value): (&String, &String)| match value.chars().any(char::is_control) {
        true => format!("{name}={value:?}"),
        false => format!("{name}={value}"),
    };
    params.iter().map(shown).collect::<Vec<_>>().join(" ")
}

impl Manifest {
    /// Why this version must not be published by itself: its failed checks. `None` when none failed.
    pub fn rejection(&self) -> Option<String> {
        let failed = self.checks.iter().filter(|check| check.outcome == Outcome::Failed);
        let said = failed.map(|check| format!("{}: expected {}, found {}", check.rule, check.expected, check.found));
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Reads and checks the manifest in a version's directory.
    ///
    /// # Errors
    /// `Corrupt` when it is missing, damaged or contradicts itself; `Invalid` when a newer program wrote it;
    /// `Unavailable` when the disk does not answer.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = layout::manifest_in(directory);
        let meta = fs::symlink_metadata(directory);
        match meta {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Error::corrupt(format!("{} is not a directory", directory.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::corrupt(format!("{} is missing", directory.display())).because(error));
            }
            Err(error) => return Err(error).io("look at", directory),
        }
        if !fs::exists(&path).io("look at", &path)? {
            return Err(Error::corrupt(format!("{} is missing: the version is not whole", path.display())));
        }
        Self::parse(&durable_file::read_bounded(&path, MAX_BYTES)?, &path)
    }

    /// The manifest in the bytes of the file at `path`.
    ///
    /// # Errors
    /// `Corrupt` when they are damaged or contradict themselves; `Invalid` when a newer program wrote them.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let manifest: Self = checksummed_json::unseal(bytes, path, FORMAT)?;
        let wrong = |problem| Error::corrupt(format!("{} contradicts itself: {problem}", path.display()));
        manifest.contradiction().map_or(Ok(manifest), |problem| Err(wrong(problem)))
    }

    /// Writes the manifest durably into the directory of a version that has none yet; the directory itself is not
    /// synced.
    ///
    /// # Errors
    /// `Internal` when it contradicts itself; `Unavailable` when it cannot be written.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        if let Some(problem) = self.contradiction() {
            return Err(Error::internal(format!("the manifest of version {} is wrong: {problem}", self.version)));
        }
        durable_file::write_synced(&layout::manifest_in(directory), &checksummed_json::seal(self)?)
    }

    /// The first thing in this manifest that cannot be.
    fn contradiction(&self) -> Option<String> {
        let numbered = self.shards.iter().map(|shard| shard.shard).eq(0..self.shard_count);
        let rows = self.shards.iter().map(|shard| u128::from(shard.rows)).sum::<u128>();
        let bytes = self.shards.iter().map(|shard| u128::from(shard.bytes)).sum::<u128>();
        let digest: super::Digest = self.shards.iter().map(|shard| shard.digest).sum();
        if self.format_version != FORMAT {
            Some(format!("format version {}", self.format_version))
        } else if let Some(problem) = self.key.contradiction() {
            Some(problem)
        } else if self.shard_count == 0 || !numbered {
            Some(format!("its shards are not numbered 0 to {}", i64::from(self.shard_count) - 1))
        } else if rows != u128::from(self.rows) {
            Some(format!("its shards have {rows} rows, it has {}", self.rows))
        } else if bytes != u128::from(self.bytes) {
            Some(format!("its shards have {bytes} bytes, it has {}", self.bytes))
        } else if digest != self.digest {
            Some(format!("its shards have the digest {digest}, it has {}", self.digest))
        } else {
            self.shards.iter().find_map(ShardEntry::contradiction)
        }
    }
}

impl ShardEntry {
    fn contradiction(&self) -> Option<String> {
        let outside = self.files.iter().find(|file| !inside(&file.path, &layout::shard_name(self.shard)));
        if let Some(file) = outside {
            return Some(format!("{:?} is no file of shard {}", file.path, self.shard));
        }
        let keys = self.rows > 0;
        let range = self.first_key.is_some() == keys && self.last_key.is_some() == keys;
        (!range).then(|| format!("shard {} has {} rows but not their key range", self.shard, self.rows))
    }
}

/// Whether a relative path names something directly in `directory`.
fn inside(path: &str, directory: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal(directory.as_ref()))
        && matches!(parts.next(), Some(Component::Normal(_)))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture;
    use crate::encode::{KeyEncoding, KeyKind};
    use crate::error::Kind;

    #[test]
    fn a_manifest_survives_the_disk() {
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
            found: "0".into(),
            compared: None,
        };
        manifest.checks = vec![check(Outcome::Passed), check(Outcome::Warned)];
        assert_eq!(manifest.rejection(), None);
        manifest.checks.push(check(Outcome::Failed));
        assert_eq!(manifest.rejection().unwrap(), "rows.min: expected at least 10, found 0");
    }
}
