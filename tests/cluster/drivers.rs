//! Drivers that are killed or paused, and two at a time: the next one continues, and only one publishes.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, free_address};
use crate::harness::Running;

/// The attempts that the records of built shards name.
fn built(cluster: &Cluster) -> BTreeSet<String> {
    let keys = cluster.keys("stores/rows/versions");
    let attempt = |key: &String| {
        let record: Value = serde_json::from_str(&cluster.lake.read(key)).unwrap();
        record["attempt"].as_str().unwrap().to_owned()
    };
    keys.iter().filter(|key| key.contains("/work/built/")).map(attempt).collect()
}

/// The attempts of the version that readers see.
fn published(cluster: &Cluster) -> BTreeSet<String> {
    let manifest = cluster.manifest(&cluster.store("rows"));
    let shards = manifest["shards"].as_array().unwrap().iter();
    shards.map(|shard| shard["attempt"].as_str().unwrap().to_owned()).collect()
}

/// A driver on another host: with a working directory of its own, at another address.
fn other_host<'c>(cluster: &'c Cluster, address: &str) -> Running<'c> {
    let line = cluster.line("rows", "").replace(&cluster.address, address);
    let work_dir = cluster.lake.workspace.path("other-host");
    cluster.lake.workspace.spawn(cluster.lake.command(&line).env("CUTOVER_WORK_DIR", work_dir))
}

#[test]
fn a_driver_killed_while_tasks_run_is_continued_by_the_next() {
    for (step, kind) in [("cluster.map", "map"), ("cluster.build", "build")] {
        let Some(cluster) = Cluster::with_rows(4, "") else { return };
        let driver = cluster.drive("rows", "");
        let mut executor = cluster.executor("a", &format!("{step}=pause@3"));
        executor.wait_until_paused();
        driver.signal(Signal::KILL);
        let _ = driver.wait().killed();
        drop(executor);
        let before = built(&cluster);
        let driver = cluster.drive("rows", "");
        let _executors = [cluster.executor("b", ""), cluster.executor("c", "")];
        let report = driver.wait().ok().json();
        assert_eq!(report["cluster"][format!("{kind}_tasks_resumed")], 2, "{kind}: {}", report["cluster"]);
        assert!(before.is_subset(&published(&cluster)), "a shard with a record was built again");
        cluster.is_as_locally("rows");
    }
}

#[test]
fn a_driver_killed_between_tasks_or_before_the_flip_is_continued_by_the_next() {
    for (point, shards) in [
        ("cluster.mapped=kill", 0),
        ("cluster.planned=kill", 0),
        ("build.finished=kill", 4),
        ("install.manifest=kill", 4),
    ] {
        let Some(cluster) = Cluster::with_rows(3, "") else { return };
        let driver = cluster.drive("rows", point);
        let _executors = [cluster.executor("a", ""), cluster.executor("b", "")];
        let _ = driver.wait().killed();
        let before = built(&cluster);
        let report = cluster.drive("rows", "").wait().ok().json();
        let of = |name: &str| report["cluster"][name].as_u64().unwrap();
        assert_eq!((of("map_tasks_resumed"), of("build_tasks_resumed")), (of("map_tasks"), shards), "{point}");
        assert!(before.is_subset(&published(&cluster)), "{point}: a shard with a record was built again");
        cluster.is_as_locally("rows");
    }
}

#[test]
fn a_driver_killed_at_the_flip_leaves_the_old_version_or_the_new_one() {
    // The third change of `current.json`, after the lease's and that of a complete version, is the flip.
    for (point, is_flipped) in [("current.decided=kill@3", false), ("current.replaced=kill@3", true)] {
        let Some(cluster) = Cluster::with_rows(2, "") else { return };
        let driver = cluster.drive("rows", point);
        let executor = cluster.executor("a", "");
        let _ = driver.wait().killed();
        cluster.on("show", "rows", "--json").exits(if is_flipped { 0 } else { 4 });
        drop(executor);
        // The version is complete: the next run needs no executor.
        let report = cluster.drive("rows", "").wait().ok().json();
        assert_eq!(report["outcome"], if is_flipped { "unchanged" } else { "published" }, "{point}");
        assert_eq!(report["version"], 1);
        cluster.is_as_locally("rows");
    }
}

#[test]
fn of_two_drivers_one_is_refused_and_leaves_nothing() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    let mut first = cluster.drive("rows", "build.started=pause");
    first.wait_until_paused();
    let before = cluster.keys("stores");
    // On the same host the lock keeps them apart, on another one the lease.
    let second = cluster.line("rows", "").replace(&cluster.address, &free_address());
    cluster.lake.cutover(&second).fails(5).complains(&["another build"]);
    other_host(&cluster, &free_address()).wait().fails(5).complains(&["lease", "is held by"]);
    assert_eq!(cluster.keys("stores"), before);
    first.wake_with(Signal::CONT);
    let _executor = cluster.executor("a", "");
    let _ = first.wait().ok();
    cluster.is_as_locally("rows");
}

#[test]
fn a_driver_whose_lease_expired_while_paused_changes_nothing() {
    for point in ["build.started", "cluster.mapped", "cluster.planned", "build.finished", "install.synced"] {
        let Some(cluster) = Cluster::with_rows(2, "") else { return };
        let mut slow = cluster.drive("rows", &format!("{point}=pause"));
        let _its = cluster.executor("a", "");
        slow.wait_until_paused();
        // As if its lease had ended: another host takes over, continues the same build, and publishes it.
        cluster.lake.delete("stores/rows/lease.json");
        let address = free_address();
        let other = other_host(&cluster, &address);
        let _others = cluster.lake.start_failing("", &cluster.executor_line("b", &address));
        let _ = other.wait().ok();
        let seen = || cluster.on("show", "rows", "--json").ok().json()["build_id"].clone();
        let published = seen();
        slow.wake_with(Signal::CONT);
        slow.wait().fails(5).complains(&["took over"]);
        assert_eq!(seen(), published, "{point}");
        cluster.on("verify", "rows", "--depth full").ok();
        cluster.is_as_locally("rows");
    }
}

#[test]
fn faults_of_the_data_end_the_run_as_they_do_locally() {
    let Some(cluster) = Cluster::with_rows(3, "") else { return };
    cluster.job("twice", "SELECT 'k' AS key, number FROM rows", "");
    let text = std::fs::read_to_string(cluster.lake.workspace.path("twice.toml")).unwrap();
    cluster.lake.workspace.write("twice.toml", text.replace("duplicates = \"number\"", "duplicates = \"error\""));
    let driver = cluster.drive("twice", "");
    let executor = cluster.executor("a", "");
    driver.wait().fails(3).complains(&["key"]);
    drop(executor);
    cluster.on("gc", "twice", "--grace 0s").ok();
    assert!(cluster.keys("stores/twice").iter().all(|key| !key.contains("/versions/")), "nothing is left of it");
}
