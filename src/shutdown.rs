//! Graceful shutdown: after SIGINT or SIGTERM a command ends at its next safe point.
//!
//! ```text
//! first signal   remembered ─▶ the next `check` fails ─▶ the command cleans up, says what is in effect, exits 130 or 143
//! second signal  the default action, at once
//! ```
//! Long loops call [`check`] now and then, and the wiring calls it between stages. Sequences that must
//! complete are not interrupted: nothing calls it between recording an intent, or replacing `current.json`, and the
//! steps that follow. Library calls that change nothing but cannot poll for a signal run inside [`leaving`]: the
//! process may exit in the middle of them.
//!
//! Not for: commands that change nothing. They install no handler, and the first signal ends them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Kind, Result};

/// How often a wait checks for a signal.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

static ASKED: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicUsize = AtomicUsize::new(0);
/// Whether the command is doing work that may be abandoned at any time.
static LEAVABLE: AtomicBool = AtomicBool::new(false);

/// Installs the handlers of both signals.
///
/// # Errors
/// `Unavailable` when they cannot be installed.
pub fn listen() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal of either kind does not see the flag that it sets.
        flag::register_conditional_default(signal, &ASKED)
            .and_then(|_| flag::register_usize(signal, &SIGNAL, signal as usize))
            .and_then(|_| flag::register(signal, &ASKED))
            .map_err(|error| Error::unavailable("cannot install a signal handler").because(error))?;
    }
    Ok(())
}

/// The process that started this one, by its number, for a command that is to end when that process does.
const PARENT: &str = "CUTOVER_PARENT";

/// Asks for SIGTERM when the process ends that the environment names; a Python program that waits for a command is one.
/// Without a name the command continues, as one does that a shell started.
///
/// # Errors
/// `Invalid` when the environment names no process; `Unavailable` when that has ended already.
pub fn end_with_parent() -> Result<()> {
    let Some(named) = std::env::var_os(PARENT) else { return Ok(()) };
    let parent = named.to_str().and_then(|text| Pid::from_raw(text.parse().ok()?));
    let parent = parent.ok_or_else(|| Error::invalid(format!("{PARENT} is not the number of a process")))?;
    // Only Linux tells a process of its parent's end.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(|error| Error::unavailable("cannot be told when the parent process ends").because(error))?;
    match rustix::process::test_kill_process(parent) {
        Err(rustix::io::Errno::SRCH) => Err(Error::unavailable(format!("the process that {PARENT} names has ended"))),
        _ => Ok(()),
    }
}

/// A safe point: everything done so far may be left as it is. It costs one comparison.
///
/// # Errors
/// `Stopped` once a signal has arrived.
#[inline]
pub fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
}

/// Runs work that changes nothing and that a signal may abandon: see [`left`].
///
/// # Errors
/// As [`check`], once it is done.
pub fn leaving<T>(work: impl FnOnce() -> T) -> Result<T> {
    LEAVABLE.store(true, Ordering::SeqCst);
    let done = work();
    LEAVABLE.store(false, Ordering::SeqCst);
    check().map(|()| done)
}

/// Why the process may end although its command has not: a signal arrived during what may be left at any time.
pub fn left() -> Option<Error> {
    let left = check().err().filter(|_| LEAVABLE.load(Ordering::SeqCst))?;
    Some(left.during("stopped while the query was planned: nothing was changed; run the same command again"))
}

#[cold]
fn stopped() -> Error {
    let name = if signal() == SIGINT as u8 { "SIGINT" } else { "SIGTERM" };
    Error::stopped(format!("{name} asked this process to stop"))
}

/// Waits.
///
/// # Errors
/// As [`check`], shortly after the signal.
pub fn sleep(duration: Duration) -> Result<()> {
    let until = Instant::now() + duration;
    loop {
        check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(POLL_INTERVAL));
    }
}

/// Adds to a stop what is in effect and how to continue; any other error is returned unchanged.
#[must_use]
pub fn explain_stop(error: Error, what: impl FnOnce() -> String) -> Error {
    if error.kind() == Kind::Stopped { error.during(what()) } else { error }
}

/// The number of the signal that arrived; 0 if none has.
pub fn signal() -> u8 {
    SIGNAL.load(Ordering::SeqCst) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stops_without_a_signal() {
        check().unwrap();
        sleep(Duration::from_millis(1)).unwrap();
        assert_eq!(signal(), 0);
    }

    #[test]
    fn work_without_a_signal_is_not_abandoned() {
        assert!(leaving(|| left().is_none()).unwrap());
    }

    #[test]
    fn only_a_stop_reports_the_current_state() {
        let said = |error| explain_stop(error, || "nothing changed".to_owned()).chain().join(": ");
        assert_eq!(said(Error::stopped("SIGINT")), "nothing changed: SIGINT");
        assert_eq!(said(Error::conflict("held")), "held");
    }
}
