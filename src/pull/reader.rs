//! A reader of a remote store: a local store that a thread keeps up to date, and the reader of that store.
//!
//! Not for: programs that read a local store (`serve::Reader`).

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::follower::{Follower, Options};
use crate::error::{Error, Kind, Result};
use crate::serve;

/// Reads the current version of a remote store, and follows it.
#[derive(Debug)]
pub struct Reader {
    reader: serve::Reader,
    stop: Arc<AtomicBool>,
    following: Option<JoinHandle<()>>,
    error: Arc<Mutex<Option<Arc<Error>>>>,
}

impl Reader {
    /// Opens the store at `url`, keeping versions in `directory`. When the directory has a version already, it is
    /// served at once, whether the object store answers or not; otherwise this call downloads the current one.
    ///
    /// # Errors
    /// `Conflict` when another follower uses the directory (read it by [`serve::Reader`]); `Unavailable` when nothing
    /// is published, or the object store does not answer and nothing is here; else as [`Follower::open`].
    pub fn open(url: &str, directory: impl Into<PathBuf>) -> Result<Self> {
        Self::follow(Options::new(url, directory).following())
    }

    /// As [`Reader::open`], with options.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn follow(options: Options) -> Result<Self> {
        let directory = options.to.clone();
        let mut follower = Follower::open(options)?;
        if follower.catalog().read()?.current.is_none() {
            follower.pull()?;
        }
        let reader = serve::Reader::open(directory)?;
        let (stop, error) = (follower.stop_flag(), Arc::new(Mutex::new(None)));
        let last = Arc::clone(&error);
        let following = std::thread::spawn(move || {
            let note = |error: Option<Arc<Error>>| *last.lock().unwrap_or_else(PoisonError::into_inner) = error;
            let ended = follower.follow(|pulled| {
                note(pulled.err().map(|error| Arc::new(Error::new(error.kind(), error.chain().join(": ")))));
                Ok(())
            });
            if let Some(error) = ended.err().filter(|error| error.kind() != Kind::Stopped) {
                note(Some(Arc::new(error)));
            }
        });
        Ok(Self { reader, stop, following: Some(following), error })
    }

    /// Why the last look at the remote store, or at the local one, failed; `None` when both succeeded.
    pub fn last_error(&self) -> Option<Arc<Error>> {
        let remote = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        remote.or_else(|| self.reader.last_error())
    }
}

impl Deref for Reader {
    type Target = serve::Reader;

    fn deref(&self) -> &serve::Reader {
        &self.reader
    }
}

impl Drop for Reader {
    /// Stops following; a download that is under way ends within a moment.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.following.take().map(JoinHandle::join);
    }
}
