//! An executor: asks the driver for tasks and runs them, until it is ended.
//!
//! It opens no port. Where no driver answers, it asks again and again, so that it can be started first, and outlives
//! drivers. Everything that it writes is below its scratch directory, which it clears when it starts and which no other
//! process uses.
//!
//! Not for: safe points. An executor may be killed at any time: its tasks are handed out again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorRegistration, PollWorkParams};
use ballista_core::serde::scheduler::{ExecutorOperatingSystemSpecification, ExecutorSpecification};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tonic::transport::Endpoint;

use super::codec::Codec;
use super::runtime;
use super::security::Security;
use super::task_exec::RunTask;
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::pipeline::Worker;
use crate::random;
use crate::resources::Resources;

/// Largest message, in bytes.
const MAX_MESSAGE: usize = 64 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// How often to see whether the driver answers.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long no driver may answer before that is reported, and how often it is reported.
const REPORT_AFTER: Duration = Duration::from_secs(5);
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How an executor runs.
#[derive(Debug)]
pub struct ExecutorOptions {
    /// `HOST:PORT` of the driver.
    pub driver: String,
    /// How it knows the driver.
    pub security: Security,
    /// Tasks that it runs at a time.
    pub slots: usize,
    /// Threads and memory of one task.
    pub resources: Resources,
    /// The directory for everything that it writes.
    pub scratch: PathBuf,
    /// How long it waits for a driver before it ends; none: forever.
    pub idle_exit: Option<Duration>,
}

/// Runs tasks until no driver has answered for as long as `idle_exit` says, or forever.
///
/// # Errors
/// `Invalid` for an address that may not be used, or certificates that cannot be; `Conflict` when another process uses
/// the scratch directory; `Unavailable` when it cannot be written, or threads cannot be started.
pub fn run_executor(options: &ExecutorOptions) -> Result<()> {
    let worker = Worker::new(options.resources, options.scratch.clone());
    let name = worker.name().to_owned();
    serve(options, &name, Arc::new(worker))
}

/// Runs tasks by `worker`, as [`run_executor`] does.
pub(super) fn serve(options: &ExecutorOptions, name: &str, worker: Arc<dyn RunTask>) -> Result<()> {
    options.security.addresses(&options.driver)?;
    let host = options.driver.rsplit_once(':').map_or(options.driver.as_str(), |(host, _)| host);
    let tls = options.security.client(host.trim_matches(['[', ']']))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let unusable = |error| Error::invalid(format!("{} cannot be connected to", options.driver)).because(error);
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", options.driver)).map_err(unusable)?;
    let mut endpoint = endpoint.connect_timeout(CONNECT).timeout(ANSWER).tcp_nodelay(true);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(unusable)?;
    }
    let _lock = claim(&options.scratch)?;
    let runtime = runtime("executor")?;
    let health = ExecutorHealth::new();
    let watched = health.clone();
    runtime.block_on(async move {
        let scheduler = SchedulerGrpcClient::new(endpoint.clone().connect_lazy())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::new(
            Arc::new(BallistaLogicalExtensionCodec::default()),
            Arc::new(Codec::of(worker)),
        );
        let executor = Arc::new(executor(options, name)?);
        tokio::select! {
            ended = poll_loop(scheduler, executor, codec, None, None, health) => {
                ended.map_err(|error| Error::internal("the executor ended").because(error))
            }
            () = abandoned(watched, &endpoint, options.idle_exit) => Ok(()),
        }
    })
}

/// Ends once no driver has answered for so long; meanwhile it says why not.
async fn abandoned(health: ExecutorHealth, endpoint: &Endpoint, idle_exit: Option<Duration>) {
    let (mut last, mut tell_at, mut has_answered) = (Instant::now(), REPORT_AFTER, false);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        if health.is_ready() {
            (last, tell_at, has_answered) = (Instant::now(), REPORT_AFTER, true);
        }
        if idle_exit.is_some_and(|most| last.elapsed() > most) {
            let when = if has_answered { "any more" } else { "and none did since the start" };
            tracing::warn!("no driver answers at {} {when}: this executor ends", endpoint.uri());
            return;
        }
        if last.elapsed() > tell_at {
            tell_at = last.elapsed() + REPORT_INTERVAL;
            if let Some(why) = unreachable(endpoint).await {
                tracing::warn!("no driver answers at {}: {why}; retrying", endpoint.uri());
            }
        }
    }
}

/// Why the driver does not answer; none if it does.
async fn unreachable(endpoint: &Endpoint) -> Option<String> {
    // Without a name this is no executor, so a driver answers that the request is wrong.
    let no_work = PollWorkParams { metadata: None, num_free_vcores: 0, task_status: Vec::new() };
    let status = SchedulerGrpcClient::new(endpoint.connect_lazy()).poll_work(no_work).await.err()?;
    if status.code() == tonic::Code::InvalidArgument {
        return None;
    }
    let mut why = vec![status.message().to_owned()];
    let mut source = std::error::Error::source(&status);
    while let Some(error) = source {
        why.push(error.to_string());
        source = error.source();
    }
    why.dedup();
    Some(why.join(": "))
}

fn executor(options: &ExecutorOptions, name: &str) -> Result<Executor> {
    let specification = ExecutorSpecification::default().with_vcores(options.slots as u32);
    let registration = ExecutorRegistration {
        id: format!("{name}-{:016x}", random::u64()?),
        // Nothing connects to an executor.
        host: Some("127.0.0.1".to_owned()),
        port: 0,
        grpc_port: 0,
        specification: Some(specification.into()),
        os_info: Some(ExecutorOperatingSystemSpecification::default().into()),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    };
    let environment = Arc::new(RuntimeEnv::default());
    Ok(Executor::new(
        registration,
        &options.scratch.join("ballista").to_string_lossy(),
        Arc::new(move |_| Ok(Arc::clone(&environment))),
        Arc::new(SessionConfig::new_with_ballista),
        Arc::new(BallistaFunctionRegistry::default()),
        Arc::new(LoggingMetricsCollector::default()),
        options.slots,
        Arc::new(DefaultExecutionEngine::new()),
    ))
}

/// Makes the scratch directory this process's own, and removes what an earlier one left there.
fn claim(scratch: &Path) -> Result<File> {
    use std::os::unix::fs::PermissionsExt;
    durable_file::create_dir_durable(scratch)?;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(scratch, private).io("set the permissions of", scratch)?;
    let path = scratch.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).io("open", &path)?;
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Error::conflict(format!(
            "another executor uses {}: give each its own --scratch",
            scratch.display()
        )));
    }
    for entry in std::fs::read_dir(scratch).io("list", scratch)? {
        let entry = entry.io("list", scratch)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "ballista" || name == "contracts" || name.starts_with(crate::format::ATTEMPT) {
            std::fs::remove_dir_all(entry.path()).io("remove", &entry.path())?;
        }
    }
    let ballista = scratch.join("ballista");
    std::fs::create_dir(&ballista).io("create", &ballista)?;
    Ok(lock)
}
