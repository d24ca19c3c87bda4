//! Executors that are killed or paused: at each kind of step, one of them or all, and none there at all.
//!
//! `CUTOVER_SEEDS` runs the kills this many times, at other tasks.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::cluster::{Cluster, GROUPED};
use crate::harness::wait_for;

/// A step of each kind: exchanging rows, the query, the upload of a run, the build, and the upload of a shard.
const STEPS: [&str; 6] =
    ["cluster.scan", "cluster.map", "cluster.run_uploaded", "cluster.build", "cluster.built", "cluster.shard_uploaded"];

fn seeds() -> u64 {
    std::env::var("CUTOVER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

/// How often each task was done, as executors report it: `map 3 of <build>: 500 entries, 0.1 s`.
fn done(outputs: &[&str]) -> BTreeMap<String, usize> {
    let mut done = BTreeMap::new();
    for line in outputs.iter().flat_map(|output| output.lines()).filter(|line| line.ends_with(" s")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = words.iter().position(|word| ["scan", "map", "build"].contains(word));
        if let Some([kind, number, "of", ..]) = kind.map(|at| &words[at..]) {
            *done.entry(format!("{kind} {number}")).or_default() += 1;
        }
    }
    done
}

#[test]
fn an_executor_killed_at_any_step_costs_the_task_that_it_ran() {
    for (seed, step) in (0..seeds()).flat_map(|seed| STEPS.map(|step| (seed, step))) {
        let Some(mut cluster) = Cluster::with_rows(4, "") else { return };
        cluster.share = "8KiB";
        cluster.job("grouped", GROUPED, "");
        // The other one comes when the first is dead, or is there from the beginning and may leave it nothing.
        let (nth, is_alone) = (1 + seed % 4, seed % 2 == 0);
        let mut killed = cluster.executor("a", &format!("{step}=kill@{nth}"));
        let early = (!is_alone).then(|| cluster.executor("b", ""));
        let driver = cluster.drive("grouped", "");
        let other = early.unwrap_or_else(|| {
            wait_for("the first executor to be killed", || killed.is_over());
            cluster.executor("b", "")
        });
        let report = driver.wait().ok().json();
        let was_killed = killed.is_over();
        other.signal(Signal::KILL);
        killed.signal_if_alive(Signal::KILL);
        let (one, two) = (killed.wait().killed(), other.wait().killed());
        let done = done(&[one.stderr.as_str(), two.stderr.as_str()]);
        let tasks: u64 = ["scan_tasks", "map_tasks", "build_tasks"]
            .iter()
            .map(|kind| report["cluster"][kind].as_u64().unwrap())
            .sum();
        assert!(done.values().all(|times| *times == 1), "{step}@{nth}: a task was done twice: {done:?}");
        assert_eq!(done.len() as u64, tasks, "{step}@{nth}: {done:?}\n{}\n{}", one.stderr, two.stderr);
        assert_eq!(report["cluster"]["retries"].as_u64() > Some(0), was_killed, "{step}@{nth}: {}", report["cluster"]);
        cluster.is_as_locally("grouped");
    }
}

#[test]
fn when_all_executors_are_killed_new_ones_finish_the_run() {
    let Some(cluster) = Cluster::with_rows(5, "") else { return };
    let mut killed = [cluster.executor("a", "cluster.run_uploaded=kill"), cluster.executor("b", "cluster.map=kill")];
    let driver = cluster.drive("rows", "");
    for executor in &mut killed {
        wait_for("an executor to be killed", || executor.is_over());
    }
    let _new = [cluster.executor("c", ""), cluster.executor("d", "")];
    assert_eq!(driver.wait().ok().json()["rows"], 2500);
    cluster.is_as_locally("rows");
    cluster.scratch_is_empty(&["c", "d"]);
}

#[test]
fn without_executors_a_run_ends_and_the_next_one_continues() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    cluster.drive("rows", "").wait().fails(4).complains(&["no executor has asked", "cutover executor --driver"]);
    cluster.on("get", "rows", "'[\"k000001\"]'").exits(4);
    cluster.on("gc", "rows", "").ok().prints(&["was not finished and stays", "--unfinished"]);
    cluster.on("gc", "rows", "--unfinished").ok();
    assert!(cluster.keys("stores/rows").iter().all(|key| !key.contains("building") && !key.contains("versions/")));
    let driver = cluster.drive("rows", "");
    let _executor = cluster.executor("a", "");
    let _ = driver.wait().ok();
    cluster.is_as_locally("rows");
}

#[test]
fn executors_that_die_one_after_another_end_the_run_and_readers_see_the_old_version() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    let driver = cluster.drive("rows", "");
    let executor = cluster.executor("a", "");
    let _ = driver.wait().ok();
    drop(executor);
    let seen = || cluster.on("show", "rows", "--json").ok().json()["build_id"].clone();
    let first = seen();
    cluster.job("rows", "SELECT key, number * 2 + 1 AS twice, text FROM rows", "");
    let driver = cluster.drive("rows", "");
    let mut killed = cluster.executor("b", "cluster.built=kill@2");
    wait_for("the executor to be killed", || killed.is_over());
    driver.wait().fails(4).complains(&["no executor has asked", "nothing was changed"]);
    assert_eq!(seen(), first, "readers are unaffected");
    let driver = cluster.drive("rows", "");
    let _last = cluster.executor("c", "");
    assert_eq!(driver.wait().ok().json()["cluster"]["build_tasks_resumed"], 1);
}

#[test]
fn a_paused_executor_loses_to_the_one_that_did_its_task_and_deletes_its_output() {
    for (step, objects, of) in
        [("cluster.run_uploaded", "/work/runs/", "map"), ("cluster.shard_uploaded", "/attempt-", "built")]
    {
        let Some(cluster) = Cluster::with_rows(3, "") else { return };
        let mut driver = cluster.drive("rows", "build.finished=pause");
        let mut paused = cluster.executor("a", &format!("{step}=pause"));
        paused.wait_until_paused();
        let _other = cluster.executor("b", "");
        driver.wait_until_paused();
        // All tasks have a record, and the one that sleeps has its object without one.
        let attempts = || {
            let keys = cluster.keys("stores/rows/versions");
            let of_attempt = |key: &String| Some(key.split_once(objects)?.1.split('/').next()?.to_owned());
            keys.iter().filter_map(of_attempt).collect::<std::collections::BTreeSet<_>>().len()
        };
        let tasks = cluster.records("rows", of).len();
        assert_eq!(attempts(), tasks + 1, "{step}");
        paused.wake_with(Signal::CONT);
        wait_for("the loser to delete what it wrote", || attempts() == tasks);
        driver.wake_with(Signal::CONT);
        assert_eq!(driver.wait().ok().json()["rows"], 1500);
        cluster.is_as_locally("rows");
        cluster.scratch_is_empty(&["a", "b"]);
    }
}

#[test]
fn an_executor_resumed_after_the_version_is_installed_leaves_nothing() {
    let Some(cluster) = Cluster::with_rows(3, "") else { return };
    let driver = cluster.drive("rows", "");
    let mut paused = cluster.executor("a", "cluster.shard_uploaded=pause");
    paused.wait_until_paused();
    let _other = cluster.executor("b", "");
    assert_eq!(driver.wait().ok().json()["rows"], 1500);
    // Its record is for a build that has no work any more.
    paused.wake_with(Signal::CONT);
    std::thread::sleep(std::time::Duration::from_secs(1));
    cluster.is_as_locally("rows");
}
