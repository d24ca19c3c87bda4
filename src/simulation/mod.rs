//! Simulates the catalog and publishing on a machine that fails: thousands of short histories, each drawn from a seed,
//! in which processes take turns at every call to the disk.
//!
//! ```text
//! actor ──▶ publish, catalog, durable_file ──▶ durable_file::fs ──▶ machine: whose turn, which fault ──▶ disk
//!              └──▶ publish::announcer ──▶ in every second history ────┘  │                 └──▶ Kafka cluster
//!                                                                         └──▶ model: may this be visible?
//! ```
//! `CUTOVER_SIM_RUNS` sets how many histories, `CUTOVER_SIM_SEED` the first seed. A failure names its seed and the
//! command that replays it with all of its calls.
//!
//! Not for: what only real files and processes show; the integration tests cover that.

mod actor;
mod client;
mod cluster;
mod disk;
mod faults;
mod machine;
mod model;
mod runner;

use std::sync::atomic::{AtomicU64, Ordering};

use self::faults::InjectedBug;
use self::runner::Lane;

/// Histories of one `cargo test`.
const RUNS: u64 = 10_000;
/// Every injected bug is found within this many histories.
const SOON: u64 = 3_000;
/// Calls before a failure that are printed.
const SHOWN: usize = 120;

/// The first seed that breaks something, and what it breaks.
fn first_failure(seeds: std::ops::Range<u64>, lie: Option<InjectedBug>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let search = || {
        let lane = Lane::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return None;
            }
            if let Some(what) = lane.run(seed, lie) {
                next.store(seeds.end, Ordering::Relaxed);
                return Some((seed, what));
            }
        }
    };
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let searches: Vec<_> = (0..lanes).map(|_| scope.spawn(search)).collect();
        searches.into_iter().filter_map(|search| search.join().unwrap()).min()
    })
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_history_of_faults_breaks_a_store() {
    let first = setting("CUTOVER_SIM_SEED", 0);
    let runs = setting("CUTOVER_SIM_RUNS", RUNS);
    let Some((seed, what)) = first_failure(first..first.saturating_add(runs), None) else { return };
    let calls = Lane::new().trace(seed, None);
    let shown = calls.len().saturating_sub(SHOWN);
    panic!(
        "{what}\n\nthe calls of seed {seed}, {} in all, a process's number before each:\n{}\n\nto run it again: \
         CUTOVER_SIM_SEED={seed} CUTOVER_SIM_RUNS=1 cargo test --release --lib simulation::no_history",
        calls.len(),
        calls[shown..].join("\n")
    );
}

#[test]
fn a_call_that_is_missing_is_found() {
    for lie in InjectedBug::ALL {
        let found = first_failure(0..SOON, Some(lie));
        let (seed, what) = found.unwrap_or_else(|| panic!("{lie:?} is not noticed within {SOON} histories"));
        eprintln!("{lie:?} is noticed at seed {seed}: {}", what.lines().next().unwrap_or_default());
    }
}

#[test]
fn histories_see_every_fault_and_every_outcome() {
    let doings = [
        "Reading",
        "Confirming",
        "Creating",
        "Targeting",
        "Installing",
        "Publishing",
        "RollingBack",
        "Pinning",
        "Cleaning",
    ];
    let ends = doings.iter().flat_map(|doing| [(*doing, " done"), (*doing, " failed: ")]);
    let faults =
        ["Error", "Death", "PowerCut"].iter().flat_map(|fault| [(*fault, "after: true"), (*fault, "after: false")]);
    let errors =
        ["meanwhile; run again", "is held by", "unknown whether applied", "is pinned since", "was rolled back"];
    let errors = errors.iter().map(|error| (" failed: ", *error));
    let kafka = [
        ("announce", "Error { after: true }"),
        ("announce", "Error { after: false }"),
        ("announce", "Death { after: true }"),
        ("announce", "Death { after: false }"),
        ("announce", "PowerCut { after: true }"),
        (" failed: ", "unknown whether announced"),
        (" failed: ", "not announced"),
        ("another client deletes", "Some"),
        ("finishes", "Settled"),
        ("finishes", "Abandoned"),
        ("catches up", ""),
    ];
    let mut missing: Vec<(&str, &str)> =
        ends.chain(faults).chain(errors).chain(kafka).chain([("Full", "no storage space")]).collect();
    let lane = Lane::new();
    for seed in 0..SOON {
        for line in lane.trace(seed, None) {
            missing.retain(|(what, how)| !(line.contains(what) && line.contains(how)));
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("no history has {missing:?}");
}

#[test]
fn a_seed_is_one_history() {
    let lane = Lane::new();
    for seed in 0..50 {
        let (once, again) = (lane.trace(seed, None), lane.trace(seed, None));
        // Names in the trash and messages contain the time.
        let same = |(call, other): (&String, &String)| call.split("trash-").next() == other.split("trash-").next();
        let alike = once.iter().zip(&again).take_while(|pair| same(*pair) || pair.0.contains(" failed: ")).count();
        assert_eq!(once.get(alike), again.get(alike), "seed {seed}, call {alike}");
    }
    assert_ne!(lane.trace(1, None).len(), lane.trace(2, None).len());
}
