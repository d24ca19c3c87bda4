//! Locks of a store on a local file system: `flock` on a file whose content names the holder.
//!
//! The kernel frees a lock when its process dies, so a crash leaves nothing to clean up. The content is used only in
//! the message of a process that does not get the lock: the lock decides, never the content, which a crash may leave
//! behind.
//!
//! Any user who can open a lock file can hold the lock, so its mode admits only users who may write to the store's
//! directory.
//!
//! Not for: network file systems without `flock`, or object stores.

use std::fmt;
use std::fs::{Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::who::{host, user};
use crate::durable_file::fs::{self, File, OpenOptions};
use crate::error::{Error, IoContext, Result};
use crate::format::{rfc3339, shown_time, to_json};

/// Interval between attempts while the lock is held by another process.
const RETRY_EVERY: Duration = Duration::from_millis(5);
/// The mode of a lock file that only its owner can open.
const OWNER_ONLY: u32 = 0o600;
/// Upper bound on the content of a lock file.
const MAX_TEXT: u64 = 4096;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its user; none in the file of an older program.
    #[serde(default)]
    pub user: Option<String>,
    /// The host it runs on.
    pub host: String,
    /// When it took the lock.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

impl Lock {
    /// Takes the lock at `path`, retrying for at most `patience`.
    ///
    /// # Errors
    /// `Conflict` naming the holder when another process still holds it; `Unavailable` when the file cannot be opened.
    pub(super) fn acquire(path: &Path, patience: Duration) -> Result<Self> {
        let file = open(path)?;
        let deadline = fs::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Self::sign(file, path),
                Err(TryLockError::WouldBlock) if fs::now() < deadline => fs::sleep(RETRY_EVERY),
                Err(TryLockError::WouldBlock) => return Err(held(path)),
                Err(TryLockError::Error(error)) => return Err(error).io("lock", path),
            }
        }
    }

    /// Takes the lock at `path` if no process holds it.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or locked.
    pub(super) fn if_free(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Self::sign(file, path).map(Some),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).io("lock", path),
        }
    }

    /// Writes the holder into the file, for the messages of processes that do not get the lock. A failure to write is
    /// ignored: a full disk must not prevent cleaning up.
    fn sign(mut file: File, path: &Path) -> Result<Self> {
        let holder = Holder { pid: std::process::id(), user: Some(user()), host: host(), since: Timestamp::now() };
        let text = to_json(&holder)?;
        let signed = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
        if let Err(error) = signed {
            tracing::debug!(lock = %path.display(), %error, "the lock does not say who holds it");
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The content is only informative, and closing the file frees the lock even if this fails.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

impl Holder {
    /// Whether the process is stopped, as by Ctrl-Z. False for processes of other hosts.
    fn is_stopped(&self) -> bool {
        let status = || std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok();
        let stopped =
            |status: String| status.lines().any(|line| line.starts_with("State:") && line.contains("stopped"));
        self.host == host() && status().is_some_and(stopped)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.iter().map(|user| format!(" of {user}")).collect::<String>();
        write!(f, "process {}{user} on {} since {}", self.pid, self.host, shown_time(self.since))?;
        if self.is_stopped() {
            write!(f, ", which is stopped (paused): `kill -CONT {}` resumes it", self.pid)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = options.mode(OWNER_ONLY).open(path).io("open lock", path)?;
    keep_from_readers(&file, path).io("set the permissions of lock", path)?;
    Ok(file)
}

/// Restricts the lock file to users who may write to its directory: any user who can open it can hold the lock, and so
/// block all builds. The mode of a lock file from an older program is corrected when its owner takes the lock.
fn keep_from_readers(file: &File, path: &Path) -> std::io::Result<()> {
    let (Some(directory), Ok(lock)) = (path.parent(), std::fs::symlink_metadata(path)) else { return Ok(()) };
    let may_write = std::fs::metadata(directory)?.mode() & 0o022;
    let mode = OWNER_ONLY | may_write | may_write << 1;
    let is_ours = lock.uid() == rustix::process::geteuid().as_raw();
    if is_ours && lock.mode() & 0o777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn held(path: &Path) -> Error {
    let holder = holder(path).map(|holder| holder.to_string());
    let holder = holder.unwrap_or_else(|| "another process, which did not say who it is".to_owned());
    Error::conflict(format!("{} is held by {holder}; run again when it is done", path.display()))
}

/// The holder named in the lock file; `None` when the file is empty or incomplete.
fn holder(path: &Path) -> Option<Holder> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_refused_lock_names_its_holder_and_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build.lock");
        let lock = Lock::acquire(&path, Duration::ZERO).unwrap();
        let text = std::fs::read(&path).unwrap();
        let error = Lock::acquire(&path, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        let me = format!("process {} of {} on {} since", std::process::id(), user(), host());
        assert!(error.message().contains(&me), "{error}");
        assert!(Lock::if_free(&path).unwrap().is_none());
        assert_eq!(std::fs::read(&path).unwrap(), text);
        drop(lock);
        assert_eq!(std::fs::read(&path).unwrap(), b"", "the holder's text goes with the lock");
        Lock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn the_lock_needs_write_permission_on_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build.lock");
        std::fs::write(&path, "").unwrap();
        for (of_directory, of_lock) in [(0o755, 0o600), (0o2775, 0o660), (0o777, 0o666), (0o750, 0o600), (0o700, 0o600)]
        {
            std::fs::set_permissions(directory.path(), Permissions::from_mode(of_directory)).unwrap();
            for before in [0o644, 0o666, 0o600] {
                std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
                drop(Lock::acquire(&path, Duration::ZERO).unwrap());
                let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
                assert_eq!(mode, of_lock, "a directory of {of_directory:o}, a lock of {before:o}: {mode:o}");
            }
        }
    }

    #[test]
    fn text_left_by_a_crash_does_not_hold_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build.lock");
        let dead = r#"{"pid":1,"host":"elsewhere","since":"2026-01-01T00:00:00Z"} and more"#;
        std::fs::write(&path, dead).unwrap();
        let lock = Lock::acquire(&path, Duration::ZERO).unwrap();
        assert_eq!(holder(&path).unwrap().pid, std::process::id());
        drop(lock);
    }

    #[test]
    fn a_stopped_holder_is_distinguished_from_a_running_one() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut holder = Holder { pid: child.id(), user: None, host: host(), since: Timestamp::now() };
        assert!(!holder.is_stopped());
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holder.is_stopped() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(holder.to_string().contains("stopped (paused)"), "{holder}");
        holder.host = "elsewhere".into();
        assert!(!holder.is_stopped(), "nothing is known of other hosts");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_lock_that_is_released_in_time_is_acquired() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("commit.lock");
        let lock = Lock::acquire(&path, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::acquire(&path, Duration::from_secs(10)).is_ok());
            drop(lock);
            assert!(waiting.join().unwrap());
        });
    }
}
