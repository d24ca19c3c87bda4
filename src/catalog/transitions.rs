//! The state transitions of versions: pure functions on [`Current`], without disk or clock.
//!
//! - A version that `publish_rules` refuses is published only if the kind of every reason is allowed by name.
//! - A rollback moves back along the order of publishes to the last version that is still good, and marks the one it
//!   leaves as rolled back. It records that version's digest, unless a good version has the same: a new build with a
//!   recorded digest is rejected when it is added.
//! - While a pin is set, no flip happens, whatever is allowed.
//!
//! A function that fails changes nothing. Messages name the next command to run.
//!
//! Not for: whether the files of a version are intact; `publish` checks them before the flip.

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::escape::escaped;
use crate::format::{
    Allow, Allowed, Candidate, Change, Current, Pin, Reasons, RolledBack, State, VersionEntry, allow_flag, shown_time,
};

/// How many rolled-back contents are remembered; the oldest are forgotten first.
const MAX_ROLLED_BACK: usize = 256;

/// What a change did to the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The version they saw before; `None` when there was none.
    pub from: Option<u64>,
    /// The version they see now; equal to `from` when nothing changed for them.
    pub to: u64,
}

impl Current {
    /// Applies a change; returns no flip when the change does not concern readers.
    ///
    /// # Errors
    /// As [`Current::publish`], [`Current::rollback`] and [`Current::pin`]; `Invalid` when the change forgets the
    /// current version or one that does not exist.
    pub fn apply(&mut self, change: &Change, now: Timestamp) -> Result<Option<Flip>> {
        match change {
            Change::Publish { version, allow } => self.publish(*version, allow, now).map(Some),
            Change::Rollback { to } => self.rollback(Some(*to), now).map(Some),
            Change::Pin { version, reason } => self.pin(Some(*version), reason, now).map(Some),
            Change::Remove { versions } => {
                versions.iter().try_for_each(|&version| self.remove(version).map(drop)).map(|()| None)
            }
        }
    }

