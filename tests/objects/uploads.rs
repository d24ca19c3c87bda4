//! Uploads of large files: they end completed and right, or aborted.

use std::io::{self, Read};
use std::time::Duration;

use crate::fixture::Numbers;
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::{Server, keys};
use crate::stores::environment;
use cutover::error::{Error, Kind};
use cutover::internals::objects::{Bucket, Key, Location, OpenUpload, Patience};
use xxhash_rust::xxh3::xxh3_64;

const BYTES: usize = 20_000_000;

fn key() -> Key {
    Key::new("versions/a/000001.sst").unwrap()
}

fn bytes() -> Vec<u8> {
    (0..BYTES / 8).flat_map(|number| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

/// A bucket by way of a proxy, and its name.
fn faulty(server: &Server, rules: impl IntoIterator<Item = Rule>) -> (String, Proxy, Bucket) {
    let (name, proxy) = (server.bucket(), Proxy::before(server.port(), rules));
    let patience = Patience { retries: 3, retry_for: Duration::from_secs(10), ..Patience::default() };
    let location = Location::parse(&format!("s3://{name}/data")).unwrap();
    let bucket = Bucket::open(&location, &Server::settings(proxy.port()).with_patience(patience)).unwrap();
    (name, proxy, bucket)
}

/// Uploads, and returns what was noted, with the result.
fn upload(bucket: &Bucket, source: &mut dyn Read, xxh3: Option<u64>) -> (Result<u64, Error>, Vec<OpenUpload>) {
    let mut noted = Vec::new();
    let result = bucket.upload(&key(), source, BYTES as u64, xxh3, &mut |open| {
        noted.push(open.clone());
        Ok(())
    });
    (result.map(|uploaded| uploaded.xxh3), noted)
}

fn nothing_is_left(server: &Server, name: &str) {
    assert_eq!(server.open_uploads(name), 0);
    assert_eq!(Server::open(server.port(), name).head(&key()).unwrap(), None);
}

#[test]
fn a_large_file_arrives_unchanged() {
    let Some(server) = Server::shared() else { return };
    let (name, proxy, bucket) = faulty(server, [Rule::new("", "", When::Percent(5, 3), Fault::Refuse)]);
    let content = bytes();
    let (result, noted) = upload(&bucket, &mut content.as_slice(), Some(xxh3_64(&content)));
    assert_eq!(result.unwrap(), xxh3_64(&content));
    assert_eq!(noted.len(), 1);
    let entry = bucket.head(&key()).unwrap().unwrap();
    assert!(bucket.range(&entry, 0..entry.bytes).unwrap() == content);
    assert_eq!(server.open_uploads(&name), 0);
    let parts = proxy.seen(false).iter().filter(|request| request.contains("partNumber=")).count();
    assert!(parts >= 3, "{parts}");
}

#[test]
fn an_upload_whose_completion_is_not_answered_is_read_back() {
    let Some(server) = Server::shared() else { return };
    let (name, proxy, bucket) = faulty(server, [Rule::new("POST", "uploadId=", When::Always, Fault::LoseAnswer)]);
    let content = bytes();
    let (result, _) = upload(&bucket, &mut content.as_slice(), None);
    assert_eq!(result.unwrap(), xxh3_64(&content));
    assert!(!proxy.seen(true).is_empty());
    assert_eq!(server.open_uploads(&name), 0);
}

#[test]
fn an_upload_whose_id_does_not_arrive_is_begun_again() {
    let Some(server) = Server::shared() else { return };
    let (_, proxy, bucket) = faulty(server, [Rule::new("POST", "?uploads", When::Nth(1), Fault::CutBody(10))]);
    let content = bytes();
    let (result, noted) = upload(&bucket, &mut content.as_slice(), None);
    assert_eq!(result.unwrap(), xxh3_64(&content));
    assert_eq!((noted.len(), proxy.seen(true).len()), (1, 1));
}

#[test]
fn an_upload_that_fails_is_aborted() {
    let Some(server) = Server::shared() else { return };
    let content = bytes();
    for (fault, target, method) in [
        (Fault::Refuse, "partNumber=2", "PUT"),
        (Fault::AlterRequest, "partNumber=3", "PUT"),
        (Fault::Swallow, "uploadId=", "POST"),
    ] {
        let (name, _proxy, bucket) = faulty(server, [Rule::new(method, target, When::Always, fault)]);
        let (result, noted) = upload(&bucket, &mut content.as_slice(), None);
        assert!(result.is_err(), "{fault:?}");
        assert_eq!(noted.len(), 1);
        nothing_is_left(server, &name);
    }
}

/// Ends with an error after some bytes.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(self.0);
        self.0 -= size;
        if size == 0 { Err(io::Error::other("the disk is on fire")) } else { Ok(size) }
    }
}

