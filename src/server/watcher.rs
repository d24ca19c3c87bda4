//! The thread of one dataset: notices when its store changes, opens the new version, warms it up and swaps it in.
//!
//! ```text
//! current.json changed? ─▶ open already? ──────────────────────────────────────┐
//!                       └▶ open: sizes and checksums ─▶ warm up ─▶ changed again? ─▶ swap
//!                                └ failed: the version before stays, and metrics, /readyz and the log say so
//! ```
//! A dataset with a URL has a second thread, which follows the remote store into the local one (`pull`). Versions that
//! are here are served whether the object store answers or not.
//!
//! Not for: what requests do with a version (`dataset`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rocksdb::Cache;

use super::budget::Budget;
use super::dataset::Dataset;
use super::events::{Event, Events};
use super::opening;
use super::served::Served;
use super::source::{Place, Source};
use crate::catalog::Catalog;
use crate::error::{Error, Kind, Result};
use crate::pull::{Follower, Options};
use crate::serve::{FileId, Store};

/// Time between two checks of a local store: one `stat` each.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time between two attempts to read a store, or to open a version, that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes of values that are read to warm up a version.
const WARM_UP_BYTES: usize = 64 << 20;

/// How datasets are watched.
#[derive(Clone)]
pub struct Watching {
    /// The cache for data blocks of all datasets.
    pub cache: Cache,
    /// The memory for filters and indexes of all datasets.
    pub room: Arc<Budget>,
    /// The longest time that a version is warmed up.
    pub warm_up: Duration,
    /// Time between two checks of a remote store.
    pub every: Duration,
    /// Whether clients see candidates.
    pub canary: bool,
    /// Where to say what happened.
    pub events: Events,
}

/// Ends the threads of one dataset.
#[derive(Debug, Default)]
struct Stop {
    is_set: AtomicBool,
    /// The flag of the follower that runs now.
    follower: Mutex<Option<Arc<AtomicBool>>>,
}

impl Stop {
    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
        if let Some(flag) = &*self.follower.lock().unwrap_or_else(PoisonError::into_inner) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Lets a later `set` stop this follower, too; one that came before stops it at once.
    fn also(&self, follower: Arc<AtomicBool>) {
        let mut slot = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        follower.store(self.is_set(), Ordering::Relaxed);
        *slot = Some(follower);
    }
}

