//! The rules by which versions change their state: pure functions on [`Current`], no disk and no clock.
//!
//! - Nothing but `force` publishes a rejected or rolled-back version, or one with an older `as_of` than the current.
//! - A rollback moves back along the order of publishes to the last version that is still good, marks the one it
//!   leaves, and remembers that one's digest: a new build with the same digest is rejected when it is added.
//! - A pin holds readers: while it stands, nothing flips, forced or not.
//!
//! Each function changes nothing when it fails. Messages name the command that leads on.
//!
//! Not for: whether the files of a version are sound; `publish` looks at them before it flips.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::current::{Current, Pin, RolledBack, State, VersionEntry};
use crate::error::{Error, Result};

/// So many rolled-back contents are remembered after the deletion of their versions.
const REMEMBERED: usize = 256;

/// A change of the versions' states, as it is decided: all that it depends on besides the state before and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Make a version the one readers see.
    Publish {
        /// The version.
        version: u64,
        /// Also one that must not be published by itself.
        force: bool,
    },
    /// Take readers back, and mark the version they leave.
    Rollback {
        /// The version they go to.
        to: u64,
    },
    /// Hold readers on a version.
    Pin {
        /// The version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// Forget versions.
    Remove {
        /// The versions.
        versions: Vec<u64>,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publish { version, .. } => write!(f, "the publish of version {version}"),
            Self::Rollback { to } => write!(f, "the rollback to version {to}"),
            Self::Pin { version, .. } => write!(f, "the pin on version {version}"),
            Self::Remove { versions } => write!(f, "the removal of versions {versions:?}"),
        }
    }
}

/// What a change did to the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The version they saw before; `None` when there was none.
    pub from: Option<u64>,
    /// The version they see now; equal to `from` when nothing changed for them.
    pub to: u64,
}

impl Current {
    /// Applies a change; the flip is none where readers have no part in it.
    ///
    /// # Errors
    /// As [`Current::publish`], [`Current::rollback`] and [`Current::pin`]; `Invalid` when the current version or one
    /// that does not exist is to be forgotten.
    pub fn apply(&mut self, change: &Change, now: Timestamp) -> Result<Option<Flip>> {
        match change {
            Change::Publish { version, force } => self.publish(*version, *force, now).map(Some),
            Change::Rollback { to } => self.rollback(Some(*to), now).map(Some),
            Change::Pin { version, reason } => self.pin(Some(*version), reason, now).map(Some),
            Change::Remove { versions } => {
                versions.iter().try_for_each(|&version| self.remove(version).map(drop)).map(|()| None)
            }
        }
    }

    /// Adds a version that was just built and gives it a state: complete, or rejected by its checks or because the
    /// same content was rolled back before.
    ///
    /// A store that follows a topic takes the numbers from there, and so may get back one that it has deleted: it is the
    /// same build.
    pub(super) fn add(&mut self, version: u64, mut entry: VersionEntry) -> Result<State> {
        let given =
            if self.follows.is_some() { self.versions.contains_key(&version) } else { version < self.next_version };
        if given {
            return Err(Error::internal(format!("version {version} was already given")));
        }
        if let Some(bad) = self.rolled_back.iter().rev().find(|bad| bad.digest == entry.digest) {
            let again = format!("same content as version {}, which was rolled back at {}", bad.version, bad.at);
            entry.rejected = Some(entry.rejected.map_or(again.clone(), |checks| format!("{checks}; {again}")));
            entry.state = State::Rejected;
        }
        let state = entry.state;
        self.versions.insert(version, entry);
        self.next_version = self.next_version.max(version + 1);
        Ok(state)
    }

    /// Makes `version` the one readers see. Publishing the current version again changes nothing.
    ///
    /// # Errors
    /// `Invalid` for a version that does not exist, `Conflict` while another one is pinned, `Rejected` without `force`
    /// for a version that must not be published by itself.
    pub fn publish(&mut self, version: u64, force: bool, now: Timestamp) -> Result<Flip> {
        let entry = self.entry(version)?;
        if self.current == Some(version) {
            return Ok(Flip { from: self.current, to: version });
        }
        self.unpinned(&format!("version {version} is not published"))?;
        if !force {
            self.publishable(version, entry)?;
        }
        let digest = entry.digest;
        self.rolled_back.retain(|bad| bad.digest != digest);
        let flip = self.flip(version, State::Retired, now);
        let epoch = self.epoch + 1;
        if let Some(entry) = self.versions.get_mut(&version) {
            entry.published_at = Some(now);
            entry.published_epoch = Some(epoch);
        }
        Ok(flip)
    }

