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
use cutover::format::Allowed;
use cutover::job::Job;
use cutover::pipeline::{RunOptions, run};
use cutover::progress::Progress;
use cutover::resources::Resources;

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
    let options = RunOptions {
        resources: Resources::new(None, None)?, // one thread per processor, half of the memory
        spill_dir: None,
        as_of: None,
        resume: true,
        rebuild: false,
        stage: false,
        allow: Allowed::new(), // a failed check stops the publish
        progress: Progress::auto(),
    };
    let report = run(&job, &options)?;
    println!("{}: version {} of {}, {} rows", report.store.display(), report.version, report.dataset, report.rows);
    Ok(())
}
