//! Records that are lost, duplicated or altered, topics that are deleted, truncated or compacted: a consumer never
//! accepts what was not announced.

use std::collections::HashMap;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, SHARDS};
use crate::harness::wait_for;

const PATIENCE: Duration = Duration::from_secs(20);

/// A record in a topic.
#[derive(Clone)]
struct Raw {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Option<OwnedHeaders>,
}

/// Every record of a topic, by partition.
fn read(dataset: &Dataset, topic: &str) -> HashMap<i32, Vec<Raw>> {
    let client = dataset.client();
    let mut from = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..SHARDS as i32 {
        from.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        left += client.fetch_watermarks(topic, partition, PATIENCE).unwrap().1;
    }
    client.assign(&from).unwrap();
    let mut records: HashMap<i32, Vec<Raw>> = HashMap::new();
    for _ in 0..left {
        let record = client.poll(PATIENCE).expect("a record").unwrap().detach();
        let (key, value) = (record.key().map(<[u8]>::to_vec), record.payload().unwrap().to_vec());
        let headers = rdkafka::message::Message::headers(&record).cloned();
        records.entry(record.partition()).or_default().push(Raw { key, value, headers });
    }
    records
}

/// Replaces the records of a topic.
fn replace(dataset: &Dataset, topic: &str, records: &HashMap<i32, Vec<Raw>>) {
    dataset.delete_topic(topic);
    let new = NewTopic::new(topic, SHARDS as i32, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    wait_for("the topic to be made again", || {
        let made = block_on(dataset.admin().create_topics([&new], &AdminOptions::new())).unwrap();
        made.into_iter().all(|outcome| outcome.is_ok())
    });
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &dataset.bootstrap).set("acks", "all").create().unwrap();
    for (partition, records) in records {
        for raw in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(*partition).payload(&raw.value);
            record.key = raw.key.as_deref();
            record.headers = raw.headers.clone();
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();
}

/// Changes the announced version on the wire, and checks that no consumer accepts it, and that streaming it again
/// helps.
fn tampered(change: impl FnOnce(&mut Vec<Raw>), complaint: &str) {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.run(2).ok();
    let topic = dataset.data_topic();
    let mut records = read(&dataset, &topic);
    change(records.get_mut(&1).unwrap());
    replace(&dataset, &topic, &records);
    let refused = dataset.consume().fails(6);
    refused.complains(&[complaint]);
    assert_eq!(dataset.consumed(), Some(1));
    dataset.numbers.on("publish", "2 --restream").ok().prints(&["streamed in"]);
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
    dataset.assert_tidy();
}

#[test]
fn a_lost_record_is_noticed() {
    tampered(|records| drop(records.remove(1000)), "records are lost");
}

#[test]
fn a_lost_record_replaced_by_another_is_noticed() {
    // As many records as announced: an end record replaces the lost one.
    let stand_in = |records: &mut Vec<Raw>| {
        records.remove(1000);
        let mut extra = records[records.len() - 2].clone();
        extra.key.as_mut().unwrap().push(b'x');
        let end = records.len() - 1;
        records.insert(end, extra);
    };
    tampered(stand_in, "is not what was announced");
}

#[test]
fn a_duplicate_record_is_noticed() {
    tampered(|records| records.insert(1000, records[1000].clone()), "is not above the one before");
}

#[test]
fn an_altered_value_is_noticed() {
    tampered(|records| *records[1000].value.last_mut().unwrap() ^= 1, "bytes with the digest");
}

#[test]
fn an_altered_end_marker_is_noticed() {
    let alter = |records: &mut Vec<Raw>| {
        let end = records.last_mut().unwrap();
        end.value = String::from_utf8(end.value.clone()).unwrap().replace("\"version\":2", "\"version\":1").into();
    };
    tampered(alter, "has the checksum");
}

#[test]
fn two_records_in_the_wrong_order_are_noticed() {
    tampered(|records| records.swap(1000, 1001), "is not above the one before");
}

#[test]
fn a_data_topic_that_is_deleted_under_a_consumer_stops_it() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::with(broker, "compression = \"none\"");
    // More than a client prefetches.
    let job = std::fs::read_to_string(dataset.workspace().path("numbers.toml")).unwrap();
    let wide = job.replace("SELECT key, generation", "SELECT key, generation, repeat(key, 1200) AS wide");
    dataset.workspace().write("numbers.toml", wide);
    dataset.run(1).ok();
    dataset.consume().ok();
    dataset.run(2).ok();
    let slow = dataset.workspace().start(&dataset.consuming("--once --rate-limit 8MiB"));
    let staging = dataset.workspace().path("consumer/staging");
    wait_for("staging", || !crate::harness::names(&staging).is_empty());
    dataset.delete_topic(&dataset.data_topic());
    slow.wait().fails(5).complains(&["is gone"]);
    assert_eq!(dataset.consumed(), Some(1));
    dataset.numbers.on("publish", "2").ok();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}

