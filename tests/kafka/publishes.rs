//! Publishes, rollbacks, pins and retention on store and Kafka together, and publishers killed at every step.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, ROWS, SHARDS};
use crate::fixture::{strings, write_parquet};

#[test]
fn consumers_see_versions_flip_forward_and_back() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok().prints(&["version 1 is live", "20,000 rows streamed to", "announced"]);
    dataset.consume().ok().prints(&["version 1 is live: it is the first", "20,000 rows in"]);
    assert_eq!((dataset.built(), dataset.consumed()), (Some(1), Some(1)));
    dataset.consume().ok().prints(&["already see what is announced"]);

    dataset.run(2).ok();
    assert_eq!((dataset.announced(), dataset.consumed()), (Some(2), Some(1)));
    dataset.consume().ok().prints(&["went from version 1 to 2"]);
    assert_eq!(dataset.consumed(), Some(2));

    dataset.numbers.on("rollback", "").ok().prints(&["went from version 2 to 1"]);
    assert_eq!((dataset.built(), dataset.announced()), (Some(1), Some(1)));
    dataset.consume().ok().prints(&["went from version 2 to 1", "it was here already"]);
    assert_eq!(dataset.consumed(), Some(1));
    let states = dataset.workspace().cutover("versions consumer --json").ok().json();
    assert_eq!(states["versions"]["2"]["state"], "rolled_back");

    dataset.numbers.on("publish", "2 --allow rolled-back").ok();
    dataset.consume().ok();
    assert_eq!((dataset.built(), dataset.consumed()), (Some(2), Some(2)));
    dataset.assert_tidy();
    dataset.workspace().cutover("verify consumer --depth full").ok();
    dataset.workspace().cutover("rollback consumer").fails(2).complains(&["follows topic", "cutover pin"]);
}

#[test]
fn the_store_of_a_consumer_equals_that_of_the_publisher() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    let read = |store: &str| dataset.workspace().cutover(&format!("scan {store}")).ok().stdout.clone();
    assert_eq!(read("store"), read("consumer"));
    let digest = |store: &str| dataset.workspace().cutover(&format!("versions {store} --json")).ok().json();
    let (built, consumed) = (digest("store"), digest("consumer"));
    for field in ["digest", "rows", "bytes", "as_of", "build_id", "shards"] {
        assert_eq!(built["versions"]["1"][field], consumed["versions"]["1"][field], "{field}");
    }
}

#[test]
fn a_pin_holds_consumers_too_and_retention_deletes_topics() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::with(broker, "\n[retention]\nkeep = 2\n");
    (1..=3).for_each(|generation| drop(dataset.run(generation).ok()));
    let versions = |dataset: &Dataset| -> Vec<u64> {
        dataset.announcement().unwrap().versions.iter().map(|it| it.streamed.version).collect()
    };
    assert_eq!(versions(&dataset), [2, 3]);
    dataset.assert_tidy();
    dataset.numbers.on("pin", "2 --reason audit").ok();
    assert_eq!(dataset.announced(), Some(2));
    dataset.run(4).exits(5).prints(&["pinned"]);
    assert_eq!((dataset.announced(), dataset.built()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
    dataset.numbers.on("unpin", "").ok();
    dataset.numbers.on("publish", "4").ok();
    dataset.consume().ok();
    assert_eq!((dataset.built(), dataset.consumed()), (Some(4), Some(4)));
    dataset.numbers.on("gc", "--keep 1").ok();
    assert_eq!(versions(&dataset), [4]);
    dataset.assert_tidy();
}

#[test]
fn a_version_whose_topic_is_gone_is_streamed_again() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let first = dataset.data_topic();
    dataset.run(2).ok();
    dataset.delete_topic(&first);
    dataset.numbers.on("rollback", "").ok().prints(&["streamed in"]);
    assert_ne!(dataset.data_topic(), first);
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));

    let second = dataset.data_topic();
    dataset.delete_topic(&second);
    let gone = dataset.workspace().cutover(&dataset.consuming("--once").replace("consumer", "other")).fails(5);
    gone.complains(&["is gone", "cutover publish "]);
    dataset.numbers.on("publish", "1").ok().prints(&["streamed in"]);
    dataset.workspace().cutover(&dataset.consuming("--once").replace("consumer", "other")).ok();
    dataset.assert_tidy();
}

#[test]
fn a_job_that_is_given_a_topic_streams_the_published_version() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    let job = std::fs::read_to_string(dataset.workspace().path("numbers.toml")).unwrap();
    let (without, _) = job.split_once("[kafka]").unwrap();
    dataset.workspace().write("numbers.toml", without);
    dataset.run(1).ok();
    assert_eq!(dataset.announced(), None);
    dataset.workspace().write("numbers.toml", &job);
    let again = dataset.workspace().cutover("run numbers.toml").ok();
    again.prints(&["already published as 1", "20,000 rows streamed to"]);
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    let quiet = dataset.workspace().cutover("run numbers.toml").ok();
    assert!(!quiet.stdout.contains("streamed"), "{}", quiet.stdout);
}

