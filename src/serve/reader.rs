//! Follows a store: holds the version that readers see and swaps it when another one is published.
//!
//! ```text
//! snapshot() ─▶ at most every 200 ms: did current.json change? ─▶ open the new version ─▶ swap
//!            ─▶ the version it holds
//! ```
//! Checking an unchanged store costs one `stat`. One caller at a time checks; the others use the version that is held.
//! A version stays open for as long as a snapshot of it exists. When the new version cannot be opened, or the store
//! cannot be read, the reader keeps its version and reports the error in [`Reader::last_error`].
//!
//! Not for: programs that read once; they use `Store::current`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::store::Store;
use super::version::Version;
use crate::error::{Error, IoContext, Result};

/// How long a reader that could not follow waits before `snapshot` tries again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Follows a store.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    refresh_every: Duration,
    held: RwLock<Arc<Version>>,
    looked: Mutex<Looked>,
    /// When the store is next checked, in milliseconds after `opened`.
    next_look: AtomicU64,
    opened: Instant,
}

/// The result of the last check.
#[derive(Debug, Default)]
struct Looked {
    file: Option<FileId>,
    error: Option<Arc<Error>>,
}

/// Identifies one content of `current.json`: every replace makes a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Reader {
    /// Default interval between checks of the store.
    pub const REFRESH_EVERY: Duration = Duration::from_millis(200);

    /// Opens the version that readers of the store at `path` see, and follows the store from then on.
    ///
    /// # Errors
    /// `Unavailable` when nothing is published yet; else as [`Store::open`] and [`Store::current`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::follow(Store::open(path)?, Self::REFRESH_EVERY)
    }

    /// As [`Reader::open`], for a store that is already open, checking it at most every `refresh_every`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn follow(store: Store, refresh_every: Duration) -> Result<Self> {
        if let Some(remote) = store.catalog().remote() {
            return Err(Error::invalid(format!(
                "a reader of {} needs a local directory to keep versions in: open it by `pull::Reader`",
                remote.url()
            )));
        }
        let version = store.current()?.ok_or_else(|| nothing(&store))?;
        Ok(Self {
            refresh_every,
            held: RwLock::new(Arc::new(version)),
            looked: Mutex::default(),
            next_look: AtomicU64::new(0),
            opened: Instant::now(),
            store,
        })
    }

    /// The version readers see, at most one refresh interval old. A snapshot never changes: do all reads that belong
    /// together on one snapshot.
    ///
    /// The call that finds a new version opens it, which takes milliseconds, and longer with many shards. To keep that
    /// out of requests, call [`Reader::refresh`] periodically on a thread of its own.
    pub fn snapshot(&self) -> Arc<Version> {
        if self.now() >= self.next_look.load(Ordering::Relaxed)
            && let Ok(mut looked) = self.looked.try_lock()
        {
            self.look(&mut looked);
        }
        self.held()
    }

    /// Checks the store now and returns the version that is then held. [`Reader::last_error`] says whether that
    /// succeeded.
    pub fn refresh(&self) -> Arc<Version> {
        self.look(&mut self.looked());
        self.held()
    }

    /// Why the last check of the store failed; `None` when it succeeded.
    pub fn last_error(&self) -> Option<Arc<Error>> {
        self.looked().error.clone()
    }

    fn look(&self, looked: &mut Looked) {
        let outcome = FileId::of(&self.store).and_then(|file| {
            if looked.file != Some(file) {
                self.catch_up()?;
            }
            Ok(file)
        });
        let wait = if outcome.is_ok() { self.refresh_every } else { RETRY_AFTER.max(self.refresh_every) };
        self.next_look.store(self.now().saturating_add(millis(wait)), Ordering::Relaxed);
        match outcome {
            Ok(file) => *looked = Looked { file: Some(file), error: None },
            Err(error) => *looked = Looked { file: None, error: Some(Arc::new(error)) },
        }
    }

    /// Opens the current version, unless it is the one that is held.
    fn catch_up(&self) -> Result<()> {
        let held = self.held();
        let current = self.store.versions()?;
        if current.dataset != held.manifest().dataset {
            return Err(Error::conflict(format!(
                "the store now holds the dataset {:?} instead of {:?}",
                current.dataset,
                held.manifest().dataset
            )));
        }
        let same = |(number, build): (u64, &str)| number == held.number() && build == held.manifest().build_id;
        if current.current_entry().is_some_and(|(number, entry)| same((number, &entry.build_id))) {
            return Ok(());
        }
        let version = self.store.current()?.ok_or_else(|| nothing(&self.store))?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(version);
        Ok(())
    }

    fn held(&self) -> Arc<Version> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }
}

impl FileId {
    /// The file of a store as it is now.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let path = store.catalog().layout().current();
        let meta = fs::symlink_metadata(&path).io("stat", &path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

fn nothing(store: &Store) -> Error {
    let root = store.catalog().place();
    Error::unavailable(format!(
        "nothing is published in the store at {root}: `cutover run JOB.toml` publishes a version"
    ))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
