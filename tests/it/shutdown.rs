//! SIGINT and SIGTERM: a command ends at its next safe point with 130 or 143 and says what is in effect, one past its
//! point of no return finishes, and a second signal ends it at once.
//!
//! Failpoints pause the command where the signal is to arrive.

use std::time::{Duration, Instant};

use cutover::internals::catalog::Catalog;
use rustix::process::Signal;

use crate::fixture::Numbers;
use crate::harness::{Workspace, names, wait_for};

/// Generation 1 is live and generation 2 is to come.
fn numbers() -> Numbers {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 100);
    numbers
}

#[test]
fn a_run_that_is_asked_to_stop_changes_nothing_and_says_how_to_continue() {
    for (signal, name, code) in [(Signal::INT, "SIGINT", 130), (Signal::TERM, "SIGTERM", 143)] {
        for pause in ["build.started=pause", "build.table=pause", "build.synced=pause@3", "install.reported=pause"] {
            let numbers = numbers();
            let mut build = numbers.workspace.start_failing(pause, "run numbers.toml");
            build.wait_until_paused();
            build.wake_with(signal);
            let stopped = build.wait().fails(code);
            stopped.complains(&["stopped before anything was installed", "store", "run the same command again", name]);
            assert_eq!(numbers.seen(), (1, 1));
            numbers.assert_states(&[(1, "published")]);
            numbers.workspace.cutover("run numbers.toml").ok();
            assert_eq!(numbers.seen(), (2, 2));
        }
    }
}

/// All columns of a wide table take the planner many seconds, in which it checks no signal.
#[test]
fn a_run_is_stopped_while_its_query_is_planned() {
    let workspace = Workspace::new();
    let columns: Vec<String> = (0..10_000).map(|column| format!("column_{column}")).collect();
    workspace.write("wide.csv", format!("{}\n{}\n", columns.join(","), vec!["1"; columns.len()].join(",")));
    let job = "version = 1\ndataset = \"wide\"\nstore = \"store\"\n[inputs.t]\npath = \"wide.csv\"\n[query]\n\
               sql = \"SELECT * FROM t\"\n[output]\nkey = [\"column_0\"]\n";
    workspace.write("wide.toml", job);
    for (command, signal, code) in [("run", Signal::TERM, 143), ("plan", Signal::INT, 130)] {
        let mut planning = workspace.start(&format!("{command} wide.toml --json"));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!planning.is_over(), "{command}: the query was planned before it could be stopped");
        let asked = Instant::now();
        planning.wake_with(signal);
        let stopped = planning.wait().fails(code);
        assert!(asked.elapsed() < Duration::from_secs(5), "{command} took {:?} to stop", asked.elapsed());
        stopped.complains(&["stopped while the query was planned", "run the same command again"]);
        assert_eq!(stopped.json()["outcome"], "stopped", "{command}");
    }
    assert!(!workspace.path("store").exists());
}

/// A query that groups gives nothing before it has read everything.
#[test]
fn a_run_is_stopped_in_the_middle_of_its_query() {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 1000000 --profiles 20000").ok();
    let mut build = workspace.start("run jobs/views_by_age.toml");
    build.stop_while_building("stores/views_by_age");
    build.wake_with(Signal::TERM);
    let ended = build.wait().fails(143);
    ended.complains(&["run the same command again", "SIGTERM"]);
    // On a busy machine the query may have ended before the signal came: then its shuffle is kept, and said to be.
    let is_kept = ended.stderr.contains("finished work is kept");
    assert_eq!(names(&workspace.path("stores/views_by_age/staging")).len(), usize::from(is_kept));
    workspace.cutover("versions stores/views_by_age").ok().prints(&["has no version yet"]);
}

#[test]
fn a_run_past_its_last_safe_point_finishes() {
    for pause in ["install.manifest=pause", "install.renamed=pause", "current.replaced=pause@2", "log.append=pause@2"] {
        let numbers = numbers();
        let mut build = numbers.workspace.start_failing(pause, "run numbers.toml");
        build.wait_until_paused();
        build.wake_with(Signal::TERM);
        build.wait().ok().prints(&["version 2 is live"]);
        assert_eq!(numbers.seen(), (2, 2), "{pause}");
        numbers.assert_states(&[(1, "retired"), (2, "published")]);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let numbers = numbers();
    let pauses = "install.manifest=pause,current.replaced=pause@2";
    let mut build = numbers.workspace.start_failing(pauses, "run numbers.toml");
    build.wait_until_paused();
    build.wake_with(Signal::TERM);
    let store = Catalog::open(numbers.workspace.path("store")).unwrap();
    wait_for("the publish", || store.read().unwrap().current == Some(2));
    build.wait_until_paused();
    build.wake_with(Signal::INT);
    build.wait().ended_by(Signal::INT);
    assert_eq!(numbers.seen(), (2, 2));
    numbers.workspace.cutover("run numbers.toml").ok().prints(&["already published as 2"]);
    numbers.on("gc", "").ok();
    numbers.assert_states(&[(1, "retired"), (2, "published")]);
}

#[test]
fn a_gc_that_is_asked_to_stop_leaves_the_rest_to_the_next() {
    let numbers = numbers();
    numbers.run(2).ok();
    let mut gc = numbers.workspace.start_failing("retention.renamed=pause", "gc store --keep 1");
    gc.wait_until_paused();
    gc.wake_with(Signal::TERM);
    gc.wait().fails(143).complains(&["stopped", "deleted by the next `cutover gc`", "SIGTERM"]);
    assert_eq!(names(&numbers.workspace.path("store/staging")).len(), 1, "on its way to its deletion");
    assert_eq!(numbers.seen(), (2, 2));
    numbers.on("gc", "--keep 1").ok();
    numbers.assert_states(&[(2, "published")]);
}
