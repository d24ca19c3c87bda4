//! One served dataset: the version that clients see, the versions that stay open after it, and its state.
//!
//! ```text
//! requests ──▶ held: one atomic load, no lock ──▶ Arc<Served>
//! watcher  ──▶ open, warm up ──▶ swap ──▶ the version before stays open, so that going back is a swap, too
//! ```
//! A request keeps the version that it began with. A version is closed when it is neither held nor kept nor in use.
//!
//! Not for: looking for new versions (`watcher`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use super::budget::Budget;
use super::hot_keys::HotKeys;
use super::metrics::Reads;
use super::opening;
use super::replicas::Replicas;
use super::served::Served;
use crate::error::{Error, Result};
use crate::format::{Current, VersionEntry};
use crate::serve::Store;

/// Versions that stay open in addition to the one that is served: the one before, and those that requests pin.
const KEPT_OPEN: usize = 2;

/// One served dataset.
#[derive(Debug)]
pub struct Dataset {
    /// The name by which clients ask for it.
    pub name: String,
    /// Keys that clients read recently.
    pub hot: HotKeys,
    /// What clients asked for.
    pub reads: Reads,
    /// What other hosts serve.
    pub replicas: Replicas,
    held: ArcSwapOption<Served>,
    kept: Mutex<Vec<Arc<Served>>>,
    store: OnceLock<Store>,
    state: Mutex<State>,
    is_removed: AtomicBool,
}

/// What is known about a dataset, apart from its data.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The store as it was read last.
    pub current: Option<Arc<Current>>,
    /// Why clients do not see what the store has as current; none if they do. Not for clients.
    pub problem: Option<String>,
    /// Whether a version is being opened or warmed up.
    pub is_loading: bool,
    /// When clients got the version that they see.
    pub since: Option<Timestamp>,
    /// Versions that clients were switched to.
    pub swaps: u64,
    /// Attempts to read the store, or to open its version, that failed.
    pub failures: u64,
    /// Why the remote store is not followed; none if it is, or if there is none. Not for clients.
    pub remote_problem: Option<String>,
    /// Attempts to follow the remote store that failed.
    pub remote_failures: u64,
    /// Time from seeing the last version to serving it.
    pub last_swap: Duration,
}

impl Dataset {
    /// A dataset of which nothing is known yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            hot: HotKeys::default(),
            reads: Reads::default(),
            replicas: Replicas::default(),
            held: ArcSwapOption::empty(),
            kept: Mutex::default(),
            store: OnceLock::new(),
            state: Mutex::default(),
            is_removed: AtomicBool::new(false),
        }
    }

    /// The version that clients see; none before the first is loaded, and after the dataset was removed.
    pub fn served(&self) -> Option<Arc<Served>> {
        self.held.load_full()
    }

    /// Passes the version that clients see to `read`, without counting a reference.
    pub fn with_served<T>(&self, read: impl FnOnce(Option<&Served>) -> T) -> T {
        read(self.held.load().as_deref())
    }

    /// What is known about it.
    pub fn state(&self) -> State {
        self.locked_state().clone()
    }

    /// Changes what is known about it.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.locked_state());
    }

    /// Whether it is no longer served.
    pub fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Relaxed)
    }

    /// Ends its service; requests that run keep their version.
    pub fn remove(&self) {
        self.is_removed.store(true, Ordering::Relaxed);
        self.held.store(None);
        self.locked_kept().clear();
    }

    /// Its store, which `open` opens the first time.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn store(&self, open: impl FnOnce() -> Result<Store>) -> Result<&Store> {
        match self.store.get() {
            Some(store) => Ok(store),
            None => {
                let opened = open()?;
                Ok(self.store.get_or_init(|| opened))
            }
        }
    }

    /// A version that is open already: the one that is served, or one that is kept.
    pub fn open_already(&self, is_wanted: impl Fn(&Served) -> bool) -> Option<Arc<Served>> {
        let held = self.served().filter(|served| is_wanted(served));
        held.or_else(|| self.locked_kept().iter().find(|kept| is_wanted(kept)).cloned())
    }

    /// A version by its number, which is opened if need be. Only versions that readers saw once can be asked for.
    ///
    /// # Errors
    /// `Invalid` when there is no such version, or it was never published; `Unavailable` before the store is open; else as `Store::version`.
    pub fn version(&self, number: u64, room: &Arc<Budget>) -> Result<Arc<Served>> {
        if let Some(open) = self.open_already(|served| served.number() == number) {
            return Ok(open);
        }
        let store = self.store.get().ok_or_else(|| Error::unavailable("the dataset is not loaded yet"))?;
        // One at a time: opening takes memory for indexes, and others may want the same version.
        let mut kept = self.locked_kept();
        if let Some(open) = kept.iter().find(|kept| kept.number() == number) {
            return Ok(Arc::clone(open));
        }
        let was_published = |entry: &VersionEntry| entry.published_at.is_some();
        if !store.versions()?.versions.get(&number).is_some_and(was_published) {
            return Err(Error::invalid(format!("there is no version {number} that was published")));
        }
        let opened = opening::open(store, number, room, 1, || close_oldest(&mut kept))?;
        keep(&mut kept, Arc::clone(&opened));
        Ok(opened)
    }

    /// Makes this the version that clients see, and keeps the one before open.
    pub fn swap(&self, served: Arc<Served>) -> Option<Arc<Served>> {
        if self.is_removed() {
            return None;
        }
        let before = self.held.swap(Some(Arc::clone(&served)));
        let mut kept = self.locked_kept();
        kept.retain(|kept| !kept.is(served.number(), served.build_id()));
        if let Some(before) = &before {
            keep(&mut kept, Arc::clone(before));
        }
        before
    }

    /// Closes the version that was left first of those that are kept open, to make room; false when there is none.
    pub fn close_oldest(&self) -> bool {
        close_oldest(&mut self.locked_kept())
    }

    /// Keeps a version open that is not served.
    pub fn keep_open(&self, served: Arc<Served>) {
        keep(&mut self.locked_kept(), served);
    }

    fn locked_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked_kept(&self) -> MutexGuard<'_, Vec<Arc<Served>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the newest to those that are kept open, and drops the oldest.
fn keep(kept: &mut Vec<Arc<Served>>, served: Arc<Served>) {
    kept.retain(|kept| !kept.is(served.number(), served.build_id()));
    kept.push(served);
    if kept.len() > KEPT_OPEN {
        kept.remove(0);
    }
}

fn close_oldest(kept: &mut Vec<Arc<Served>>) -> bool {
    !kept.is_empty() && {
        kept.remove(0);
        true
    }
}