#[test]
fn a_data_topic_that_is_truncated_is_refused() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&dataset.data_topic(), 2, Offset::Offset(10)).unwrap();
    block_on(dataset.admin().delete_records(&before, &AdminOptions::new())).unwrap();
    dataset.consume().fails(6).complains(&["partition 2", "holds the offsets 10 to", "records are lost"]);
    assert_eq!(dataset.consumed(), None);
    dataset.numbers.on("publish", "1").ok().prints(&["streamed in"]);
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
}

/// Transaction markers and all but the last announcement are removed: what is left is all that a late consumer needs.
#[test]
fn a_control_topic_that_is_compacted_to_one_record_is_enough() {
    let Some(broker) = Broker::with_sasl() else { return };
    let dataset = Dataset::new(broker);
    let control = format!("{}.versions", dataset.topic);
    let options = ["--bootstrap-server", broker.bootstrap(), "--create", "--topic", &control, "--partitions", "1"];
    let settings =
        ["cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.001", "delete.retention.ms=1"];
    let settings = settings.iter().flat_map(|setting| ["--config", setting]);
    let arguments: Vec<&str> = options.into_iter().chain(settings).collect();
    broker.tool("org.apache.kafka.tools.TopicCommand", &arguments);
    (1..=3).for_each(|generation| drop(dataset.run(generation).ok()));
    // Each flip rolls the previous segment, which can then be compacted.
    let mut flips = 0;
    wait_for("compaction", || {
        flips += 1;
        let to = if flips % 2 == 0 { "3 --allow older" } else { "2 --allow older" };
        dataset.numbers.on("publish", to).ok();
        let client = dataset.client();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&control, 0, Offset::Beginning).unwrap();
        client.assign(&from).unwrap();
        let first = client.poll(PATIENCE).expect("a record").unwrap();
        first.offset() > 4
    });
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), dataset.built());
}

#[test]
fn a_damaged_announcement_is_refused_and_the_next_one_is_followed() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    dataset.consume().ok();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &dataset.bootstrap).create().unwrap();
    let control = format!("{}.versions", dataset.topic);
    producer.send(BaseRecord::to(&control).key("numbers").payload("{\"protocol\":1}")).map_err(|(e, _)| e).unwrap();
    producer.flush(PATIENCE).unwrap();
    dataset.consume().fails(6).complains(&["has the checksum", &control, "announces again"]);
    assert_eq!(dataset.consumed(), Some(1));
    // A publisher does not build on it; its replacement is a complete state.
    dataset.run(2).ok().complains(&["has the checksum"]);
    dataset.consume().ok();
    assert_eq!((dataset.built(), dataset.consumed()), (Some(2), Some(2)));
    dataset.assert_tidy();
}