    /// Adds a version that was just built and sets its state: complete, or rejected by its checks or because the same
    /// content was rolled back before.
    ///
    /// A store that follows a topic uses the announced numbers, and may add a number again that it has deleted: it is
    /// the same build.
    pub(super) fn add(&mut self, version: u64, mut entry: VersionEntry) -> Result<State> {
        let given =
            if self.follows.is_some() { self.versions.contains_key(&version) } else { version < self.next_version };
        if given {
            return Err(Error::internal(format!("version number {version} is already taken")));
        }
        if let Some(bad) = self.banned(&entry) {
            let again =
                format!("same content as version {}, which was rolled back at {}", bad.version, shown_time(bad.at));
            entry.failed.push(Allow::RolledBack);
            entry.rejected = match entry.rejected {
                Some(checks) => Some(checks.and(again)),
                None => Some(Reasons::from(again)),
            };
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
    /// `Invalid` for a version that does not exist, `Conflict` while another one is pinned, `Rejected` when it is
    /// refused for a reason whose kind `allow` does not contain.
    pub fn publish(&mut self, version: u64, allow: &Allowed, now: Timestamp) -> Result<Flip> {
        let entry = self.entry(version)?;
        if self.current == Some(version) {
            return Ok(Flip { from: self.current, to: version });
        }
        self.ensure_unpinned(&format!("version {version} is not published"))?;
        self.ensure_publishable(version, entry, allow)?;
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

    /// Makes a version the candidate: hosts fetch it, and canary hosts serve it if `canary` is set.
    ///
    /// # Errors
    /// As [`Current::publish`]; `Invalid` for the version that readers see already.
    pub fn propose(&mut self, version: u64, canary: bool, allow: &Allowed, now: Timestamp) -> Result<()> {
        let entry = self.entry(version)?;
        if self.current == Some(version) {
            return Err(Error::invalid(format!("readers see version {version} already")));
        }
        self.ensure_unpinned(&format!("version {version} does not become the candidate"))?;
        self.ensure_publishable(version, entry, allow)?;
        self.candidate = Some(Candidate { version, canary, since: now });
        Ok(())
    }

    /// Ends a candidate: canary hosts go back to the version that readers see.
    ///
    /// # Errors
    /// `Invalid` if the version is none.
    pub fn withdraw(&mut self, version: u64) -> Result<()> {
        match self.candidate.take_if(|candidate| candidate.version == version) {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!("version {version} is not the candidate; nothing is withdrawn"))),
        }
    }

    /// Makes a version the one readers see because the topic that this store follows announced it, without the rules
    /// for publishing, and sets the state of the version they leave to `left`.
    ///
    /// # Errors
    /// `Invalid` for a version that does not exist, `Conflict` while another one is pinned.
    pub fn follow(&mut self, version: u64, left: State, now: Timestamp) -> Result<Flip> {
        self.entry(version)?;
        if self.current == Some(version) {
            return Ok(Flip { from: self.current, to: version });
        }
        self.ensure_unpinned(&format!("version {version} is not installed"))?;
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
                         lists the versions, `cutover publish STORE N` publishes one of them by hand and says what \
                         must be allowed for it"
                    ))
                })
            }
        }
    }

    /// Moves readers back to `to`, or to the last good version before, and marks the one they leave as rolled back.
    ///
    /// # Errors
    /// As [`Current::rollback_target`]; `Conflict` while a version is pinned.
    pub fn rollback(&mut self, to: Option<u64>, now: Timestamp) -> Result<Flip> {
        let target = self.rollback_target(to)?;
        self.ensure_unpinned("nothing is rolled back")?;
        let left = self.current_entry().map(|(version, entry)| RolledBack { digest: entry.digest, version, at: now });
        let flip = self.flip(target, State::RolledBack, now);
        self.rolled_back.extend(left.filter(|left| !self.has_good(left.digest)));
        let surplus = self.rolled_back.len().saturating_sub(MAX_ROLLED_BACK);
        self.rolled_back.drain(..surplus);
        Ok(flip)
    }

    /// Holds readers on `version`, or on the current one. Another good version becomes current first, and the one that
    /// readers leave stays good. Pinning the pinned version again replaces the reason.
    ///
    /// # Errors
    /// `Invalid` without a reason, without a published version, or for a version that is not good; `Conflict` while
    /// another one is pinned.
    pub fn pin(&mut self, version: Option<u64>, reason: &str, now: Timestamp) -> Result<Flip> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::invalid("a pin needs a reason: `--reason R` records it for other users"));
        }
        let Some(current) = self.current else {
            return Err(Error::invalid("nothing is published, so nothing can be pinned"));
        };
        let version = version.unwrap_or(current);
        let mut flip = Flip { from: Some(current), to: current };
        if version != current {
            self.ensure_unpinned(&format!("version {version} is not pinned"))?;
            self.good(version, current, "pin")?;
            flip = self.flip(version, State::Retired, now);
        }
        self.pin = Some(Pin { version, reason: reason.to_owned(), since: now });
        Ok(flip)
    }

    /// Removes the pin. Readers stay on the version until the next publish.
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
        if let Some(ledger) = &mut self.targets.kafka {
            ledger.streamed.remove(&version);
        }
        self.candidate.take_if(|candidate| candidate.version == version);
        self.versions.remove(&version).ok_or_else(|| unknown(version))
    }

    /// Moves readers to `to`, a version that exists, and sets the state of the one they leave to `left`.
    fn flip(&mut self, to: u64, left: State, now: Timestamp) -> Flip {
        self.candidate = None;
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

    /// Fails while a version is pinned; `what` says what was not done.
    fn ensure_unpinned(&self, what: &str) -> Result<()> {
        let Some(pin) = &self.pin else { return Ok(()) };
        Err(Error::conflict(format!(
            "{what}: version {} is pinned since {} (reason: {}); `cutover unpin STORE` removes the pin",
            pin.version,
            shown_time(pin.since),
            escaped(&pin.reason)
        )))
    }

    /// Fails unless `version` was published before and is not bad.
    fn good(&self, version: u64, current: u64, to: &str) -> Result<()> {
        let entry = self.entry(version)?;
        let state = entry.state;
        let way = match state {
            State::Retired => return Ok(()),
            State::Published => format!("readers already see it (version {current} is the current one)"),
            State::Complete => format!("it was never published; `cutover publish STORE {version}` does that"),
            State::Rejected | State::RolledBack => {
                let flag = allow_flag(self.refusals(version, entry).into_iter().map(|refusal| refusal.allow));
                format!("`cutover publish STORE {version} {flag}` publishes it anyway")
            }
        };
        Err(Error::invalid(format!("cannot {to} version {version}, which is {state}: {way}")))
    }
}

fn unknown(version: u64) -> Error {
    Error::invalid(format!("there is no version {version}; `cutover versions STORE` lists those that exist"))
}

#[cfg(test)]
mod tests;
