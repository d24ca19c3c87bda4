//! Stores on the disk: creation, damage, concurrent commits, installs after crashes, deletion.

use crate::format::{CheckOutcome, CheckResult, Current, Manifest, State};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::fixture::{at, catalog, everything, install, manifest, nothing, staged};
use super::*;
use crate::error::{Kind, Result};

fn kind<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.unwrap_err().kind()
}

/// Forgets versions and deletes what nothing references.
fn remove(catalog: &Catalog, which: impl Fn(&Current) -> Vec<u64>) -> Result<GcReport> {
    let forgotten = catalog.commit(|current| {
        let versions = which(current);
        versions.iter().try_for_each(|&version| current.remove(version).map(drop)).map(|()| versions)
    })?;
    catalog.sweep(forgotten, Duration::ZERO)
}

fn all(current: &Current) -> Vec<u64> {
    current.versions.keys().copied().filter(|&version| Some(version) != current.current).collect()
}

#[test]
fn a_store_is_created_once_and_belongs_to_one_dataset() {
    let (directory, catalog) = catalog();
    install(&catalog, "one");
    let root = directory.path().join("store");
    assert_eq!(Catalog::open_or_create(&root, "views").unwrap().read().unwrap(), catalog.read().unwrap());
    assert_eq!(kind(Catalog::open_or_create(&root, "clicks")), Kind::Invalid);
    assert_eq!(kind(Catalog::open(directory.path().join("none"))), Kind::Invalid);
    assert_eq!(kind(Catalog::open(directory.path())), Kind::Invalid);
    let error = Catalog::open_or_create(directory.path(), "views").unwrap_err();
    assert!(error.message().contains("\"store\""), "it names what is in the way: {error}");
}

#[test]
fn a_creation_that_was_cut_off_is_finished() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("versions")).unwrap();
    fs::write(directory.path().join("commit.lock"), "").unwrap();
    Catalog::open_or_create(directory.path(), "views").unwrap();
}

#[test]
fn a_store_without_its_current_file_is_not_created_again() {
    let (_directory, catalog) = catalog();
    install(&catalog, "one");
    let layout = catalog.layout();
    fs::remove_file(layout.current()).unwrap();
    fs::remove_file(layout.build_lock()).unwrap_or_default();
    assert_eq!(kind(catalog.read()), Kind::Corrupt);
    assert_eq!(kind(Catalog::open_or_create(layout.root(), "views")), Kind::Corrupt);
    assert!(layout.manifest(1).exists());
}

#[test]
fn a_damaged_current_file_is_corrupt_and_is_left_alone() {
    let (directory, catalog) = catalog();
    let path = catalog.layout().current();
    let good = fs::read(&path).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    for bad in [Vec::new(), good[..good.len() / 2].to_vec(), text.replace("views", "clicks").into_bytes()] {
        fs::write(&path, &bad).unwrap();
        assert_eq!(kind(catalog.read()), Kind::Corrupt);
        assert_eq!(kind(catalog.commit(|current| current.publish(1, &everything(), at(1)))), Kind::Corrupt);
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    let elsewhere = directory.path().join("elsewhere.json");
    fs::write(&elsewhere, &good).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(kind(catalog.read()), Kind::Corrupt);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(kind(catalog.read()), Kind::Corrupt);
}

#[test]
fn a_newer_current_file_asks_for_an_upgrade() {
    let (_directory, catalog) = catalog();
    let mut newer = catalog.read().unwrap();
    newer.format_version = 3;
    fs::write(catalog.layout().current(), crate::format::to_checksummed_json(&newer).unwrap()).unwrap();
    assert_eq!(kind(catalog.read()), Kind::Invalid);
}

#[test]
fn a_change_that_fails_or_changes_nothing_writes_nothing() {
    let (_directory, catalog) = catalog();
    install(&catalog, "one");
    let before = fs::read(catalog.layout().current()).unwrap();
    let failed: Result<()> = catalog.commit(|current| {
        current.publish(1, &nothing(), at(1))?;
        Err(crate::error::Error::invalid("no"))
    });
    assert_eq!(kind(failed), Kind::Invalid);
    catalog.commit(|_| Ok(())).unwrap();
    let broken = catalog.commit(|current| {
        current.current = Some(7);
        Ok(())
    });
    assert_eq!(kind(broken), Kind::Internal);
    assert_eq!(fs::read(catalog.layout().current()).unwrap(), before);
}

#[test]
fn a_replace_that_fails_says_that_nothing_was_applied() {
    let (_directory, catalog) = catalog();
    install(&catalog, "one");
    let in_the_way = catalog.layout().root().join(format!("current.json.{}.tmp", std::process::id()));
    fs::create_dir(&in_the_way).unwrap();
    let error = catalog.commit(|current| current.publish(1, &nothing(), at(1))).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Unavailable, "not applied"));
    assert_eq!(catalog.read().unwrap().current, None);
}

