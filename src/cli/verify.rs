//! `cutover verify`: checks a stored version for damage.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::text_table::Rows;
use super::{Output, Verdict, format, parsers, version_number};
use crate::error::Result;
use crate::serve::{self, Report, Store};

const EXAMPLES: &str = "\
Examples:
  cutover verify stores/views_by_age                      the current version, every byte
  cutover verify stores/views_by_age 3 --depth full       every entry too, compared by digest
  cutover verify stores/views_by_age --depth sizes        a quick check";

/// Look for damage in the current version, or in version N
///
/// Compares what is stored with the version's manifest. The exit code is 1 when something differs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version; the current one if left out
    #[arg(value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
    /// How thoroughly to verify
    #[arg(long, value_enum, default_value_t = Depth::Checksums)]
    depth: Depth,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Depth {
    /// Sizes of all files, checksums of the small ones
    Sizes,
    /// Checksums of all files
    Checksums,
    /// Checksums of all files, and every entry: its shard, and the digest of all
    Full,
}

impl From<Depth> for serve::Depth {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::Sizes => Self::Sizes,
            Depth::Checksums => Self::Checksums,
            Depth::Full => Self::Full,
        }
    }
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let store = Store::open(&self.store)?;
        let current = store.versions()?;
        let version = version_number(&self.store, &current, self.version)?;
        let report = serve::verify(&store, version, self.depth.into())?;
        output.document(&document(&report))?;
        match (output.is_json(), report.findings.is_empty()) {
            (true, _) => {}
            (false, true) => {
                output.line(format!("no damage found in version {version}: {}", compared(&report, self.depth)))?
            }
            (false, false) => {
                show(&report, output)?;
                output.line(way_out(&self.store, version, current.current == Some(version)))?;
            }
        }
        if report.findings.is_empty() {
            return Ok(Verdict::Yes);
        }
        output.ended("damaged");
        Ok(Verdict::No)
    }
}

/// What can be done about a damaged version.
fn way_out(store: &Path, version: u64, live: bool) -> String {
    let again = format!("version {version} is damaged: `cutover run JOB.toml --rebuild` builds its data again");
    let store = format::shell_quote(&store.display().to_string());
    match live {
        true => format!(
            "{again}; until then `cutover rollback {store}` takes readers off it, after which the rebuild needs \
             --allow rolled-back"
        ),
        false => again,
    }
}

fn show(report: &Report, output: &mut Output) -> Result<()> {
    let mut rows = Rows::new(&["shard", "file", "problem"], &[0]);
    for finding in &report.findings {
        rows.add([
            finding.shard.map(|shard| shard.to_string()).unwrap_or_default(),
            finding.file.clone().unwrap_or_default(),
            finding.problem.clone(),
        ]);
    }
    output.line(rows.text())
}

fn compared(report: &Report, depth: Depth) -> String {
    let files = format!("{}, {}", format::plural(report.files, "file"), format::size(report.bytes));
    match depth {
        Depth::Sizes => format!("{files}; checked sizes, and the content of small files"),
        Depth::Checksums => format!("{files}, every byte compared"),
        Depth::Full => format!("{files}, every byte compared, and all {} entries", format::count(report.entries)),
    }
}

fn document(report: &Report) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| json!({"shard": finding.shard, "file": finding.file, "problem": finding.problem}))
        .collect();
    json!({
        "version": report.version,
        "ok": report.findings.is_empty(),
        "files": report.files,
        "bytes": report.bytes,
        "entries": report.entries,
        "findings": findings,
    })
}
