//! The driver's side: Ballista's scheduler in this process, which executors poll, and the wait for records.
//!
//! ```text
//! submit the tasks that have no record ─▶ look at the records again and again ─▶ none is left: cancel, done
//!                 ▲                        │ the job ended, failed or is stalled, and records are missing
//!                 └────────────────────────┘ at most three times, each time with more patience
//! ```
//! Ballista sometimes loses a status message, and its job then never ends: so the job ends when the records are there,
//! and is submitted again when nothing happens. Tasks that have a record return at once, and one that is only slow
//! continues in its first attempt.
//!
//! Not for: what tasks leave (`pipeline::tasks`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ballista_core::JobId;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::JobStatus;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::serde::protobuf::task_status;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_stream::wrappers::TcpListenerStream;

use super::codec::Codec;
use super::runtime;
use super::security::Security;
use super::task_exec::TaskExec;
use crate::error::{Error, Result};
use crate::pipeline::{Cluster, Machines, TaskSet};
use crate::shutdown;

/// The shortest and the longest time between two checks of the records.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The time between two checks of the scheduler's state, which send no request.
const TICK: Duration = Duration::from_millis(50);
/// Largest message, in bytes.
const MAX_MESSAGE: usize = 64 << 20;
/// Submissions of the same tasks that may fail.
const SUBMISSIONS: usize = 3;
/// Standstills after which the run ends: each one may last twice as long as the one before.
const STANDSTILLS: u32 = 6;
/// Status messages that may wait.
const STATUS_QUEUE: usize = 64;

/// How long the driver waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// An executor that has not asked for work for so long is gone.
    pub executor: Duration,
    /// Without executors for so long the run ends.
    pub no_executors: Duration,
    /// Without a new record for so long the tasks are submitted again; twice as long the next time.
    pub standstill: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            executor: Duration::from_secs(30),
            no_executors: Duration::from_secs(60),
            standstill: Duration::from_secs(600),
        }
    }
}

type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// The driver's side of a cluster.
pub struct Driver {
    runtime: Runtime,
    scheduler: Scheduler,
    address: SocketAddr,
    patience: Patience,
    /// Attempts at tasks that failed, or were lost with their executor.
    retries: AtomicUsize,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Driver at {}", self.address)
    }
}

