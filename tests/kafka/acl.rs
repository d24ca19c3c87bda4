//! Brokers that are down, reject the credentials or deny a right: each a clear error before any work, and no secret in
//! any message.

use crate::broker::Broker;
use crate::dataset_fixture::Dataset;

fn properties(dataset: &Dataset, user: &str, password: &str) {
    let text = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username={user}\nsasl.password={password}\n"
    );
    dataset.workspace().write("client.properties", text);
}

fn on_sasl(broker: &Broker) -> Dataset {
    let topic = format!("secured-{:016x}", getrandom::u64().unwrap());
    Dataset::on(&broker.sasl(), topic, "properties = \"client.properties\"")
}

#[test]
fn an_unreachable_broker_stops_the_run_before_any_work() {
    let dataset = Dataset::on(&Broker::absent(), "numbers".to_owned(), "");
    dataset.run(1).fails(4).complains(&["cannot reach Kafka at 127.0.0.1:", "check the address and the brokers"]);
    assert!(!dataset.workspace().path("store").exists(), "nothing was made");
    dataset.consume().fails(4).complains(&["cannot reach Kafka"]);
    let unknown = Dataset::on("no-such-host.invalid:9092", "numbers".to_owned(), "");
    unknown.run(1).fails(4).complains(&["cannot reach Kafka at no-such-host.invalid:9092"]);
}

#[test]
fn a_wrong_password_is_reported_and_not_shown() {
    let Some(broker) = Broker::with_sasl() else { return };
    let dataset = on_sasl(broker);
    properties(&dataset, "admin", "wr0ng-pass");
    let refused = dataset.run(1).fails(2);
    refused.complains(&["refuses the credentials", "client.properties"]);
    assert!(!refused.stderr.contains("wr0ng-pass"));
    assert!(!dataset.workspace().path("store").exists(), "nothing was made");
    let refused = dataset.workspace().cutover(&dataset.consuming("--once --properties client.properties")).fails(2);
    assert!(!refused.stderr.contains("wr0ng-pass"));
}

#[test]
fn a_user_with_all_rights_publishes_and_no_secret_is_stored() {
    let Some(broker) = Broker::with_sasl() else { return };
    let dataset = on_sasl(broker);
    properties(&dataset, "admin", "admin-secret");
    dataset.run(1).ok();
    dataset.workspace().cutover(&dataset.consuming("--once --properties client.properties")).ok();
    assert_eq!(dataset.consumed(), Some(1));
    let mut looked_at = 0;
    for store in ["store", "consumer"] {
        for line in crate::harness::listing(&dataset.workspace().path(store)).lines() {
            let Some((file, _)) = line.split_once(' ') else { continue };
            let bytes = std::fs::read(dataset.workspace().path(store).join(file)).unwrap();
            assert!(!bytes.windows(12).any(|part| part == b"admin-secret"), "{file}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 10);
}

#[test]
fn the_missing_right_to_create_topics_is_named() {
    let Some(broker) = Broker::with_sasl() else { return };
    let dataset = on_sasl(broker);
    properties(&dataset, "alice", "alice-secret");
    dataset.run(1).fails(2).complains(&["cannot create topic", "has no right"]);
    assert_eq!(dataset.built(), None, "nothing is published");
    properties(&dataset, "admin", "admin-secret");
    dataset.workspace().cutover("run numbers.toml").ok().prints(&["version 1 is live"]);
    assert_eq!(dataset.built(), Some(1));
}

#[test]
fn settings_fixed_by_the_protocol_cannot_be_set() {
    let dataset = Dataset::on(&Broker::absent(), "numbers".to_owned(), "properties = \"client.properties\"");
    dataset.workspace().write("client.properties", "acks=0\n");
    dataset.run(1).fails(2).complains(&["\"acks\" is decided by the protocol"]);
    dataset.workspace().write("client.properties", "sasl.password\n");
    dataset.run(1).fails(2).complains(&["client.properties:1: not a setting"]);
}
