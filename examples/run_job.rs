//! Runs a job from Rust: builds, checks and publishes a version, as `cutover run` does.
//!
//! ```sh
//! cargo run --release --example run_job -- jobs/views_of_day.toml date=2026-11-22
//! ```
//! The sample data is made by `cutover demo --generate-only --dir data/demo`. Paths in the job are relative to the
//! working directory. When `run` returns, readers see what the report says; when it fails, they see what they saw
//! before.
//!
//! Not for: serving, which needs no job (see `follow.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use cutover::error::{Error, Result};
use cutover::run::{Job, Resources, RunOptions, run};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        return Err(Error::invalid("usage: run_job JOB.toml [NAME=VALUE]..."));
    };
    let mut parameters = BTreeMap::new();
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(Error::invalid(format!("{argument} is not NAME=VALUE")));
        };
        parameters.insert(name.to_owned(), value.to_owned());
    }

    let job = Job::load(Path::new(&path), &parameters)?;
    let resources = Resources::new(None, None)?; // one thread per processor, half of the memory
    let report = run(&job, &RunOptions::new(resources))?;
    println!("{}: version {} of {}, {} rows", report.store.display(), report.version, report.dataset, report.rows);
    Ok(())
}