#[test]
fn concurrent_commits_lose_nothing() {
    let (_directory, catalog) = catalog();
    let commits = 25;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let catalog = &catalog;
            scope.spawn(move || {
                for commit in 0..commits {
                    let content = format!("{thread}-{commit}");
                    catalog.commit(|current| current.add(current.next_version, fixture::entry(0, &content))).unwrap();
                }
            });
        }
    });
    let current = catalog.read().unwrap();
    assert_eq!((current.epoch, current.versions.len(), current.next_version), (100, 100, 101));
}

#[test]
fn a_second_build_is_refused_and_names_the_first() {
    let (_directory, catalog) = catalog();
    let lock = catalog.lock_build().unwrap();
    let error = catalog.lock_build().unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.chain().join(" ").contains(&format!("process {}", std::process::id())), "{error}");
    drop(lock);
    catalog.lock_build().unwrap();
}

#[test]
fn an_install_adds_a_version_that_readers_do_not_see() {
    let (_directory, catalog) = catalog();
    let installed = install(&catalog, "one");
    assert_eq!((installed.version, installed.state, installed.rejected), (1, State::Complete, None));
    let current = catalog.read().unwrap();
    assert_eq!((current.current, current.next_version), (None, 2));
    assert_eq!(catalog.manifest(&current, 1).unwrap().version, 1);
    assert_eq!(fs::read_dir(catalog.layout().staging()).unwrap().count(), 0);
    assert_eq!(kind(catalog.manifest(&current, 2)), Kind::Invalid);
}

#[test]
fn failed_checks_and_rolled_back_content_reject() {
    let (_directory, catalog) = catalog();
    let mut failed = manifest(1, &[("key", "one")]);
    failed.checks.push(CheckResult {
        rule: "rows.min".into(),
        outcome: CheckOutcome::Failed,
        expected: "10".into(),
        found: "1".into(),
        compared: None,
    });
    let installed = catalog.install(&staged(&catalog, "b"), |_| failed).unwrap();
    assert_eq!(installed.state, State::Rejected);
    assert_eq!(installed.rejected.unwrap().to_string(), "rows.min: expected 10, found 1");
    for content in ["two", "three"] {
        let version = install(&catalog, content).version;
        catalog.commit(|current| current.publish(version, &nothing(), at(1))).unwrap();
    }
    catalog.commit(|current| current.rollback(None, at(2))).unwrap();
    let again = install(&catalog, "three");
    assert!(again.rejected.unwrap().to_string().contains("same content as version 3"));
}

#[test]
fn an_install_replaces_what_a_crash_left() {
    let (_directory, catalog) = catalog();
    let debris = catalog.layout().version_dir(1);
    fs::create_dir_all(debris.join("shard-00000")).unwrap();
    fs::write(debris.join("manifest.json"), "{").unwrap();
    assert_eq!(install(&catalog, "one").version, 1);
    let current = catalog.read().unwrap();
    assert_eq!(catalog.manifest(&current, 1).unwrap().rows, 1);
    assert!(catalog.sweep(Vec::new(), Duration::ZERO).unwrap().bytes > 0, "the debris was in the trash");
    assert_eq!(fs::read_dir(catalog.layout().staging()).unwrap().count(), 0);
}

#[test]
fn an_install_refuses_foreign_directories_and_links() {
    let (directory, catalog) = catalog();
    let manifest = |version| manifest(version, &[]);
    assert_eq!(kind(catalog.install(directory.path(), manifest)), Kind::Internal, "outside of staging");
    let linked = staged(&catalog, "linked");
    symlink("/etc/hosts", linked.join("shard-00000/LOG")).unwrap();
    assert_eq!(kind(catalog.install(&linked, manifest)), Kind::Corrupt);
    let wrong = staged(&catalog, "wrong");
    let of_another = |version| Manifest { dataset: "another".into(), ..fixture::manifest(version, &[]) };
    assert_eq!(kind(catalog.install(&wrong, of_another)), Kind::Internal);
    assert_eq!(catalog.read().unwrap(), Catalog::open(catalog.layout().root()).unwrap().read().unwrap());
    assert_eq!(catalog.read().unwrap().versions.len(), 0);
}

