//! Two publishers of one topic: one wins, the other gets an error, and consumers see one of both, complete.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, ROWS};
use crate::harness::wait_for;

/// Another store, built elsewhere, that is published to the same topic.
fn rival(dataset: &Dataset) -> Dataset {
    Dataset::on(&dataset.bootstrap, dataset.topic.clone(), "")
}

#[test]
fn two_publishes_of_one_store_at_once() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.run(2).ok();
    dataset.numbers.on("pin", "1 --reason test").ok();
    dataset.numbers.on("unpin", "").ok();
    let both = [(); 2].map(|()| dataset.workspace().start("publish store 2 --allow rolled-back,older --restream"));
    let both = both.map(|run| run.wait());
    let mut codes = both.each_ref().map(|run| run.code());
    codes.sort_unstable();
    assert!(codes == [0, 5] || codes == [0, 0], "{codes:?}\n{}\n{}", both[0].stderr, both[1].stderr);
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.assert_tidy();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

/// Pauses a publisher at a failpoint, lets another store publish to the same topic, and wakes it up again.
fn overtaken_at(failpoint: &str) {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.write(2, ROWS);
    let mut paused = dataset.command("run numbers.toml");
    let paused = paused.env("CUTOVER_FAILPOINTS", failpoint).stderr(std::process::Stdio::piped());
    let paused = paused.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", paused.id());
    wait_for("the publisher to pause", || fs::read_to_string(&status).unwrap().contains("State:\tT"));
    let locked = dataset.numbers.on("rollback", "");
    locked.fails(5).complains(&["another publish", &format!("process {}", paused.id()), "kill -CONT"]);

    let rival = rival(&dataset);
    rival.run(7).ok();
    kill_process(Pid::from_child(&paused), Signal::CONT).unwrap();
    let ended = paused.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("another publisher"), "{said}");
    assert_eq!(dataset.built(), Some(1), "its own store did not flip");
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(7));
    rival.assert_tidy();

    // It can publish again, on request.
    dataset.workspace().cutover("run numbers.toml").ok();
    dataset.consume().ok();
    assert_eq!((dataset.built(), dataset.consumed()), (Some(2), Some(2)));
    dataset.assert_tidy();
}

#[test]
fn a_publisher_paused_while_streaming_is_fenced() {
    overtaken_at(&format!("stream.record=pause@{}", ROWS / 2));
}

#[test]
fn a_publisher_paused_before_its_announcement_is_fenced() {
    overtaken_at("publish.intent=pause");
}

#[test]
fn a_topic_belongs_to_one_dataset() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let other = rival(&dataset);
    let job = fs::read_to_string(other.workspace().path("numbers.toml")).unwrap();
    other.workspace().write("numbers.toml", job.replace("dataset = \"numbers\"", "dataset = \"letters\""));
    other.run(2).fails(2).complains(&["holds the dataset \"numbers\"", "\"letters\""]);
    assert_eq!((other.built(), dataset.announced()), (None, Some(1)));
}

#[test]
fn consumers_follow_a_store_that_was_lost_and_rebuilt() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    fs::remove_dir_all(dataset.workspace().path("store")).unwrap();
    dataset.run(5).ok().prints(&["version 1 is live"]);
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(5), "the same number, another build");
    dataset.assert_tidy();
}
