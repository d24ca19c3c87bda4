//! Every state transition, in memory.
//!
//! Not for: random orders of commands (`model_test`).

use super::*;
use crate::catalog::fixture::{at, commit, entry, everything, nothing, store_of};
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
        commit(&mut current, |c| c.publish(version, &nothing(), at(10))).unwrap();
    }
    current
}

#[test]
fn a_publish_retires_the_one_before() {
    let mut current = store_of(2);
    assert_eq!(current.publish(1, &nothing(), at(10)).unwrap(), Flip { from: None, to: 1 });
    assert_eq!(current.publish(2, &nothing(), at(20)).unwrap(), Flip { from: Some(1), to: 2 });
    assert_eq!((state(&current, 1), state(&current, 2)), (State::Retired, State::Published));
    assert_eq!(current.versions[&1].retired_at, Some(at(20)));
    let before = current.clone();
    assert_eq!(current.publish(2, &nothing(), at(30)).unwrap(), Flip { from: Some(2), to: 2 });
    assert_eq!(current, before, "publishing it again changes nothing");
    assert_eq!(kind(current.publish(9, &everything(), at(30))), Kind::Invalid);
}

#[test]
fn older_data_does_not_replace_newer_unless_that_is_allowed() {
    let mut current = published();
    let error = current.publish(2, &nothing(), at(20)).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.message().contains("`cutover publish STORE 2 --allow older`"), "{error}");
    assert_eq!(current.publish(2, &everything(), at(20)).unwrap().to, 2);
    commit(&mut current, |c| c.add(4, entry(2, "same time"))).unwrap();
    assert_eq!(current.publish(4, &nothing(), at(20)).unwrap().to, 4, "the same time is not older");
}

#[test]
fn a_rejected_version_needs_the_kind_of_its_check() {
    let mut current = published();
    let mut bad = entry(4, "bad");
    (bad.state, bad.rejected) = (State::Rejected, Some("rows.min: expected 10, found 1".to_owned().into()));
    bad.failed = vec![Allow::Rows];
    assert_eq!(commit(&mut current, |c| c.add(4, bad)).unwrap(), State::Rejected);
    let error = current.publish(4, &nothing(), at(20)).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.message().contains("rows.min: expected 10, found 1"), "{error}");
    assert!(error.message().contains("`cutover publish STORE 4 --allow rows`"), "{error}");
    assert_eq!(state(&current, 3), State::Published);
    assert_eq!(current.publish(4, &everything(), at(20)).unwrap(), Flip { from: Some(3), to: 4 });
}

#[test]
fn two_bad_versions_in_a_row_are_rolled_back_to_the_last_good_one() {
    let mut current = published();
    commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
    assert_eq!((current.current, state(&current, 3)), (Some(2), State::RolledBack));
    commit(&mut current, |c| c.add(4, entry(4, "also bad"))).unwrap();
    commit(&mut current, |c| c.publish(4, &nothing(), at(30))).unwrap();
    assert_eq!(commit(&mut current, |c| c.rollback(None, at(40))).unwrap(), Flip { from: Some(4), to: 2 });
    assert_eq!(commit(&mut current, |c| c.rollback(None, at(50))).unwrap(), Flip { from: Some(2), to: 1 });
    let error = commit(&mut current, |c| c.rollback(None, at(60))).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.message().contains("`cutover publish STORE N`"), "{error}");
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
        (3, "`cutover publish STORE 3 --allow rolled-back`"),
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
fn a_rolled_back_version_and_its_content_are_refused() {
    let mut current = published();
    commit(&mut current, |c| c.rollback(None, at(20))).unwrap();
    assert_eq!(kind(current.publish(3, &nothing(), at(30))), Kind::Rejected);
    let again = current.versions[&3].clone();
    let again = VersionEntry { state: State::Complete, published_epoch: None, ..again };
    assert_eq!(commit(&mut current, |c| c.add(4, again.clone())).unwrap(), State::Rejected);
    assert!(current.versions[&4].rejected.as_ref().unwrap().to_string().contains("same content as version 3"));
    commit(&mut current, |c| c.remove(3)).unwrap();
    assert_eq!(commit(&mut current, |c| c.add(5, again.clone())).unwrap(), State::Rejected, "also once deleted");
    commit(&mut current, |c| c.publish(4, &everything(), at(40))).unwrap();
    assert_eq!(commit(&mut current, |c| c.add(6, again)).unwrap(), State::Complete, "a publish found it good");
}

#[test]
fn a_staged_version_is_refused_once_its_content_is_rolled_back() {
    let mut current = published();
    for version in [4, 5] {
        assert_eq!(commit(&mut current, |c| c.add(version, entry(4, "bad"))).unwrap(), State::Complete);
    }
    commit(&mut current, |c| c.publish(4, &nothing(), at(20))).unwrap();
    commit(&mut current, |c| c.rollback(None, at(30))).unwrap();
    let error = current.publish(5, &nothing(), at(40)).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.message().contains("same content as version 4, which was rolled back"), "{error}");
    assert_eq!(current.publish(5, &everything(), at(40)).unwrap().to, 5);
}