#[test]
fn a_version_in_the_directory_of_another_is_corrupt() {
    let (_directory, catalog) = catalog();
    install(&catalog, "one");
    install(&catalog, "two");
    let layout = catalog.layout();
    let current = catalog.read().unwrap();
    fs::rename(layout.version_dir(1), layout.root().join("aside")).unwrap();
    assert_eq!(kind(catalog.manifest(&current, 1)), Kind::Corrupt);
    symlink(layout.root().join("aside"), layout.version_dir(1)).unwrap();
    assert_eq!(kind(catalog.manifest(&current, 1)), Kind::Corrupt, "a link in place of the directory");
    fs::remove_file(layout.version_dir(1)).unwrap();
    fs::rename(layout.version_dir(2), layout.version_dir(1)).unwrap();
    assert_eq!(kind(catalog.manifest(&current, 1)), Kind::Corrupt);
}

#[test]
fn gc_deletes_unreferenced_files_and_follows_no_link() {
    let (directory, catalog) = catalog();
    for content in ["one", "two", "three"] {
        install(&catalog, content);
    }
    catalog.commit(|current| current.publish(3, &nothing(), at(1))).unwrap();
    let layout = catalog.layout();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "data").unwrap();
    symlink(&outside, layout.versions().join("00000009")).unwrap();
    symlink(&outside, layout.version_dir(1).join("link")).unwrap();
    fs::create_dir(layout.versions().join("00000007")).unwrap();
    staged(&catalog, "dead-build");
    fs::write(layout.versions().join("README"), "not ours").unwrap();
    fs::write(layout.root().join("current.json.7.tmp"), "of a process that died").unwrap();
    fs::write(layout.root().join("current.json.old"), "not ours").unwrap();
    let report = remove(&catalog, all).unwrap();
    assert_eq!(report.versions, [1, 2]);
    assert_eq!(report.leftovers, ["00000007", "00000009", "current.json.7.tmp", "dead-build"]);
    assert!(!layout.root().join("current.json.7.tmp").exists() && layout.root().join("current.json.old").exists());
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "data");
    let mut left: Vec<_> = fs::read_dir(layout.versions()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["00000003", "README"]);
    assert_eq!(fs::read_dir(layout.staging()).unwrap().count(), 0);
    assert_eq!(remove(&catalog, all).unwrap(), GcReport::default());
    assert_eq!(kind(catalog.commit(|current| current.remove(3))), Kind::Invalid);
    assert_eq!(catalog.read().unwrap().current, Some(3));
}

#[test]
fn the_staging_of_a_running_build_is_left_alone() {
    let (_directory, catalog) = catalog();
    let lock = catalog.lock_build().unwrap();
    let directory = staged(&catalog, "running");
    assert_eq!(remove(&catalog, all).unwrap(), GcReport::default());
    assert!(directory.exists());
    drop(lock);
    assert_eq!(remove(&catalog, all).unwrap().leftovers, ["running"]);
}

#[test]
fn inspection_finds_every_kind_of_damage_at_its_depth() {
    let (_directory, catalog) = catalog();
    install(&catalog, "one");
    let layout = catalog.layout();
    let directory = layout.version_dir(1);
    let manifest = catalog.manifest(&catalog.read().unwrap(), 1).unwrap();
    let file = layout.shard_dir(1, 0).join("CURRENT");
    let look = |depth| inspect(&directory, &manifest, depth).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(look(FileDepth::AllFiles), [] as [String; 0]);
    fs::write(&file, "fil3").unwrap();
    assert!(look(FileDepth::SmallFiles)[0].starts_with("shard-00000/CURRENT: has the checksum"));
    fs::write(&file, "longer").unwrap();
    assert_eq!(look(FileDepth::SmallFiles), ["shard-00000/CURRENT: has 6 bytes, the manifest says 4"]);
    fs::remove_file(&file).unwrap();
    symlink("/etc/hosts", &file).unwrap();
    assert_eq!(look(FileDepth::SmallFiles), ["shard-00000/CURRENT: is not a regular file"]);
    fs::remove_file(&file).unwrap();
    assert_eq!(look(FileDepth::SmallFiles), ["shard-00000/CURRENT: is missing"]);
    fs::remove_dir_all(layout.shard_dir(1, 0)).unwrap();
    assert_eq!(look(FileDepth::SmallFiles), ["shard-00000: is missing"]);
    symlink("/etc", layout.shard_dir(1, 0)).unwrap();
    assert_eq!(look(FileDepth::SmallFiles), ["shard-00000: is not a directory"]);
}
