//! One attempt at a task: what it knows of the build, its own directory, and how it records what it did.
//!
//! Not for: what tasks do (`exchange`, `map`, `build`), and which one is run (`worker`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::TaskKind;
use super::records::{Done, PlannedPart, RunObject, SPEC, Spec, new_attempt, record_of};
use crate::catalog::{PartDownload, SharedWork};
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::input::{self, Input};
use crate::objects::{Location, Scheme};
use crate::shuffle::{ExchangeRun, PartFile};

/// What is known of a build.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) work: SharedWork,
    pub(super) spec: Spec,
    pub(super) inputs: Vec<Input>,
}

/// One attempt at a task: its name, and its own directory, which is removed in the end.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    began: Instant,
    executor: String,
}

impl Known {
    /// Reads the build's spec, and finds its inputs here.
    ///
    /// # Errors
    /// `Unavailable` when the build has ended; `Input` when the inputs changed; as those of reading them.
    pub(super) fn find(work: &SharedWork, scratch: &Path, threads: usize) -> Result<Self> {
        let spec: Option<Spec> = work.get(SPEC)?;
        let mut spec = spec.ok_or_else(|| {
            Error::unavailable(format!("build {} does not exist any more: its driver has ended", work.build_id()))
        })?;
        for input in &spec.job.inputs {
            let scheme = Location::parse(&input.path).map(|location| location.scheme()).ok();
            if scheme.is_none_or(|scheme| scheme == Scheme::File) {
                return Err(Error::invalid(format!(
                    "input {}: {} is a local path, which an executor does not read: only object stores are seen by all \
                     machines",
                    input.name, input.path
                )));
            }
        }
        let directory = scratch.join("contracts").join(work.build_id());
        durable_file::create_dir_durable(&directory)?;
        for (input, contract) in spec.job.inputs.iter_mut().zip(&spec.contracts) {
            if let Some(text) = contract {
                let path = directory.join(format!("{}.json", input.name));
                std::fs::write(&path, text).io("write", &path)?;
                input.schema = Some(path);
            }
        }
        let inputs = input::resolve(&spec.job.inputs)?;
        for (input, expected) in inputs.iter().zip(&spec.parts) {
            input.survey(threads)?;
            if input.parts_fingerprint() != *expected {
                return Err(changed(&input.name));
            }
        }
        match input::digest(&inputs) == spec.input_digest {
            true => Ok(Self { work: work.clone(), spec, inputs }),
            false => Err(changed("files")),
        }
    }
}

fn changed(what: &str) -> Error {
    Error::input(format!(
        "the inputs ({what}) are not those that the driver found: they changed during the run. Run again when their writer \
         is done"
    ))
}

impl Attempt {
    /// Makes the directory of an attempt.
    ///
    /// # Errors
    /// `Unavailable` when the write fails.
    pub(super) fn new(scratch: &Path, executor: &str) -> Result<Self> {
        let name = new_attempt()?;
        let directory = scratch.join(&name);
        durable_file::create_dir_durable(&directory)?;
        Ok(Self { name, directory, began: Instant::now(), executor: executor.to_owned() })
    }

    /// How long it took so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Who did it, and how long it took so far.
    pub(super) fn done(&self) -> Done {
        Done { executor: self.executor.clone(), millis: self.elapsed().as_millis() as u64 }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        super::super::spill_dir::remove(&self.directory);
    }
}

impl RunObject {
    /// Uploads a sorted run under a name that no other attempt uses, unless it has no entries.
    ///
    /// # Errors
    /// As those of a write to the store.
    pub(super) fn upload(work: &SharedWork, run: ExchangeRun, name: String) -> Result<Self> {
        let path = (!run.parts.is_empty()).then(|| format!("runs/{name}.run"));
        path.as_ref().map_or(Ok(()), |path| work.upload(&run.path, path))?;
        Ok(Self { path, largest_block: run.largest_block, parts: run.parts })
    }

    /// Deletes what was uploaded.
    ///
    /// # Errors
    /// As those of a deletion.
    pub(super) fn delete(&self, work: &SharedWork) -> Result<()> {
        self.path.as_ref().map_or(Ok(()), |path| work.delete(path))
    }
}

/// Writes the record of a task; if another attempt was first, `undo` removes what this one wrote, and the text that is
/// returned says so.
pub(super) fn record(
    work: &SharedWork,
    (kind, number): (TaskKind, u64),
    record: &impl serde::Serialize,
    undo: impl FnOnce() -> Result<()>,
) -> Result<&'static str> {
    if work.put_once(&record_of(kind, number), record)? {
        return Ok("");
    }
    undo()?;
    Ok(", which another attempt had recorded")
}

/// Downloads parts of runs into a directory, which is made.
///
/// # Errors
/// As those of reads of the store.
pub(super) fn fetch(known: &Known, parts: &[PlannedPart], directory: &Path) -> Result<Vec<PartFile>> {
    durable_file::create_dir_durable(directory)?;
    let file = |(number, planned): (usize, &PlannedPart)| PartDownload {
        path: planned.run.clone(),
        range: planned.part.from..planned.part.to,
        local: directory.join(format!("part-{number:05}")),
    };
    let downloads: Vec<PartDownload> = parts.iter().enumerate().map(file).collect();
    known.work.download_parts(&downloads)?;
    let file = |(download, planned): (PartDownload, &PlannedPart)| PartFile {
        path: download.local,
        largest_block: planned.largest_block,
        part: planned.part,
    };
    Ok(downloads.into_iter().zip(parts).map(file).collect())
}