#[test]
fn a_pin_holds_readers_until_it_is_removed() {
    let mut current = published();
    commit(&mut current, |c| c.add(4, entry(4, "new"))).unwrap();
    assert_eq!(kind(current.pin(None, "  ", at(20))), Kind::Invalid);
    commit(&mut current, |c| c.pin(None, "incident 7", at(20))).unwrap();
    for held in [
        current.publish(4, &everything(), at(30)),
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
    assert_eq!(current.publish(4, &nothing(), at(50)).unwrap().to, 4);
}

#[test]
fn a_pin_on_an_earlier_good_version_switches_readers_and_marks_nothing_as_bad() {
    let mut current = published();
    assert_eq!(commit(&mut current, |c| c.pin(Some(1), "r", at(20))).unwrap(), Flip { from: Some(3), to: 1 });
    assert_eq!(state(&current, 3), State::Retired);
    commit(&mut current, Current::unpin).unwrap();
    assert_eq!(current.publish(3, &nothing(), at(30)).unwrap().to, 3);
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
fn the_list_of_rolled_back_contents_is_bounded() {
    let mut current = store_of(1);
    commit(&mut current, |c| c.publish(1, &nothing(), at(1))).unwrap();
    for version in 2..=(MAX_ROLLED_BACK as u64 + 10) {
        commit(&mut current, |c| c.add(version, entry(version as i64, &version.to_string()))).unwrap();
        commit(&mut current, |c| c.publish(version, &nothing(), at(2))).unwrap();
        commit(&mut current, |c| c.rollback(None, at(3))).unwrap();
    }
    assert_eq!(current.current, Some(1));
    assert_eq!(current.rolled_back.len(), MAX_ROLLED_BACK);
    assert_eq!(current.rolled_back.last().unwrap().version, MAX_ROLLED_BACK as u64 + 10);
}

/// A store whose version 1 is published and has a wrong, future `as_of`, and whose version 2 has an earlier one.
fn clocks(stated: [bool; 2]) -> Current {
    let mut current = store_of(0);
    for (version, as_of) in [(1, 2_000), (2, 1_000)] {
        let entry = VersionEntry { as_of_stated: stated[version as usize - 1], ..entry(as_of, &version.to_string()) };
        commit(&mut current, |c| c.add(version, entry)).unwrap();
    }
    commit(&mut current, |c| c.publish(1, &nothing(), at(1))).unwrap();
    current
}

#[test]
fn only_stated_times_are_compared() {
    let refused = |stated| clocks(stated).publish(2, &nothing(), at(2)).err().map(|error| error.message().to_owned());
    assert_eq!(refused([false, false]), None, "a clock that was set back blocks no publish");
    assert_eq!(refused([false, true]), None, "the first that states a time");
    assert!(refused([true, true]).unwrap().contains("--allow older"));
    let undated = refused([true, false]).unwrap();
    assert!(undated.contains("--allow undated") && undated.contains("set `as_of` in the job"), "{undated}");
    assert_eq!(kind(clocks([true, false]).publish(2, &[Allow::Older].into(), at(2))), Kind::Rejected);
    clocks([true, false]).publish(2, &[Allow::Undated].into(), at(2)).unwrap();
}

#[test]
fn an_earlier_build_does_not_replace_a_later_one_by_itself() {
    let mut current = clocks([false, false]);
    commit(&mut current, |c| c.publish(2, &nothing(), at(2))).unwrap();
    assert!(current.publish(1, &nothing(), at(3)).unwrap_err().message().contains("--allow older"));
    assert_eq!(current.rollback(None, at(3)).unwrap().to, 1, "a rollback needs no leave");
}

#[test]
fn all_refusals_are_reported_at_once_and_each_must_be_allowed() {
    let mut current = published();
    let mut bad = entry(1, "bad");
    (bad.state, bad.rejected) = (State::Rejected, Some("check".to_owned().into()));
    bad.failed = vec![Allow::Unique, Allow::Rows];
    commit(&mut current, |c| c.add(4, bad)).unwrap();
    let error = current.publish(4, &nothing(), at(20)).unwrap_err();
    assert!(error.message().contains("`cutover publish STORE 4 --allow older,rows,unique`"), "{error}");
    assert_eq!(kind(current.publish(4, &[Allow::Rows, Allow::Unique].into(), at(20))), Kind::Rejected);
    current.publish(4, &[Allow::Older, Allow::Rows, Allow::Unique].into(), at(20)).unwrap();
}

#[test]
fn content_that_a_good_version_has_is_not_banned() {
    let mut current = published();
    let again = VersionEntry { state: State::Complete, published_epoch: None, ..current.versions[&3].clone() };
    commit(&mut current, |c| c.add(4, again.clone())).unwrap();
    commit(&mut current, |c| c.publish(4, &nothing(), at(20))).unwrap();
    commit(&mut current, |c| c.rollback(None, at(30))).unwrap();
    assert_eq!((current.current, state(&current, 4)), (Some(3), State::RolledBack));
    assert_eq!(current.find_built("job", "inputs"), Some((3, State::Published)));
    commit(&mut current, |c| c.add(5, entry(5, "other"))).unwrap();
    commit(&mut current, |c| c.publish(5, &nothing(), at(40))).unwrap();
    let later = VersionEntry { as_of: at(6), ..again };
    assert_eq!(commit(&mut current, |c| c.add(6, later)).unwrap(), State::Complete, "it was good and is served");
    assert_eq!(kind(current.publish(4, &[Allow::Older].into(), at(50))), Kind::Rejected, "the version stays out");
    commit(&mut current, |c| c.publish(6, &nothing(), at(50))).unwrap();
}

#[test]
fn a_rejection_of_an_earlier_program_has_a_kind_too() {
    let mut current = published();
    let mut bad = entry(4, "bad");
    (bad.state, bad.rejected) = (State::Rejected, Some("check".to_owned().into()));
    commit(&mut current, |c| c.add(4, bad)).unwrap();
    assert!(current.publish(4, &nothing(), at(20)).unwrap_err().message().contains("--allow rejected"));
    let forced: Change = serde_json::from_str(r#"{"publish": {"version": 4, "force": true}}"#).unwrap();
    assert_eq!(forced, Change::Publish { version: 4, allow: everything() });
    current.apply(&forced, at(20)).unwrap();
}
