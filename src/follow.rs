//! What followers have in common, whether they follow a topic (`consume`) or a store on an object store (`pull`).
//!
//! ```text
//! attempt ┬ taken over, or nothing new ─▶ wait for a change ──────────────────────┬─▶ attempt
//!         ├ another version is current meanwhile ──────────────────────────────────┤
//!         └ failed: readers keep their version ─▶ wait, longer after each failure ┘
//!
//! flip     files compared with the manifest ─▶ current.json ─▶ log
//! retain   old versions deleted
//! ```
//! A follower brings how it looks, stages and reports; the local store is moved the same way by all of them.
//!
//! Not for: reading versions from where they are.

use std::time::Duration;

use jiff::Timestamp;

use crate::catalog::{Action, Catalog, Flip};
use crate::error::{Error, Kind, Result};
use crate::format::{Current, Retention, State};

/// Backoff of a follower that failed: the first wait, and the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What an attempt to take over the current version came to.
pub(crate) enum Attempt<T> {
    /// Readers see another version now.
    Takeover(T),
    /// They see the current one already, or there is none.
    Nothing,
    /// Another version became the current one meanwhile.
    Overtaken,
}

/// One that follows versions made elsewhere into a local store.
pub(crate) trait Follow {
    /// What it says of a version that it took over.
    type Takeover;

    /// The local store.
    fn catalog(&self) -> &Catalog;

    /// Whether it is to end.
    fn is_stopped(&self) -> bool {
        false
    }

    /// Looks which version is current, and takes it over: completely or not at all.
    ///
    /// # Errors
    /// Why it cannot; readers then see what they saw.
    fn attempt(&mut self) -> Result<Attempt<Self::Takeover>>;

    /// Whether the version that could not be taken over is worth another attempt.
    fn is_worth_retrying(&self) -> bool {
        true
    }

    /// Waits for a change; after a failure that is worth another attempt, not longer than `retry`.
    ///
    /// # Errors
    /// `Stopped` after a signal.
    fn wait(&mut self, retry: Option<Duration>) -> Result<()>;
}

/// Takes over every version that becomes current, until the follower is stopped. `on_attempt` is called with what each
/// attempt came to; a failure is tried again.
///
/// # Errors
/// `Stopped` after a signal; `Invalid` when the local store cannot be used any more; those of `on_attempt`.
pub(crate) fn follow<F: Follow>(
    follower: &mut F,
    mut on_attempt: impl FnMut(std::result::Result<Option<&F::Takeover>, &Error>) -> Result<()>,
) -> Result<()> {
    let mut retry = FIRST_RETRY;
    while !follower.is_stopped() {
        match follower.attempt() {
            Ok(Attempt::Overtaken) => {}
            Ok(ended) => {
                let taken = if let Attempt::Takeover(taken) = &ended { Some(taken) } else { None };
                on_attempt(Ok(taken))?;
                retry = FIRST_RETRY;
                follower.wait(None)?;
            }
            Err(error) if error.kind() == Kind::Stopped => return Err(error),
            Err(error) => {
                on_attempt(Err(&error))?;
                ensure_usable(follower.catalog())?;
                let again = follower.is_worth_retrying();
                follower.wait(again.then_some(retry))?;
                retry = if again { (2 * retry).min(LONGEST_RETRY) } else { FIRST_RETRY };
            }
        }
    }
    Ok(())
}

/// Fails when a local store cannot be used at all, which no new version will change.
fn ensure_usable(catalog: &Catalog) -> Result<()> {
    match catalog.read() {
        Err(error) if error.kind() == Kind::Invalid => Err(error),
        _ => Ok(()),
    }
}

/// The state of the version that readers of a local store leave: rolled back if that is what it is where it came from,
/// of whose builds `states` are; else retired.
pub(crate) fn left_behind<'b>(local: &Current, states: impl IntoIterator<Item = (&'b str, State)>) -> State {
    let left = local.current_entry().map(|(_, entry)| entry.build_id.as_str());
    let was_rolled_back = |(build, state): (&str, State)| Some(build) == left && state == State::RolledBack;
    if states.into_iter().any(was_rolled_back) { State::RolledBack } else { State::Retired }
}

/// Moves readers of a local store to a version that is installed. `left` is the state of the version they leave, and
/// `as_there` says, for the log, where the version is current.
///
/// # Errors
/// `Invalid` for a version that does not exist; `Corrupt` when its files differ from its manifest; `Conflict` while
/// another one is pinned; else as [`Catalog::commit`].
pub(crate) fn flip(catalog: &Catalog, version: u64, left: State, as_there: &str) -> Result<Flip> {
    let now = Timestamp::now();
    catalog.ensure_files(&catalog.read()?, version)?;
    let flip = catalog.commit(|current| current.follow(version, left, now))?;
    if flip.from != Some(flip.to) {
        let before = flip.from.map_or("the first one".to_owned(), |from| format!("after version {from}"));
        catalog.log().record(Action::Published, Some(version), format!("{as_there}, {before}"));
    }
    Ok(flip)
}

