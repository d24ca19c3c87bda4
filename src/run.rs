//! Running a job from Rust, as `cutover run` does: the public names of the stages that a program needs.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::path::Path;
//!
//! use cutover::run::{Job, Resources, RunOptions, run};
//!
//! # fn main() -> cutover::error::Result<()> {
//! let parameters = BTreeMap::from([("date".to_owned(), "2026-11-22".to_owned())]);
//! let job = Job::load(Path::new("jobs/views_of_day.toml"), &parameters)?;
//! let report = run(&job, &RunOptions::new(Resources::new(None, None)?))?;
//! println!("version {} has {} rows", report.version, report.rows);
//! # Ok(())
//! # }
//! ```
//! Not for: reading what was published (`serve`).

pub use crate::job::Job;
pub use crate::pipeline::{RunOptions, plan, run};
pub use crate::progress::Progress;
pub use crate::report::{PlanReport, RunReport};
pub use crate::resources::Resources;
