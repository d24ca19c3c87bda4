//! `lease.json`: which host builds a remote store now.
//!
//! ```text
//! absent, released or expired ─▶ conditional put of ours ─▶ renewed every third of its life ─▶ released
//! ```
//! A lease keeps two builders from doing the same work, and `gc` from deleting what a builder uploads. It is not what
//! keeps a store safe: each host that takes the lease raises `builder_epoch` in `current.json`, and a builder that
//! slept through its lease cannot install with an older epoch, whatever its clock says.
//!
//! Not for: builders of one host, which exclude each other by `build.lock`.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Remote;
use crate::catalog::event::by;
use crate::catalog::who;
use crate::error::{Error, Result};
use crate::format::{rfc3339, to_json};
use crate::objects::{Bucket, Condition, Key, Put, Tag};

/// How long a lease holds after it was taken or renewed.
const LIFE: Duration = Duration::from_secs(60);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// Attempts to take a lease that others take and release meanwhile.
const ATTEMPTS: usize = 5;
/// No lease is larger, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The content of `lease.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    /// A number that no other holder has.
    id: u64,
    /// User, host and process.
    by: String,
    /// The host.
    host: String,
    /// The store's working directory on that host: with its build lock held, an earlier lease from there is over.
    work_dir: String,
    /// When it was taken.
    #[serde(with = "rfc3339")]
    since: Timestamp,
    /// Until when it holds; in the past once it is released.
    #[serde(with = "rfc3339")]
    until: Timestamp,
}

/// A lease that is renewed until it is dropped.
#[derive(Debug)]
pub struct Lease {
    stop: Option<Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

impl Lease {
    /// Takes the lease. The caller holds the build lock of `work_dir`.
    ///
    /// # Errors
    /// `Conflict` naming the holder while another host builds; as those of a conditional put.
    pub(in crate::catalog) fn take(remote: &Remote, work_dir: &str) -> Result<Self> {
        let bucket = remote.bucket.clone();
        for _ in 0..ATTEMPTS {
            let found = bucket.get(&key()?, MAX_BYTES)?;
            let condition = match &found {
                None => Condition::Absent,
                Some(object) => {
                    // An unreadable lease excludes no builder: the lease is not what keeps the store safe.
                    let held = serde_json::from_slice::<Held>(&object.bytes).ok();
                    if let Some(held) = held.filter(|held| !held.is_over(work_dir)) {
                        return Err(held.conflict(remote));
                    }
                    Condition::Match(object.entry.tag.clone())
                }
            };
            let ours = Held::new(work_dir)?;
            match bucket.settle(&key()?, &ours.bytes()?, &condition)? {
                Put::Applied(tag) => return Ok(Self::renewed(bucket, ours, tag)),
                Put::Lost => {}
                Put::Unknown(error) => return Err(error.during("the lease of the store could not be taken")),
            }
        }
        Err(Error::conflict(format!("other builders of {} take its lease again and again; run again", remote.url())))
    }

    /// Renews the lease from a thread of its own until it is dropped, then releases it.
    fn renewed(bucket: Bucket, mut held: Held, mut tag: Tag) -> Self {
        let (stop, stopped) = channel();
        let renewing = std::thread::spawn(move || {
            loop {
                let released = !matches!(stopped.recv_timeout(RENEW_EVERY), Err(RecvTimeoutError::Timeout));
                held.until = if released { Timestamp::now() } else { later(LIFE) };
                let put = key().and_then(|key| bucket.settle(&key, &held.bytes()?, &Condition::Match(tag.clone())));
                match put {
                    _ if released => return,
                    Ok(Put::Applied(new)) => tag = new,
                    Ok(Put::Lost) => {
                        return tracing::warn!(
                            "another builder took the lease of this store; this build may be refused"
                        );
                    }
                    Ok(Put::Unknown(error)) | Err(error) => {
                        tracing::warn!("the lease of the store was not renewed: {}", error.chain().join(": "));
                    }
                }
            }
        });
        Self { stop: Some(stop), renewing: Some(renewing) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread has been reported; the lease then ends by itself.
        let _ = self.renewing.take().map(JoinHandle::join);
    }
}

impl Held {
    fn new(work_dir: &str) -> Result<Self> {
        let now = Timestamp::now();
        Ok(Self {
            id: super::random(),
            by: by(),
            host: who::host(),
            work_dir: work_dir.to_owned(),
            since: now,
            until: later(LIFE),
        })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        to_json(self)
    }

    /// Whether it holds no longer: released, expired, or of a process of this host that is dead, as the caller has its
    /// lock.
    fn is_over(&self, work_dir: &str) -> bool {
        self.until <= Timestamp::now() || self.host == who::host() && self.work_dir == work_dir
    }

    fn conflict(&self, remote: &Remote) -> Error {
        Error::conflict(format!(
            "another build of this store is running: the lease of {} is held by {} since {:.0}; run again when it is \
             done, or after {:.0}, when its lease ends unless it is renewed",
            remote.url(),
            crate::escape::shortened(&self.by),
            self.since,
            self.until
        ))
    }
}

fn key() -> Result<Key> {
    Key::new("lease.json")
}

fn later(by: Duration) -> Timestamp {
    Timestamp::now().checked_add(by).unwrap_or(Timestamp::MAX)
}