#[test]
fn an_empty_version_and_empty_partitions_are_versions() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.write(1, 2);
    dataset.workspace().cutover("run numbers.toml").ok();
    let rows: Vec<u64> =
        dataset.announcement().unwrap().current().unwrap().partitions.iter().map(|it| it.rows).collect();
    assert!(rows.len() == SHARDS && rows.contains(&0), "2 rows in 4 partitions: {rows:?}");
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    dataset.write(2, 0);
    dataset.workspace().cutover("run numbers.toml").ok().prints(&["version 2 is live"]);
    dataset.consume().ok().prints(&["went from version 1 to 2", "0 rows"]);
    assert_eq!(dataset.consumed(), Some(0));
}

#[test]
fn a_record_of_five_megabytes_arrives() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    let job = std::fs::read_to_string(dataset.workspace().path("numbers.toml")).unwrap();
    dataset.workspace().write("numbers.toml", job.replace("SELECT key, generation", "SELECT key, text"));
    // Not compressible, so that compression does not keep it below any limit.
    let mut state = 7_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    let large: String = (0..5 << 20).map(|_| letter()).collect();
    let columns = vec![("key", strings(["large", "small"])), ("text", strings([large.as_str(), "x"]))];
    write_parquet(&dataset.workspace().path("in/part-0.parquet"), columns);
    dataset.workspace().cutover("run numbers.toml").ok();
    dataset.consume().ok();
    let found = dataset.workspace().cutover("get consumer large --json").ok().json();
    assert_eq!(found["entries"][0]["value"]["text"].as_str().unwrap(), large);
}

/// The content of the topic, read without our code: entries in key order, then END, at offsets without a gap.
#[test]
fn the_topic_contains_what_the_protocol_specifies() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let announced = dataset.announcement().unwrap().current().unwrap().clone();
    let client = dataset.client();
    let mut from = TopicPartitionList::new();
    for partition in 0..SHARDS as i32 {
        from.add_partition_offset(&announced.topic, partition, Offset::Beginning).unwrap();
    }
    client.assign(&from).unwrap();
    let mut partitions: BTreeMap<i32, (i64, Vec<u8>, bool)> = BTreeMap::new();
    let mut entries = 0;
    while partitions.values().filter(|(_, _, ended)| *ended).count() < SHARDS {
        let record = client.poll(Duration::from_secs(20)).expect("a record").unwrap();
        let (next, last, ended) = partitions.entry(record.partition()).or_default();
        assert!(!*ended, "nothing follows END");
        assert_eq!(record.offset(), *next, "no offset is left out");
        *next += 1;
        match record.key() {
            Some(key) => {
                assert!(last.is_empty() || key > last.as_slice(), "keys ascend");
                *last = key.to_vec();
                entries += 1;
            }
            None => {
                let end: serde_json::Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
                let part = &announced.partitions[record.partition() as usize];
                assert_eq!(end["rows"], part.rows);
                assert_eq!(part.end, *next);
                *ended = true;
            }
        }
    }
    assert_eq!(entries, ROWS);
}

#[test]
fn a_publisher_waits_for_its_consumers() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::with(broker, "compression = \"zstd\"\nreplication = 1");
    dataset.run(1).ok();
    let waits = dataset.workspace().cutover("publish store 1 --wait-consumers 1 --wait-for 1s");
    waits.exits(4).complains(&["version 1 is announced", "0 of 1 consumers serve it"]);
    let consumer = dataset.follow();
    let waits = dataset.workspace().cutover("publish store 1 --wait-consumers 1 --wait-for 1m");
    waits.ok().complains(&["version 1 is served by test"]);
    dataset.write(2, ROWS);
    let waits = dataset.workspace().cutover("run numbers.toml --wait-consumers 1 --wait-for 1m");
    waits.ok().complains(&["version 2 is served by test"]);
    assert_eq!(dataset.consumed(), Some(2));
    drop(consumer);
}

/// Kills the publisher of generation 2 at a failpoint; consumers then see 1, or 2 if it was announced. The next command
/// finishes or repeats the publish.
fn publisher_killed_at(failpoint: &str, announced: bool) {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.write(2, ROWS);
    dataset.failing(failpoint, "run numbers.toml").killed();
    assert_eq!(dataset.built(), Some(1), "the store flips last");
    assert_eq!(dataset.announced(), Some(if announced { 2 } else { 1 }));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(if announced { 2 } else { 1 }));

    let again = dataset.workspace().cutover("run numbers.toml").ok();
    assert!(again.stdout.contains("version 2 is live") || again.stdout.contains("already published as 2"));
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
    dataset.assert_tidy();
    assert!(dataset.numbers.current_json()["pending"].is_null());
    dataset.numbers.on("gc", "").ok();
    dataset.numbers.assert_states(&[(1, "retired"), (2, "published")]);
}

#[test]
fn killed_at_the_first_record() {
    publisher_killed_at("stream.record=kill", false);
}

#[test]
fn killed_in_the_middle_of_the_data() {
    publisher_killed_at(&format!("stream.record=kill@{}", ROWS / 2), false);
}

