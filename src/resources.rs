//! The resources of a run: threads, memory, and the thread pools.
//!
//! One number of threads sizes everything: the query's partitions, the shuffle's writers and rayon's pool. One memory
//! budget is divided into fixed shares, so that no stage can starve another (`docs/memory.md` has the shares).
//!
//! Not for: the job. Nothing here is read from the job file.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::stack;

/// The smallest budget that is accepted, in bytes: 64 MiB.
pub const MIN_MEMORY: u64 = 64 << 20;

/// Bytes of memory for each thread if no number of threads is given: 64 MiB.
const PER_THREAD: u64 = 64 << 20;
/// Bytes of memory that a thread needs at least: 32 MiB.
const MIN_PER_THREAD: u64 = 32 << 20;

/// System threads per requested thread: a worker of the query, one that takes its rows, and one that builds; and some
/// more in total.
const THREADS_PER_THREAD: usize = 3;
const OTHER_THREADS: usize = 4;
/// The last second of the year 9998, so that no run reaches the end of the dates that can be written.
const LAST_SECOND: u64 = 253_370_764_799;
/// The environment variable that allows core dumps of a process that holds passwords.
const KEEP_CORES: &str = "CUTOVER_CORES";

/// Threads and memory of one run.
///
/// ```
/// use cutover::run::Resources;
///
/// let resources = Resources::new(Some(2), Some(256 << 20))?;
/// assert_eq!((resources.threads, resources.memory), (2, 256 << 20));
/// assert!(Resources::new(Some(0), None).is_err());
/// # Ok::<(), cutover::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads; at least 1.
    pub threads: usize,
    /// Bytes of memory for all stages together.
    pub memory: u64,
}

impl Resources {
    /// The requested resources; by default half the memory of the machine or its cgroup, and as many processors as that
    /// is enough for.
    ///
    /// # Errors
    /// `Invalid` for 0 threads, for less memory than [`MIN_MEMORY`] and for more threads than the memory is enough for.
    pub fn new(threads: Option<usize>, memory: Option<u64>) -> Result<Self> {
        if threads == Some(0) {
            return Err(Error::invalid("--threads must be at least 1"));
        }
        let memory = memory.unwrap_or_else(default_memory);
        if memory < MIN_MEMORY {
            return Err(Error::invalid(format!("--memory is {memory} bytes; the minimum is {} MiB", MIN_MEMORY >> 20)));
        }
        let most = (memory / MIN_PER_THREAD) as usize;
        let threads = match threads {
            Some(threads) if threads > most => {
                return Err(Error::invalid(format!(
                    "{threads} threads need at least {} MiB: raise --memory, or use --threads {most}",
                    (threads as u64 * MIN_PER_THREAD) >> 20
                )));
            }
            Some(threads) => threads,
            None => available_parallelism().map_or(1, usize::from).min((memory / PER_THREAD).max(1) as usize),
        };
        Ok(Self { threads, memory })
    }

    /// Bytes for the query's operators: joins, groups, sorts.
    pub fn query_memory(&self) -> usize {
        (self.memory / 20 * 7) as usize
    }

    /// Bytes for the entries of the shuffle.
    pub fn shuffle_memory(&self) -> usize {
        (self.memory / 20 * 8) as usize
    }

    /// Bytes for table builders, including their filters. The rest of the budget is for batches in flight.
    pub fn build_memory(&self) -> usize {
        (self.memory / 20) as usize
    }

    /// The pool on which shards and their ranges are built.
    ///
    /// # Errors
    /// `Unavailable` when threads cannot be started.
    pub fn cpu_pool(&self) -> Result<rayon::ThreadPool> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|number| format!("build-{number}"))
            .build()
            .map_err(|error| Error::unavailable("cannot start threads").because(error))
    }

    /// The tokio runtime of the query.
    ///
    /// # Errors
    /// `Unavailable` when threads cannot be started.
    pub fn query_runtime(&self) -> Result<tokio::runtime::Runtime> {
        check_threads(THREADS_PER_THREAD * self.threads + OTHER_THREADS)?;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("query")
            .thread_stack_size(stack::BYTES)
            .on_thread_start(crate::catch_panic::contain_thread)
            .build()
            .map_err(|error| Error::unavailable("cannot start threads").because(error))
    }
}

