//! Writes with a condition: two writers race, and answers are lost.

use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::Server;
use std::time::Duration;

use cutover::internals::objects::{Bucket, Condition, Key, Location, Patience, Put, Tag};

const ROUNDS: usize = 20;

fn current() -> Key {
    Key::new("current.json").unwrap()
}

fn content(bucket: &Bucket) -> String {
    String::from_utf8(bucket.get(&current(), 100).unwrap().unwrap().bytes).unwrap()
}

/// Two writers at the same time; what became of each.
fn race(writers: [&Bucket; 2], condition: &Condition, round: usize) -> [Put; 2] {
    std::thread::scope(|scope| {
        let writing = [0, 1].map(|writer| {
            let bucket = writers[writer];
            scope
                .spawn(move || bucket.settle(&current(), format!("{round} by {writer}").as_bytes(), condition).unwrap())
        });
        writing.map(|writing| writing.join().unwrap())
    })
}

fn exactly_one_wins(port: u16, name: &str, direct: &Bucket) {
    let writers = [Server::open(port, name), Server::open(port, name)];
    let mut condition = Condition::Absent;
    for round in 0..ROUNDS {
        let won = race([&writers[0], &writers[1]], &condition, round);
        let winner = match &won {
            [Put::Applied(tag), Put::Lost] => (0, tag.clone()),
            [Put::Lost, Put::Applied(tag)] => (1, tag.clone()),
            _ => panic!("round {round}: {won:?}"),
        };
        assert_eq!(content(direct), format!("{round} by {}", winner.0));
        condition = Condition::Match(winner.1);
    }
}

#[test]
fn of_two_writers_exactly_one_wins() {
    let Some(server) = Server::shared() else { return };
    let name = server.bucket();
    exactly_one_wins(server.port(), &name, &Server::open(server.port(), &name));
}

#[test]
fn of_two_writers_exactly_one_wins_while_answers_are_lost() {
    let Some(server) = Server::shared() else { return };
    let name = server.bucket();
    let rules = [
        Rule::new("PUT", "current.json", When::Percent(25, 1), Fault::LoseAnswer),
        Rule::new("PUT", "current.json", When::Percent(25, 2), Fault::RefuseAfterwards),
        Rule::new("", "current.json", When::Percent(10, 3), Fault::Refuse),
        Rule::new("", "current.json", When::Percent(10, 4), Fault::Swallow),
    ];
    let proxy = Proxy::before(server.port(), rules);
    exactly_one_wins(proxy.port(), &name, &Server::open(server.port(), &name));
    assert!(proxy.seen(true).len() > 10, "{:?}", proxy.seen(true));
}

/// A bucket whose `current.json` holds "old", through a proxy and directly.
fn faulty(server: &Server) -> (Proxy, Bucket, Bucket, Tag) {
    let name = server.bucket();
    let proxy = Proxy::before(server.port(), []);
    let location = Location::parse(&format!("s3://{name}/data")).unwrap();
    let patience = Patience { retry_for: Duration::from_secs(3), ..Patience::default() };
    let bucket = Bucket::open(&location, &Server::settings(proxy.port()).with_patience(patience)).unwrap();
    let direct = Server::open(server.port(), &name);
    let tag = direct.put(&current(), b"old".to_vec()).unwrap();
    (proxy, direct, bucket, tag)
}

fn on_first_put(fault: Fault) -> [Rule; 1] {
    [Rule::new("PUT", "current.json", When::Nth(1), fault)]
}

#[test]
fn a_lost_answer_is_unknown_and_resolved_by_reading() {
    let Some(server) = Server::shared() else { return };
    // Whether the server carried it out.
    for (fault, is_applied) in
        [(Fault::LoseAnswer, true), (Fault::RefuseAfterwards, true), (Fault::Swallow, false), (Fault::Refuse, false)]
    {
        let (proxy, direct, bucket, tag) = faulty(server);
        proxy.set(on_first_put(fault));
        let put = bucket.put_if_match(&current(), b"new 1".to_vec(), &tag).unwrap();
        assert!(matches!(put, Put::Unknown(_)), "{fault:?}: {put:?}");
        assert_eq!(proxy.seen(false).len(), 1, "{fault:?}: a put with a condition is sent once");
        assert_eq!(content(&direct), if is_applied { "new 1" } else { "old" });

        let (proxy, direct, bucket, tag) = faulty(server);
        proxy.set(on_first_put(fault));
        let put = bucket.settle(&current(), b"new 2", &Condition::Match(tag)).unwrap();
        let Put::Applied(tag) = put else { panic!("{fault:?}: {put:?}") };
        assert_eq!(content(&direct), "new 2");
        assert_eq!(direct.head(&current()).unwrap().unwrap().tag, tag);
        let puts = proxy.seen(false).iter().filter(|request| request.starts_with("PUT")).count();
        assert_eq!(puts, if is_applied { 1 } else { 2 }, "{fault:?}");
    }
}

#[test]
fn a_lost_answer_of_a_put_that_lost_is_resolved_as_lost() {
    let Some(server) = Server::shared() else { return };
    for fault in [Fault::LoseAnswer, Fault::RefuseAfterwards, Fault::Swallow] {
        let (proxy, direct, bucket, tag) = faulty(server);
        direct.put(&current(), b"rival".to_vec()).unwrap();
        proxy.set(on_first_put(fault));
        let put = bucket.settle(&current(), b"new", &Condition::Match(tag)).unwrap();
        assert!(matches!(put, Put::Lost), "{fault:?}: {put:?}");
        assert_eq!(content(&direct), "rival");
        proxy.set(on_first_put(fault));
        assert!(matches!(bucket.settle(&current(), b"new", &Condition::Absent).unwrap(), Put::Lost));
        assert_eq!(content(&direct), "rival");
    }
}

#[test]
fn a_put_remains_unknown_while_no_answer_comes() {
    let Some(server) = Server::shared() else { return };
    let (proxy, direct, bucket, tag) = faulty(server);
    proxy.set([Rule::new("PUT", "current.json", When::Always, Fault::Swallow)]);
    let put = bucket.settle(&current(), b"new", &Condition::Match(tag)).unwrap();
    let Put::Unknown(error) = put else { panic!("{put:?}") };
    assert!(error.message().contains("it is unknown whether s3://"), "{error}");
    assert_eq!(content(&direct), "old");
}