    /// Makes a version the one readers see because the topic that this store follows says so, whatever is thought of it
    /// here, and gives the one they leave the state `left`.
    ///
    /// # Errors
    /// `Invalid` for a version that does not exist, `Conflict` while another one is pinned.
    pub fn follow(&mut self, version: u64, left: State, now: Timestamp) -> Result<Flip> {
        self.entry(version)?;
        if self.current == Some(version) {
            return Ok(Flip { from: self.current, to: version });
        }
        self.unpinned(&format!("version {version} is not taken over"))?;
        let flip = self.flip(version, left, now);
        let epoch = self.epoch + 1;
        if let Some(entry) = self.versions.get_mut(&version) {
            entry.published_at = Some(now);
            entry.published_epoch = Some(epoch);
        }
        Ok(flip)
    }

    /// The version that a rollback would go to: `to`, or the last good one published before the current one.
    ///
    /// # Errors
    /// `Invalid` when there is none, or when `to` is not a good earlier version.
    pub fn rollback_target(&self, to: Option<u64>) -> Result<u64> {
        let Some((current, entry)) = self.current_entry() else {
            return Err(Error::invalid("nothing is published, so nothing can be rolled back"));
        };
        match to {
            Some(version) => self.good(version, current, "roll back to").map(|()| version),
            None => {
                let retired = self.versions.iter().filter(|(_, other)| other.state == State::Retired);
                let earlier = retired.filter(|(_, other)| other.published_epoch < entry.published_epoch);
                earlier.max_by_key(|(_, other)| other.published_epoch).map(|(&version, _)| version).ok_or_else(|| {
                    Error::invalid(format!(
                        "there is no good version before version {current} to roll back to; `cutover versions STORE` \
                         lists what there is, `cutover publish STORE N --force` publishes one of them by hand"
                    ))
                })
            }
        }
    }

    /// Takes readers back to `to`, or to the last good version before, and marks the one they leave as rolled back.
    ///
    /// # Errors
    /// As [`Current::rollback_target`]; `Conflict` while a version is pinned.
    pub fn rollback(&mut self, to: Option<u64>, now: Timestamp) -> Result<Flip> {
        let target = self.rollback_target(to)?;
        self.unpinned("nothing is rolled back")?;
        let left = self.current_entry().map(|(version, entry)| RolledBack { digest: entry.digest, version, at: now });
        let flip = self.flip(target, State::RolledBack, now);
        self.rolled_back.extend(left);
        let surplus = self.rolled_back.len().saturating_sub(REMEMBERED);
        self.rolled_back.drain(..surplus);
        Ok(flip)
    }

