//! The largest builds, with tasks that do nothing: what the scheduler, its driver and the plans then cost.
//!
//! `make soak-cluster` prints the figures. The driver is this process; the executors are processes that run this
//! program's other test, with slots that the machine does not have.
//!
//! Not for: what tasks do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;

use super::codec::Codec;
use super::executor::serve;
use super::task_exec::{RunTask, TaskExec};
use super::{Driver, ExecutorOptions, Patience, Security};
use crate::error::{IoContext, Result};
use crate::pipeline::{Cluster, TaskKind, TaskSet};
use crate::resources::Resources;

const MOST: u64 = 4096;
const EXECUTORS: usize = 4;
const SLOTS: usize = 64;
/// Where the driver listens, and the directory of records, for the executors.
const DRIVER: &str = "CUTOVER_SCALE_DRIVER";
const RECORDS: &str = "CUTOVER_SCALE_RECORDS";

/// Leaves the record of a task, and does nothing else.
#[derive(Debug)]
struct Noop(PathBuf);

impl RunTask for Noop {
    fn run_task(&self, tasks: &TaskSet, number: u64) -> Result<()> {
        let path = self.0.join(format!("{}-{number}", tasks.kind.name()));
        std::fs::write(&path, "").io("write", &path)
    }
}

fn tasks(kind: TaskKind) -> TaskSet {
    TaskSet { store: "s3://lake/stores/views".into(), build: "20261129T000000Z-00000000".into(), kind }
}

fn bytes_of_plan(numbers: &[u64]) -> usize {
    let plan = TaskExec::plan(tasks(TaskKind::Map), numbers).unwrap();
    let mut bytes = Vec::new();
    PhysicalPlanNode::try_from_physical_plan(plan, &Codec::default()).unwrap().try_encode(&mut bytes).unwrap();
    bytes.len()
}

fn executor(address: &str, records: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["cluster::scale::an_executor_whose_tasks_do_nothing", "--exact", "--ignored"]);
    command.env(DRIVER, address).env(RECORDS, records).stdout(Stdio::null()).spawn().unwrap()
}

/// Runs all tasks of a kind; prints how long they took.
fn drive(driver: &Driver, kind: TaskKind, records: &Path) {
    let began = Instant::now();
    let numbers: Vec<u64> = (0..MOST).collect();
    let is_left = |number: &u64| !records.join(format!("{}-{number}", kind.name())).exists();
    let mut left = || Ok(numbers.iter().copied().filter(is_left).collect());
    driver.run(&tasks(kind), &numbers, &mut left).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!("{MOST} {} tasks: {seconds:.1} s, {:.0} tasks/s", kind.name(), MOST as f64 / seconds);
}

#[test]
#[ignore = "prints figures"]
fn the_largest_build_with_tasks_that_do_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let driver = Driver::listen("127.0.0.1:0", &Security::new(None), Patience::default()).unwrap();
    let mut executors = [(); EXECUTORS].map(|()| executor(&driver.address().to_string(), directory.path()));
    drive(&driver, TaskKind::Map, directory.path());
    drive(&driver, TaskKind::Build, directory.path());
    for executor in &mut executors {
        executor.kill().unwrap();
        executor.wait().unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("the driver: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
    let numbers: Vec<u64> = (0..MOST).collect();
    println!("a plan of one task: {} bytes, of all: {} bytes", bytes_of_plan(&[0]), bytes_of_plan(&numbers));
}

#[test]
#[ignore = "a process of the other test"]
fn an_executor_whose_tasks_do_nothing() {
    let Ok(driver) = std::env::var(DRIVER) else { return };
    let records = PathBuf::from(std::env::var(RECORDS).unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let options = ExecutorOptions {
        driver,
        security: Security::new(None),
        slots: SLOTS,
        resources: Resources::new(Some(1), Some(64 << 20)).unwrap(),
        scratch: scratch.path().to_owned(),
        idle_exit: Some(std::time::Duration::from_secs(60)),
    };
    serve(&options, &format!("simulated-{}", std::process::id()), Arc::new(Noop(records))).unwrap();
}
