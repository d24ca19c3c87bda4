//! `cutover path`: the directory of a version, for programs that open its databases themselves.

use std::path::PathBuf;

use serde_json::json;

use super::{Output, Verdict, parsers, version_number};
use crate::catalog::Catalog;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  cutover path stores/views_by_age                  the version readers see now
  cutover path stores/views_by_age 3
  ldb --db=$(cutover path stores/views_by_age)/shard-00000 scan --hex     needs RocksDB 8.6 or newer: see above";

/// Print the directory of the current version, or of version N
///
/// Each shard-… directory in it is a complete RocksDB database. Open it read-only. Retention may delete the directory
/// while you read: pin the version, or read through the library, which keeps all files open. A version on an object
/// store is downloaded first. Other programs need
/// RocksDB 8.6 or newer, or `format_version = 5` under [tables] in the job; they should open all tables
/// (max_open_files=-1).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// Number of the version; the current one if left out
    #[arg(value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let catalog = Catalog::open(&self.store)?;
        let current = catalog.read()?;
        let version = version_number(&self.store, &current, self.version)?;
        let directory = catalog.local_copy(&current, version)?;
        output.document(&json!({"version": version, "path": directory}))?;
        if !output.is_json() {
            output.raw_line(directory.display())?;
        }
        Ok(Verdict::Yes)
    }
}