/// Writes a record into the control topic, sealed, with its own key.
fn write_control(dataset: &Dataset, key: &str, value: Option<&serde_json::Value>) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &dataset.bootstrap).create().unwrap();
    let control = format!("{}.versions", dataset.topic);
    let bytes = value.map(|value| value.to_string().into_bytes());
    let sum = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes.as_deref().unwrap_or_default()));
    let headers = OwnedHeaders::new().insert(Header { key: "cutover-xxh3", value: Some(&sum) });
    let mut record = BaseRecord::<str, [u8]>::to(&control).partition(0).key(key).headers(headers);
    record.payload = bytes.as_deref();
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// Announcements that no publisher makes: each is reported, none ends a follower or moves its readers, and the next
/// good one is accepted.
#[test]
fn no_announcement_can_crash_a_follower() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let mut follower = dataset.follow();
    wait_for("the first version", || dataset.consumed() == Some(1));
    let good = serde_json::to_value(dataset.announcement().unwrap()).unwrap();
    let hostile = |at: &str, to: serde_json::Value| {
        let mut announcement = good.clone();
        announcement["versions"][0]["build_id"] = "other".into();
        *announcement.pointer_mut(at).unwrap() = to;
        announcement
    };
    let long = format!("{}.v9-{}-00000000", dataset.topic, "b".repeat(190));
    let announcements = [
        hostile("/versions/0/tables/block_size", (1u64 << 63).into()),
        hostile("/versions/0/tables/bloom_bits", 1e308.into()),
        hostile("/versions/0/build_id", "b".repeat(10_000).into()),
        hostile("/versions/0/topic", long.into()),
        hostile("/versions/0/topic", "\u{1b}[2J".into()),
        hostile("/versions/0/version", u64::MAX.into()),
        hostile("/protocol", 2.into()),
        hostile("/dataset", "another".into()),
        serde_json::json!({}),
    ];
    for announcement in &announcements {
        write_control(&dataset, "numbers", Some(announcement));
        write_control(&dataset, &format!("foreign\u{1b}{}", "k".repeat(3000)), Some(announcement));
        let refused = dataset.consume();
        assert!([2, 5, 6].contains(&refused.code()), "{}", refused.stderr);
        assert!(!refused.stderr.contains('\u{1b}') && refused.stderr.len() < 4000, "{}", refused.stderr);
        assert!(!follower.is_over(), "{announcement}");
        assert_eq!(dataset.consumed(), Some(1));
    }
    // A follower that starts with such a record waits for a better one, too.
    let fresh = dataset.consuming("").replace("--store consumer", "--store fresh");
    let mut waiting = dataset.workspace().start(&fresh);
    // Another protocol is refused by publishers; any other damage is replaced.
    dataset.run(2).ok().complains(&["keys that are not datasets", "tombstone"]);
    wait_for("the second version", || dataset.consumed() == Some(2));
    wait_for("the second version", || {
        crate::dataset_fixture::generation(&dataset.workspace().path("fresh")) == Some(2)
    });
    for follower in [&mut follower, &mut waiting] {
        assert!(!follower.is_over());
        follower.signal(rustix::process::Signal::TERM);
    }
    follower.wait().exits(143);
    waiting.wait().exits(143);
}

/// A foreign dataset in the same topic blocks publishers, until its key is removed as the message says.
#[test]
fn another_dataset_in_a_topic_is_refused_with_what_to_do() {
    let Some(broker) = Broker::shared() else { return };
    let dataset = Dataset::new(broker);
    dataset.run(1).ok();
    let mut other = serde_json::to_value(dataset.announcement().unwrap()).unwrap();
    other["dataset"] = "letters".into();
    write_control(&dataset, "letters", Some(&other));
    dataset.run(2).fails(2).complains(&["holds the dataset \"letters\"", "kcat -P", "-Z"]);
    dataset.consume().fails(2).complains(&["\"letters\" and \"numbers\"", "kcat -P"]);
    write_control(&dataset, "letters", None);
    dataset.run(2).ok();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(2));
}