impl Driver {
    /// Listens at `HOST:PORT` for executors. Port 0 is one that is free.
    ///
    /// # Errors
    /// `Invalid` for an address that may not be used; `Unavailable` when it is taken, or threads cannot be started.
    pub fn listen(place: &str, security: &Security, patience: Patience) -> Result<Self> {
        let addresses = security.addresses(place)?;
        let tls = security.server()?;
        let failed = |what: &str| format!("the driver at {place} {what}");
        let runtime = runtime("scheduler")?;
        let started = runtime.block_on(async {
            let listener = TcpListener::bind(addresses.as_slice()).await;
            let listener = listener.map_err(|error| Error::unavailable(failed("cannot listen")).because(error))?;
            let address = listener.local_addr();
            let address = address.map_err(|error| Error::unavailable(failed("has no address")).because(error))?;
            let config = Arc::new(settings(address, &patience));
            let cluster = BallistaCluster::new_from_config(&config).await;
            let cluster = cluster.map_err(|error| Error::internal(failed("cannot start")).because(error))?;
            let scheduler: Scheduler = create_scheduler(cluster, config)
                .await
                .map_err(|error| Error::internal(failed("cannot start")).because(error))?;
            let service = SchedulerGrpcServer::new(scheduler.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            let mut server = tonic::transport::Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).map_err(|error| {
                    Error::invalid("the certificates of --cluster-tls cannot be used").because(error)
                })?;
            }
            tokio::spawn(server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
            Ok::<_, Error>((scheduler, address))
        });
        let (scheduler, address) = started?;
        Ok(Self { runtime, scheduler, address, patience, retries: AtomicUsize::new(0) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn submit(&self, tasks: &TaskSet, numbers: &[u64]) -> Result<(JobId, Receiver<JobStatus>)> {
        let failed = |error: String| {
            Error::internal(format!("the {} tasks cannot be submitted", tasks.kind.name())).because(error)
        };
        let plan = TaskExec::plan(tasks.clone(), numbers).map_err(|error| failed(error.to_string()))?;
        let session = SessionConfig::new_with_ballista()
            .with_ballista_adaptive_query_planner(false)
            .set_u64("ballista.scheduler.max_partitions_per_task", 1);
        let (sender, receiver) = channel(STATUS_QUEUE);
        let job = self.runtime.block_on(async {
            let session = self.scheduler.state.session_manager.create_or_update_session(&tasks.build, &session).await?;
            self.scheduler.submit_physical_plan(tasks.kind.name(), session, plan, Some(sender)).await
        });
        Ok((job.map_err(|error| failed(error.to_string()))?, receiver))
    }
}

fn settings(address: SocketAddr, patience: &Patience) -> SchedulerConfig {
    SchedulerConfig {
        bind_host: address.ip().to_string(),
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: patience.executor.as_secs().max(1),
        expire_dead_executor_interval_seconds: (patience.executor.as_secs() / 8).max(1),
        // This file decides how long there may be no executor.
        no_executors_grace_period_seconds: 0,
        grpc_server_max_decoding_message_size: MAX_MESSAGE as u32,
        grpc_server_max_encoding_message_size: MAX_MESSAGE as u32,
        override_physical_codec: Some(Arc::new(Codec::default())),
        ..SchedulerConfig::default()
    }
}

impl Cluster for Driver {
    fn run(&self, tasks: &TaskSet, numbers: &[u64], left: &mut dyn FnMut() -> Result<Vec<u64>>) -> Result<()> {
        let (mut missing, mut why) = (numbers.to_vec(), None);
        let (mut failures, mut standstills) = (0, 0);
        while failures < SUBMISSIONS && standstills < STANDSTILLS {
            if let Some(why) = &why {
                tracing::warn!("{} {} tasks are submitted again: {why}", missing.len(), tasks.kind.name());
            }
            let (job, status) = self.submit(tasks, &missing)?;
            let patience = self.patience.standstill * 2_u32.pow(standstills);
            let ended = self.watch(&job, status, (missing.len(), patience), left);
            if let Err(error) = self.runtime.block_on(self.scheduler.cancel_job(job)) {
                tracing::debug!(%error, "a job was not cancelled");
            }
            match ended? {
                Ended::Done => return Ok(()),
                Ended::Failed(error) => {
                    failures += 1;
                    why = Some(error);
                }
                Ended::Standstill => {
                    standstills += 1;
                    why = Some(format!("no task was done for {} s", patience.as_secs()));
                }
            }
            missing = left()?;
            if missing.is_empty() {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!(
            "{} of {} {} tasks were not done in {} submissions: nothing was changed, and what is done is kept for the \
             next run. The last reason: {}",
            missing.len(),
            numbers.len(),
            tasks.kind.name(),
            failures + standstills as usize,
            why.unwrap_or_default()
        )))
    }

    fn machines(&self) -> Machines {
        let state = self.runtime.block_on(self.scheduler.state.executor_manager.get_executors_state());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_alive = |heard: Duration| now.saturating_sub(heard) < self.patience.executor + Duration::from_secs(1);
        let executors = state.map_or(0, |all| all.iter().filter(|(_, heard, _)| heard.is_some_and(is_alive)).count());
        Machines { executors, retries: self.retries.load(Ordering::Relaxed) }
    }
}

/// How a submission ended.
enum Ended {
    /// All records are there.
    Done,
    /// Some are missing, and this is what is known of it.
    Failed(String),
    /// Some are missing, and there was no new one for too long.
    Standstill,
}

impl Driver {
    fn watch(
        &self,
        job: &JobId,
        mut status: Receiver<JobStatus>,
        (mut missing, patience): (usize, Duration),
        left: &mut dyn FnMut() -> Result<Vec<u64>>,
    ) -> Result<Ended> {
        let (mut last_record, mut last_executor, mut pause) = (Instant::now(), Instant::now(), PAUSES.0);
        let retries_before = self.retries.load(Ordering::Relaxed);
        loop {
            let ended = self.rest(job, &mut status, pause, retries_before)?;
            pause = (pause * 5 / 4).min(PAUSES.1);
            let now = left()?.len();
            if now == 0 {
                return Ok(Ended::Done);
            }
            if now < missing {
                (missing, last_record, pause) = (now, Instant::now(), PAUSES.0);
            }
            if let Some(why) = ended {
                return Ok(Ended::Failed(why));
            }
            if self.machines().executors > 0 {
                last_executor = Instant::now();
            } else if last_executor.elapsed() > self.patience.no_executors {
                return Err(Error::unavailable(format!(
                    "no executor has asked {} for work for {} s: nothing was changed, and what is done is kept for the \
                     next run. Start some with `cutover executor --driver HOST:{}`",
                    self.address,
                    self.patience.no_executors.as_secs(),
                    self.address.port()
                )));
            }
            if last_record.elapsed() > patience {
                return Ok(Ended::Standstill);
            }
        }
    }

    /// Lets time pass, and counts attempts that failed. It returns early once the job has ended, and says why.
    fn rest(
        &self,
        job: &JobId,
        status: &mut Receiver<JobStatus>,
        pause: Duration,
        retries_before: usize,
    ) -> Result<Option<String>> {
        let began = Instant::now();
        while began.elapsed() < pause {
            shutdown::sleep(TICK)?;
            self.retries.fetch_max(retries_before + self.failed_attempts(job), Ordering::Relaxed);
            if let Some(why) = end_of(status) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Attempts at tasks of a running job that failed, or were lost with their executor.
    fn failed_attempts(&self, job: &JobId) -> usize {
        let jobs = self.scheduler.state.task_manager.get_running_job_cache();
        let Some(job) = jobs.get(job) else { return 0 };
        self.runtime.block_on(async {
            let graph = job.execution_graph.read().await;
            let attempts = graph.stages().values().filter_map(|stage| stage.task_infos()).flatten();
            attempts.filter(|attempt| matches!(attempt.task_status, task_status::Status::Failed(_))).count()
        })
    }
}

/// Why the job ended, if it has.
fn end_of(status: &mut Receiver<JobStatus>) -> Option<String> {
    while let Ok(status) = status.try_recv() {
        match status.status {
            Some(Status::Failed(failed)) => return Some(failed.error),
            Some(Status::Successful(_)) => return Some("all tasks ended, and records are missing".to_owned()),
            _ => {}
        }
    }
    None
}
