//! A cluster: Ballista hands the tasks of a build to executors on any number of machines.
//!
//! ```text
//! cutover run JOB --cluster HOST:PORT           cutover executor --driver HOST:PORT   (one per machine)
//!   Driver: Ballista's scheduler, in process ◀── polls for tasks, says what became of them ── Executor
//!     a plan of TaskExec over one row per task                          TaskExec::execute ─▶ Worker::run
//! ```
//! Executors connect to the driver, and nothing connects to them. A plan has nothing but the URL of the store, the
//! build and the kind of task; what a task does is `pipeline`'s, and whether it is done is in the store. Ballista
//! notices executors that are gone and hands their tasks out again; what it reports of a job is only a hint.
//!
//! Not for: what tasks do and what they leave (`pipeline::tasks`).

mod codec;
mod driver;
mod executor;
#[cfg(test)]
mod scale;
mod security;
mod task_exec;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

pub use driver::{Driver, Patience};
pub use executor::{ExecutorOptions, run_executor};
pub use security::Security;

/// Threads for the requests between a driver and executors.
fn runtime(name: &str) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    let built = builder.worker_threads(2).thread_name(name).enable_all().build();
    built.map_err(|error| Error::unavailable("cannot start threads").because(error))
}
