//! What can go wrong between a publish and clients: a server that is killed, versions that are deleted, pointers that go
//! back, stores that break.
//!
//! Not for: object stores (`tests/objects/served.rs`), or clients (`hostile`, `crowds`).

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::Numbers;
use crate::harness::{copy_directory, wait_for};
use crate::server::Server;

/// Replaces `current.json`, as a publish does.
fn point_to(numbers: &Numbers, content: &[u8]) {
    let store = numbers.workspace.path("store");
    fs::write(store.join("new"), content).unwrap();
    fs::rename(store.join("new"), store.join("current.json")).unwrap();
}

fn pointer(numbers: &Numbers) -> Vec<u8> {
    fs::read(numbers.workspace.path("store/current.json")).unwrap()
}

/// Versions 1 to `count`, and the pointer to each.
fn published(count: i64) -> (Numbers, Vec<Vec<u8>>) {
    let numbers = Numbers::with("[retention]\nkeep = 50\n");
    let pointers = (1..=count).map(|generation| {
        numbers.run(generation).ok();
        pointer(&numbers)
    });
    let pointers = pointers.collect();
    (numbers, pointers)
}

fn refusals(server: &Server) -> Vec<Value> {
    server.events().into_iter().filter(|event| event["event"] == "refused").collect()
}

#[test]
fn a_server_that_is_killed_at_any_moment_of_a_load_serves_again_at_once() {
    let (numbers, pointers) = published(2);
    for round in 0..12_u64 {
        point_to(&numbers, &pointers[0]);
        let server = Server::start(&numbers.workspace, "numbers=store");
        server.wait_for_version("numbers", 1);
        point_to(&numbers, &pointers[1]);
        // From before the pointer is seen until after the swap.
        std::thread::sleep(Duration::from_millis(4 * round));
        server.signal(Signal::KILL);
        drop(server);
        let again = Server::start(&numbers.workspace, "numbers=store");
        assert_eq!(again.resp().ask("GET numbers:k000"), r#"{"generation":2}"#, "round {round}: with its first answer");
        assert_eq!(again.http().get("/readyz?strict=1").status, 200);
    }
}

#[test]
fn a_version_that_is_deleted_before_it_is_loaded_is_refused_and_a_later_one_is_served() {
    let (numbers, pointers) = published(3);
    point_to(&numbers, &pointers[0]);
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let version = numbers.workspace.path("store/versions/00000002");
    fs::rename(&version, numbers.workspace.path("gone")).unwrap();
    point_to(&numbers, &pointers[1]);
    wait_for("the version to be refused", || !refusals(&server).is_empty());
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    assert_eq!(server.http().get("/readyz?strict=1").status, 503);
    point_to(&numbers, &pointers[2]);
    server.wait_for_version("numbers", 3);
    // The one that is served may be deleted, too: it stays open.
    fs::remove_dir_all(numbers.workspace.path("store/versions/00000003")).unwrap();
    let mut client = server.resp();
    for at in 0..100 {
        assert_eq!(client.ask(&format!("GET numbers:k{at:03}")), r#"{"generation":3}"#);
    }
}

#[test]
fn a_pointer_that_goes_back_and_forth_is_followed_however_fast() {
    let (numbers, pointers) = published(3);
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 3);
    for at in (0..300).map(|round| round * 7 % 3) {
        point_to(&numbers, &pointers[at]);
        if at == 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    point_to(&numbers, &pointers[0]);
    server.wait_for_version("numbers", 1);
    assert_eq!(server.resp().ask("GET numbers:k099"), r#"{"generation":1}"#);
    point_to(&numbers, &pointers[2]);
    server.wait_for_version("numbers", 3);
    assert!(refusals(&server).is_empty(), "{:?}", refusals(&server));
}

#[test]
fn a_pointer_that_is_cut_short_or_of_another_store_is_refused_until_it_is_whole_again() {
    let (numbers, pointers) = published(2);
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 2);
    let whole = &pointers[1];
    let other = String::from_utf8(whole.clone()).unwrap().replace("\"numbers\"", "\"other\"").into_bytes();
    for (at, broken) in [&whole[..whole.len() / 2], b"", b"\xff\xfe", &other].into_iter().enumerate() {
        point_to(&numbers, broken);
        wait_for("the pointer to be refused", || refusals(&server).len() > at);
        assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":2}"#);
        assert_eq!(server.http().get("/readyz").status, 200);
        point_to(&numbers, whole);
        wait_for("it to be as before", || server.http().get("/readyz?strict=1").status == 200);
    }
    point_to(&numbers, &pointers[0]);
    server.wait_for_version("numbers", 1);
}

#[test]
fn a_store_that_was_made_anew_under_the_same_name_is_served_by_its_builds() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let other = Numbers::new();
    other.run(7).ok();
    fs::rename(numbers.workspace.path("store"), numbers.workspace.path("old")).unwrap();
    wait_for("its absence to be noticed", || !refusals(&server).is_empty());
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    copy_directory(&other.workspace.path("store"), &numbers.workspace.path("store"));
    wait_for("the other build to be served", || server.resp().ask("GET numbers:k000") == r#"{"generation":7}"#);
}
