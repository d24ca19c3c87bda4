//! What the client does where nothing goes wrong: every operation, directly at the server.

use crate::server::{Server, keys};
use cutover::error::Kind;
use cutover::internals::objects::{Bucket, Changed, Condition, Key, Location, Put};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[test]
fn objects_are_written_inspected_read_and_deleted() {
    let Some(server) = Server::shared() else { return };
    let bucket = Server::open(server.port(), &server.bucket());
    assert_eq!(bucket.head(&key("a")).unwrap(), None);
    assert_eq!(bucket.get(&key("a"), 10).unwrap(), None);
    let tag = bucket.put(&key("a"), b"0123456789".to_vec()).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    assert_eq!((entry.bytes, &entry.tag), (10, &tag));
    assert_eq!(bucket.get(&key("a"), 10).unwrap().unwrap().bytes, b"0123456789");
    assert_eq!(bucket.get(&key("a"), 9).unwrap_err().kind(), Kind::Corrupt, "larger than it can be");
    assert_eq!(bucket.range(&entry, 3..6).unwrap(), b"345");
    assert_eq!(bucket.range(&entry, 4..4).unwrap(), b"");
    assert_eq!(bucket.range(&entry, 4..11).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(bucket.get_if_changed(&key("a"), &tag, 10).unwrap(), Changed::No);
    bucket.put(&key("a"), b"other".to_vec()).unwrap();
    let Changed::Yes(object) = bucket.get_if_changed(&key("a"), &tag, 10).unwrap() else { panic!("it has changed") };
    assert_eq!(object.bytes, b"other");
    assert_eq!(bucket.range(&entry, 3..4).unwrap_err().kind(), Kind::Conflict, "it is another object");
    bucket.delete([key("a"), key("never")]).unwrap();
    assert_eq!(bucket.get_if_changed(&key("a"), &tag, 10).unwrap(), Changed::Gone);
    assert_eq!(bucket.range(&entry, 3..4).unwrap_err().kind(), Kind::Conflict, "it is gone");
}

/// Waits as the query does: on a runtime that itself has neither clock nor network.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn ranges_for_scans_are_coalesced_and_are_of_one_object() {
    let Some(server) = Server::shared() else { return };
    let bucket = Server::open(server.port(), &server.bucket());
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    bucket.put(&key("a"), content.clone()).unwrap();
    let entry = bucket.head(&key("a")).unwrap().unwrap();
    let ranges = [5_000_000..5_000_100, 0..10, 20..30, 7_999_990..8_000_000, 40..40];
    let before = bucket.traffic().requests;
    let read = block_on(bucket.ranges(&entry, ranges.to_vec())).unwrap();
    assert_eq!(bucket.traffic().requests - before, 3, "those that lie together are one");
    for (range, read) in ranges.iter().zip(read) {
        assert_eq!(read, content[range.start as usize..range.end as usize], "{range:?}");
    }
    let beyond = block_on(bucket.ranges(&entry, [7_999_990..8_000_001, 0..1].to_vec())).unwrap_err();
    assert_eq!(beyond.kind(), Kind::Invalid);
    bucket.put(&key("a"), content.iter().rev().copied().collect()).unwrap();
    let replaced = block_on(bucket.ranges(&entry, ranges.to_vec())).unwrap_err();
    assert_eq!(replaced.kind(), Kind::Conflict);
}

#[test]
fn more_objects_than_a_page_are_listed_in_order_and_deleted() {
    let Some(server) = Server::shared() else { return };
    let bucket = Server::open(server.port(), &server.bucket());
    let names: Vec<String> = (0..1_100).map(|number| format!("many/day={}/{number:05}", number / 1_000)).collect();
    std::thread::scope(|scope| {
        for part in names.chunks(names.len() / 8 + 1) {
            let bucket = &bucket;
            scope.spawn(move || part.iter().for_each(|name| drop(bucket.put(&key(name), b"x".to_vec()).unwrap())));
        }
    });
    bucket.put(&key("many-others"), b"y".to_vec()).unwrap();
    assert_eq!(keys(&bucket, Some("many")), names);
    assert_eq!(keys(&bucket, None).len(), 1_101);
    assert_eq!(keys(&bucket, Some("many/day=1")).len(), 100);
    assert_eq!(keys(&bucket, Some("none")), [""; 0]);
    let before = bucket.traffic().requests;
    bucket.delete(names.iter().map(|name| key(name))).unwrap();
    assert_eq!(bucket.traffic().requests - before, 2, "many in a request");
    assert_eq!(keys(&bucket, None), ["many-others"]);
}

#[test]
fn a_condition_is_enforced() {
    let Some(server) = Server::shared() else { return };
    let bucket = Server::open(server.port(), &server.bucket());
    let name = key("current.json");
    let Put::Applied(first) = bucket.put_if_absent(&name, b"1".to_vec()).unwrap() else { panic!("there was none") };
    assert!(matches!(bucket.put_if_absent(&name, b"x".to_vec()).unwrap(), Put::Lost));
    let Put::Applied(second) = bucket.put_if_match(&name, b"2".to_vec(), &first).unwrap() else { panic!("it was so") };
    assert!(matches!(bucket.put_if_match(&name, b"x".to_vec(), &first).unwrap(), Put::Lost));
    assert!(matches!(bucket.settle(&name, b"x", &Condition::Match(first)).unwrap(), Put::Lost));
    assert!(matches!(bucket.put_if_match(&key("never"), b"x".to_vec(), &second).unwrap(), Put::Lost));
    assert_eq!(bucket.get(&name, 10).unwrap().unwrap().bytes, b"2");
    bucket.check_conditions(&key("probe")).unwrap();
    assert_eq!(keys(&bucket, None), ["current.json"], "the probe is gone");
}

#[test]
fn a_directory_is_read_like_a_bucket_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("day=1")).unwrap();
    std::fs::write(directory.path().join("day=1/a.csv"), "0123456789").unwrap();
    let location = Location::parse(&format!("file://{}", directory.path().display())).unwrap();
    let bucket = Bucket::open(&location, &Server::settings(1)).unwrap();
    assert_eq!(keys(&bucket, None), ["day=1/a.csv"]);
    let entry = bucket.head(&key("day=1/a.csv")).unwrap().unwrap();
    assert_eq!(bucket.range(&entry, 2..5).unwrap(), b"234");
    let refused = bucket.put(&key("b"), vec![]).unwrap_err();
    assert!(refused.kind() == Kind::Invalid && refused.message().contains("can only be read"), "{refused}");
}
