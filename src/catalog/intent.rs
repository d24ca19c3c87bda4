//! The intent: a change that is decided and recorded, but not yet carried out everywhere.
//!
//! ```text
//! prepare: pending = the change ─▶ (Kafka's announcement) ─▶ settle: the change is applied, pending is gone
//!                                                         └▶ abandon: pending is gone, nothing changed
//! ```
//! Two systems cannot flip in one instant. The intent makes the flip of both one thing that is either finished or given
//! up by whoever comes next: while it stands nothing else changes the state of a version, so that applying it later
//! gives what was decided.
//!
//! Not for: stores whose versions stay on this disk; their change is one atomic replace.

use super::transitions::Flip;
use crate::error::{Error, Result};
use crate::format::{Current, Intent};

impl Current {
    /// Fails while a change is being carried out.
    pub(super) fn ensure_no_intent(&self) -> Result<()> {
        let Some(pending) = &self.pending else { return Ok(()) };
        Err(Error::conflict(format!(
            "not applied: {} is being carried out on Kafka since {}; run again, which finishes it where it was cut off",
            pending.change, pending.at
        )))
    }

    /// Records a change that is to be carried out.
    ///
    /// # Errors
    /// As [`Current::apply`]; `Internal` when another one is recorded.
    pub fn record_intent(&mut self, pending: Intent) -> Result<()> {
        if self.pending.is_some() {
            return Err(Error::internal("another change is being carried out"));
        }
        self.clone().apply(&pending.change, pending.at)?;
        self.pending = Some(pending);
        Ok(())
    }

    /// What this state becomes once the recorded change is applied; as it is where none is recorded.
    ///
    /// # Errors
    /// As [`Current::apply`].
    pub fn with_intent_applied(&self) -> Result<(Self, Option<Flip>)> {
        let mut after = self.clone();
        let Some(pending) = after.pending.take() else { return Ok((after, None)) };
        let flip = after.apply(&pending.change, pending.at)?;
        // Whatever the change is, its announcement tells consumers the whole state.
        after.kafka.iter_mut().for_each(|ledger| ledger.behind = None);
        Ok((after, flip))
    }

    /// Applies the change that was recorded under `id`. What is already settled stays as it is.
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

    /// Gives up the change that was recorded under `id`.
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
    fn a_recorded_change_is_applied_once_and_only_when_it_is_settled() {
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
    fn what_breaks_a_rule_is_not_recorded_and_what_is_given_up_changes_nothing() {
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
    fn while_it_stands_nothing_else_changes_but_builds_go_on() {
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
    fn every_change_is_the_same_after_a_crash() {
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