/// The threads of one dataset, which end when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch a dataset. Its current version is loaded when this returns, unless it takes long or fails.
    ///
    /// # Errors
    /// `Unavailable` when a thread cannot be started.
    pub fn start(source: Source, dataset: Arc<Dataset>, watching: Watching) -> Result<Self> {
        let mut watcher = Self { stop: Arc::default(), threads: Vec::new() };
        if let Place::Remote { .. } = source.place {
            let (source, dataset, watching) = (source.clone(), Arc::clone(&dataset), watching.clone());
            let stop = Arc::clone(&watcher.stop);
            watcher.spawn("follow", move || follow(&source, &dataset, &watching, &stop))?;
        }
        let mut loop_state = Look { source, dataset, watching, file: None };
        let mut wait = loop_state.look();
        let stop = Arc::clone(&watcher.stop);
        watcher.spawn("watch", move || {
            while !stop.is_set() {
                std::thread::park_timeout(wait);
                wait = loop_state.look();
            }
        })?;
        Ok(watcher)
    }

    fn spawn(&mut self, what: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(what.to_owned()).spawn(run);
        self.threads.push(thread.map_err(|error| Error::unavailable("cannot start a thread").because(error))?);
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

struct Look {
    source: Source,
    dataset: Arc<Dataset>,
    watching: Watching,
    /// The content of `current.json` that was acted on.
    file: Option<FileId>,
}

impl Look {
    /// Looks once, and returns the time until the next look.
    fn look(&mut self) -> Duration {
        match self.try_look() {
            Ok(()) => POLL_INTERVAL,
            Err(error) => {
                self.file = None;
                refuse(&self.dataset, &self.watching.events, &error);
                RETRY_AFTER
            }
        }
    }

    fn try_look(&mut self) -> Result<()> {
        let (directory, cache) = (self.source.directory().to_owned(), self.watching.cache.clone());
        let is_followed = matches!(self.source.place, Place::Remote { .. });
        if is_followed && !directory.join("current.json").exists() {
            // The other thread makes it, and says why if it cannot.
            return Ok(());
        }
        let dataset = Arc::clone(&self.dataset);
        let store = dataset.store(|| Ok(Store::sharing(Catalog::open(directory)?, cache)))?;
        let file = FileId::of(store)?;
        if self.file == Some(file) {
            return Ok(());
        }
        let began = Instant::now();
        let current = Arc::new(store.versions()?);
        self.dataset.update(|state| state.current = Some(Arc::clone(&current)));
        self.check_name(&current.dataset)?;
        let Some((number, entry)) = current.entry_seen(self.watching.canary) else {
            if is_followed {
                return Ok(());
            }
            return Err(Error::unavailable("nothing is published yet: `cutover run JOB.toml` publishes a version"));
        };
        let is_current = |served: &Served| served.is(number, &entry.build_id);
        if !self.dataset.served().is_some_and(|served| is_current(&served)) {
            let served = match self.dataset.open_already(is_current) {
                Some(open) => open,
                None => match self.open(store, number) {
                    Ok(open) => open,
                    // Another version took its place meanwhile: it is looked at next.
                    Err(_) if FileId::of(store)? != file => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            // It may have been taken back meanwhile.
            if FileId::of(store)? != file {
                self.dataset.keep_open(served);
                return Ok(());
            }
            self.swap(served, began);
        }
        self.file = Some(file);
        self.dataset.update(|state| state.problem = None);
        Ok(())
    }

    fn check_name(&self, found: &str) -> Result<()> {
        let served = self.dataset.served().map(|served| served.version.manifest().dataset.clone());
        match served {
            Some(known) if known != found => {
                Err(Error::conflict(format!("the store now holds the dataset {found:?} instead of {known:?}")))
            }
            _ => Ok(()),
        }
    }

    fn open(&self, store: &Store, version: u64) -> Result<Arc<Served>> {
        self.dataset.update(|state| state.is_loading = true);
        // The thread that follows a URL opens a new version, too, to see whether it is whole.
        let copies = if matches!(self.source.place, Place::Remote { .. }) { 2 } else { 1 };
        let opened = opening::open(store, version, &self.watching.room, copies, || self.dataset.close_oldest());
        if let Ok(served) = &opened {
            warm_up(served, &self.dataset, self.watching.warm_up);
        }
        self.dataset.update(|state| state.is_loading = false);
        opened
    }

    fn swap(&self, served: Arc<Served>, began: Instant) {
        let manifest = served.version.manifest();
        let (version, rows, bytes) = (served.number(), manifest.rows, manifest.bytes);
        let previous = self.dataset.swap(served).map(|before| before.number());
        let took = began.elapsed();
        self.dataset.update(|state| {
            state.swaps += 1;
            state.since = Some(Timestamp::now());
            state.last_swap = took;
        });
        let dataset = self.dataset.name.clone();
        self.watching.events.send(Event::Swapped {
            dataset,
            version,
            previous,
            rows,
            bytes,
            seconds: took.as_secs_f64(),
        });
    }
}

/// Reads keys that clients read recently, so that their blocks are in memory before clients ask again.
fn warm_up(served: &Served, dataset: &Dataset, longest: Duration) {
    let until = Instant::now() + longest;
    let mut bytes = 0;
    for key in dataset.hot.sample() {
        if Instant::now() >= until || bytes >= WARM_UP_BYTES {
            break;
        }
        // A damaged block is found by the request that needs it, which gets an error.
        bytes += served.version.get_with(&key, <[u8]>::len).ok().flatten().unwrap_or(0);
    }
}

/// Records and logs that clients do not get what the store has. The same problem is logged once.
fn refuse(dataset: &Dataset, events: &Events, error: &Error) {
    let problem = error.chain().join(": ");
    let mut is_new = false;
    dataset.update(|state| {
        state.failures += 1;
        is_new = state.problem.as_ref() != Some(&problem);
        state.problem = Some(problem.clone());
    });
    if is_new {
        tell_refused(dataset, events, problem);
    }
}

fn tell_refused(dataset: &Dataset, events: &Events, problem: String) {
    let still = dataset.served().map(|served| served.number());
    events.send(Event::Refused { dataset: dataset.name.clone(), still, problem });
}

/// Follows a remote store into the local one, which the other thread watches, until it is stopped.
fn follow(source: &Source, dataset: &Dataset, watching: &Watching, stop: &Stop) {
    let Place::Remote { url, directory } = &source.place else { return };
    let note = |problem: Option<String>| {
        let mut is_new = false;
        dataset.update(|state| {
            is_new = problem.is_some() && state.remote_problem != problem;
            state.remote_failures += u64::from(problem.is_some());
            state.remote_problem.clone_from(&problem);
        });
        if let Some(problem) = problem.filter(|_| is_new) {
            tell_refused(dataset, &watching.events, problem);
        }
    };
    while !stop.is_set() {
        let options = Options {
            look_every: watching.every,
            canary: watching.canary,
            ..Options::new(url.as_str(), directory).following()
        };
        let ended = Follower::open(options).and_then(|mut follower| {
            stop.also(follower.stop_flag());
            let remote = follower.remote().clone();
            follower.follow(|pulled| {
                if pulled.is_ok() {
                    dataset.replicas.refresh(&remote);
                }
                note(pulled.err().map(|error| error.chain().join(": ")));
                Ok(())
            })
        });
        match ended {
            Err(error) if error.kind() != Kind::Stopped => note(Some(error.chain().join(": "))),
            _ => return,
        }
        std::thread::park_timeout(RETRY_AFTER);
    }
}
