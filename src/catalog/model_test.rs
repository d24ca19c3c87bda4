//! Model test: random histories of a store against a simple model and invariants that hold after every step.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{at, commit, entry};
use crate::error::Kind;
use crate::format::{Allow, Allowed, Current, Retention, State, VersionEntry};

#[derive(Clone, Debug)]
enum Op {
    Add { as_of: i64, stated: bool, content: u8, failed: bool, staged: bool },
    Publish { version: u64, allow: Allowed },
    Rollback { to: Option<u64> },
    Pin { version: Option<u64> },
    Unpin,
    Gc { keep: u32, keep_for: Option<u64> },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let version = || 1..12_u64;
    let op = prop_oneof![
        4 => (0..20_i64, prop::bool::weighted(0.6), 0..5_u8, prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(as_of, stated, content, failed, staged)| Op::Add { as_of, stated, content, failed, staged }),
        4 => (version(), allowed()).prop_map(|(version, allow)| Op::Publish { version, allow }),
        2 => prop::option::of(version()).prop_map(|to| Op::Rollback { to }),
        1 => prop::option::of(version()).prop_map(|version| Op::Pin { version }),
        2 => Just(Op::Unpin),
        1 => (0..3_u32, prop::option::of(0..20_u64)).prop_map(|(keep, keep_for)| Op::Gc { keep, keep_for }),
    ];
    prop::collection::vec(op, 1..60)
}

/// No kind, some or all of them.
fn allowed() -> impl Strategy<Value = Allowed> {
    let kinds: Vec<Allow> = Allow::all().collect();
    prop_oneof![
        2 => Just(Allowed::new()),
        1 => prop::sample::subsequence(kinds, 0..4).prop_map(|kinds| kinds.into_iter().collect()),
        1 => Just(Allow::all().collect::<Allowed>()),
    ]
}

/// The expected state, derived from the commands alone.
#[derive(Default)]
struct Model {
    /// Versions found bad by a check, a rollback or equal content, and not allowed by name since, with the kind.
    bad: BTreeMap<u64, Allow>,
    /// Versions that readers were sent to by a publish.
    served: Vec<u64>,
}

impl Model {
    fn step(&mut self, current: &mut Current, op: &Op, now: i64) {
        let before = current.clone();
        let outcome = match op {
            Op::Add { as_of, stated, content, failed, staged } => {
                self.add(current, (*as_of, *stated), *content, *failed, *staged)
            }
            Op::Publish { version, allow } => self.publish(current, *version, allow, now),
            Op::Rollback { to } => self.rollback(current, *to, now),
            Op::Pin { version } => commit(current, |c| c.pin(*version, "why", at(now))).map(drop),
            Op::Unpin => commit(current, Current::unpin).map(drop),
            Op::Gc { keep, keep_for } => {
                let retention = Retention { keep: *keep, keep_for: keep_for.map(Duration::from_secs) };
                let expired = current.expired(&retention, at(now));
                commit(current, |c| expired.iter().try_for_each(|&version| c.remove(version).map(drop))).unwrap();
                let good = current.versions.values().filter(|entry| entry.state.is_good()).count();
                let waits = |entry: &VersionEntry| entry.state == State::Complete && entry.staged;
                let kept = current.versions.values().filter(|entry| waits(entry)).count();
                let complete = before.versions.values().filter(|entry| entry.state == State::Complete).count();
                let staged = before.versions.values().filter(|entry| waits(entry)).count();
                assert!(complete > staged || kept >= staged.min(*keep as usize), "staged ones wait a week");
                let bad = current.versions.values().filter(|entry| entry.state.is_bad()).count();
                let were = before.versions.values().filter(|entry| entry.state.is_bad()).count();
                assert!(bad >= were.min(*keep as usize), "bad ones can be inspected for a week");
                let had = before.versions.values().filter(|entry| entry.state.is_good()).count();
                assert!(good >= had.min(*keep as usize), "retention keeps at least {keep} good ones");
                Ok(())
            }
        };
        if outcome.is_err() {
            assert_eq!(*current, before, "what fails changes nothing: {op:?}");
        }
        if before.pin.is_some() {
            assert_eq!(current.current, before.current, "a pin holds: {op:?}");
        }
        assert!(current.next_version >= before.next_version);
        if let Some(version) = current.current {
            assert_eq!(current.versions[&version].state, State::Published);
            assert!(!self.bad.contains_key(&version), "readers are on bad version {version} after {op:?}");
            assert!(self.served.contains(&version), "readers are on {version}, which was never published");
        }
    }

    fn add(
        &mut self,
        current: &mut Current,
        (as_of, stated): (i64, bool),
        content: u8,
        failed: bool,
        staged: bool,
    ) -> crate::error::Result<()> {
        let version = current.next_version;
        let mut new = entry(as_of, &content.to_string());
        (new.as_of_stated, new.staged) = (stated, staged);
        if failed {
            (new.state, new.rejected, new.failed) =
                (State::Rejected, Some("check".to_owned().into()), vec![Allow::Rows]);
        }
        let good = current.versions.values().any(|entry| entry.state.is_good() && entry.digest == new.digest);
        let condemned = !good && current.rolled_back.iter().any(|bad| bad.digest == new.digest);
        let state = commit(current, |c| c.add(version, new))?;
        assert_eq!(state == State::Rejected, failed || condemned);
        if state == State::Rejected {
            self.bad.insert(version, if failed { Allow::Rows } else { Allow::RolledBack });
        }
        Ok(())
    }

    fn publish(&mut self, current: &mut Current, version: u64, allow: &Allowed, now: i64) -> crate::error::Result<()> {
        let known = current.versions.get(&version).cloned();
        let shown = current.current_entry().map(|(live, entry)| (live, entry.clone()));
        let same = current.current == Some(version);
        let pinned = current.pin.is_some() && !same;
        let flip = commit(current, |c| c.publish(version, allow, at(now)));
        match &flip {
            Ok(_) => {
                assert!(!pinned);
                let kind = self.bad.remove(&version);
                assert!(kind.is_none_or(|kind| allow.contains(&kind)), "{kind:?} was not allowed");
                if let (Some(known), Some((live, shown)), false) = (known, shown, same) {
                    let older = match (known.as_of_stated, shown.as_of_stated) {
                        (true, true) => known.as_of < shown.as_of,
                        (_, false) => version < live,
                        (false, true) => false,
                    };
                    let undated = shown.as_of_stated && !known.as_of_stated;
                    assert!(!older || allow.contains(&Allow::Older), "never backwards by accident");
                    assert!(!undated || allow.contains(&Allow::Undated), "never from a stated time to none");
                }
                self.served.push(version);
            }
            Err(error) => match error.kind() {
                Kind::Invalid => assert_eq!(known, None),
                Kind::Conflict => assert!(pinned),
                Kind::Rejected => assert!(*allow != Allow::all().collect::<Allowed>() && !pinned),
                other => panic!("{other:?}"),
            },
        }
        flip.map(drop)
    }

    fn rollback(&mut self, current: &mut Current, to: Option<u64>, now: i64) -> crate::error::Result<()> {
        let flip = commit(current, |c| c.rollback(to, at(now)))?;
        assert_ne!(flip.from, Some(flip.to));
        self.bad.extend(flip.from.map(|left| (left, Allow::RolledBack)));
        assert!(flip.from.is_some_and(|left| current.versions[&left].state == State::RolledBack));
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_history_puts_readers_on_a_bad_version(ops in ops()) {
        let mut current = Current::new("views");
        let mut model = Model::default();
        for (step, op) in ops.iter().enumerate() {
            model.step(&mut current, op, step as i64);
        }
    }
}