/// Raises this process's limit of open files to its maximum: a version keeps all its tables open.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Fails unless this number of threads can run at the same time. The engine panics if it cannot start one later.
///
/// # Errors
/// `Unavailable` when the system refuses one of them.
fn check_threads(threads: usize) -> Result<()> {
    let gate = Mutex::new(());
    let held = gate.lock();
    std::thread::scope(|scope| {
        for started in 0..threads {
            let waiting = std::thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()));
            waiting.map_err(|error| {
                Error::unavailable(format!(
                    "this process may start only {started} threads of the {threads} that it needs: use fewer --threads, or \
                     raise the limit (`ulimit -u`, or the container's of processes)"
                ))
                .because(error)
            })?;
        }
        drop(held);
        Ok(())
    })
}

/// Prevents core dumps of this process, as its memory holds passwords; `CUTOVER_CORES=1` in the environment allows
/// them. Other processes of the same user cannot trace it any more either.
pub fn forbid_cores() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if std::env::var_os(KEEP_CORES).is_some_and(|keep| keep == "1") {
        return;
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "a core dump of this process would hold the client settings");
    }
}

/// Refuses a clock outside the years 1970 to 9999, whose dates could not be written.
///
/// # Errors
/// `Unavailable`, until the clock is set.
pub fn check_clock() -> Result<()> {
    check_time(SystemTime::now())
}

fn check_time(now: SystemTime) -> Result<()> {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() < LAST_SECOND => Ok(()),
        _ => Err(Error::unavailable(
            "the clock of this machine shows a date before 1970 or after 9999: correct it, and run again",
        )),
    }
}

/// Makes a write beyond `ulimit -f` fail like any other, instead of ending the process.
///
/// # Errors
/// `Unavailable` when the signal handler cannot be installed.
pub fn survive_file_size_limit() -> Result<()> {
    let unused = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let heard = signal_hook::flag::register(libc::SIGXFSZ, unused);
    heard.map(drop).map_err(|error| Error::unavailable("cannot install a signal handler").because(error))
}

/// Default memory of a run in bytes: half of what is available.
pub fn default_memory() -> u64 {
    available_memory() / 2
}

/// Bytes of memory of the machine, or of this process's cgroup if that is less.
pub fn available_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
    cgroup_limits().into_iter().fold(machine, u64::min)
}

/// Bytes that may still be written to the disk of a path, or of its nearest existing ancestor; `None` if the system
/// does not report it.
pub fn free_disk(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|above| above.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The most memory this process has held so far, in bytes; 0 if the system does not report it. Pages of files, such as
/// the program's own, are not counted: the system takes them back when memory is short.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    };
    // There is no peak without files. Pages of the program only become more, so what is left was in use at the peak.
    bytes("VmHWM:").unwrap_or_default().saturating_sub(bytes("RssFile:").unwrap_or_default())
}

/// The limits of this process's cgroup and of those above it (version 2), and the root limit of version 1.
fn cgroup_limits() -> Vec<u64> {
    let read = |path: String| fs::read_to_string(path).ok()?.trim().parse().ok();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let above = Path::new(path).ancestors();
    let mut limits: Vec<u64> =
        above.filter_map(|group| read(format!("/sys/fs/cgroup{}/memory.max", group.display()))).collect();
    limits.extend(read("/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned()));
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget() {
        for memory in [MIN_MEMORY, 1 << 30, 12 << 30] {
            let resources = Resources::new(Some(2), Some(memory)).unwrap();
            let shares = resources.query_memory() + resources.shuffle_memory() + resources.build_memory();
            assert!(shares as u64 <= memory * 9 / 10);
        }
    }

    #[test]
    fn a_clock_out_of_range_is_refused() {
        let at = |seconds: u64| UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for now in [at(0), at(1_800_000_000), at(LAST_SECOND - 1), SystemTime::now()] {
            check_time(now).unwrap();
        }
        for now in [UNIX_EPOCH - std::time::Duration::from_secs(1), at(LAST_SECOND), at(1 << 40)] {
            assert!(check_time(now).unwrap_err().message().contains("the clock of this machine"), "{now:?}");
        }
    }

    #[test]
    fn available_threads_are_probed_and_ended() {
        check_threads(40).unwrap();
        check_threads(0).unwrap();
    }

    #[test]
    fn impossible_resources_are_refused() {
        assert!(Resources::new(Some(0), None).is_err());
        assert!(Resources::new(None, Some(1 << 20)).is_err());
        assert!(Resources::new(Some(3), Some(MIN_MEMORY)).is_err());
        assert_eq!(Resources::new(None, Some(MIN_MEMORY)).unwrap().threads, 1);
        assert!(available_memory() > MIN_MEMORY);
    }
}
