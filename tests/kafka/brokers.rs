//! Brokers that die or hang in the middle of a publish. Each test has its own broker.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, ROWS};
use crate::harness::wait_for;

/// Starts a publisher of generation 2 that pauses in the middle, and calls `meanwhile` before it continues.
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
fn an_unreachable_broker_fails_the_publish_and_changes_nothing() {
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

/// A dataset whose consumers serve generation 2, and whose own readers were rolled back to 1 while the broker was down.
fn back_without_a_broker(broker: &mut Broker, meanwhile: impl FnOnce(&Dataset)) -> Dataset {
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.run(2).ok();
    dataset.consume().ok();
    broker.kill();
    let rollback = dataset.numbers.on("rollback", "--local").ok();
    rollback.prints(&["went from version 2 to 1", "consumers of topic", "are behind"]);
    assert_eq!((dataset.built(), dataset.consumed()), (Some(1), Some(2)));
    meanwhile(&dataset);
    broker.start_again();
    assert_eq!(dataset.announced(), Some(2), "consumers are not notified yet");
    dataset
}

/// Readers of the store go back at once, the store remembers that consumers have not, and the next command that reaches
/// the broker makes them follow.
#[test]
fn without_a_broker_local_readers_roll_back_and_consumers_follow_once_it_returns() {
    for next in ["gc store", "pin store --reason audit", "publish store 1", "run numbers.toml"] {
        let Some(mut broker) = Broker::own() else { return };
        let dataset = back_without_a_broker(&mut broker, |_| {});
        if next.starts_with("run") {
            dataset.write(3, ROWS);
        }
        dataset.workspace().cutover(next).ok();
        let now = if next.starts_with("run") { 3 } else { 1 };
        assert_eq!((dataset.built(), dataset.announced()), (Some(now), Some(now as u64)), "{next}");
        dataset.consume().ok();
        assert_eq!(dataset.consumed(), Some(now), "{next}");
        assert!(!dataset.numbers.on("versions", "").ok().stdout.contains("are behind"), "{next}");
        dataset.assert_tidy();
    }
}

#[test]
fn commands_that_need_no_broker_work_without_it_and_others_say_what_to_do() {
    let Some(mut broker) = Broker::own() else { return };
    let dataset = back_without_a_broker(&mut broker, |dataset| {
        let behind = "are behind: it was not announced that readers here left version 2";
        dataset.numbers.on("versions", "").ok().prints(&[behind]);
        dataset.numbers.on("pin", "--reason incident").ok().complains(&["the local rollback could not be announced"]);
        let refused = dataset.numbers.on("publish", "2 --allow rolled-back").fails(5);
        refused.complains(&["version 1 is pinned"]);
    });
    dataset.numbers.on("unpin", "").ok().complains(&["the local rollback was announced to consumers"]);
    assert_eq!(dataset.announced(), Some(1));
    dataset.run(3).ok();
    broker.kill();
    let refused = dataset.numbers.on("rollback", "").fails(4);
    refused.complains(&["cannot reach Kafka", "not rolled back", "`cutover rollback "]);
    assert_eq!((dataset.built(), dataset.consumed()), (Some(3), Some(2)));
}

/// With a recorded intent, consumers may have been notified: nothing else can change before that is known.
#[test]
fn after_an_interrupted_publish_even_a_local_rollback_needs_the_broker() {
    let Some(mut broker) = Broker::own() else { return };
    let dataset = Dataset::new(&broker);
    dataset.run(1).ok();
    dataset.run(2).ok();
    dataset.write(3, ROWS);
    drop(dataset.failing("publish.intent=kill", "run numbers.toml"));
    broker.kill();
    let refused = dataset.numbers.on("rollback", "--local").fails(5);
    refused.complains(&["the publish of version 3 was interrupted", "needs Kafka", "still see the version before it"]);
    assert_eq!(dataset.built(), Some(2));
    broker.start_again();
    dataset.numbers.on("rollback", "").ok();
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)), "finished, and then back");
}

/// A broker that hangs for a while: nothing is lost, nothing is sent twice, both sides continue.
#[test]
fn a_broker_that_is_paused_for_a_minute_is_waited_for() {
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
                broker.resume();
            });
        });
        assert!(ended.success(), "{ended}\n{}", broker.log());
    });
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
    dataset.assert_tidy();
}
