//! Versions that come while clients read.
//!
//! Not for: what a version has to be (`catalog`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::shown;
use crate::fixture::Numbers;
use crate::harness::wait_for;
use crate::server::Server;

/// How long versions are switched under readers.
const FLIPPING: Duration = Duration::from_secs(6);
/// Time between two switches.
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a_published_version_is_served_at_once_and_a_rollback_too() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store --warm-up 0s");
    server.wait_for_version("numbers", 1);
    let mut client = server.resp();
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":1}"#);
    numbers.run(2).ok();
    server.wait_for_version("numbers", 2);
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":2}"#);
    assert_eq!(server.http().get("/v1/numbers/k000").text(), r#"{"generation":2}"#);
    numbers.on("rollback", "").ok();
    server.wait_for_version("numbers", 1);
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":1}"#);
    let status = server.stop();
    assert_eq!(status.code(), Some(143), "as any command that SIGTERM stopped");
}

#[test]
fn no_read_fails_or_is_mixed_while_versions_are_switched() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.run(2).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 2);
    let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let keys: Vec<String> = (0..100).map(|at| format!("numbers:k{at:03}")).collect();
    let list = format!("[{}]", (0..100).map(|at| format!("\"k{at:03}\"")).collect::<Vec<_>>().join(","));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.resp();
            let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(keys.iter().map(|key| key.as_bytes())).collect();
            while !done.load(Ordering::Relaxed) {
                client.send(&words);
                let answer = shown(&client.answer().expect("the connection stays"));
                let first = answer.trim_start_matches('[').split(", ").next().unwrap().to_owned();
                assert_eq!(answer, format!("[{}]", vec![first.as_str(); 100].join(", ")), "one version");
                assert!([r#"{"generation":1}"#, r#"{"generation":2}"#].contains(&first.as_str()), "{first}");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let http = server.http();
            while !done.load(Ordering::Relaxed) {
                let answer = http.post("/v1/numbers/_batch", &list);
                assert_eq!(answer.status, 200);
                let batch = answer.json();
                let version = batch["version"].as_i64().unwrap();
                let entries = batch["entries"].as_array().unwrap();
                assert!(entries.len() == 100 && entries.iter().all(|entry| entry["value"]["generation"] == version));
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let began = Instant::now();
        for version in [1, 2].into_iter().cycle() {
            std::thread::sleep(PAUSE);
            numbers.on("publish", &format!("{version} --allow older,rolled-back,undated")).ok();
            if began.elapsed() > FLIPPING {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let swaps = server.events().iter().filter(|event| event["event"] == "swapped").count();
    assert!(swaps > 5 && reads.load(Ordering::Relaxed) > 100, "{swaps} swaps, {reads:?} reads");
    assert!(!server.events().iter().any(|event| event["event"] == "refused"), "{:?}", server.events());
}

#[test]
fn a_version_that_cannot_be_opened_is_refused_and_the_one_before_stays() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    numbers.write(2, 100);
    numbers.workspace.cutover("run numbers.toml --stage").ok();
    numbers.on("publish", "2").ok();
    server.wait_for_version("numbers", 2);
    for generation in 3..=4 {
        numbers.run(generation).ok();
        server.wait_for_version("numbers", generation as u64);
    }
    // Version 2 is closed by now. Its table is cut short behind the back of the publish that follows.
    let store = numbers.workspace.path("store");
    let current = std::fs::read(store.join("current.json")).unwrap();
    let shard = store.join("versions/00000003/shard-00000");
    let file = |end: &str| crate::harness::names(&shard).into_iter().find(|name| name.ends_with(end)).unwrap();
    let table = shard.join(file(".sst"));
    let bytes = std::fs::read(&table).unwrap();
    numbers.on("rollback", "--to 3").ok();
    server.wait_for_version("numbers", 3);
    let back = std::fs::read(store.join("current.json")).unwrap();
    std::fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    // Another process that follows the store: it never saw version 3 when it was whole.
    let replace = |content: &[u8]| {
        std::fs::write(store.join("new"), content).unwrap();
        std::fs::rename(store.join("new"), store.join("current.json")).unwrap();
    };
    replace(&current);
    server.wait_for_version("numbers", 4);
    let other = Server::start(&numbers.workspace, "numbers=store");
    other.wait_for_version("numbers", 4);
    replace(&back);
    wait_for("the version to be refused", || other.events().iter().any(|event| event["event"] == "refused"));
    assert_eq!(other.resp().ask("GET numbers:k000"), r#"{"generation":4}"#);
    let http = other.http();
    assert_eq!((http.get("/readyz").status, http.get("/readyz?strict=1").status), (200, 503));
    let list = http.get("/v1").text();
    assert!(list.contains("\"stale\"") && !list.contains(store.to_str().unwrap()), "no path for clients: {list}");
    assert!(http.get("/metrics").text().contains("cutover_dataset_stale{dataset=\"numbers\"} 1"));
    // Where it is open already, it is served: an open version does not need its files again.
    server.wait_for_version("numbers", 3);
    std::fs::write(&table, &bytes).unwrap();
    other.wait_for_version("numbers", 3);
    assert_eq!(http.get("/readyz?strict=1").status, 200);
}

#[test]
fn datasets_come_and_go_with_the_directory_of_stores() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    std::fs::create_dir(numbers.workspace.path("all")).unwrap();
    let server = Server::start(&numbers.workspace, "--stores all");
    let mut client = server.resp();
    assert!(client.ask("GET numbers:k000").contains("no dataset"));
    assert_eq!(server.http().get("/readyz").status, 200);
    crate::harness::copy_directory(&numbers.workspace.path("store"), &numbers.workspace.path("all/numbers"));
    server.signal(Signal::HUP);
    server.wait_for_version("numbers", 1);
    assert_eq!(client.ask("SELECT 1"), "OK");
    assert_eq!(client.ask("GET k000"), r#"{"generation":1}"#);
    std::fs::remove_dir_all(numbers.workspace.path("all/numbers")).unwrap();
    wait_for("the dataset to go", || server.events().iter().any(|event| event["event"] == "removed"));
    assert!(client.ask("GET k000").contains("not served any more"));
    assert_eq!(client.ask("SELECT 0"), "OK");
    assert!(client.ask("GET numbers:k000").contains("no dataset"));
}