/// Deletes versions that retention no longer keeps; after a failure, the next flip tries again.
pub(crate) fn retain(catalog: &Catalog, retention: &Retention) {
    if let Err(error) = catalog.retain(retention) {
        tracing::warn!("old versions were not removed: {}", error.chain().join(": "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{catalog, install};

    /// Attempts that come to what is written, and the waits between them.
    struct Script<'c> {
        catalog: &'c Catalog,
        attempts: Vec<Result<Attempt<u64>>>,
        waits: Vec<Option<u64>>,
    }

    impl Follow for Script<'_> {
        type Takeover = u64;

        fn catalog(&self) -> &Catalog {
            self.catalog
        }

        fn is_stopped(&self) -> bool {
            self.attempts.is_empty()
        }

        fn attempt(&mut self) -> Result<Attempt<u64>> {
            self.attempts.remove(0)
        }

        fn wait(&mut self, retry: Option<Duration>) -> Result<()> {
            self.waits.push(retry.map(|retry| retry.as_secs()));
            Ok(())
        }
    }

    fn failed() -> Result<Attempt<u64>> {
        Err(Error::unavailable("away"))
    }

    #[test]
    fn failures_are_tried_again_later_and_later_and_success_begins_anew() {
        let (_directory, catalog) = catalog();
        let mut attempts = vec![Ok(Attempt::Takeover(1)), Ok(Attempt::Overtaken)];
        attempts.extend((0..8).map(|_| failed()));
        attempts.extend([Ok(Attempt::Nothing), failed()]);
        let mut script = Script { catalog: &catalog, attempts, waits: Vec::new() };
        let mut told = Vec::new();
        let on_attempt = |ended: std::result::Result<Option<&u64>, &Error>| {
            told.push(ended.map(Option::<&u64>::copied).map_err(Error::kind));
            Ok(())
        };
        follow(&mut script, on_attempt).unwrap();
        let waits = [1, 2, 4, 8, 16, 32, 60, 60].map(Some);
        assert_eq!(script.waits, [&[None][..], &waits, &[None, Some(1)]].concat());
        assert_eq!(told[..2], [Ok(Some(1)), Err(Kind::Unavailable)], "an overtaken attempt is not told");
        assert_eq!(told[9..], [Ok(None), Err(Kind::Unavailable)]);
    }

    #[test]
    fn a_signal_and_a_store_that_cannot_be_used_end_a_follower() {
        let (_directory, catalog) = catalog();
        let ends = |end| {
            let attempts = vec![end, failed()];
            follow(&mut Script { catalog: &catalog, attempts, waits: Vec::new() }, |_| Ok(())).unwrap_err().kind()
        };
        assert_eq!(ends(Err(Error::new(Kind::Stopped, "stopped"))), Kind::Stopped);
        std::fs::remove_file(catalog.layout().current()).unwrap();
        assert_eq!(ends(failed()), Kind::Invalid);
    }

    #[test]
    fn readers_are_not_moved_to_a_version_whose_files_are_not_all_there() {
        let (_directory, catalog) = catalog();
        let version = install(&catalog, "one").version;
        assert_eq!(flip(&catalog, version, State::Retired, "as announced").unwrap().to, version);
        let second = install(&catalog, "two").version;
        let manifest = catalog.manifest(&catalog.read().unwrap(), second).unwrap();
        let file = manifest.files().next().unwrap();
        std::fs::remove_file(catalog.layout().version_dir(second).join(&file.path)).unwrap();
        let error = flip(&catalog, second, State::Retired, "as announced").unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert_eq!(catalog.read().unwrap().current, Some(version));
    }

    #[test]
    fn what_is_left_is_rolled_back_only_if_it_is_so_where_it_came_from() {
        let (_directory, catalog) = catalog();
        let version = install(&catalog, "one").version;
        flip(&catalog, version, State::Retired, "as announced").unwrap();
        let current = catalog.read().unwrap();
        let build = current.versions[&version].build_id.as_str();
        let left = |build, state| left_behind(&current, [("another", State::RolledBack), (build, state)]);
        assert_eq!(left(build, State::RolledBack), State::RolledBack);
        assert_eq!(left(build, State::Retired), State::Retired);
        assert_eq!(left("a third", State::RolledBack), State::Retired);
    }
}
