//! The steps of a publish on a store of fake versions: rules, damage, the log.

use std::fs;

use super::*;
use crate::catalog::fixture::{catalog, install, manifest, staged};
use crate::error::Kind;
use crate::format::{Allow, CheckOutcome, CheckResult, State};

/// Allows every reason to refuse.
fn everything() -> PublishOptions {
    PublishOptions { allow: Allow::all().collect(), reason: Some("reviewed".into()), ..PublishOptions::default() }
}

/// Allows one.
fn only(allow: Allow) -> PublishOptions {
    PublishOptions { allow: [allow].into(), ..everything() }
}

fn log(catalog: &Catalog) -> Vec<(Action, Option<u64>, String)> {
    catalog.log().events(100).unwrap().into_iter().map(|event| (event.event, event.version, event.detail)).collect()
}

/// A store with `versions` versions, all of which were published.
fn published(versions: u64) -> (tempfile::TempDir, Catalog) {
    let (directory, catalog) = catalog();
    for version in 1..=versions {
        let staged = Built::new(staged(&catalog, "build"));
        let content = version.to_string();
        let complete = staged.install(&catalog, |version| manifest(version, &[("key", &content)])).unwrap();
        complete.publish(&catalog, &PublishOptions::default()).unwrap();
    }
    (directory, catalog)
}

#[test]
fn a_build_goes_from_staging_to_readers() {
    let (_directory, catalog) = catalog();
    let complete = Built::new(staged(&catalog, "b")).install(&catalog, |v| manifest(v, &[("key", "one")])).unwrap();
    assert_eq!((complete.version(), complete.rejected()), (1, None));
    assert_eq!(catalog.read().unwrap().current, None);
    let done = complete.publish(&catalog, &PublishOptions::default()).unwrap();
    assert_eq!((done.version, done.previous), (1, None));
    assert_eq!(catalog.read().unwrap().current, Some(1));
    let said: Vec<_> = log(&catalog).into_iter().map(|(event, version, _)| (event, version)).collect();
    assert_eq!(said, [(Action::Created, None), (Action::Built, Some(1)), (Action::Published, Some(1))]);
}

#[test]
fn a_rejected_build_is_published_where_its_kind_is_allowed_and_the_log_says_so() {
    let (_directory, catalog) = published(1);
    let failed = |version| {
        let mut manifest = manifest(version, &[("key", "bad")]);
        let (rule, expected, found) = ("rows.min".into(), "10".into(), "1".into());
        manifest.checks.push(CheckResult { rule, outcome: CheckOutcome::Failed, expected, found, compared: None });
        manifest
    };
    let complete = Built::new(staged(&catalog, "b")).install(&catalog, failed).unwrap();
    assert_eq!(complete.rejected().unwrap().to_string(), "rows.min: expected 10, found 1");
    let error = complete.publish(&catalog, &PublishOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert_eq!(catalog.read().unwrap().current, Some(1));
    for other in Allow::all().filter(|other| *other != Allow::Rows) {
        let error = publish(&catalog, 2, &only(other)).unwrap_err();
        assert!(error.message().contains("`cutover publish STORE 2 --allow rows`"), "{error}");
    }
    assert_eq!(catalog.read().unwrap().current, Some(1));
    publish(&catalog, 2, &everything()).unwrap();
    assert_eq!(catalog.read().unwrap().current, Some(2));
    let last = log(&catalog).pop().unwrap();
    assert_eq!(last, (Action::Published, Some(2), "after version 1; --allow rows; reviewed".to_owned()));
}

#[test]
fn readers_are_not_sent_to_damaged_versions() {
    let (_directory, catalog) = published(3);
    fs::write(catalog.layout().shard_dir(2, 0).join("CURRENT"), "fil3").unwrap();
    let error = rollback(&catalog, None, Progress::Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.message().contains("`cutover verify STORE 2`"), "{error}");
    assert_eq!(publish(&catalog, 2, &everything()).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(pin(&catalog, Some(2), "r", Progress::Silent).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(catalog.read().unwrap().current, Some(3));
    assert_eq!(rollback(&catalog, Some(1), Progress::Silent).unwrap().previous, Some(3));
    fs::remove_file(catalog.layout().manifest(2)).unwrap();
    assert_eq!(publish(&catalog, 2, &everything()).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn rollback_pin_and_unpin_are_in_the_log() {
    let (_directory, catalog) = published(2);
    assert!(rollback(&catalog, None, Progress::Silent).unwrap().flipped());
    assert!(!pin(&catalog, None, "incident", Progress::Silent).unwrap().flipped());
    let error = publish(&catalog, 2, &everything()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(unpin(&catalog).unwrap().reason, "incident");
    let said: Vec<_> = log(&catalog).into_iter().map(|(event, version, _)| (event, version)).collect();
    let expected = [(Action::RolledBack, Some(2)), (Action::Pinned, Some(1)), (Action::Unpinned, Some(1))];
    assert_eq!(said[said.len() - 3..], expected);
}

#[test]
fn publishing_the_current_version_again_logs_nothing() {
    let (_directory, catalog) = published(1);
    let before = log(&catalog);
    let again = publish(&catalog, 1, &PublishOptions::default()).unwrap();
    assert!(!again.flipped());
    assert_eq!(log(&catalog), before);
}

#[test]
fn retention_deletes_and_logs_it() {
    let (_directory, catalog) = published(4);
    let report = gc(&catalog, &Retention { keep: 2, keep_for: None }, GRACE).unwrap();
    assert_eq!(report.versions, [1, 2]);
    assert!(report.bytes > 0);
    let current = catalog.read().unwrap();
    assert_eq!(current.versions.keys().copied().collect::<Vec<_>>(), [3, 4]);
    assert_eq!(current.versions[&4].state, State::Published);
    assert_eq!(log(&catalog).pop().unwrap(), (Action::Deleted, Some(2), "retention".to_owned()));
    assert_eq!(install(&catalog, "new").version, 5, "numbers are never used again");
}
