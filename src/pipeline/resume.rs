//! Resumes a build that died: the same job over the same inputs, by the same program with the same threads and memory.
//!
//! ```text
//!  staging/<build id>/journal/shuffle.jsonl      one line, once the shuffle is sealed: fingerprint and results
//!  staging/<build id>/journal/shard-00000.jsonl  a line for every finished range (`build`)
//! ```
//! A shuffle is resumed completely or not at all: its runs are the sealed files, with checksums over every block, so
//! its ranges are those of the dead build. If anything turns out to be damaged or different, the run starts from
//! scratch and says why.
//!
//! Not for: which directory it is (`catalog`), and what of it is removed when (`build_dir`).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::build_dir::BuildDir;
use super::prepare::Prepared;
use crate::catalog::Catalog;
use crate::error::{Kind, Result};
use crate::failpoint;
use crate::format::{CheckResult, Current, Profile};
use crate::journal::{self, Journal};
use crate::query::Usage;
use crate::report::Prediction;
use crate::shuffle::{self, Options, Sealed, Stats};

/// What two builds must have in common for one to resume the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BuildFingerprint {
    tool: String,
    job: String,
    inputs: String,
    threads: usize,
    memory: u64,
}

/// The result of everything up to the end of the shuffle: what later stages need in addition to the entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Shuffled {
    pub(super) predicted: Prediction,
    /// What the checks of unique columns found.
    pub(super) unique: Vec<CheckResult>,
    pub(super) profile: Profile,
    pub(super) stats: Stats,
    /// What the query used.
    pub(super) query: Usage,
    /// Whether its entries are sealed on disk, so that a later run can resume.
    pub(super) sealed: bool,
}

/// The journal line of a sealed shuffle.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShuffleRecord {
    work: BuildFingerprint,
    pub(super) sealed: Sealed,
    pub(super) shuffled: Shuffled,
}

/// What a dead build left.
pub(super) enum PreviousBuild {
    /// Nothing.
    Absent,
    /// A build that the run can resume.
    Resumable(BuildDir, Box<ShuffleRecord>),
    /// A build that it cannot resume, and why: a sentence.
    Unusable(String),
}

impl BuildFingerprint {
    fn of(prepared: &Prepared<'_>) -> Self {
        Self {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            job: prepared.job_digest.clone(),
            inputs: prepared.input_digest.clone(),
            threads: prepared.options.resources.threads,
            memory: prepared.options.resources.memory,
        }
    }

    /// Why this build cannot use the other's work.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        if self.tool != other.tool {
            Some("another version of cutover built it")
        } else if self.job != other.job {
            Some("it is from another job")
        } else if self.inputs != other.inputs {
            Some("the inputs have changed since")
        } else {
            (self != other).then_some("it had a different --threads or --memory")
        }
    }
}

/// Finds the work of a dead build. The caller holds the build lock.
///
/// # Errors
/// `Unavailable` when the disk cannot be read.
pub(super) fn find(prepared: &Prepared<'_>, catalog: &Catalog, current: &Current) -> Result<PreviousBuild> {
    let Some(id) = catalog.unfinished(current)? else { return Ok(PreviousBuild::Absent) };
    match journaled(prepared, catalog, &id)? {
        Err(why) => Ok(PreviousBuild::Unusable(why)),
        Ok(line) => match BuildDir::adopt(catalog, prepared.options, id.clone())? {
            Some(build) => Ok(PreviousBuild::Resumable(build, Box::new(line))),
            None => Ok(PreviousBuild::Unusable(not_resumed(
                &id,
                "its spill directory is not here; did it have another --spill-dir?",
            ))),
        },
    }
}

/// What a run would do with the work of an unfinished build: a sentence, if there is one. Changes nothing; the build
/// may still be running.
///
/// # Errors
/// As [`find`].
pub(super) fn preview_resume(prepared: &Prepared<'_>, catalog: &Catalog, current: &Current) -> Result<Option<String>> {
    let Some(id) = catalog.unfinished(current)? else { return Ok(None) };
    let said =
        journaled(prepared, catalog, &id)?.map(|_| format!("build {id} was not finished: its shuffle is resumed"));
    Ok(Some(said.unwrap_or_else(|why| why)))
}

/// The shuffle that a build sealed, or why it cannot be used.
fn journaled(prepared: &Prepared<'_>, catalog: &Catalog, id: &str) -> Result<Result<ShuffleRecord, String>> {
    let useless = |why: &str| Ok(Err(not_resumed(id, why)));
    if !prepared.options.resume {
        return useless("--no-resume is set");
    }
    let lines: Vec<ShuffleRecord> = match journal::lines(&catalog.layout().build_dirs(id)?.shuffle_journal()) {
        Err(error) if error.kind() == Kind::Corrupt => return useless(error.message()),
        lines => lines?,
    };
    let Some(line) = lines.into_iter().next() else { return useless("its journal is damaged") };
    match line.work.differs(&BuildFingerprint::of(prepared)) {
        Some(why) => useless(why),
        None => Ok(Ok(line)),
    }
}

fn not_resumed(id: &str, why: &str) -> String {
    format!("build {id} was not finished and is not resumed: {why}")
}

/// Records in the journal that the shuffle of a build is sealed, so that a later run can resume from it.
///
/// # Errors
/// `Unavailable` when the write fails.
pub(super) fn note(prepared: &Prepared<'_>, build: &BuildDir, sealed: Sealed, shuffled: &Shuffled) -> Result<()> {
    build.sync_spill()?;
    let (mut journal, _) = Journal::open(build.dirs().shuffle_journal(), |_: &ShuffleRecord, _| false)?;
    journal.add(&ShuffleRecord { work: BuildFingerprint::of(prepared), sealed, shuffled: shuffled.clone() })?;
    failpoint::reach("shuffle.sealed")
}

/// Whether a complete journal line can be read. Its shuffle is looked up in `spill_dir`.
pub(crate) fn is_line(line: &[u8], spill_dir: &Path) -> bool {
    let Some(line) = journal::parse::<ShuffleRecord>(line) else { return false };
    let shards = line.sealed.shards();
    let options = Options {
        memory: 1 << 20,
        writers: 1,
        threads: 1,
        shards,
        spill_dir: spill_dir.to_owned(),
        range_bytes: 1 << 20,
        expected_bytes: line.shuffled.stats.bytes,
    };
    let _ = shuffle::reopen(line.sealed, &options);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let work =
            || BuildFingerprint { tool: "1".into(), job: "a".into(), inputs: "b".into(), threads: 2, memory: 100 };
        assert_eq!(work().differs(&work()), None);
        let differs = |change: fn(&mut BuildFingerprint)| {
            let mut other = work();
            change(&mut other);
            other.differs(&work()).unwrap_or_default()
        };
        assert!(differs(|work| work.tool.clear()).contains("version"));
        assert!(differs(|work| work.job.clear()).contains("job"));
        assert!(differs(|work| work.inputs.clear()).contains("inputs"));
        assert!(differs(|work| work.threads = 1).contains("--threads"));
        assert!(differs(|work| work.memory = 1).contains("--memory"));
    }
}
