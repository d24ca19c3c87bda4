//! Readers through flips: what the library's `Reader` guarantees to programs that embed it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::format::Allow;
use cutover::internals::catalog::Catalog;
use cutover::internals::codec::ShardRouter;
use cutover::internals::progress::Progress;
use cutover::internals::publish::{PublishOptions, publish, rollback};
use cutover::serve::{Reader, Store, Version};

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{listing, wait_for};

const KEYS: usize = 20;

/// Reads 20 keys of all shards from one version, one at a time or all in one call; returns their generations.
pub fn generations(version: &Version, all_at_once: bool) -> BTreeSet<i64> {
    let keys: Vec<String> = (0..KEYS).map(|key| format!("k{key:03}")).collect();
    let values: Vec<Option<Vec<u8>>> = match all_at_once {
        true => version.multi_get(&keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>()).unwrap(),
        false => keys.iter().map(|key| version.get(key.as_bytes()).unwrap()).collect(),
    };
    let generation = |value: Option<Vec<u8>>| {
        let value = version.value_schema().to_json(&value.expect("every version has every key")).unwrap();
        value["generation"].as_i64().unwrap()
    };
    values.into_iter().map(generation).collect()
}

/// The shards that the 20 keys lie in.
fn shards(version: &Version) -> BTreeSet<u32> {
    let manifest = version.manifest();
    let sharding =
        ShardRouter::new(&manifest.key, &manifest.shard_by, manifest.partitioner, manifest.shard_count).unwrap();
    (0..KEYS).map(|key| sharding.of_key(format!("k{key:03}").as_bytes(), &manifest.key).unwrap()).collect()
}

/// Files below `directory`, including deleted ones, that this process has open.
pub fn open_files(directory: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok()).filter(|to| to.starts_with(directory)).count()
}

/// Reads in `threads` threads while `flip` moves readers from version to version, each time until a thread has read the
/// version that `flip` returned. Returns every version that was read, with its generation.
fn read_through(
    reader: &Reader,
    threads: usize,
    flips: usize,
    mut flip: impl FnMut(usize) -> u64,
) -> BTreeSet<(u64, i64)> {
    let (done, latest) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, latest, seen) = (&done, &latest, &seen);
            scope.spawn(move || {
                let _stop = Stop(done);
                let mut number = thread;
                while !done.load(Ordering::Relaxed) {
                    let version = reader.snapshot();
                    let found = generations(&version, number % 2 == 0);
                    assert_eq!(found.len(), 1, "a read of version {} found {found:?}", version.number());
                    seen.lock().unwrap().insert((version.number(), found.into_iter().next().unwrap()));
                    latest.store(version.number(), Ordering::Relaxed);
                    number += 1;
                    // Yields the processors to `flip`.
                    drop(version);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let _stop = Stop(&done);
        for number in 0..flips {
            let live = flip(number);
            wait_for("the readers to follow", || {
                assert!(!done.load(Ordering::Relaxed), "a reader failed");
                latest.load(Ordering::Relaxed) == live
            });
        }
    });
    assert!(reader.last_error().is_none(), "{:?}", reader.last_error());
    let seen = seen.into_inner().unwrap();
    let versions: BTreeSet<u64> = seen.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions.len(), seen.len(), "a version is of one generation: {seen:?}");
    seen
}

#[test]
fn every_read_is_of_one_generation_during_fifty_flips() {
    let numbers = Numbers::new();
    (1..=4).for_each(|generation| drop(numbers.run(generation).ok()));
    let store = numbers.workspace.path("store");
    let reader = Reader::follow(Store::open(&store).unwrap(), Duration::ZERO).unwrap();
    assert_eq!(shards(&reader.snapshot()), (0..4).collect(), "the keys are in all shards");

    let mut generation = 4;
    let seen = read_through(&reader, 4, 50, |flip| {
        match flip % 10 {
            // A new version; its run deletes the oldest under the readers.
            0 | 5 => {
                generation += 1;
                numbers.run(generation).ok();
            }
            1 => drop(numbers.on("rollback", "").ok()),
            _ => {
                let live = numbers.current_json()["current"].as_u64().unwrap();
                let other = numbers.states().into_iter().map(|(version, _)| version).rfind(|&other| other != live);
                numbers.on("publish", &format!("{} --allow older,rolled-back", other.unwrap())).ok();
            }
        }
        numbers.current_json()["current"].as_u64().unwrap()
    });
    assert!(seen.len() >= 8, "the readers followed: {seen:?}");
    assert_eq!(reader.refresh().number(), numbers.seen().0, "the reader is where the command is");

    drop(reader);
    assert_eq!(open_files(&store), 0, "files still open");
}

