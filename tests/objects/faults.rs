//! Reads, listings and plain writes while answers fail, break off and are altered.

use std::time::{Duration, Instant};

use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{Server, free_ports, keys};
use cutover::error::Kind;
use cutover::internals::objects::{Bucket, Key, Location, Patience};
use xxhash_rust::xxh3::xxh3_64;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Bytes of which no two parts are the same.
fn bytes(size: usize) -> Vec<u8> {
    (0..size / 8).flat_map(|number| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

fn impatient(retries: usize) -> Patience {
    Patience {
        request: Duration::from_secs(4),
        connect: Duration::from_secs(2),
        retries,
        retry_for: Duration::from_secs(10),
    }
}

fn open(port: u16, name: &str, patience: Patience) -> Bucket {
    let location = Location::parse(&format!("s3://{name}/data")).unwrap();
    Bucket::open(&location, &Server::settings(port).with_patience(patience)).unwrap()
}

#[test]
fn answers_of_500_and_503_are_outlived() {
    let Some(server) = Server::shared() else { return };
    let rules = [
        Rule::new("", "", When::Percent(5, 6), Fault::Fail),
        Rule::new("", "", When::Percent(5, 7), Fault::Refuse),
        Rule::new("", "", When::Percent(5, 8), Fault::RefuseAfterwards),
    ];
    let proxy = Proxy::before(server.port(), rules);
    let bucket = Server::open(proxy.port(), &server.bucket());
    for number in 0..60 {
        let (name, content) = (key(&format!("a/{number:02}")), bytes(8 * (number + 1)));
        bucket.put(&name, content.clone()).unwrap();
        assert_eq!(bucket.get(&name, 1_000).unwrap().unwrap().bytes, content);
        let entry = bucket.head(&name).unwrap().unwrap();
        assert_eq!(bucket.range(&entry, 1..5).unwrap(), content[1..5]);
    }
    assert_eq!(keys(&bucket, None).len(), 60);
    bucket.delete((0..60).map(|number| key(&format!("a/{number:02}")))).unwrap();
    assert!(proxy.seen(true).len() > 10);
}

#[test]
fn keys_that_could_not_be_deleted_are_tried_again() {
    let Some(server) = Server::shared() else { return };
    for fault in [Fault::FailKeys, Fault::CutBody(10), Fault::LoseAnswer, Fault::Fail] {
        let proxy = Proxy::before(server.port(), [Rule::new("POST", "?delete", When::Nth(1), fault)]);
        let bucket = Server::open(proxy.port(), &server.bucket());
        let names = ["a", "b", "c"].map(key);
        names.iter().for_each(|name| _ = bucket.put(name, vec![1]).unwrap());
        bucket.delete(names).unwrap();
        assert_eq!(keys(&bucket, None), [""; 0], "{fault:?}");
        assert_eq!(proxy.seen(true).len(), 1, "{fault:?}");
    }
    let proxy = Proxy::before(server.port(), [Rule::new("POST", "?delete", When::Always, Fault::FailKeys)]);
    let patience = Patience { retry_for: Duration::from_secs(1), ..impatient(1) };
    let error = open(proxy.port(), &server.bucket(), patience).delete([key("a")]).unwrap_err();
    assert_eq!((error.kind(), error.chain()[1].as_str()), (Kind::Unavailable, "HTTP 500 InternalError"));
}

#[test]
fn a_listing_that_breaks_off_continues_where_it_was() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let bucket = Server::open(proxy.port(), &server.bucket());
    let names: Vec<String> = (0..1_050).map(|number| format!("a/{number:04}")).collect();
    std::thread::scope(|scope| {
        for part in names.chunks(200) {
            let bucket = &bucket;
            scope.spawn(move || part.iter().for_each(|name| _ = bucket.put(&key(name), vec![1]).unwrap()));
        }
    });
    for nth in [1, 2] {
        proxy.set([Rule::new("GET", "list-type=2", When::Nth(nth), Fault::CutBody(2_000))]);
        assert_eq!(keys(&bucket, None), names, "page {nth}");
    }
    assert_eq!(proxy.seen(true).len(), 2);
}

#[test]
fn a_server_that_only_answers_503_is_reported() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("", "", When::Always, Fault::Refuse)]);
    let bucket = open(proxy.port(), &server.bucket(), impatient(2));
    let error = bucket.get(&key("a"), 10).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.chain()[1], "HTTP 503 SlowDown: Reduce your rate.");
    assert_eq!(proxy.seen(false).len(), 3, "retries are bounded");
}

