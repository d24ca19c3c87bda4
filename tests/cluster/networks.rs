//! What networks and the object store do meanwhile: messages that are lost, answers of 503, requests that take long,
//! and a server that is killed.

use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::harness::wait_for;
use crate::lake::Lake;
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::relay::Relay;
use crate::server::Server;

/// How long messages are lost.
const LOST_FOR: Duration = Duration::from_millis(1500);

#[test]
fn a_lost_status_of_a_finished_task_costs_nothing() {
    for lost in ["cluster.run_uploaded=pause@2", "cluster.shard_uploaded=pause@4"] {
        let Some(cluster) = Cluster::with_rows(3, "") else { return };
        let relay = Relay::to(&cluster.address);
        let driver = cluster.drive("rows", "");
        let mut executor = cluster.lake.start_failing(lost, &cluster.executor_line("a", &relay.address));
        executor.wait_until_paused();
        relay.lose();
        executor.wake_with(Signal::CONT);
        std::thread::sleep(LOST_FOR);
        relay.cut();
        assert_eq!(driver.wait().ok().json()["rows"], 1500, "{lost}");
        cluster.is_as_locally("rows");
    }
}

#[test]
fn a_lost_status_of_a_failed_task_repeats_it_after_a_standstill() {
    let Some(cluster) = Cluster::with_rows(3, "") else { return };
    let relay = Relay::to(&cluster.address);
    let driver = cluster.lake.start_failing("", &cluster.line("rows", "--standstill 4s"));
    let failing = "cluster.build=pause@4,cluster.built=error@4";
    let mut executor = cluster.lake.start_failing(failing, &cluster.executor_line("a", &relay.address));
    executor.wait_until_paused();
    relay.lose();
    executor.wake_with(Signal::CONT);
    std::thread::sleep(LOST_FOR);
    relay.cut();
    let run = driver.wait().ok();
    run.complains(&["submitted again", "no task was done for 4 s"]);
    cluster.is_as_locally("rows");
}

#[test]
fn tasks_that_are_only_slow_are_waited_for() {
    let Some(server) = Server::shared() else { return };
    let proxy =
        Proxy::before(server.port(), [Rule::new("GET", "/runs/", When::Always, Fault::Delay(Duration::from_secs(6)))]);
    let Some(mut cluster) = Cluster::with_rows(2, "") else { return };
    cluster.lake.port = proxy.port();
    // Each shard takes longer than three standstills of the same length.
    let driver = cluster.lake.start_failing("", &cluster.line("rows", "--standstill 1s"));
    let _executor = cluster.executor("a", "");
    let run = driver.wait().ok();
    run.complains(&["no task was done for 1 s", "no task was done for 2 s"]);
    assert!(!proxy.seen(true).is_empty());
    cluster.is_as_locally("rows");
}

#[test]
fn answers_of_503_and_cut_connections_to_the_store_are_retried() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let Some(mut cluster) = Cluster::with_rows(4, "") else { return };
    cluster.lake.port = proxy.port();
    proxy.set([
        Rule::new("", "", When::Percent(5, 1), Fault::Refuse),
        Rule::new("PUT", "", When::Percent(5, 2), Fault::RefuseAfterwards),
        Rule::new("GET", "/versions", When::Percent(5, 3), Fault::CutBody(10)),
        Rule::new("PUT", "/work/", When::Percent(10, 4), Fault::LoseAnswer),
    ]);
    let driver = cluster.drive("rows", "");
    let _executors = [cluster.executor("a", ""), cluster.executor("b", "")];
    assert_eq!(driver.wait().ok().json()["rows"], 2000);
    assert!(proxy.seen(true).len() > 5, "{:?}", proxy.seen(true));
    proxy.set([]);
    cluster.is_as_locally("rows");
    cluster.scratch_is_empty(&["a", "b"]);
}

#[test]
fn a_server_that_is_killed_and_restarted_fails_no_run() {
    for (step, kind) in [("cluster.map=pause@2", "map"), ("cluster.built=pause@2", "built")] {
        let Some(server) = Server::own() else { return };
        let cluster = Cluster::over(Lake::on(&server));
        cluster.add_rows(4, "");
        let driver = cluster.drive("rows", "");
        let mut executor = cluster.executor("a", step);
        executor.wait_until_paused();
        wait_for("a record", || !cluster.records("rows", kind).is_empty());
        server.kill();
        executor.wake_with(Signal::CONT);
        std::thread::sleep(Duration::from_secs(2));
        server.restart();
        let code = driver.wait().exits_with_one_of(&[0, 4]);
        if code == 4 {
            let resumed = cluster.drive("rows", "").wait().ok().json();
            assert!(resumed["cluster"]["map_tasks_resumed"].as_u64() > Some(0), "{}", resumed["cluster"]);
        }
        cluster.is_as_locally("rows");
    }
}
