//! Which versions may be deleted.
//!
//! A version is kept when any of these holds:
//! 1. readers are on it (a pin is always on that version);
//! 2. it is good (published or retired) and among the newest `keep` of those, in the order of their publishes;
//! 3. it is complete, among the newest `keep` of those, and may still be published: its number is above the current
//!    one's, or it was staged and built less than [`KEPT_FOR_INSPECTION`] ago;
//! 4. it is bad (rejected, rolled back), among the newest `keep` of those, and may still be inspected: its number is
//!    above the current one's, or it was last in use less than [`KEPT_FOR_INSPECTION`] ago;
//! 5. it was last in use less than `keep_for` ago.
//!
//! A version was last in use when readers left it, or when it was built if they never saw it. Bad versions never
//! displace good ones, and builds that wait behind a pin cannot fill the disk.
//!
//! Not for: deleting anything (`gc`).

use crate::format::{Current, Retention, State, VersionEntry};
use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

/// How long a staged version can still be published, and a bad one inspected, after a newer one is published.
pub const KEPT_FOR_INSPECTION: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Current {
    /// The versions that `retention` no longer keeps at `now`, oldest first.
    pub fn expired(&self, retention: &Retention, now: Timestamp) -> Vec<u64> {
        let keep = retention.keep as usize;
        let of = |wanted: fn(&VersionEntry) -> bool| {
            self.versions.iter().rev().filter(move |(_, entry)| wanted(entry)).map(|(&version, entry)| (version, entry))
        };
        let mut good: Vec<_> = of(|entry| entry.state.is_good()).collect();
        good.sort_by_key(|(version, entry)| Reverse((entry.published_epoch, *version)));
        let newer = |version: u64| self.current.is_none_or(|current| version > current);
        let used = |entry: &VersionEntry, age| now.duration_since(entry.last_use()) < age;
        let waits = of(|entry| entry.state == State::Complete)
            .take(keep)
            .filter(|(version, entry)| newer(*version) || entry.staged && used(entry, KEPT_FOR_INSPECTION));
        let bad = of(|entry| entry.state.is_bad())
            .take(keep)
            .filter(|(version, entry)| newer(*version) || used(entry, KEPT_FOR_INSPECTION));
        let kept: Vec<u64> = good.into_iter().take(keep).chain(waits).chain(bad).map(|(version, _)| version).collect();
        let age = retention.keep_for.map(|age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX));
        let proposed = self.candidate.as_ref().map(|candidate| candidate.version);
        let young = |entry: &VersionEntry| age.is_some_and(|age| used(entry, age));
        let expired = self
            .versions
            .iter()
            .filter(|(version, _)| ![self.current, proposed].contains(&Some(**version)))
            .filter(|(version, entry)| !kept.contains(version) && !young(entry));
        expired.map(|(&version, _)| version).collect()
    }
}

impl VersionEntry {
    /// When readers left it, or when it was built if they never saw it.
    fn last_use(&self) -> Timestamp {
        self.retired_at.unwrap_or(self.created_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::fixture::{at, commit, everything, nothing, store_of};

    fn keep(keep: u32, seconds: Option<u64>) -> Retention {
        Retention { keep, keep_for: seconds.map(Duration::from_secs) }
    }

    /// More than a week after everything else.
    fn late() -> Timestamp {
        at(KEPT_FOR_INSPECTION.as_secs() + 10_000)
    }

    fn published(versions: u64) -> Current {
        let mut current = store_of(versions);
        for version in 1..=versions {
            commit(&mut current, |c| c.publish(version, &nothing(), at(version as i64 * 100))).unwrap();
        }
        current
    }

    #[test]
    fn the_newest_good_versions_are_kept() {
        let current = published(5);
        assert_eq!(current.expired(&keep(3, None), late()), [1, 2]);
        assert_eq!(current.expired(&keep(0, None), late()), [1, 2, 3, 4], "never the current one");
    }

    #[test]
    fn keep_for_counts_from_when_readers_left() {
        let current = published(3); // 1 was left at 200, 2 at 300
        assert_eq!(current.expired(&keep(1, Some(50)), at(310)), [1]);
        assert_eq!(current.expired(&keep(1, Some(50)), at(400)), [1, 2]);
        assert_eq!(current.expired(&keep(1, Some(u64::MAX)), at(400)), [] as [u64; 0]);
    }

    #[test]
    fn bad_and_staged_versions_are_kept_for_a_week_even_if_a_newer_one_is_published() {
        let mut current = published(3); // built at 1 to 3
        commit(&mut current, |c| c.rollback(None, at(500))).unwrap(); // 3 is bad, readers are on 2
        for (version, staged) in [(4, true), (5, false), (6, false)] {
            let new = VersionEntry { staged, ..crate::catalog::fixture::entry(version, "new") };
            commit(&mut current, |c| c.add(version as u64, new)).unwrap();
        }
        commit(&mut current, |c| c.publish(6, &nothing(), at(600))).unwrap();
        let week = KEPT_FOR_INSPECTION.as_secs();
        assert_eq!(current.expired(&keep(3, None), at(700)), [5], "3 to be inspected, 4 to be published");
        assert_eq!(current.expired(&keep(3, None), at(week + 100)), [4, 5]);
        assert_eq!(current.expired(&keep(3, None), at(week + 501)), [3, 4, 5]);
        assert_eq!(current.expired(&keep(0, None), at(700)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn bad_versions_displace_no_good_ones_and_are_deleted_once_a_newer_one_is_published() {
        let mut current = published(4);
        commit(&mut current, |c| c.rollback(None, at(500))).unwrap(); // 4 is bad, readers are on 3
        assert_eq!(current.expired(&keep(2, None), late()), [1]);
        let entry = current.versions[&1].clone();
        for version in 5..=7 {
            let mut entry = entry.clone();
            entry.state = crate::format::State::Complete;
            entry.published_epoch = None;
            current.add(version, entry).unwrap();
        }
        assert_eq!(current.expired(&keep(2, None), late()), [1, 5], "the newest two wait, and the bad one");
        commit(&mut current, |c| c.publish(7, &everything(), at(600))).unwrap();
        assert_eq!(current.expired(&keep(2, None), late()), [1, 2, 4, 5, 6]);
    }
}
