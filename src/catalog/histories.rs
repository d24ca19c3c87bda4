//! Random histories of a store against what must hold after every step, whatever the order of commands.

use std::time::Duration;

use proptest::prelude::*;

use super::current::{Current, State};
use super::fixture::{at, commit, entry};
use crate::error::Kind;
use crate::job::Retention;

#[derive(Clone, Debug)]
enum Op {
    Add { as_of: i64, content: u8, failed: bool },
    Publish { version: u64, force: bool },
    Rollback { to: Option<u64> },
    Pin { version: Option<u64> },
    Unpin,
    Gc { keep: u32, keep_for: Option<u64> },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let version = || 1..12_u64;
    let op = prop_oneof![
        4 => (0..20_i64, 0..5_u8, prop::bool::weighted(0.2))
            .prop_map(|(as_of, content, failed)| Op::Add { as_of, content, failed }),
        4 => (version(), prop::bool::weighted(0.3)).prop_map(|(version, force)| Op::Publish { version, force }),
        2 => prop::option::of(version()).prop_map(|to| Op::Rollback { to }),
        1 => prop::option::of(version()).prop_map(|version| Op::Pin { version }),
        2 => Just(Op::Unpin),
        1 => (0..3_u32, prop::option::of(0..20_u64)).prop_map(|(keep, keep_for)| Op::Gc { keep, keep_for }),
    ];
    prop::collection::vec(op, 1..60)
}

/// What a person who watched every command would know.
#[derive(Default)]
struct Model {
    /// Versions that some check, rollback or equal content condemned, and nobody forced since.
    bad: Vec<u64>,
    /// Versions that readers were sent to by a publish.
    served: Vec<u64>,
}

impl Model {
    fn step(&mut self, current: &mut Current, op: &Op, now: i64) {
        let before = current.clone();
        let outcome = match op {
            Op::Add { as_of, content, failed } => self.add(current, *as_of, *content, *failed),
            Op::Publish { version, force } => self.publish(current, *version, *force, now),
            Op::Rollback { to } => self.rollback(current, *to, now),
            Op::Pin { version } => commit(current, |c| c.pin(*version, "why", at(now))).map(drop),
            Op::Unpin => commit(current, Current::unpin).map(drop),
            Op::Gc { keep, keep_for } => {
                let retention = Retention { keep: *keep, keep_for: keep_for.map(Duration::from_secs) };
                let expired = current.expired(&retention, at(now));
                commit(current, |c| expired.iter().try_for_each(|&version| c.remove(version).map(drop))).unwrap();
                let good = current.versions.values().filter(|entry| entry.state.is_good()).count();
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
            assert!(!self.bad.contains(&version), "readers are on bad version {version} after {op:?}");
            assert!(self.served.contains(&version), "readers are on {version}, which nobody published");
        }
    }

    fn add(&mut self, current: &mut Current, as_of: i64, content: u8, failed: bool) -> crate::error::Result<()> {
        let version = current.next_version;
        let mut new = entry(as_of, &content.to_string());
        if failed {
            (new.state, new.rejected) = (State::Rejected, Some("check".into()));
        }
        let condemned = current.rolled_back.iter().any(|bad| bad.digest == new.digest);
        let state = commit(current, |c| c.add(version, new))?;
        assert_eq!(state == State::Rejected, failed || condemned);
        if state == State::Rejected {
            self.bad.push(version);
        }
        Ok(())
    }

    fn publish(&mut self, current: &mut Current, version: u64, force: bool, now: i64) -> crate::error::Result<()> {
        let known = current.versions.get(&version).cloned();
        let shown = current.current_entry().map(|(_, entry)| entry.as_of);
        let pinned = current.pin.is_some() && current.current != Some(version);
        let flip = commit(current, |c| c.publish(version, force, at(now)));
        match &flip {
            Ok(_) => {
                assert!(!pinned);
                assert!(force || !self.bad.contains(&version));
                assert!(force || shown <= known.map(|entry| entry.as_of), "never backwards by accident");
                self.bad.retain(|&bad| bad != version);
                self.served.push(version);
            }
            Err(error) => match error.kind() {
                Kind::Invalid => assert_eq!(known, None),
                Kind::Conflict => assert!(pinned),
                Kind::Rejected => assert!(!force && !pinned),
                other => panic!("{other:?}"),
            },
        }
        flip.map(drop)
    }

    fn rollback(&mut self, current: &mut Current, to: Option<u64>, now: i64) -> crate::error::Result<()> {
        let flip = commit(current, |c| c.rollback(to, at(now)))?;
        assert_ne!(flip.from, Some(flip.to));
        self.bad.extend(flip.from);
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