#[test]
fn killed_before_the_last_end_marker() {
    publisher_killed_at(&format!("stream.end=kill@{SHARDS}"), false);
}

#[test]
fn killed_between_end_and_intent() {
    publisher_killed_at("stream.finished=kill", false);
}

#[test]
fn killed_between_intent_and_announcement() {
    publisher_killed_at("publish.intent=kill", false);
}

#[test]
fn killed_between_announcement_and_clearing_the_intent() {
    publisher_killed_at("publish.announced=kill", true);
}

#[test]
fn an_interrupted_rollback_is_finished_by_the_next_command() {
    let Some(broker) = Broker::shared() else { return };
    for (failpoint, next) in [("publish.intent=kill", "gc"), ("publish.announced=kill", "pin --reason audit")] {
        let dataset = Dataset::new(broker);
        dataset.run(1).ok();
        dataset.run(2).ok();
        dataset.failing(failpoint, "rollback store").killed();
        assert_eq!(dataset.built(), Some(2));
        let pending = dataset.workspace().cutover("versions store").ok();
        pending.prints(&["the rollback to version 1 was interrupted or is in progress"]);
        let (command, arguments) = next.split_once(' ').unwrap_or((next, ""));
        dataset.numbers.on(command, arguments).ok();
        assert_eq!((dataset.built(), dataset.announced()), (Some(1), Some(1)), "{failpoint}");
        dataset.numbers.on("log", "").ok().prints(&["finished", "the rollback to version 1, which was interrupted"]);
        dataset.assert_tidy();
    }
}

#[test]
fn an_error_after_the_intent_leaves_nothing_that_blocks() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.write(2, ROWS);
    dataset.failing("publish.intent=error", "run numbers.toml").fails(4);
    assert_eq!((dataset.built(), dataset.announced()), (Some(1), Some(1)));
    dataset.workspace().cutover("run numbers.toml").ok();
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
}

#[test]
fn a_failed_attempt_is_repeated_and_leaves_no_topic() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    let failing = format!("stream.record=error@{}", ROWS / 2);
    dataset.write(1, ROWS);
    dataset.failing(&failing, "run numbers.toml").ok().complains(&["attempt 1 of 3 to stream failed"]);
    dataset.assert_tidy();
    dataset.consume().ok();
    assert_eq!((dataset.built(), dataset.consumed()), (Some(1), Some(1)));
}

#[test]
fn a_publisher_that_is_asked_to_stop_announces_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.write(2, ROWS);
    let mut publisher = dataset.workspace().start_failing("stream.end=pause@2", "run numbers.toml");
    publisher.wait_until_paused();
    publisher.wake_with(Signal::TERM);
    let stopped = publisher.wait().fails(143);
    stopped.complains(&["version 2 built, but not published", "cutover publish store 2", "not applied", "SIGTERM"]);
    assert_eq!((dataset.built(), dataset.announced()), (Some(1), Some(1)));
    dataset.assert_tidy();
    dataset.workspace().cutover("run numbers.toml").ok().prints(&["an earlier run had built it"]);
    assert_eq!((dataset.built(), dataset.announced()), (Some(2), Some(2)));
    dataset.assert_tidy();
}

#[test]
fn a_publisher_past_the_intent_finishes() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    for (generation, step) in [(2, "publish.intent"), (3, "publish.announced"), (4, "publish.settled")] {
        dataset.write(generation, ROWS);
        let mut publisher = dataset.workspace().start_failing(&format!("{step}=pause"), "run numbers.toml");
        publisher.wait_until_paused();
        publisher.wake_with(Signal::TERM);
        publisher.wait().ok();
        assert_eq!((dataset.built(), dataset.announced()), (Some(generation), Some(generation as u64)), "{step}");
    }
}

/// Failures that the process survives: whatever they leave, both sides have the old version or the new one.
#[test]
fn a_publisher_that_fails_at_any_step_is_finished_by_the_next_run() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    let mut new = 1;
    for (step, at) in [
        ("stream.record", ROWS / 2),
        ("stream.end", SHARDS),
        ("stream.finished", 1),
        ("publish.intent", 1),
        ("publish.announced", 1),
        ("publish.settled", 1),
    ] {
        for action in ["error", "panic"] {
            new += 1;
            dataset.write(new, ROWS);
            let run = dataset.failing(&format!("{step}={action}@{at}"), "run numbers.toml");
            match action {
                "panic" => run.panicked(),
                // A failed stream is streamed again.
                _ if step.starts_with("stream.") => run.ok(),
                _ => run.fails(4),
            };
            dataset.consume().ok();
            for seen in [dataset.built().unwrap(), dataset.consumed().unwrap()] {
                assert!([new - 1, new].contains(&seen), "{step}={action}: {seen} instead of {new} or the one before");
            }
            dataset.workspace().cutover("run numbers.toml").ok();
            dataset.consume().ok();
            assert_eq!((dataset.built(), dataset.consumed()), (Some(new), Some(new)), "{step}={action}");
            dataset.assert_tidy();
        }
    }
}
