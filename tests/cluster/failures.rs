//! Executors and drivers that are killed, paused, or not there: the version is the same, and nothing is left behind.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::harness::wait_for;

#[test]
fn executors_that_are_killed_are_replaced_by_others() {
    for point in
        ["cluster.map=kill@2", "cluster.run_uploaded=kill@2", "cluster.built=kill", "cluster.shard_uploaded=kill"]
    {
        let Some(cluster) = Cluster::with_rows(5, "") else { return };
        let driver = cluster.drive("rows", "");
        let killed = cluster.executor("a", point);
        wait_for("the first executor to be killed", {
            let mut killed = killed;
            move || killed.is_over()
        });
        let _other = cluster.executor("b", "");
        assert_eq!(driver.wait().ok().json()["rows"], 2500, "{point}");
        cluster.is_as_locally("rows");
    }
}

#[test]
fn a_paused_executor_loses_to_the_one_that_did_its_task() {
    let Some(cluster) = Cluster::with_rows(3, "") else { return };
    let driver = cluster.drive("rows", "");
    let mut paused = cluster.executor("a", "cluster.shard_uploaded=pause");
    paused.wait_until_paused();
    let _other = cluster.executor("b", "");
    let report = driver.wait().ok().json();
    assert_eq!(report["rows"], 1500);
    // It wakes when the version is there: its record is for a build that has no work any more.
    paused.wake_with(Signal::CONT);
    std::thread::sleep(std::time::Duration::from_secs(1));
    cluster.is_as_locally("rows");
}

#[test]
fn a_driver_that_was_killed_is_continued_by_the_next() {
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
        let report = cluster.drive("rows", "").wait().ok().json();
        let of = |name: &str| report["cluster"][name].as_u64().unwrap();
        assert_eq!((of("map_tasks_resumed"), of("build_tasks_resumed")), (of("map_tasks"), shards), "{point}");
        cluster.is_as_locally("rows");
    }
}

#[test]
fn without_executors_a_run_ends_and_the_next_one_continues() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    cluster.drive("rows", "").wait().fails(4).complains(&["no executor has asked", "cutover executor --driver"]);
    cluster.on("get", "rows", "'[\"k000001\"]'").exits(4);
    let driver = cluster.drive("rows", "");
    let _executor = cluster.executor("a", "");
    let _ = driver.wait().ok();
    cluster.is_as_locally("rows");
}

#[test]
fn of_two_drivers_one_is_told_of_the_other() {
    let Some(cluster) = Cluster::with_rows(2, "") else { return };
    let mut first = cluster.drive("rows", "build.started=pause");
    first.wait_until_paused();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let second = cluster.line("rows", "").replace(&cluster.address, &format!("127.0.0.1:{port}"));
    // The lock of this host keeps them apart; the lease would, on two hosts.
    cluster.lake.cutover(&second).fails(5).complains(&["another build"]);
    first.wake_with(Signal::CONT);
    let _executor = cluster.executor("a", "");
    let _ = first.wait().ok();
    cluster.is_as_locally("rows");
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
