//! Consumers that are killed at every stage, start early or late, or receive announcements in the middle of their work.

use std::fs;

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, ROWS, generation};
use crate::harness::{names, wait_for};
use rustix::process::Signal;

/// Kills the consumer of generation 2 at a failpoint. Readers of its store see 1, or 2 once it flipped; the next
/// attempt succeeds, and resumes from staged data if tables were finished.
fn consumer_killed_at(failpoint: &str, flipped: bool, resumes: bool) {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.run(2).ok();
    dataset.failing(failpoint, &dataset.consuming("--once")).killed();
    assert_eq!(dataset.consumed(), Some(if flipped { 2 } else { 1 }));
    let again = dataset.consume().ok();
    assert_eq!(again.stdout.contains("staged before"), resumes, "{}", again.stdout);
    assert_eq!(dataset.consumed(), Some(2));
    assert_eq!(names(&dataset.workspace().path("consumer/staging")), [""; 0], "left in staging");
    dataset.workspace().cutover("verify consumer --depth full").ok();
}

#[test]
fn killed_at_the_first_record() {
    consumer_killed_at("consume.record=kill", false, false);
}

#[test]
fn killed_in_the_middle_of_the_data() {
    consumer_killed_at(&format!("consume.record=kill@{}", ROWS - 10), false, true);
}

#[test]
fn killed_after_a_table() {
    consumer_killed_at("consume.table=kill@2", false, true);
}

#[test]
fn killed_with_all_received() {
    consumer_killed_at("consume.received=kill", false, true);
}

#[test]
fn killed_with_its_databases_built() {
    consumer_killed_at("consume.built=kill", false, true);
}

#[test]
fn killed_between_install_and_flip() {
    consumer_killed_at("consume.installed=kill", false, false);
}

#[test]
fn killed_after_the_flip() {
    consumer_killed_at("consume.flipped=kill", true, false);
}

/// Failures that the process survives.
#[test]
fn a_consumer_that_fails_at_any_step_is_resumed_by_the_next() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    let mut new = 1;
    for (step, at) in [
        ("consume.record", ROWS / 2),
        ("consume.table", 2),
        ("consume.received", 1),
        ("consume.built", 1),
        ("consume.installed", 1),
        ("consume.flipped", 1),
    ] {
        for action in ["error", "panic"] {
            new += 1;
            dataset.run(new).ok();
            let consumer = dataset.failing(&format!("{step}={action}@{at}"), &dataset.consuming("--once"));
            if action == "panic" {
                consumer.panicked()
            } else {
                consumer.fails(4)
            };
            let flipped = step == "consume.flipped";
            assert_eq!(dataset.consumed(), Some(if flipped { new } else { new - 1 }), "{step}={action}");
            dataset.consume().ok();
            assert_eq!(dataset.consumed(), Some(new), "{step}={action}");
            dataset.workspace().cutover("gc consumer").ok();
            assert_eq!(names(&dataset.workspace().path("consumer/staging")), [""; 0], "{step}={action} left this");
        }
    }
}

#[test]
fn a_consumer_that_is_asked_to_stop_keeps_what_it_has_staged() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.run(2).ok();
    let mut consumer = dataset.workspace().start_failing("consume.table=pause@2", &dataset.consuming("--once"));
    consumer.wait_until_paused();
    consumer.wake_with(Signal::TERM);
    consumer.wait().fails(143).complains(&["which resumes from what is staged", "SIGTERM"]);
    assert_eq!(dataset.consumed(), Some(1));
    dataset.consume().ok().prints(&["staged before"]);
    assert_eq!(dataset.consumed(), Some(2));
    assert_eq!(names(&dataset.workspace().path("consumer/staging")), [""; 0], "left in staging");
}

#[test]
fn a_waiting_consumer_ends_when_it_is_asked_to() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let consumer = dataset.follow();
    wait_for("the first version", || dataset.consumed() == Some(1));
    consumer.signal(Signal::INT);
    consumer.wait().exits(130).complains(&["SIGINT"]);
}

#[test]
fn damaged_staged_data_is_not_used() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.failing("consume.received=kill", &dataset.consuming("--once")).killed();
    let staging = dataset.workspace().path("consumer/staging");
    let tables = staging.join(&names(&staging)[0]).join("tables/shard-00000");
    let table = tables.join(&names(&tables)[0]);
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    dataset.workspace().cutover("verify consumer --depth full").ok();
}

#[test]
fn a_consumer_that_starts_during_a_publish_stages_the_announced_version() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.write(2, ROWS);
    let mut publisher = dataset.command("run numbers.toml");
    let pause = format!("stream.record=pause@{}", ROWS / 2);
    let mut publisher = publisher.env("CUTOVER_FAILPOINTS", pause).spawn().unwrap();
    let status = format!("/proc/{}/status", publisher.id());
    wait_for("the publisher to pause", || fs::read_to_string(&status).unwrap().contains("State:\tT"));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    let pid = rustix::process::Pid::from_child(&publisher);
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    assert!(publisher.wait().unwrap().success());
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

#[test]
fn a_consumer_that_starts_between_a_failed_and_a_good_publish_stages_the_previous_version() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    let early = dataset.workspace().cutover(&dataset.consuming("--once")).fails(4);
    early.complains(&["nothing is announced"]);
    dataset.run(1).ok();
    dataset.write(2, ROWS);
    dataset.failing("stream.finished=kill", "run numbers.toml").killed();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    dataset.run(3).ok();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(3));
}

#[test]
fn a_consumer_that_waits_for_the_first_version_gets_it() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    let consumer = dataset.follow();
    dataset.run(1).ok();
    wait_for("the first version", || generation(&dataset.workspace().path("consumer")) == Some(1));
    dataset.run(2).ok();
    wait_for("the second version", || generation(&dataset.workspace().path("consumer")) == Some(2));
    let second = dataset.consume().fails(5);
    second.complains(&["another consumer uses this store", &format!("process {}", consumer.pid())]);
    drop(consumer);
}

#[test]
fn a_rollback_that_is_announced_while_a_consumer_stages_wins() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.run(2).ok();
    // Slow enough to be in the middle of version 2 when 1 is announced.
    let consumer = dataset.workspace().start(&dataset.consuming("--rate-limit 20KiB"));
    let staging = dataset.workspace().path("consumer/staging");
    wait_for("staging", || !names(&staging).is_empty());
    dataset.numbers.on("rollback", "").ok();
    wait_for("version 1", || dataset.consumed() == Some(1));
    drop(consumer);
    let versions = dataset.workspace().cutover("versions consumer --json").ok().json();
    assert_eq!(versions["versions"].as_object().unwrap().len(), 1, "version 2 never became a version here");
}

#[test]
fn a_pin_of_the_local_store_holds_its_readers_alone() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.workspace().cutover("pin consumer --reason local").ok();
    dataset.run(2).ok();
    dataset.consume().fails(5).complains(&["version 1 is pinned", "cutover unpin"]);
    assert_eq!(dataset.consumed(), Some(1));
    dataset.workspace().cutover("unpin consumer").ok();
    dataset.consume().ok().prints(&["it was here already"]);
    assert_eq!(dataset.consumed(), Some(2));
    dataset.workspace().cutover("run numbers.toml --rebuild").ok();
    dataset.numbers.on("versions", "").ok();
}