#[test]
fn an_upload_of_a_changed_file_is_not_completed() {
    let Some(server) = Server::shared() else { return };
    let (name, _proxy, bucket) = faulty(server, []);
    let content = bytes();
    let mut longer = content.clone();
    longer.push(0);
    let kind = |source: &mut dyn Read, xxh3| upload(&bucket, source, xxh3).0.unwrap_err().kind();
    assert_eq!(kind(&mut Broken(9_000_000), None), Kind::Unavailable);
    assert_eq!(kind(&mut &content[..BYTES - 1], None), Kind::Corrupt);
    assert_eq!(kind(&mut longer.as_slice(), None), Kind::Corrupt);
    assert_eq!(kind(&mut content.as_slice(), Some(1)), Kind::Corrupt);
    nothing_is_left(server, &name);
    let refused =
        bucket.upload(&key(), &mut content.as_slice(), BYTES as u64, None, &mut |_| Err(Error::conflict("no")));
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    nothing_is_left(server, &name);
}

#[test]
fn an_upload_left_open_is_reported_and_can_be_aborted_later() {
    let Some(server) = Server::shared() else { return };
    let rules = [
        Rule::new("PUT", "partNumber=2", When::Always, Fault::Refuse),
        Rule::new("DELETE", "uploadId=", When::Always, Fault::Refuse),
    ];
    let (name, proxy, bucket) = faulty(server, rules);
    let content = bytes();
    let (result, noted) = upload(&bucket, &mut content.as_slice(), None);
    let error = result.unwrap_err();
    assert!(error.message().contains("stays open") && error.message().contains(&noted[0].id), "{error}");
    assert_eq!(server.open_uploads(&name), 1);
    proxy.set([]);
    bucket.abort_upload(&noted[0]).unwrap();
    bucket.abort_upload(&noted[0]).unwrap();
    nothing_is_left(server, &name);
}

#[test]
fn gc_aborts_an_upload_that_a_dead_builder_noted() {
    let Some(server) = Server::shared() else { return };
    let rules = [
        Rule::new("PUT", "partNumber=2", When::Always, Fault::Refuse),
        Rule::new("DELETE", "uploadId=", When::Always, Fault::Refuse),
    ];
    let (name, _proxy, bucket) = faulty(server, rules);
    let numbers = Numbers::at(&format!("s3://{name}/data"), &environment(server.port()), "");
    numbers.run(1).ok();
    let (result, noted) = upload(&bucket, &mut bytes().as_slice(), None);
    assert!(result.is_err());
    assert_eq!(server.open_uploads(&name), 1);
    let hash = xxh3_64(format!("{}\n{}", noted[0].key, noted[0].id).as_bytes());
    let note = Key::new(format!("uploads/20260101T000000Z-0000dead/{hash:016x}.json")).unwrap();
    let direct = Server::open(server.port(), &name);
    direct.put(&note, serde_json::to_vec(&noted[0]).unwrap()).unwrap();
    numbers.on("gc", "--grace 0s").ok();
    assert_eq!(server.open_uploads(&name), 0);
    assert_eq!(keys(&direct, Some("uploads")), [""; 0]);
}

#[test]
fn a_small_file_is_one_request() {
    let Some(server) = Server::shared() else { return };
    let (_, proxy, bucket) = faulty(server, []);
    let mut note = |_: &OpenUpload| Err(Error::internal("no parts are needed"));
    let uploaded = bucket.upload(&key(), &mut b"small".as_slice(), 5, Some(xxh3_64(b"small")), &mut note).unwrap();
    assert_eq!(uploaded.bytes, 5);
    assert_eq!(proxy.seen(false).len(), 1);
    let other = Key::new("b").unwrap();
    assert!(bucket.upload(&other, &mut b"small".as_slice(), 5, Some(1), &mut note).is_err());
    assert_eq!(bucket.head(&other).unwrap(), None);
}
