//! The build that a driver works on: the unfinished one, if it is of the same work, or a new one.
//!
//! Of an unfinished build, what is complete counts: records name runs and shards, which must exist.
//!
//! Not for: running its tasks (`driver`).

use xxhash_rust::xxh3::xxh3_64;

use super::super::build_dir::{self, BuildDir};
use super::super::prepare::Prepared;
use super::records::{self, BuiltRecord, FAULT, MapRecord, SPEC, ScanRecord, Spec, directory_of, new_attempt};
use super::{Shares, TaskKind};
use crate::catalog::{Building, Catalog, Remote, SharedWork};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::input::{Contract, Input};

/// The build to work on: the unfinished one, if it is of the same work and nothing that its records name is missing;
/// otherwise a new one. What is left of another unfinished build is deleted.
///
/// # Errors
/// As those of reads and writes of the store.
pub(in crate::pipeline) fn start(
    prepared: &Prepared<'_>,
    catalog: &Catalog,
    shares: &Shares,
) -> Result<(BuildDir, Option<String>)> {
    let remote = remote(catalog)?;
    let fingerprint = fingerprint(prepared, shares);
    let mut not_resumed = None;
    if let Some(building) = catalog.unfinished_shared()? {
        let work = remote.shared_work(&building.build_id);
        let why = match () {
            () if !prepared.options.resume => Some("--no-resume is set".to_owned()),
            () if building.fingerprint != fingerprint => {
                Some("it is of another job, of other inputs, or of another program".to_owned())
            }
            () => incomplete(&work)?,
        };
        let id = building.build_id;
        let Some(why) = why else {
            prepared.options.progress.note(&format!("continuing build {id}; --no-resume starts from scratch"));
            return Ok((BuildDir::start(catalog, prepared.options, id)?, None));
        };
        remote.discard_unfinished(&id)?;
        not_resumed = Some(format!("build {id} was not finished and is not resumed: {why}"));
    }
    let id = build_dir::new_id()?;
    remote.set_building(&Building { build_id: id.clone(), fingerprint })?;
    remote.shared_work(&id).put_once(SPEC, &spec(prepared, shares)?)?;
    failpoint::reach("build.started")?;
    Ok((BuildDir::start(catalog, prepared.options, id)?, not_resumed))
}

/// Why what is left of a build cannot be continued: something that records name is missing.
fn incomplete(work: &SharedWork) -> Result<Option<String>> {
    if !work.has(SPEC)? {
        return Ok(Some("it had not begun".to_owned()));
    }
    if work.has(FAULT)? {
        return Ok(Some("a task of it had failed permanently".to_owned()));
    }
    let recorded = |kind| work.numbers(directory_of(kind));
    let maps: Vec<MapRecord> = records::of(work, TaskKind::Map, recorded(TaskKind::Map)?)?;
    let scans: Vec<ScanRecord> = records::of(work, TaskKind::Scan, recorded(TaskKind::Scan)?)?;
    let runs = work.paths("runs")?;
    let named = maps.iter().map(|map| &map.run).chain(scans.iter().map(|scan| &scan.run));
    let missing = named.filter_map(|run| run.path.as_ref()).find(|path| !runs.contains(*path));
    if let Some(path) = missing {
        return Ok(Some(format!("{path} is missing")));
    }
    let built: Vec<BuiltRecord> = records::of(work, TaskKind::Build, recorded(TaskKind::Build)?)?;
    let attempts = work.attempts()?;
    let missing = built.iter().find(|built| !attempts.contains(&built.attempt));
    Ok(missing.map(|built| format!("{} is missing", built.attempt)))
}

fn spec(prepared: &Prepared<'_>, shares: &Shares) -> Result<Spec> {
    let mut job = prepared.job.clone();
    job.kafka = None;
    Ok(Spec {
        attempt: new_attempt()?,
        job,
        contracts: prepared.inputs.iter().map(|input| input.contract.as_ref().map(Contract::to_text)).collect(),
        job_digest: prepared.job_digest.clone(),
        input_digest: prepared.input_digest.clone(),
        parts: prepared.inputs.iter().map(Input::parts_fingerprint).collect(),
        shared: shares.input.clone(),
        shares: shares.parts.clone(),
        exchange: shares.exchange.clone(),
    })
}

/// What a build has to be made from for another run to continue it.
fn fingerprint(prepared: &Prepared<'_>, shares: &Shares) -> String {
    let work = format!("{}\n{}\n{}\n{shares:?}", super::program(), prepared.job_digest, prepared.input_digest);
    format!("{:016x}", xxh3_64(work.as_bytes()))
}

/// The object store that the store is on.
///
/// # Errors
/// `Internal` when it is on none.
pub(super) fn remote(catalog: &Catalog) -> Result<&Remote> {
    catalog.remote().ok_or_else(|| Error::internal("a cluster builds into stores on object stores only"))
}