    /// Holds readers on `version`, or on the current one; a good earlier version becomes current first, and the one
    /// left for it stays good. Pinning the pinned version again replaces the reason.
    ///
    /// # Errors
    /// `Invalid` without a reason, without a published version, or for a version that is not good; `Conflict` while
    /// another one is pinned.
    pub fn pin(&mut self, version: Option<u64>, reason: &str, now: Timestamp) -> Result<Flip> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::invalid("a pin needs a reason: `--reason R` tells the next person why it is there"));
        }
        let Some(current) = self.current else {
            return Err(Error::invalid("nothing is published, so nothing can be pinned"));
        };
        let version = version.unwrap_or(current);
        let mut flip = Flip { from: Some(current), to: current };
        if version != current {
            self.unpinned(&format!("version {version} is not pinned"))?;
            self.good(version, current, "pin")?;
            flip = self.flip(version, State::Retired, now);
        }
        self.pin = Some(Pin { version, reason: reason.to_owned(), since: now });
        Ok(flip)
    }

    /// Lets publishes go ahead again. Readers stay where they are until the next one.
    ///
    /// # Errors
    /// `Invalid` when nothing is pinned.
    pub fn unpin(&mut self) -> Result<Pin> {
        self.pin.take().ok_or_else(|| Error::invalid("nothing is pinned"))
    }

    /// Forgets a version, so that its files can be deleted.
    ///
    /// # Errors
    /// `Invalid` for the current version and for one that does not exist.
    pub(super) fn remove(&mut self, version: u64) -> Result<VersionEntry> {
        self.entry(version)?;
        if self.current == Some(version) {
            return Err(Error::invalid(format!("version {version} is the current one and cannot be deleted")));
        }
        if let Some(ledger) = &mut self.kafka {
            ledger.streamed.remove(&version);
        }
        self.versions.remove(&version).ok_or_else(|| unknown(version))
    }

    /// Moves readers to `to`, a version that exists, and gives the one they leave the state `left`.
    fn flip(&mut self, to: u64, left: State, now: Timestamp) -> Flip {
        let from = self.current.replace(to);
        if let Some(entry) = from.and_then(|from| self.versions.get_mut(&from)) {
            entry.state = left;
            entry.retired_at = Some(now);
        }
        if let Some(entry) = self.versions.get_mut(&to) {
            entry.state = State::Published;
            entry.retired_at = None;
        }
        Flip { from, to }
    }

    fn entry(&self, version: u64) -> Result<&VersionEntry> {
        self.versions.get(&version).ok_or_else(|| unknown(version))
    }

    /// Fails while a version is pinned, saying what therefore does not happen.
    fn unpinned(&self, what: &str) -> Result<()> {
        let Some(pin) = &self.pin else { return Ok(()) };
        Err(Error::conflict(format!(
            "{what}: version {} is pinned since {} (reason: {}); `cutover unpin STORE` lets go of it",
            pin.version, pin.since, pin.reason
        )))
    }

    /// Fails when only force may publish `version`.
    fn publishable(&self, version: u64, entry: &VersionEntry) -> Result<()> {
        let forced = format!("`cutover publish STORE {version} --force` publishes it all the same");
        if let State::Rejected | State::RolledBack = entry.state {
            let why = entry.rejected.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            return Err(Error::rejected(format!("version {version} is {}{why}; {forced}", entry.state)));
        }
        if let Some(bad) = self.rolled_back.iter().rev().find(|bad| bad.digest == entry.digest) {
            return Err(Error::rejected(format!(
                "version {version} has the same content as version {}, which was rolled back at {}; {forced}",
                bad.version, bad.at
            )));
        }
        match self.current_entry() {
            Some((current, newer)) if newer.as_of > entry.as_of => Err(Error::rejected(format!(
                "version {version} is as of {}, older than the published version {current}, as of {}; {forced}",
                entry.as_of, newer.as_of
            ))),
            _ => Ok(()),
        }
    }

    /// Fails when `version` is not one that readers were once on and that nobody found bad.
    fn good(&self, version: u64, current: u64, to: &str) -> Result<()> {
        let state = self.entry(version)?.state;
        let way = match state {
            State::Retired => return Ok(()),
            State::Published => format!("readers already see it (version {current} is the current one)"),
            State::Complete => format!("it was never published; `cutover publish STORE {version}` does that"),
            State::Rejected | State::RolledBack => {
                format!("`cutover publish STORE {version} --force` publishes it all the same")
            }
        };
        Err(Error::invalid(format!("cannot {to} version {version}, which is {state}: {way}")))
    }
}

