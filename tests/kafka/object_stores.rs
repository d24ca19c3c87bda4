//! A store on an object store that is streamed to Kafka: the same intents, the same announcements, the same endings.
//!
//! Not for: either of them alone (`publishes`, `tests/objects`).

use crate::broker::Broker;
use crate::dataset_fixture::{Dataset, ROWS};
use crate::server::{SECRET, Server};

fn dataset(broker: &Broker, server: &Server) -> Dataset {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment = [
        of("AWS_ACCESS_KEY_ID", "admin"),
        of("AWS_SECRET_ACCESS_KEY", SECRET),
        of("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", server.port())),
    ];
    Dataset::at(broker, &format!("s3://{}/data", server.bucket()), &environment)
}

#[test]
fn consumers_follow_a_store_on_an_object_store_forward_and_back() {
    let (Some(broker), Some(server)) = (Broker::shared(), Server::shared()) else { return };
    let dataset = dataset(broker, server);
    dataset.run(1).ok();
    dataset.consume().ok();
    assert_eq!(dataset.consumed(), Some(1));
    dataset.run(2).ok();
    dataset.consume().ok();
    assert_eq!((dataset.announced(), dataset.consumed()), (Some(2), Some(2)));
    dataset.numbers.on("rollback", "").ok();
    dataset.consume().ok();
    assert_eq!((dataset.announced(), dataset.consumed()), (Some(1), Some(1)));
    let read = |store: &str| dataset.workspace().cutover(&format!("scan {store}")).ok().stdout.clone();
    assert_eq!(read(&dataset.numbers.store), read("consumer"));
}

#[test]
fn a_publisher_that_is_killed_at_any_step_is_finished_by_the_next_command() {
    let (Some(broker), Some(server)) = (Broker::shared(), Server::shared()) else { return };
    let dataset = dataset(broker, server);
    dataset.run(1).ok();
    for (generation, (point, announced)) in (2..).zip([
        ("stream.record", false),
        ("stream.finished", false),
        ("publish.intent", false),
        ("publish.announced", true),
        ("publish.settled", true),
    ]) {
        let before = dataset.announced();
        dataset.write(generation, ROWS);
        dataset.failing(&format!("{point}=kill"), "run numbers.toml").killed();
        let now = dataset.announced();
        assert_eq!(now != before, announced, "{point}");
        dataset.workspace().cutover("run numbers.toml").ok();
        dataset.consume().exits_with_one_of(&[0, 1]);
        assert_eq!(dataset.consumed(), Some(generation), "{point}");
        let (_, seen) = dataset.numbers.seen_by(["k000000", "k000009"]);
        assert_eq!(seen, generation, "{point}");
    }
}
