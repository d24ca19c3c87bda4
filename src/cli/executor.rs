//! `cutover executor`, and the flags by which `cutover run` becomes the driver of a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Output, Verdict, notice, parsers};
use crate::cluster::{Driver, ExecutorOptions, Patience, Security, run_executor};
use crate::error::{Error, Result};
use crate::pipeline::RunOptions;
use crate::resources::{MIN_MEMORY, Resources, default_memory};

const EXAMPLES: &str = "\
Examples:
  cutover executor --driver 127.0.0.1:4600
  cutover executor --driver driver.build.svc:4600 --cluster-tls /etc/cutover/tls --slots 8 --memory 32GiB --scratch /mnt/nvme";

/// Run tasks for `cutover run JOB --cluster HOST:PORT`, on this machine
///
/// It asks the driver for tasks, and opens no port. It may be started before the driver, serves one driver after
/// another, and may be killed at any time: its tasks are then run elsewhere. Credentials for the object store are taken
/// from its own environment.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where the driver listens
    #[arg(long, value_name = "HOST:PORT")]
    driver: String,
    /// Tasks to run at a time; one per processor, but at most one per 512 MiB of memory, if left out
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
    /// Memory of all slots together, such as 16GiB; half of what the machine or the container has if left out
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    memory: Option<u64>,
    /// Threads of each slot
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Directory for runs and shards in progress, which no other process uses; in the system's directory for temporary
    /// files if left out
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Directory with ca.pem, cert.pem and key.pem, by which the driver and its executors authenticate each other;
    /// required across machines
    #[arg(long, value_name = "DIR")]
    cluster_tls: Option<PathBuf>,
    /// Exit when no driver has answered for this long, such as 10m; wait forever if left out
    #[arg(long, value_name = "DURATION", value_parser = parsers::duration)]
    idle_exit: Option<Duration>,
}

/// Memory of a slot if no number of slots is given.
const PER_SLOT: u64 = 512 << 20;

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let memory = self.memory.unwrap_or_else(default_memory);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = self.slots.unwrap_or_else(|| processors.min((memory / PER_SLOT).max(1) as usize));
        if slots == 0 {
            return Err(Error::invalid("--slots must be at least 1"));
        }
        let of_slot = memory / slots as u64;
        if of_slot < MIN_MEMORY {
            return Err(Error::invalid(format!(
                "{slots} slots of {memory} bytes have less than {} MiB each: raise --memory, or use fewer --slots",
                MIN_MEMORY >> 20
            )));
        }
        let resources = Resources::new(Some(self.threads), Some(of_slot))?;
        let scratch = self
            .scratch
            .unwrap_or_else(|| std::env::temp_dir().join(format!("cutover-executor-{}", std::process::id())));
        notice(&format!(
            "asking {} for tasks: {slots} at a time, {} MiB and {} threads each",
            self.driver,
            of_slot >> 20,
            self.threads
        ));
        run_executor(&ExecutorOptions {
            driver: self.driver,
            security: Security::new(self.cluster_tls),
            slots,
            resources,
            scratch,
            idle_exit: self.idle_exit,
        })?;
        output.flush()?;
        Ok(Verdict::Yes)
    }
}

/// The flags of `cutover run` for a cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Building on several machines")]
pub(super) struct ClusterArgs {
    /// Build on the machines that run `cutover executor`; they ask for work at this address of this machine
    #[arg(long, value_name = "HOST:PORT")]
    cluster: Option<String>,
    /// Directory with ca.pem, cert.pem and key.pem, by which the driver and its executors authenticate each other;
    /// required across machines
    #[arg(long, value_name = "DIR", requires = "cluster")]
    cluster_tls: Option<PathBuf>,
    /// Bytes of input per map task; 256MiB, and 4GiB from 1 TiB on, if left out
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, requires = "cluster")]
    share_bytes: Option<u64>,
    /// An executor that has not asked for work for so long is taken for dead
    #[arg(long, value_name = "DURATION", value_parser = parsers::duration, requires = "cluster", hide = true)]
    executor_timeout: Option<Duration>,
    /// Without executors for so long the run ends
    #[arg(long, value_name = "DURATION", value_parser = parsers::duration, requires = "cluster", hide = true)]
    executors_grace: Option<Duration>,
    /// Without a task that was done for so long the tasks are handed out again
    #[arg(long, value_name = "DURATION", value_parser = parsers::duration, requires = "cluster", hide = true)]
    standstill: Option<Duration>,
}

impl ClusterArgs {
    /// Listens for executors, if a cluster is to build.
    ///
    /// # Errors
    /// As [`Driver::listen`].
    pub(super) fn apply(self, options: &mut RunOptions) -> Result<()> {
        let Some(place) = self.cluster else { return Ok(()) };
        let mut patience = Patience::default();
        patience.executor = self.executor_timeout.unwrap_or(patience.executor);
        patience.no_executors = self.executors_grace.unwrap_or(patience.no_executors);
        patience.standstill = self.standstill.unwrap_or(patience.standstill);
        let driver = Driver::listen(&place, &Security::new(self.cluster_tls), patience)?;
        options.progress.note(&format!("executors are expected at {}", driver.address()));
        options.cluster = Some(Arc::new(driver));
        options.share_bytes = self.share_bytes;
        Ok(())
    }
}
