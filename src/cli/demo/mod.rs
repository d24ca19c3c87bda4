//! `cutover demo`: a whole cycle on sample data, step by step with the commands that would do the same.
//!
//! ```text
//! DIR/ .cutover-demo  jobs/ schemas/       events/ profiles/   stores/enriched_events/
//!      marker         jobs and contracts   sample data         the result
//! ```
//! Everything is written below one directory that has a marker file; a directory with anything else in it is refused. A
//! second demo in the same directory starts over and keeps the stores of other jobs there.
//!
//! Not for: generating the sample data (`crate::demo`).

mod walkthrough;
mod workspace;

use std::path::PathBuf;

use self::workspace::Directory;
use super::{Output, Verdict, format};
use crate::demo::{Shape, generate};
use crate::error::Result;

/// Default directory of the demo.
const DEFAULT_DIR: &str = "cutover-demo";
/// Most events per file, and least number of files.
const EVENTS_PER_FILE: u64 = 5_000_000;
const MIN_FILES: u64 = 4;
/// Users per page, and the bounds on the number of pages.
const USERS_PER_PAGE: u64 = 20;
const PAGES: std::ops::RangeInclusive<u64> = 2_000..=100_000;
/// Events are in hourly files at the finest, over thirty days.
const MAX_FILES: u64 = 720;

const EXAMPLES: &str = "\
Examples:
  cutover demo
  cutover demo --dir /tmp/demo --events 5000000 --profiles 500000
  cutover demo --generate-only --dir data/demo             only the sample data";

/// Demo on sample data: the main job, reads, a flip under an open reader, a rollback
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory to work in: new, empty, or an earlier demo's
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// Activity events to generate
    #[arg(long, value_name = "N", default_value_t = Shape::demo().events)]
    events: u64,
    /// User profiles to generate
    #[arg(long, value_name = "N", default_value_t = Shape::demo().profiles)]
    profiles: u64,
    /// Generate the sample data and stop
    #[arg(long)]
    generate_only: bool,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let shape = self.shape();
        let directory = Directory::claim(&self.dir)?;
        if !self.generate_only {
            walkthrough::run(&directory, &shape, output)?;
            return Ok(Verdict::Yes);
        }
        generate(directory.path(), &shape)?;
        let dir = directory.path();
        output.document(&serde_json::json!({"dir": dir, "events": shape.events, "profiles": shape.profiles}))?;
        if !output.is_json() {
            output.line(format!("{} in {}", made(&shape), dir.display()))?;
        }
        Ok(Verdict::Yes)
    }

    /// The shape of the data, with pages and files in proportion to users and events.
    fn shape(&self) -> Shape {
        Shape {
            events: self.events,
            profiles: self.profiles,
            urls: (self.profiles / USERS_PER_PAGE).clamp(*PAGES.start(), *PAGES.end()),
            files: self.events.div_ceil(EVENTS_PER_FILE).clamp(MIN_FILES, MAX_FILES) as usize,
            ..Shape::demo()
        }
    }
}

fn made(shape: &Shape) -> String {
    format!("{} and {}", format::plural(shape.events, "event"), format::plural(shape.profiles, "profile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_of_demo_and_benchmark_come_from_their_numbers() {
        for shape in [Shape::demo(), Shape::bench()] {
            let args = Args { dir: "d".into(), events: shape.events, profiles: shape.profiles, generate_only: true };
            assert_eq!(args.shape(), shape);
        }
    }
}
