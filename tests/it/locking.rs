//! Two builders at once, and what a killed build leaves behind.

use std::fs;
use std::path::PathBuf;

use cutover::internals::catalog::Catalog;
use rustix::process::Signal;

use crate::fixture::Numbers;
use crate::harness::{Running, Workspace, listing, names, wait_for};

/// A job that runs long enough to be interrupted.
fn long_job() -> Workspace {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 1000000 --profiles 20000").ok();
    workspace
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

#[test]
fn the_second_of_two_builders_is_refused_and_names_the_first() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let store = numbers.workspace.path("store");
    let first = Catalog::open(&store).unwrap().lock_build().unwrap();
    let before = listing(&store);
    let pid = format!("process {}", std::process::id());
    numbers.run(2).fails(5).complains(&["another build of this store is running", "build.lock", &pid, &hostname()]);
    assert_eq!(listing(&store), before);
    assert_eq!(numbers.seen(), (1, 1));
    // Other changes do not wait for a build.
    numbers.on("pin", "--reason audit").ok();
    numbers.on("unpin", "").ok();
    drop(first);
    numbers.run(2).ok();
    assert_eq!(numbers.seen(), (2, 2));
}

#[test]
fn two_builders_that_start_together_create_one_store() {
    for _ in 0..8 {
        let numbers = Numbers::new();
        numbers.write(1, 100);
        let both = [(); 2].map(|()| numbers.workspace.start("run numbers.toml"));
        let both = both.map(|run| run.wait());
        let codes = both.each_ref().map(|run| run.code());
        assert!([[0, 0], [0, 5], [5, 0]].contains(&codes), "{codes:?}\n{}\n{}", both[0].stderr, both[1].stderr);
        assert_eq!(numbers.seen(), (1, 1));
        numbers.assert_states(&[(1, "published")]);
    }
}

/// The builder that gets the lock is paused while it holds it, so that all others find it locked.
#[test]
fn of_twenty_builders_one_builds_and_the_others_name_it() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let start = |_| numbers.workspace.start_failing("build.started=pause", "run numbers.toml");
    let mut builders: Vec<Running> = (0..20).map(start).collect();
    wait_for("all builders but one to end", || {
        builders.iter_mut().map(Running::is_over).filter(|over| !over).count() <= 1
    });
    let builds = builders.iter_mut().position(|builder| !builder.is_over()).expect("one has the lock");
    let mut builder = builders.swap_remove(builds);
    builder.wait_until_paused();
    let pid = format!("process {}", builder.pid());
    for other in builders {
        let refused = other.wait().fails(5);
        refused.complains(&["another build of this store is running", "build.lock", &pid, &hostname()]);
    }
    numbers.on("versions", "").ok().prints(&["has no version yet"]);

    // The lock of a builder that is killed is free at once.
    builder.signal(Signal::KILL);
    builder.wait().killed();
    numbers.workspace.cutover("run numbers.toml").ok();
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published")]);
}

#[test]
fn a_killed_build_leaves_nothing_that_matters() {
    let workspace = long_job();
    let job = "jobs/enriched_events.toml";
    let store = "stores/enriched_events";
    let staging = workspace.path(store).join("staging");
    let mut build = workspace.start(&format!("run {job}"));
    build.stop_while_building(store);
    let working = names(&staging);

    let pid = format!("process {}", build.pid());
    let way_on = format!("kill -CONT {}", build.pid());
    let second = workspace.cutover(&format!("run {job}")).fails(5);
    second.complains(&[&pid, &hostname(), "stopped", &way_on]);
    workspace.cutover(&format!("gc {store}")).ok();
    assert_eq!(names(&staging), working, "gc leaves the directory of a running build alone");
    workspace.cutover(&format!("scan {store}")).fails(4).complains(&["nothing is published", store]);

    build.signal(Signal::KILL);
    build.wait().killed();
    assert_eq!(names(&staging), working, "what the kernel left");
    workspace.cutover(&format!("versions {store}")).ok().prints(&["has no version yet"]);
    let report = workspace.cutover(&format!("run {job} --json")).ok().json();
    assert_eq!((&report["version"], &report["rows"]), (&1.into(), &1_000_000.into()));
    assert_eq!(names(&staging), [""; 0], "a run removes what dead builds left");

    let mut again = workspace.start(&format!("run {job} --rebuild"));
    again.stop_while_building(store);
    again.signal(Signal::KILL);
    again.wait().killed();
    assert_eq!(names(&staging).len(), 1);
    workspace.cutover(&format!("scan {store} --limit 1")).ok();
    workspace.cutover(&format!("gc {store}")).ok().prints(&["deleted 1 leftover directory"]);
    assert_eq!(names(&staging), [""; 0]);
    workspace.cutover(&format!("verify {store} --depth full")).ok();
}

#[test]
fn a_paused_build_that_continues_succeeds() {
    let workspace = long_job();
    let store = "stores/views_by_age";
    let mut build = workspace.start("run jobs/views_by_age.toml");
    build.stop_while_building(store);
    workspace.cutover("run jobs/views_by_age.toml").fails(5);
    build.signal(Signal::CONT);
    build.wait().ok().prints(&["version 1 is live"]);
    workspace.cutover("run jobs/views_by_age.toml").ok().prints(&["already published as 1"]);
}

/// What a crash leaves between moving a finished version into place and naming it in `current.json`.
#[test]
fn a_directory_that_no_version_names_blocks_no_command() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let unnamed = numbers.workspace.path("store/versions/00000002");
    let copy = |to: &PathBuf| {
        fs::create_dir_all(to).unwrap();
        fs::copy(numbers.workspace.path("store/versions/00000001/manifest.json"), to.join("manifest.json")).unwrap();
    };
    copy(&unnamed);
    numbers.on("get", "k000 --version 2").fails(2).complains(&["there is no version 2"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.run(2).ok();
    assert_eq!(numbers.seen(), (2, 2));
    numbers.assert_states(&[(1, "retired"), (2, "published")]);
    copy(&numbers.workspace.path("store/versions/00000003"));
    numbers.on("gc", "").ok().prints(&["deleted 1 leftover directory"]);
    numbers.assert_states(&[(1, "retired"), (2, "published")]);
}
