//! The rules by which a publish is refused: they compare a version with the one that readers see.
//!
//! | condition | kind of the refusal |
//! |---|---|
//! | a check failed when it was built | the check's kind |
//! | it was rolled back, or its content was and no good version has the same content | `rolled-back` |
//! | its stated `as_of` is before the stated one that readers see | `older` |
//! | it states none, and what readers see does | `undated` |
//! | what readers see states none, and its own number is smaller | `older` |
//!
//! Only stated times are compared: the clock time of a build says nothing about its data, so a clock that was set back
//! or ran ahead blocks no publish.
//!
//! Not for: changing anything (`transitions`).

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::format::{
    Allow, Allowed, Current, RolledBack, State, VersionEntry, allow_flag, shown_date_or_time, shown_time,
};

/// One reason, and the kind that allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub allow: Allow,
    /// The reason, phrased to follow the words "version 3".
    pub why: String,
}

impl Current {
    /// All reasons for which `version` is not published automatically.
    pub fn refusals(&self, version: u64, entry: &VersionEntry) -> Vec<Refusal> {
        let refusal = |allow, why: &str| Refusal { allow, why: why.to_owned() };
        let mut refusals = Vec::new();
        let said = entry.rejected.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        match entry.state {
            State::Rejected if entry.failed.is_empty() => {
                refusals.push(refusal(Allow::Rejected, &format!("is rejected{said}")));
            }
            State::Rejected => {
                refusals.extend(entry.failed.iter().map(|&kind| refusal(kind, &format!("is rejected{said}"))));
            }
            State::RolledBack => refusals.push(refusal(Allow::RolledBack, &format!("is rolled back{said}"))),
            State::Complete | State::Retired | State::Published => {}
        }
        if refusals.iter().all(|refusal| refusal.allow != Allow::RolledBack)
            && let Some(bad) = self.banned(entry)
        {
            let why = format!(
                "has the same content as version {}, which was rolled back at {}",
                bad.version,
                shown_time(bad.at)
            );
            refusals.push(refusal(Allow::RolledBack, &why));
        }
        refusals.extend(self.out_of_order(version, entry.dated()));
        refusals
    }

    /// Why a version of this number and stated `as_of` must not replace the one that readers see.
    pub fn out_of_order(&self, version: u64, as_of: Option<Timestamp>) -> Option<Refusal> {
        let (current, live) = self.current_entry()?;
        match (live.dated(), as_of) {
            (Some(newer), Some(older)) if older < newer => Some(Refusal {
                allow: Allow::Older,
                why: format!(
                    "is as of {}, older than version {current}, which readers see, as of {}",
                    shown_date_or_time(older),
                    shown_date_or_time(newer)
                ),
            }),
            (Some(known), None) => Some(Refusal {
                allow: Allow::Undated,
                why: format!(
                    "does not state the time its data is as of, and version {current}, which readers see, is as of \
                     {}: set `as_of` in the job, or give --as-of",
                    shown_date_or_time(known)
                ),
            }),
            (None, _) if version < current => Some(Refusal {
                allow: Allow::Older,
                why: format!("is an earlier build than version {current}, which readers see and which states no as_of"),
            }),
            _ => None,
        }
    }

    /// The rollback that bans the content of a version: none if a good version has the same content.
    pub(super) fn banned(&self, entry: &VersionEntry) -> Option<&RolledBack> {
        let good = self.has_good(entry.digest);
        self.rolled_back.iter().rev().find(|bad| !good && bad.digest == entry.digest)
    }

    /// Fails when `version` is refused for a reason whose kind `allowed` does not contain.
    pub(super) fn ensure_publishable(&self, version: u64, entry: &VersionEntry, allowed: &Allowed) -> Result<()> {
        let refusals = self.refusals(version, entry);
        let flag = allow_flag(refusals.iter().map(|refusal| refusal.allow));
        let mut why: Vec<&str> =
            refusals.iter().filter(|it| !allowed.contains(&it.allow)).map(|it| it.why.as_str()).collect();
        why.dedup();
        if why.is_empty() {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "version {version} {}; `cutover publish STORE {version} {flag}` publishes it anyway",
            why.join("; it ")
        )))
    }
}

impl VersionEntry {
    /// The time its data is as of, if that was stated.
    pub fn dated(&self) -> Option<Timestamp> {
        self.as_of_stated.then_some(self.as_of)
    }
}
