//! `cutover show`: everything that is known about one version.
//!
//! ```text
//! version 3 of views_of_day, which readers see
//!
//! as of    2026-11-25 00:00:00      built, stored, digest, parameters
//! input    files  rows  size        check  outcome  expected  found        stage  time  rows
//! of       column type  nulls …     what was measured of the inputs and the result
//! time     event  by    detail      the version's events in the store's log
//! ```
//! Not for: showing the data (`scan`) or finding damage (`verify`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::text_table::Rows;
use super::{Output, Verdict, format, parsers, version_number, versions};
use crate::catalog::{Catalog, Event};
use crate::error::Result;
use crate::format::{CheckOutcome, InputFile, Manifest, Profile, VersionEntry, shown_params};

const EXAMPLES: &str = "\
Examples:
  cutover show stores/views_by_age                 the version readers see
  cutover show stores/views_by_age 4 --json";

/// How many of the log's latest events are searched.
const LOGGED: usize = 100_000;

/// Show everything about a version: inputs, parameters, checks, sizes, stages, events
///
/// Without a number, it shows the version that readers see. Values of parameters (--set) are stored in the version and
/// shown, so do not put secrets into them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version; the one readers see if left out
    #[arg(value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
}

/// What is known about a version.
struct Known {
    entry: VersionEntry,
    manifest: Manifest,
    stored_bytes: u64,
    live: bool,
    events: Vec<Event>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        let current = catalog.read()?;
        let version = version_number(&self.store, &current, self.version)?;
        let known = Known {
            manifest: catalog.manifest(&current, version)?,
            entry: current.versions.get(&version).cloned().ok_or_else(|| super::nothing_published(&self.store))?,
            stored_bytes: catalog.stored_bytes(&current, version)?,
            live: current.current == Some(version),
            events: catalog.log().events(LOGGED)?.into_iter().filter(|event| event.version == Some(version)).collect(),
        };
        output.document(&document(&known))?;
        if !output.is_json() {
            show(&known, output)?;
        }
        Ok(Verdict::Yes)
    }
}

fn document(known: &Known) -> serde_json::Value {
    let Known { entry, manifest, stored_bytes, live, events } = known;
    json!({
        "dataset": manifest.dataset,
        "version": manifest.version,
        "state": entry.state,
        "published": live,
        "staged": entry.staged,
        "as_of": manifest.as_of.to_string(),
        "as_of_stated": manifest.as_of_stated,
        "params": manifest.params,
        "built_at": manifest.created_at.to_string(),
        "built_by": manifest.built_by,
        "build_id": manifest.build_id,
        "tool_version": manifest.tool_version,
        "inputs": inputs(&manifest.inputs).into_iter().map(|(name, input)| json!({
            "name": name, "files": input.files, "rows": input.rows, "bytes": input.bytes,
        })).collect::<Vec<_>>(),
        "files": manifest.inputs,
        "checks": manifest.checks,
        "rejected": entry.rejected,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "table_bytes": manifest.disk_bytes(),
        "stored_bytes": stored_bytes,
        "shards": manifest.shard_count,
        "digest": manifest.digest.to_string(),
        "profile": manifest.profile,
        "stages": manifest.stages.iter().map(|stage| json!({
            "name": stage.name, "rows": stage.rows, "bytes": stage.bytes, "seconds": seconds(stage.millis),
        })).collect::<Vec<_>>(),
        "events": events,
    })
}

fn show(known: &Known, output: &mut Output) -> Result<()> {
    let Known { entry, manifest, stored_bytes, live, events } = known;
    let state = if *live { "which readers see".to_owned() } else { versions::state(entry) };
    output.say(format!("version {} of {}, {state}\n", manifest.version, manifest.dataset))?;
    let how = if manifest.as_of_stated { "" } else { ", the time of the build: no as_of was stated" };
    output.say(format!("as of    {}{how}", format::time(manifest.as_of)))?;
    output.say(format!("params   {}", manifest.params.as_ref().map_or("not recorded".to_owned(), shown_params)))?;
    let by = manifest.built_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    output.say(format!("built    {}{by}; {}", format::time(manifest.created_at), manifest.build_id))?;
    output.say(format!(
        "stored   {} on disk, in {}; {}, {} of data before compression",
        format::size(*stored_bytes),
        format::plural(u64::from(manifest.shard_count), "shard"),
        format::plural(manifest.rows, "row"),
        format::size(manifest.bytes)
    ))?;
    output.say(format!("digest   {}", manifest.digest))?;
    entry.rejected.iter().try_for_each(|why| output.say(format!("rejected {why}")))?;

    let mut rows = Rows::new(&["input", "files", "rows", "size"], &[1, 2, 3]);
    for (name, input) in inputs(&manifest.inputs) {
        let counted = input.rows.map(format::count).unwrap_or_default();
        rows.add([name.to_owned(), format::count(input.files), counted, format::size(input.bytes)]);
    }
    output.line(format!("\n{}", rows.text()))?;

    let mut rows = Rows::new(&["check", "outcome", "expected", "found"], &[]);
    for check in &manifest.checks {
        rows.add([check.rule.clone(), outcome(check.outcome), check.expected.clone(), check.found.clone()]);
    }
    output.line(format!("\n{}", rows.text()))?;
    for compared in manifest.checks.iter().filter_map(|check| check.compared.as_ref()) {
        let said = |what: &str, of: &[String]| of.iter().map(|one| format!("{what}: {one}")).collect::<Vec<_>>();
        let lines = [said("not compared", &compared.left_out), said("moved", &compared.moved)].concat();
        lines.into_iter().try_for_each(|line| output.say(line))?;
    }

    if let Some(profile) = &manifest.profile {
        let mut rows = Rows::new(&Profile::HEADING, &[]);
        profile.lines().into_iter().for_each(|line| rows.add(line));
        output.line(format!("\n{}", rows.text()))?;
    }

    let mut rows = Rows::new(&["stage", "time", "rows"], &[1, 2]);
    for stage in &manifest.stages {
        let handled = if stage.rows == 0 { String::new() } else { format::count(stage.rows) };
        rows.add([stage.name.clone(), format::duration(seconds(stage.millis)), handled]);
    }
    output.line(format!("\n{}", rows.text()))?;

    let mut rows = Rows::new(&["time (UTC)", "event", "by", "detail"], &[]);
    for event in events {
        rows.add([
            format::time(event.at),
            super::log::word(event.event).to_owned(),
            event.by.clone(),
            event.detail.clone(),
        ]);
    }
    output.line(format!("\n{}", rows.text()))
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Totals of one input's files.
#[derive(Default)]
struct Input {
    files: u64,
    bytes: u64,
    /// None if a file's rows are not known.
    rows: Option<u64>,
}

fn inputs(files: &[InputFile]) -> BTreeMap<&str, Input> {
    let mut inputs: BTreeMap<&str, Input> = BTreeMap::new();
    for file in files {
        let input = inputs.entry(&file.input).or_insert_with(|| Input { rows: Some(0), ..Input::default() });
        input.files += 1;
        input.bytes += file.size;
        input.rows = input.rows.zip(file.rows).map(|(sum, rows)| sum + rows);
    }
    inputs
}

fn outcome(outcome: CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Passed => "passed",
        CheckOutcome::Warned => "warned",
        CheckOutcome::Allowed => "failed, but allowed",
        CheckOutcome::Failed => "failed",
    }
    .to_owned()
}
