//! Failpoints: named places at which a test makes this process fail, to see what is left.
//!
//! ```text
//! CUTOVER_FAILPOINTS="stream.record=kill@500,publish.announced=pause" cutover run …
//! ```
//! | action | what happens when the place is reached for the n-th time (`@n`, else the first) |
//! |---|---|
//! | `kill` | the process is killed as by `kill -9` |
//! | `pause` | it stops as by `kill -STOP`, until `kill -CONT` |
//! | `panic` | the thread panics |
//! | `error` | an `Unavailable` error is returned |
//!
//! They are compiled in always, so that what is tested is what is shipped, and armed by the environment alone: a place
//! that is not armed costs one comparison.
//!
//! Not for: anything but tests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use crate::error::{Error, Result};

/// The variable that arms them.
const VARIABLE: &str = "CUTOVER_FAILPOINTS";

static ARMED: OnceLock<Vec<Failpoint>> = OnceLock::new();

#[derive(Debug)]
struct Failpoint {
    name: String,
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

/// Arms what the environment names.
///
/// # Errors
/// `Invalid` when it cannot be understood: a test that arms nothing shows nothing.
pub fn arm() -> Result<()> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let points = text.split(',').filter(|part| !part.is_empty()).map(parse).collect::<Result<Vec<_>>>()?;
    for point in &points {
        tracing::warn!(point = point.name, action = ?point.action, at = point.at, "a failpoint is armed");
    }
    let _ = ARMED.set(points);
    Ok(())
}

/// A place at which a test may make the process fail.
///
/// # Errors
/// `Unavailable` where that is what the test asks for.
pub fn reach(name: &str) -> Result<()> {
    match ARMED.get() {
        Some(points) if !points.is_empty() => points.iter().filter(|point| point.name == name).try_for_each(fire),
        _ => Ok(()),
    }
}

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
    kill_process(getpid(), signal).map_err(|error| Error::internal("cannot signal this process").because(error))
}

fn parse(text: &str) -> Result<Failpoint> {
    let wrong = || Error::invalid(format!("{VARIABLE}: {text:?} is not NAME=kill|pause|panic|error, with @N or not"));
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
    Ok(Failpoint { name: name.to_owned(), action, at, reached: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_failpoints_are_understood() {
        let point = parse("stream.record=kill@500").unwrap();
        assert_eq!((point.name.as_str(), point.action, point.at), ("stream.record", Action::Kill, 500));
        assert_eq!(parse("a=error").unwrap().at, 1);
        for wrong in ["", "a", "a=", "a=explode", "a=kill@", "a=kill@0", "a=kill@x"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_error_comes_when_its_turn_has_come_and_once() {
        let point = parse("a=error@2").unwrap();
        let outcomes = [(); 3].map(|()| fire(&point).is_err());
        assert_eq!(outcomes, [false, true, false]);
    }
}
