//! Histories of hosts that share a store on a simulated object store, which loses answers and refuses writes: builds,
//! publishes, rollbacks, pins and deletions at the same time, from seeds.
//!
//! After each history: every change that was reported as applied is there exactly once, every version that
//! `current.json` names has all of its objects, and gc leaves nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::catalog::fixture::{at, everything, manifest, staged};
use crate::catalog::{Catalog, FileDepth};
use crate::error::{Error, Kind, Result};
use crate::format::Current;
use crate::objects::{Key, simulated};

const HOSTS: usize = 3;
const STEPS: u64 = 5;

/// What became of the changes of a history.
#[derive(Default)]
struct Tally {
    applied: AtomicU64,
    unknown: AtomicU64,
}

impl Tally {
    /// Counts a change that was committed, refused, or unknown; other failures are failures of the test.
    fn count<T>(&self, changed: Result<T>) {
        match changed {
            Ok(_) => _ = self.applied.fetch_add(1, Ordering::Relaxed),
            Err(error) if is_unknown(&error) => _ = self.unknown.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                let is_refusal = matches!(error.kind(), Kind::Conflict | Kind::Invalid | Kind::Rejected);
                assert!(is_refusal, "{}", error.chain().join(": "));
            }
        }
    }
}

fn is_unknown(error: &Error) -> bool {
    error.kind() == Kind::Unavailable
}

/// A number below `bound` for a step of a host.
fn draw(seed: u64, host: usize, step: u64, bound: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{seed} {host} {step}").as_bytes()) % bound
}

fn host(catalog: &Catalog, seed: u64, number: usize, tally: &Tally) {
    for step in 0..STEPS {
        let version = 1 + draw(seed, number, 100 + step, 4);
        match draw(seed, number, step, 6) {
            0 | 1 => build(catalog, &format!("20260101T000000Z-{number:04x}{step:04x}"), tally),
            2 => tally.count(catalog.commit(|current| changed(current, |c| c.publish(version, &everything(), at(1))))),
            3 => tally.count(catalog.commit(|current| changed(current, |c| c.rollback(None, at(2))))),
            4 => tally.count(catalog.commit(|current| match current.pin.is_some() {
                true => changed(current, |c| c.unpin().map(drop)),
                false => changed(current, |c| c.pin(None, "why", at(3)).map(drop)),
            })),
            _ => {
                let removed = catalog.commit(|current| changed(current, |c| c.remove(version)));
                let was_removed = removed.is_ok();
                tally.count(removed);
                let gone = if was_removed { vec![version] } else { Vec::new() };
                // An answer that is lost for good stops a deletion; another one continues it.
                assert!(
                    !catalog.sweep(gone, Duration::from_secs(3600)).is_err_and(|error| error.kind() == Kind::Corrupt)
                );
            }
        }
    }
}

/// Applies a change that must change something, so that each one that is applied adds one to the epoch.
fn changed<T>(current: &mut Current, change: impl FnOnce(&mut Current) -> Result<T>) -> Result<T> {
    let before = current.clone();
    let result = change(current)?;
    if *current == before { Err(Error::invalid("nothing to change")) } else { Ok(result) }
}

fn build(catalog: &Catalog, id: &str, tally: &Tally) {
    let building = match catalog.lock_build() {
        Ok(building) => building,
        Err(error) => {
            // Its lease, or its commit of the builder's epoch.
            let was_unknown = is_unknown(&error);
            assert!(was_unknown || error.kind() == Kind::Conflict, "{}", error.chain().join(": "));
            tally.unknown.fetch_add(u64::from(was_unknown), Ordering::Relaxed);
            return;
        }
    };
    tally.applied.fetch_add(1, Ordering::Relaxed);
    let directory = staged(catalog, id);
    let installed = catalog.install(&directory, |version| {
        let mut manifest = manifest(version, &[("key", id)]);
        manifest.build_id = id.to_owned();
        manifest
    });
    drop(building);
    tally.count(installed);
}

fn history(seed: u64, work: &Path) {
    let bucket = simulated::bucket(seed, 10, 10).unwrap();
    let hosts: Vec<Catalog> =
        (0..HOSTS).map(|host| Catalog::simulated(bucket.clone(), &work.join(host.to_string()))).collect();
    // Creating it may have to be tried again, too.
    while hosts[0].read().is_err() {
        let _ = hosts[0].remote().unwrap().create("views");
    }
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for (number, catalog) in hosts.iter().enumerate() {
            let tally = &tally;
            scope.spawn(move || host(catalog, seed, number, tally));
        }
    });
    let current = hosts[0].read().unwrap();
    let (applied, unknown) = (tally.applied.into_inner(), tally.unknown.into_inner());
    assert!((applied..=applied + unknown).contains(&current.epoch), "seed {seed}: {applied}, {unknown}: {current:?}");
    for &version in current.versions.keys() {
        let manifest = hosts[1].manifest(&current, version).unwrap();
        assert_eq!(hosts[1].inspect(&manifest, FileDepth::AllFiles).unwrap(), [], "seed {seed}");
    }
    // Without a lease that could not be released. A last gc, which may have to try again where answers are lost.
    bucket.delete([Key::new("lease.json").unwrap()]).unwrap();
    let swept = (0..20).any(|_| hosts[2].sweep(Vec::new(), Duration::ZERO).is_ok());
    assert!(swept, "seed {seed}");
    let unnamed = hosts[2].unreferenced().unwrap();
    let debris = unnamed.iter().filter(|path| path.starts_with("versions")).count();
    assert_eq!(debris, 0, "seed {seed}: {unnamed:?}");
}

/// Histories of one `cargo test`.
const RUNS: u64 = 10_000;

#[test]
fn histories_of_hosts_that_share_a_store() {
    let runs: u64 = std::env::var("CUTOVER_SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    // In memory where that is possible: the working directories are not what is tested.
    let shared = Path::new("/dev/shm");
    let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let work = tempfile::tempdir_in(parent).unwrap();
    for seed in 0..runs {
        history(seed, &work.path().join((seed % 8).to_string()));
    }
}
