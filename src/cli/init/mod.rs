//! `cutover init`: writes a job file and data contracts for existing files.
//!
//! ```text
//! paths ─▶ profile: files, columns ─▶ key: which column, how often a value repeats ─▶ template: job and contracts
//! ```
//! The job runs without edits: before the first file is written, its text is parsed and planned by the code that a run
//! uses. Existing files are never replaced; they are kept, and the output says so.
//!
//! Not for: guessing what the job should compute. It takes all columns of the first input; joins are comments to edit.

mod identifier;
mod key;
mod profile;
mod template;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use self::key::Choice;
use self::profile::{Profiler, Table};
use super::{Output, Verdict, format};
use crate::encode::EncodePlan;
use crate::error::{Error, IoContext, Kind, Result};
use crate::input::Contract;
use crate::job::{Job, joined};

const EXAMPLES: &str = "\
Examples:
  cutover init data/events/
  cutover init data/events/ data/profiles/            reads the first, suggests joining the second
  cutover init 'data/log/*.parquet' --out nightly
  cutover init 's3://lake/events/*.parquet'";

/// Write a job file and data contracts from the files' own schemas
///
/// Takes Parquet, CSV, JSON lines and Avro: files, directories, globs in quotes or URLs. The job has all columns of the
/// first input, keyed by the column that looks most like a key; its comments say how to change that. Files that exist
/// are kept.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Inputs, the main one first
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
    /// Directory in which to write jobs/ and schemas/
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// A file to be written.
struct Planned {
    path: PathBuf,
    text: String,
}

impl Args {
    /// Looks for relative inputs below a URL.
    ///
    /// # Errors
    /// `Invalid` for a path that leads out of it.
    pub(super) fn below(&mut self, root: &str) -> Result<()> {
        self.paths.iter_mut().try_for_each(|path| {
            *path = joined(root, path)?;
            Ok(())
        })
    }

    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let looker = Profiler::new()?;
        let tables = looker.look(&self.paths)?;
        let main = tables.first().ok_or_else(|| Error::internal("no input"))?;
        let notes: Vec<String> = tables.iter().filter_map(Table::warning).collect();
        notes.iter().for_each(|note| tracing::warn!("{note}"));
        output.document(&json!({ "notes": notes }))?;
        let choice = key::choose(&looker, main)?;
        let contracts = tables.iter().map(|table| self.contract(table)).collect::<Result<Vec<_>>>()?;
        let job = self.job(&tables, &choice, &contracts, &looker)?;

        let files: Vec<&Planned> = contracts.iter().chain([&job]).collect();
        let (kept, new): (Vec<&Planned>, Vec<&Planned>) = files.into_iter().partition(|file| is_there(file));
        if new.is_empty() {
            return Err(Error::invalid(format!(
                "nothing was written, because there already is {}: choose another directory with --out",
                listed(&kept)
            )));
        }
        new.iter().try_for_each(|file| write(file))?;
        self.show(main, &choice, (&new, &kept), &job, output)?;
        Ok(Verdict::Yes)
    }

    fn contract(&self, table: &Table) -> Result<Planned> {
        let path = below(&self.out, &format!("schemas/{}.json", table.name));
        let text = Contract::from_schema(&table.name, &table.schema, |_| String::new()).to_text();
        Contract::parse(&path, &text).map_err(|error| error.during(format!("{} cannot be described", table.path)))?;
        Ok(Planned { path, text })
    }

    /// Makes the job's text, and ensures that it would run.
    fn job(&self, tables: &[Table], choice: &Choice, contracts: &[Planned], looker: &Profiler) -> Result<Planned> {
        let main = &tables[0];
        let path = below(&self.out, &format!("jobs/{}.toml", main.name));
        let store = below(&self.out, &format!("stores/{}", main.name));
        let schemas: Vec<&Path> = contracts.iter().map(|contract| contract.path.as_path()).collect();
        let text = template::job(&template::Parts { path: &path, store: &store, tables, schemas: &schemas, choice });
        let unfit = |error: Error| error.during(format!("no job can be written for {}", main.path));
        let no_sql_file = |path: &Path| Err(Error::internal(format!("{} is not part of the job", path.display())));
        let job = Job::parse(&path, &text, &BTreeMap::new(), &no_sql_file).map_err(unfit)?;
        EncodePlan::new(&looker.schema_of(main, &job.sql).map_err(unfit)?, &job.output, &job.dataset).map_err(unfit)?;
        Ok(Planned { path, text })
    }

    fn show(
        &self,
        main: &Table,
        choice: &Choice,
        (new, kept): (&[&Planned], &[&Planned]),
        job: &Planned,
        output: &mut Output,
    ) -> Result<()> {
        let paths = |files: &[&Planned]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        output.document(&json!({
            "job": job.path,
            "files": paths(new),
            "kept": paths(kept),
            "dataset": main.name,
            "key": choice.column,
            "duplicates": choice.fold(),
        }))?;
        let job = format::shell_quote(&job.path.display().to_string());
        output.next(format!("cutover plan {job}"));
        if output.is_json() {
            return Ok(());
        }
        for file in new {
            output.line(format!("wrote {}", file.path.display()))?;
        }
        for file in kept {
            output.line(format!("kept  {}, which already exists", file.path.display()))?;
        }
        output.line(format!("key   {}: {}", choice.column, choice.reason()))?;
        output.line(format!("next  cutover plan {job} · cutover run {job}"))
    }
}

/// `name` below `directory`, without a leading `./`.
fn below(directory: &Path, name: &str) -> PathBuf {
    if directory == Path::new(".") { PathBuf::from(name) } else { directory.join(name) }
}

fn is_there(file: &Planned) -> bool {
    std::fs::symlink_metadata(&file.path).is_ok()
}

fn listed(files: &[&Planned]) -> String {
    files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(" and ")
}

fn write(file: &Planned) -> Result<()> {
    if let Some(directory) = file.path.parent() {
        std::fs::create_dir_all(directory).io("create directory", directory)?;
    }
    let mut target = OpenOptions::new().write(true).create_new(true).open(&file.path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::AlreadyExists { Kind::Invalid } else { Kind::Unavailable };
        Error::new(kind, format!("cannot create {}", file.path.display())).because(error)
    })?;
    target.write_all(file.text.as_bytes()).io("write", &file.path)
}
