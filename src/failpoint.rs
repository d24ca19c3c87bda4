//! Failpoints: named places at which a test makes this process fail, to check what is left.
//!
//! ```text
//! CUTOVER_FAILPOINTS="build.table=kill@5,publish.announced=pause" cutover run …
//! ```
//! | action | what happens when the failpoint is reached for the n-th time (`@n`, default 1) |
//! |---|---|
//! | `kill` | the process is killed as by `kill -9` |
//! | `pause` | it stops as by `kill -STOP`, until `kill -CONT` |
//! | `panic` | the thread panics |
//! | `error` | an `Unavailable` error is returned |
//!
//! `CUTOVER_FAILPOINTS_SEEN=FILE` makes a command write how often it reached each failpoint. All of this is always
//! compiled in, so that what is tested is what is shipped, and enabled only by the environment: a failpoint that is not
//! armed costs one comparison.
//!
//! Not for: anything but tests and `verify-crash`.

mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

pub use self::steps::{STEPS, Step};
use crate::error::{Error, IoContext, Result};

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "CUTOVER_FAILPOINTS";
/// The environment variable that names the file for the counts.
pub const SEEN_VARIABLE: &str = "CUTOVER_FAILPOINTS_SEEN";

/// Set only if a failpoint is armed.
static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    points: Vec<Failpoint>,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Failpoint {
    name: &'static str,
    action: Action,
    at: u64,
    reached: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Pause,
    Panic,
    Error,
}

/// How often each of [`STEPS`] was reached.
#[derive(Debug)]
struct Seen {
    file: PathBuf,
    counts: [AtomicU64; STEPS.len()],
}

/// Arms the failpoints that the environment names.
///
/// # Errors
/// `Invalid` when it cannot be parsed or names an unknown failpoint: a test that arms nothing shows nothing.
pub fn arm() -> Result<()> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let points = text.split(',').filter(|part| !part.is_empty()).map(parse).collect::<Result<Vec<_>>>()?;
    for point in &points {
        tracing::warn!(point = point.name, action = ?point.action, at = point.at, "a failpoint is armed");
    }
    let file = std::env::var_os(SEEN_VARIABLE).filter(|file| !file.is_empty());
    let seen = file.map(|file| Seen { file: file.into(), counts: [const { AtomicU64::new(0) }; STEPS.len()] });
    if !points.is_empty() || seen.is_some() {
        let _ = ARMED.set(Armed { points, seen });
    }
    Ok(())
}

/// A failpoint. `name` is one of [`STEPS`].
///
/// # Errors
/// `Unavailable` if a test armed that.
pub fn reach(name: &str) -> Result<()> {
    let Some(armed) = ARMED.get() else { return Ok(()) };
    if let Some(seen) = &armed.seen
        && let Some(at) = STEPS.iter().position(|step| step.name == name)
    {
        seen.counts[at].fetch_add(1, Ordering::Relaxed);
    }
    armed.points.iter().filter(|point| point.name == name).try_for_each(fire)
}

/// How long a process that was paused here gives other threads to handle the signal that woke it.
const AFTER_PAUSE: Duration = Duration::from_millis(50);

/// Writes how often each failpoint was reached, if requested; those that were not reached are left out.
///
/// # Errors
/// `Unavailable` when the file cannot be written.
pub fn write_hits() -> Result<()> {
    let Some(Seen { file, counts }) = ARMED.get().and_then(|armed| armed.seen.as_ref()) else { return Ok(()) };
    let counts = STEPS.iter().zip(counts).map(|(step, count)| (step.name, count.load(Ordering::Relaxed)));
    let reached: BTreeMap<&str, u64> = counts.filter(|(_, count)| *count > 0).collect();
    let text = serde_json::to_vec(&reached).map_err(|error| Error::internal("cannot write JSON").because(error))?;
    std::fs::write(file, text).io("write", file)
}

#[expect(clippy::panic, reason = "the action `panic`")]
fn fire(point: &Failpoint) -> Result<()> {
    if point.reached.fetch_add(1, Ordering::Relaxed) + 1 != point.at {
        return Ok(());
    }
    let signal = match point.action {
        Action::Kill => Signal::KILL,
        Action::Pause => Signal::STOP,
        Action::Panic => panic!("failpoint {}", point.name),
        Action::Error => return Err(Error::unavailable(format!("failpoint {}", point.name))),
    };
    kill_process(getpid(), signal).map_err(|error| Error::internal("cannot signal this process").because(error))?;
    if point.action == Action::Pause {
        // A signal that arrived meanwhile may be handled by another thread; on a busy machine this one would be ahead
        // of it.
        std::thread::sleep(AFTER_PAUSE);
    }
    Ok(())
}

fn parse(text: &str) -> Result<Failpoint> {
    let wrong = || Error::invalid(format!("{VARIABLE}: {text:?} is not NAME=kill|pause|panic|error[@N]"));
    let (name, action) = text.split_once('=').ok_or_else(wrong)?;
    let (action, at) = action.split_once('@').unwrap_or((action, "1"));
    let action = match action {
        "kill" => Action::Kill,
        "pause" => Action::Pause,
        "panic" => Action::Panic,
        "error" => Action::Error,
        _ => return Err(wrong()),
    };
    let at = at.parse().ok().filter(|at| *at > 0).ok_or_else(wrong)?;
    let step = STEPS.iter().find(|step| step.name == name).ok_or_else(|| unknown(name))?;
    Ok(Failpoint { name: step.name, action, at, reached: AtomicU64::new(0) })
}

/// The error for an unknown failpoint.
fn unknown(name: &str) -> Error {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    Error::invalid(format!("{VARIABLE}: there is no failpoint {name:?}; the failpoints are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn incomplete_failpoints_are_refused() {
        let point = parse("stream.record=kill@500").unwrap();
        assert_eq!((point.name, point.action, point.at), ("stream.record", Action::Kill, 500));
        assert_eq!(parse("log.append=error").unwrap().at, 1);
        for wrong in ["", "log.append", "log.append=", "log.append=explode", "log.append=kill@", "log.append=kill@0"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let error = parse("log.apend=kill").unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains("\"log.apend\"") && error.message().contains("log.append"), "{error}");
    }

    #[test]
    fn an_error_is_injected_once_at_the_given_hit() {
        let point = parse("log.append=error@2").unwrap();
        let outcomes = [(); 3].map(|()| fire(&point).is_err());
        assert_eq!(outcomes, [false, true, false]);
    }

    #[test]
    fn every_step_has_its_own_name_of_stage_and_step() {
        let names: BTreeSet<&str> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
        assert!(names.iter().all(|name| name.split('.').filter(|part| !part.is_empty()).count() == 2), "{names:?}");
    }
}