#[test]
fn a_thousand_flips_under_eight_threads_fail_no_read_and_leak_no_file() {
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("shards = 4", "shards = 2"));
    (1..=3).for_each(|generation| drop(numbers.run(generation).ok()));
    let store = numbers.workspace.path("store");
    let catalog = Catalog::open(&store).unwrap();
    let reader = Reader::follow(Store::open(&store).unwrap(), Duration::ZERO).unwrap();
    assert_eq!(shards(&reader.snapshot()), (0..2).collect(), "the keys are in all shards");
    let (open, versions) = (open_files(&store), listing(&store.join("versions")));

    let everything = PublishOptions { allow: Allow::all().collect(), ..PublishOptions::default() };
    let mut live = 3;
    let seen = read_through(&reader, 8, 1000, |flip| {
        let flipped = match flip % 7 {
            3 => rollback(&catalog, None, Progress::Silent).unwrap(),
            _ => publish(&catalog, live % 3 + 1, &everything).unwrap(),
        };
        assert!(flipped.flipped());
        live = flipped.version;
        live
    });
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)].into());

    publish(&catalog, 3, &everything).unwrap();
    assert_eq!(reader.refresh().number(), 3);
    assert_eq!(open_files(&store), open, "files of one version are open");
    assert_eq!(listing(&store.join("versions")), versions);
    assert_eq!(listing(&store.join("staging")), "");
    drop(reader);
    assert_eq!(open_files(&store), 0, "files still open");
}

/// Stops the readers when the test or one of them ends, even on failure.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_check_for_one_generation_finds_two() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let store = Store::open(numbers.workspace.path("store")).unwrap();
    let old = store.current().unwrap().unwrap();
    numbers.run(2).ok();
    let new = store.current().unwrap().unwrap();
    assert_eq!((generations(&old, true), generations(&new, false)), ([1].into(), [2].into()));
    let mixed: BTreeSet<i64> = generations(&old, false).union(&generations(&new, true)).copied().collect();
    assert_eq!(mixed.len(), 2);
}

#[test]
fn an_open_version_can_be_read_after_its_deletion() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let store = numbers.workspace.path("store");
    let reader = Reader::follow(Store::open(&store).unwrap(), Duration::ZERO).unwrap();
    let one_open = open_files(&store);
    assert!(one_open > 0, "the reader holds files");

    let held: Arc<Version> = reader.snapshot();
    numbers.run(2).ok();
    numbers.on("gc", "--keep 1").ok().prints(&["deleted version 1"]);
    assert!(!held.directory().exists());
    assert_eq!(reader.refresh().number(), 2);
    assert_eq!(generations(&held, true), [1].into());
    let entries: Vec<_> = held.scan(&cutover::serve::Range::all()).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len(), 100);

    drop(held);
    assert_eq!(open_files(&store), one_open, "the files of version 1 are closed");
    drop(reader);
    assert_eq!(open_files(&store), 0);
}

#[test]
fn any_rocksdb_client_reads_a_version() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let directory = numbers.on("path", "").ok().stdout.trim_end().to_owned();
    let mut found = BTreeSet::new();
    for shard in 0..4 {
        let path = numbers.workspace.path(&directory).join(format!("shard-{shard:05}"));
        let database = rocksdb::DB::open_for_read_only(&rocksdb::Options::default(), &path, true).unwrap();
        for entry in database.iterator(rocksdb::IteratorMode::Start) {
            let (key, value) = entry.unwrap();
            assert_eq!(&*value, b"{\"generation\":1}");
            assert!(found.insert(String::from_utf8(key.to_vec()).unwrap()), "a key is in one shard");
        }
    }
    assert!(found.iter().eq((0..100).map(|row| format!("k{row:03}")).collect::<Vec<_>>().iter()));
    // Such a client leaves a log file in the directory.
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("verify", "--depth full").ok();
}

#[test]
fn a_reader_keeps_what_it_has_when_the_next_version_is_damaged() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let reader = Reader::follow(Store::open(numbers.workspace.path("store")).unwrap(), Duration::ZERO).unwrap();
    numbers.run(2).ok();
    let manifest = numbers.workspace.path("store/versions/00000002/manifest.json");
    let whole = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    let kept = reader.refresh();
    assert_eq!((kept.number(), generations(&kept, true)), (1, [1].into()));
    assert_eq!(reader.last_error().unwrap().kind(), cutover::error::Kind::Corrupt);
    std::fs::write(&manifest, &whole).unwrap();
    assert_eq!(reader.refresh().number(), 2);
    assert!(reader.last_error().is_none());
}