fn unknown(version: u64) -> Error {
    Error::invalid(format!("there is no version {version}; `cutover versions STORE` lists what there is"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{at, commit, entry, store_of};
    use crate::error::Kind;

    fn state(current: &Current, version: u64) -> State {
        current.versions[&version].state
    }

    fn kind<T>(result: Result<T>) -> Kind {
        result.err().map(|error| error.kind()).unwrap()
    }

    /// Three versions, each published after the other.
    fn published() -> Current {
        let mut current = store_of(3);
        for version in 1..=3 {
            commit(&mut current, |c| c.publish(version, false, at(10))).unwrap();
        }
        current
    }

    #[test]
    fn a_publish_retires_the_one_before() {
        let mut current = store_of(2);
        assert_eq!(current.publish(1, false, at(10)).unwrap(), Flip { from: None, to: 1 });
        assert_eq!(current.publish(2, false, at(20)).unwrap(), Flip { from: Some(1), to: 2 });
        assert_eq!((state(&current, 1), state(&current, 2)), (State::Retired, State::Published));
        assert_eq!(current.versions[&1].retired_at, Some(at(20)));
        let before = current.clone();
        assert_eq!(current.publish(2, false, at(30)).unwrap(), Flip { from: Some(2), to: 2 });
        assert_eq!(current, before, "publishing it again changes nothing");
        assert_eq!(kind(current.publish(9, true, at(30))), Kind::Invalid);
    }

    #[test]
    fn older_data_does_not_replace_newer_without_force() {
        let mut current = published();
        let error = current.publish(2, false, at(20)).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        assert!(error.message().contains("`cutover publish STORE 2 --force`"), "{error}");
        assert_eq!(current.publish(2, true, at(20)).unwrap().to, 2);
        commit(&mut current, |c| c.add(4, entry(2, "same time"))).unwrap();
        assert_eq!(current.publish(4, false, at(20)).unwrap().to, 4, "the same time is not older");
    }

    #[test]
    fn a_rejected_version_needs_force() {
        let mut current = published();
        let mut bad = entry(4, "bad");
        (bad.state, bad.rejected) = (State::Rejected, Some("rows.min: expected 10, found 1".into()));
        assert_eq!(commit(&mut current, |c| c.add(4, bad)).unwrap(), State::Rejected);
        let error = current.publish(4, false, at(20)).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        assert!(error.message().contains("rows.min: expected 10, found 1"), "{error}");
        assert!(error.message().contains("`cutover publish STORE 4 --force`"), "{error}");
        assert_eq!(state(&current, 3), State::Published);
        assert_eq!(current.publish(4, true, at(20)).unwrap(), Flip { from: Some(3), to: 4 });
    }

    #[test]
    fn two_bad_ones_in_a_row_roll_back_to_the_last_good_one() {
        let mut current = published();
        commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
        assert_eq!((current.current, state(&current, 3)), (Some(2), State::RolledBack));
        commit(&mut current, |c| c.add(4, entry(4, "also bad"))).unwrap();
        commit(&mut current, |c| c.publish(4, false, at(30))).unwrap();
        assert_eq!(commit(&mut current, |c| c.rollback(None, at(40))).unwrap(), Flip { from: Some(4), to: 2 });
        assert_eq!(commit(&mut current, |c| c.rollback(None, at(50))).unwrap(), Flip { from: Some(2), to: 1 });
        let error = commit(&mut current, |c| c.rollback(None, at(60))).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains("`cutover publish STORE N --force`"), "{error}");
    }

    #[test]
    fn a_rollback_never_goes_forward_by_itself() {
        let mut current = published();
        commit(&mut current, |c| c.rollback(Some(1), at(20))).unwrap();
        assert_eq!(state(&current, 2), State::Retired, "skipped, not condemned");
        assert_eq!(kind(current.rollback(None, at(30))), Kind::Invalid, "2 was published after 1");
        assert_eq!(current.rollback(Some(2), at(30)).unwrap(), Flip { from: Some(1), to: 2 });
    }

    #[test]
    fn a_rollback_goes_only_to_good_versions_and_says_why_not() {
        let mut current = published();
        commit(&mut current, |c| c.add(4, entry(4, "new"))).unwrap();
        commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
        for (to, way) in [
            (2, "already see it"),
            (3, "`cutover publish STORE 3 --force`"),
            (4, "`cutover publish STORE 4`"),
            (9, "`cutover versions STORE`"),
        ] {
            let error = current.rollback(Some(to), at(30)).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().contains(way), "{error}");
        }
        assert_eq!(kind(store_of(1).rollback(None, at(10))), Kind::Invalid);
    }

    #[test]
    fn a_rolled_back_version_stays_out_and_so_does_its_content() {
        let mut current = published();
        commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
        assert_eq!(kind(current.publish(3, false, at(30))), Kind::Rejected);
        let again = current.versions[&3].clone();
        let again = VersionEntry { state: State::Complete, published_epoch: None, ..again };
        assert_eq!(commit(&mut current, |c| c.add(4, again.clone())).unwrap(), State::Rejected);
        assert!(current.versions[&4].rejected.as_ref().unwrap().contains("same content as version 3"));
        commit(&mut current, |c| c.remove(3)).unwrap();
        assert_eq!(commit(&mut current, |c| c.add(5, again.clone())).unwrap(), State::Rejected, "also once deleted");
        commit(&mut current, |c| c.publish(4, true, at(40))).unwrap();
        assert_eq!(commit(&mut current, |c| c.add(6, again)).unwrap(), State::Complete, "somebody found it good");
    }

    #[test]
    fn a_version_that_waits_while_its_content_is_rolled_back_stays_out() {
        let mut current = published();
        for version in [4, 5] {
            assert_eq!(commit(&mut current, |c| c.add(version, entry(4, "bad"))).unwrap(), State::Complete);
        }
        commit(&mut current, |c| c.publish(4, false, at(20))).unwrap();
        commit(&mut current, |c| c.rollback(None, at(30))).unwrap();
        let error = current.publish(5, false, at(40)).unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        assert!(error.message().contains("same content as version 4, which was rolled back"), "{error}");
        assert_eq!(current.publish(5, true, at(40)).unwrap().to, 5);
    }

    #[test]
    fn a_pin_holds_readers_until_it_is_taken_off() {
        let mut current = published();
        commit(&mut current, |c| c.add(4, entry(4, "new"))).unwrap();
        assert_eq!(kind(current.pin(None, "  ", at(20))), Kind::Invalid);
        commit(&mut current, |c| c.pin(None, "incident 7", at(20))).unwrap();
        for held in [
            current.publish(4, true, at(30)),
            current.rollback(None, at(30)),
            current.rollback(Some(1), at(30)),
            current.pin(Some(2), "other", at(30)),
        ] {
            let error = held.unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict);
            assert!(error.message().contains("incident 7") && error.message().contains("cutover unpin"), "{error}");
        }
        commit(&mut current, |c| c.pin(Some(3), "incident 8", at(40))).unwrap();
        assert_eq!(commit(&mut current, Current::unpin).unwrap().reason, "incident 8");
        assert_eq!(kind(current.unpin()), Kind::Invalid);
        assert_eq!(current.publish(4, false, at(50)).unwrap().to, 4);
    }

    #[test]
    fn a_pin_on_an_earlier_good_version_takes_readers_there_and_condemns_nothing() {
        let mut current = published();
        assert_eq!(commit(&mut current, |c| c.pin(Some(1), "r", at(20))).unwrap(), Flip { from: Some(3), to: 1 });
        assert_eq!(state(&current, 3), State::Retired);
        commit(&mut current, Current::unpin).unwrap();
        assert_eq!(current.publish(3, false, at(30)).unwrap().to, 3);
        assert_eq!(kind(store_of(1).pin(Some(1), "r", at(10))), Kind::Invalid, "nothing is published");
    }

    #[test]
    fn the_current_version_cannot_be_removed() {
        let mut current = published();
        assert_eq!(kind(current.remove(3)), Kind::Invalid);
        assert_eq!(kind(current.remove(9)), Kind::Invalid);
        current.remove(1).unwrap();
        assert_eq!(kind(current.add(1, entry(1, "again"))), Kind::Internal, "numbers are never used again");
    }

    #[test]
    fn so_many_rolled_back_contents_are_remembered_and_no_more() {
        let mut current = store_of(1);
        commit(&mut current, |c| c.publish(1, false, at(1))).unwrap();
        for version in 2..=(REMEMBERED as u64 + 10) {
            commit(&mut current, |c| c.add(version, entry(version as i64, &version.to_string()))).unwrap();
            commit(&mut current, |c| c.publish(version, false, at(2))).unwrap();
            commit(&mut current, |c| c.rollback(None, at(3))).unwrap();
        }
        assert_eq!(current.current, Some(1));
        assert_eq!(current.rolled_back.len(), REMEMBERED);
        assert_eq!(current.rolled_back.last().unwrap().version, REMEMBERED as u64 + 10);
    }
}
