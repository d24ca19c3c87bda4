//! Brokers that die and stand still in the middle of a publish. Each test has a broker of its own.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::Broker;
use crate::dataset::{Dataset, ROWS};
use crate::harness::wait_for;

/// Starts a publisher of generation 2 that pauses in the middle, and calls `meanwhile` before it goes on.
fn meanwhile(dataset: &Dataset, failpoint: &str, meanwhile: impl FnOnce()) -> std::process::ExitStatus {
    dataset.write(2, ROWS);
    let mut publisher = dataset.command("run numbers.toml").env("CUTOVER_FAILPOINTS", failpoint).spawn().unwrap();
    let status = format!("/proc/{}/status", publisher.id());
    wait_for("the publisher to pause", || fs::read_to_string(&status).unwrap().contains("State:\tT"));
    meanwhile();
    kill_process(Pid::from_child(&publisher), Signal::CONT).unwrap();
    publisher.wait().unwrap()
}

fn middle() -> String {
    format!("stream.record=pause@{}", ROWS / 2)
}

#[test]
fn a_broker_that_dies_in_the_middle_and_comes_back_loses_nothing() {
    let Some(mut broker) = Broker::own() else { return };
    let dataset = Dataset::new(&broker);
    dataset.run(1).ok();
    let ended = meanwhile(&dataset, &middle(), || {
        broker.kill();
        broker.start_again();
    });
    assert!(ended.success(), "{ended}\n{}", broker.log());
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

#[test]
fn a_broker_that_dies_before_the_announcement_and_comes_back_loses_nothing() {
    let Some(mut broker) = Broker::own() else { return };
    let dataset = Dataset::new(&broker);
    dataset.run(1).ok();
    let ended = meanwhile(&dataset, "publish.intent=pause", || {
        broker.kill();
        broker.start_again();
    });
    assert!(ended.success(), "{ended}\n{}", broker.log());
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

#[test]
fn a_broker_that_stays_away_fails_the_publish_and_changes_nothing() {
    let Some(mut broker) = Broker::own() else { return };
    let dataset = Dataset::new(&broker);
    dataset.run(1).ok();
    let ended = meanwhile(&dataset, "publish.intent=pause", || broker.kill());
    assert_eq!(ended.code(), Some(4));
    assert_eq!(dataset.built(), Some(1));
    dataset.numbers.on("pin", "--reason audit").fails(4).complains(&["cannot reach Kafka", "has to be finished first"]);
    broker.start_again();
    assert_eq!(dataset.announced(), Some(1));
    dataset.numbers.on("gc", "").ok();
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)), "finished by whatever came next");
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

/// A broker that hangs for a while: nothing is lost, nothing is sent twice, both sides go on.
#[test]
fn a_broker_that_stands_still_for_a_minute_is_waited_for() {
    let Some(broker) = Broker::own() else { return };
    let dataset = Dataset::new(&broker);
    dataset.run(1).ok();
    let standing_still = Duration::from_secs(60);
    std::thread::scope(|scope| {
        let ended = meanwhile(&dataset, &middle(), || {
            broker.pause();
            let broker = &broker;
            scope.spawn(move || {
                std::thread::sleep(standing_still);
                broker.go_on();
            });
        });
        assert!(ended.success(), "{ended}\n{}", broker.log());
    });
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
    dataset.assert_tidy();
}
