//! The intent: a change that is recorded but not yet applied; the write-ahead record of a two-phase commit.
//!
//! ```text
//! record: pending = the change ─▶ (Kafka's announcement) ─▶ apply: the change is applied, pending is removed
//!                                                        └▶ drop:  pending is removed, nothing changed
//! ```
//! A store and a Kafka topic cannot flip in one atomic step. After a crash, the next command reads the intent and
//! either completes the flip of both or abandons it. While an intent is recorded, nothing else changes the state of a
//! version, so that applying it later has the result that was decided.
//!
//! Not for: stores that are not streamed; their change is one atomic replace.

use super::transitions::Flip;
use crate::error::{Error, Result};
use crate::format::{Current, Intent};

impl Current {
    /// Fails while an intent is recorded.
    pub(super) fn ensure_no_intent(&self) -> Result<()> {
        let Some(pending) = &self.pending else { return Ok(()) };
        Err(Error::conflict(format!(
            "not applied: {} is in progress on Kafka since {}; run again, which completes it if it was interrupted",
            pending.change, pending.at
        )))
    }

    /// Records a change as the intent.
    ///
    /// # Errors
    /// As [`Current::apply`]; `Internal` when another one is recorded.
    pub fn record_intent(&mut self, pending: Intent) -> Result<()> {
        if self.pending.is_some() {
            return Err(Error::internal("another change is in progress"));
        }
        self.clone().apply(&pending.change, pending.at)?;
        self.pending = Some(pending);
        Ok(())
    }

    /// The state after applying the recorded change; a copy of this one if none is recorded.
    ///
    /// # Errors
    /// As [`Current::apply`].
    pub fn with_intent_applied(&self) -> Result<(Self, Option<Flip>)> {
        let mut after = self.clone();
        let Some(pending) = after.pending.take() else { return Ok((after, None)) };
        let flip = after.apply(&pending.change, pending.at)?;
        // Whatever the change is, its announcement gives consumers the whole state.
        after.targets.kafka.iter_mut().for_each(|ledger| ledger.behind = None);
        Ok((after, flip))
    }

    /// Applies the change that was recorded under `id`; does nothing if it was already applied or dropped.
    ///
    /// # Errors
    /// As [`Current::apply`].
    pub fn apply_intent(&mut self, id: &str) -> Result<Option<Flip>> {
        if self.pending.as_ref().is_none_or(|pending| pending.id != id) {
            return Ok(None);
        }
        let (after, flip) = self.with_intent_applied()?;
        *self = after;
        Ok(flip)
    }

    /// Removes the intent that was recorded under `id`, without applying it.
    pub fn drop_intent(&mut self, id: &str) {
        self.pending.take_if(|pending| pending.id == id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{at, catalog, commit, entry, everything, install, nothing, store_of};
    use crate::error::Kind;
    use crate::format::{Change, State};

    fn pending(change: Change) -> Intent {
        Intent { id: "id".into(), follows: None, change, at: at(50) }
    }

    fn publish(version: u64) -> Intent {
        pending(Change::Publish { version, allow: nothing() })
    }

    #[test]
    fn an_intent_is_applied_once_and_only_by_its_id() {
        let mut current = store_of(2);
        commit(&mut current, |c| c.publish(1, &nothing(), at(10))).unwrap();
        commit(&mut current, |c| c.record_intent(publish(2))).unwrap();
        assert_eq!(current.current, Some(1), "readers see nothing of it yet");
        let (after, _) = current.with_intent_applied().unwrap();
        assert_eq!((after.current, after.pending.is_none()), (Some(2), true));
        assert_eq!(commit(&mut current, |c| c.apply_intent("another")).unwrap(), None);
        assert_eq!(current.current, Some(1));
        let flip = commit(&mut current, |c| c.apply_intent("id")).unwrap();
        assert_eq!(flip, Some(Flip { from: Some(1), to: 2 }));
        assert_eq!(commit(&mut current, |c| c.apply_intent("id")).unwrap(), None, "once");
        assert_eq!(current.versions[&1].state, State::Retired);
    }

    #[test]
    fn a_forbidden_intent_is_not_recorded_and_a_dropped_one_changes_nothing() {
        let mut current = store_of(2);
        commit(&mut current, |c| c.publish(2, &nothing(), at(10))).unwrap();
        assert_eq!(current.record_intent(publish(1)).unwrap_err().kind(), Kind::Rejected, "older");
        assert_eq!(current.record_intent(publish(9)).unwrap_err().kind(), Kind::Invalid);
        assert!(current.pending.is_none());
        let before = current.clone();
        current.record_intent(pending(Change::Publish { version: 1, allow: everything() })).unwrap();
        assert_eq!(current.record_intent(publish(2)).unwrap_err().kind(), Kind::Internal, "one at a time");
        current.drop_intent("another");
        assert!(current.pending.is_some());
        current.drop_intent("id");
        assert_eq!(current, before);
    }

    #[test]
    fn an_open_intent_blocks_other_changes_but_not_builds() {
        let (_directory, catalog) = catalog();
        install(&catalog, "one");
        catalog.commit(|current| current.publish(1, &nothing(), at(10))).unwrap();
        install(&catalog, "two");
        catalog.commit(|current| current.record_intent(publish(2))).unwrap();
        let error = catalog.commit(|current| current.pin(None, "why", at(20))).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(
            error.message().contains("the publish of version 2") && error.message().contains("run again"),
            "{error}"
        );
        assert_eq!(install(&catalog, "three").version, 3, "a build is not lost");
        let flip = catalog.commit_during_intent(|current| current.apply_intent("id")).unwrap();
        assert_eq!(flip, Some(Flip { from: Some(1), to: 2 }));
        catalog.commit(|current| current.pin(None, "why", at(20))).unwrap();
    }

    #[test]
    fn every_kind_of_intent_gives_the_same_state_after_a_crash() {
        let mut current = store_of(3);
        for version in 1..=3 {
            commit(&mut current, |c| c.publish(version, &nothing(), at(10))).unwrap();
        }
        commit(&mut current, |c| c.add(4, entry(4, "new"))).unwrap();
        for change in [
            Change::Publish { version: 4, allow: everything() },
            Change::Rollback { to: 1 },
            Change::Pin { version: 2, reason: "why".into() },
            Change::Remove { versions: vec![1, 2] },
        ] {
            let mut recorded = current.clone();
            recorded.record_intent(pending(change.clone())).unwrap();
            let text = serde_json::to_string(&recorded).unwrap();
            let mut read: Current = serde_json::from_str(&text).unwrap();
            read.apply_intent("id").unwrap();
            let mut at_once = current.clone();
            at_once.apply(&change, at(50)).unwrap();
            assert_eq!(read, at_once, "{change}");
        }
    }
}
