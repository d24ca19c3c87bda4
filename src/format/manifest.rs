//! `manifest.json`: the contents, lineage and check results of one version.
//!
//! Written last into a staged directory, with its own checksum, and never changed again. It holds everything a reader
//! needs to open a version, route keys to shards and verify it, and the lineage for users.
//!
//! Invariants, checked on every read: shards are numbered 0, 1, … without a gap; rows, bytes and digests of the shards
//! add up to the version's; every file is in its own shard's directory.
//!
//! Not for: the version's state, which changes while a manifest does not; it is in `current.json`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::key::KeySchema;
use super::profile::Profile;
use super::reasons::Reasons;
use super::settings::{Partitioner, Tables};
use super::value::ValueSchema;
use super::{checksummed_json, rfc3339};
use crate::error::{Error, Result};

/// The format version that this program writes, and the newest one it reads.
pub(crate) const FORMAT: u32 = 1;

/// The manifest of one version.
///
/// ```no_run
/// # fn main() -> cutover::error::Result<()> {
/// let version = cutover::serve::Reader::open("stores/planes")?.snapshot();
/// let manifest = version.manifest();
/// println!("version {}, as of {}: {} rows, {}", manifest.version, manifest.as_of, manifest.rows, manifest.digest);
/// for input in &manifest.inputs {
///     println!("built from {} of {} bytes", input.path, input.size);
/// }
/// # Ok(())
/// # }
/// ```
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
    /// Digest of the parts of the job that determine the result.
    pub job_digest: String,
    /// Digest of the list of inputs.
    pub input_digest: String,
    /// The time the data is as of.
    #[serde(with = "rfc3339")]
    pub as_of: Timestamp,
    /// Whether the job or a flag stated it; otherwise it is the clock time at which the run began.
    #[serde(default)]
    pub as_of_stated: bool,
    /// When the build finished.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Who built it: user, host and process. None if it was not recorded.
    #[serde(default)]
    pub built_by: Option<String>,
    /// Whether it was built with `--stage`, to be published later by its number.
    #[serde(default)]
    pub staged: bool,
    /// Values of the job's parameters; none if they were not recorded.
    #[serde(default)]
    pub params: Option<BTreeMap<String, String>>,
    /// The files that were read.
    pub inputs: Vec<InputFile>,
    /// How keys are encoded.
    pub key: KeySchema,
    /// How values are encoded.
    pub value: ValueSchema,
    /// The key columns that determine a row's shard.
    pub shard_by: Vec<String>,
    /// How their bytes map to a shard.
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
    /// Statistics of each column of the query's result.
    pub columns: Vec<ColumnStats>,
    /// Results of the checks.
    pub checks: Vec<CheckResult>,
    /// How long each stage took.
    pub stages: Vec<StageTiming>,
    /// The largest entry; `None` in a version without entries.
    pub largest: Option<LargestEntry>,
    /// Measures of the inputs and the result; `None` in versions that were not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// One input file, as it was when the build listed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// The input's name in the job.
    pub input: String,
    /// The file: a path, or the URL of an object.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed: RFC 3339 with nanoseconds.
    pub modified: String,
    /// Rows in it, if its format records them.
    pub rows: Option<u64>,
    /// The entity tag of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The store's own number of an object's version, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_version: Option<String>,
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
    /// Every file that the database needs: tables, CURRENT, MANIFEST, OPTIONS.
    pub files: Vec<FileEntry>,
    /// In a store on an object store, the directory below the build's that the files were uploaded to, if a cluster
    /// built the shard: several attempts may have been uploaded, and this one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
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

/// Statistics of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    /// The column.
    pub name: String,
    /// Rows in which it is null.
    pub nulls: u64,
    /// Its smallest value, if its type has an order.
    pub min: Option<serde_json::Value>,
    /// Its largest value, if its type has an order.
    pub max: Option<serde_json::Value>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The rule, as the job names it.
    pub rule: String,
    /// Its outcome.
    pub outcome: CheckOutcome,
    /// The expected value.
    pub expected: String,
    /// The actual value.
    pub found: String,
    /// More about it, for the check that compares measures.
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

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It passed.
    Passed,
    /// It found something worth checking, but nothing that stops a publish.
    Warned,
    /// It failed, and the run had allowed this kind of failure by name.
    Allowed,
    /// It failed: the version is not published automatically.
    Failed,
}