#[test]
fn an_error_with_an_endless_body_is_reported_by_its_status() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("", "", When::Always, Fault::Flood)]);
    let bucket = open(proxy.port(), &server.bucket(), impatient(0));
    let error = bucket.get(&key("a"), 10).unwrap_err();
    assert_eq!(error.chain()[1], "HTTP 400", "{:?}", error.chain());
    let error = bucket.list(None, |_| Ok(())).unwrap_err();
    assert_eq!(error.chain()[1], "HTTP 400", "{:?}", error.chain());
}

#[test]
fn an_interrupted_body_is_continued_from_where_it_ended() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let bucket = Server::open(proxy.port(), &server.bucket());
    let content = bytes(4_000_000);
    bucket.put(&key("a"), content.clone()).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    proxy.set([
        Rule::new("GET", "/a", When::Nth(1), Fault::CutBody(1_000_000)),
        Rule::new("GET", "/a", When::Nth(1), Fault::CutBody(0)),
    ]);
    assert_eq!(bucket.range(&entry, 0..entry.bytes).unwrap(), content);
    assert_eq!(proxy.seen(true).len(), 2);
    proxy.set([Rule::new("GET", "/a", When::Nth(1), Fault::CutBody(1_000_000))]);
    assert_eq!(bucket.get(&key("a"), u64::MAX).unwrap().unwrap().bytes, content);
}

#[test]
fn a_body_that_is_always_interrupted_is_an_error_and_never_short() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), []);
    let bucket = open(proxy.port(), &server.bucket(), impatient(2));
    bucket.put(&key("a"), bytes(80_000)).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    proxy.set([Rule::new("GET", "/a", When::Always, Fault::CutBody(100))]);
    assert_eq!(bucket.range(&entry, 0..entry.bytes).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(bucket.get(&key("a"), u64::MAX).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn an_object_replaced_while_it_is_read_is_not_mixed() {
    let Some(server) = Server::shared() else { return };
    let bucket = Server::open(server.port(), &server.bucket());
    let content = bytes(40_000_000);
    bucket.put(&key("a"), content.clone()).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    let mut read = Vec::new();
    let result = bucket.read(&entry, 0..entry.bytes, |piece| {
        if read.is_empty() {
            bucket.put(&key("a"), vec![b'x'; 40_000_000])?;
        }
        read.extend_from_slice(piece);
        Ok(())
    });
    assert_eq!(result.unwrap_err().kind(), Kind::Conflict);
    assert!(read.len() < content.len() && read == content[..read.len()]);
}

#[test]
fn bytes_altered_on_the_way_are_refused_by_the_server() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("PUT", "/a", When::Always, Fault::AlterRequest)]);
    let name = server.bucket();
    let bucket = open(proxy.port(), &name, impatient(1));
    let error = bucket.put(&key("a"), bytes(80_000)).unwrap_err();
    assert!(error.chain()[1].starts_with("HTTP 4"), "{:?}", error.chain());
    assert_eq!(Server::open(server.port(), &name).head(&key("a")).unwrap(), None);
}

#[test]
fn bytes_altered_in_an_answer_are_found_by_a_checksum() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("GET", "/a", When::Nth(1), Fault::AlterAnswer)]);
    let bucket = Server::open(proxy.port(), &server.bucket());
    let content = bytes(80_000);
    bucket.put(&key("a"), content.clone()).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    let read = |entry| xxh3_64(&bucket.range(entry, 0..80_000).unwrap());
    assert_ne!(read(&entry), xxh3_64(&content));
    assert_eq!(read(&entry), xxh3_64(&content));
}

#[test]
fn a_silent_or_unreachable_server_is_reported_in_time() {
    let Some(server) = Server::shared() else { return };
    let proxy = Proxy::before(server.port(), [Rule::new("", "", When::Always, Fault::Delay(Duration::from_secs(60)))]);
    let began = Instant::now();
    let error = open(proxy.port(), "any", impatient(1)).get(&key("a"), 10).unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.message().contains("did not answer in time"), "{error}");
    let error = open(free_ports(1), "any", impatient(1)).get(&key("a"), 10).unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.message().contains("cannot be reached"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