/// Time and throughput of one stage of the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    /// The stage.
    pub name: String,
    /// Milliseconds of wall-clock time.
    pub millis: u64,
    /// Rows it emitted.
    pub rows: u64,
    /// Bytes it emitted.
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

/// Values of parameters on one line: `date=2026-11-25 region=eu`. Control characters are escaped.
pub fn shown_params(params: &BTreeMap<String, String>) -> String {
    let shown = |(name, value): (&String, &String)| match value.chars().any(char::is_control) {
        true => format!("{name}={value:?}"),
        false => format!("{name}={value}"),
    };
    params.iter().map(shown).collect::<Vec<_>>().join(" ")
}

impl Manifest {
    /// The files of all shards.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.placed_files().map(|(_, file)| file)
    }

    /// Its files, each with the shard that it belongs to.
    pub(crate) fn placed_files(&self) -> impl Iterator<Item = (&ShardEntry, &FileEntry)> {
        self.shards.iter().flat_map(|shard| shard.files.iter().map(move |file| (shard, file)))
    }

    /// Their bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    /// Why this version is not published automatically: its failed checks. `None` when none failed.
    pub fn rejection(&self) -> Option<Reasons> {
        let failed = self.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed);
        let said = failed.map(|check| format!("{}: expected {}, found {}", check.rule, check.expected, check.found));
        Reasons::of(said.collect())
    }

    /// Parses the bytes of a manifest, read from `path`.
    ///
    /// # Errors
    /// `Corrupt` when they are damaged or inconsistent; `Invalid` when a newer program wrote them.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let manifest: Self = checksummed_json::from_checksummed_json(bytes, path, FORMAT)?;
        let wrong = |problem| Error::corrupt(format!("{} contradicts itself: {problem}", path.display()));
        manifest.contradiction().map_or(Ok(manifest), |problem| Err(wrong(problem)))
    }

    /// The first violated invariant, if any.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let numbered = self.shards.iter().map(|shard| shard.shard).eq(0..self.shard_count);
        let rows = self.shards.iter().map(|shard| u128::from(shard.rows)).sum::<u128>();
        let bytes = self.shards.iter().map(|shard| u128::from(shard.bytes)).sum::<u128>();
        let digest: Digest = self.shards.iter().map(|shard| shard.digest).sum();
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
    /// Bytes of its files.
    pub fn disk_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Where the object of one of its files is, below the build's own prefix.
    pub(crate) fn object_path(&self, file: &FileEntry) -> String {
        match &self.attempt {
            None => file.path.clone(),
            Some(attempt) => format!("{attempt}/{}", file.path),
        }
    }

    pub(crate) fn contradiction(&self) -> Option<String> {
        let outside = self.files.iter().find(|file| !inside(&file.path, &shard_name(self.shard)));
        if let Some(file) = outside {
            return Some(format!("{:?} is no file of shard {}", file.path, self.shard));
        }
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| !is_attempt(attempt)) {
            return Some(format!("{attempt:?} is no name of an attempt at shard {}", self.shard));
        }
        let keys = self.rows > 0;
        let range = self.first_key.is_some() == keys && self.last_key.is_some() == keys;
        (!range).then(|| format!("shard {} has {} rows but not their key range", self.shard, self.rows))
    }
}

/// The name of a shard's directory inside a version.
pub(crate) fn shard_name(shard: u32) -> String {
    format!("shard-{shard:05}")
}

/// What the name of an attempt at a shard begins with.
pub(crate) const ATTEMPT: &str = "attempt-";

/// Whether a name is that of an attempt at a shard.
pub(crate) fn is_attempt(name: &str) -> bool {
    name.strip_prefix(ATTEMPT).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a relative path names something directly in `directory`.
fn inside(path: &str, directory: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal(directory.as_ref()))
        && matches!(parts.next(), Some(Component::Normal(_)))
        && parts.next().is_none()
}
