//! A server of a store on an object store: it follows, and it serves what it has when the object store is away.
//!
//! Not for: pulling (`pulls`), or what a server answers (`tests/serve`).

use std::io::Write;
use std::time::Duration;

use cutover::internals::objects::Key;
use rustix::process::Signal;

use crate::fixture::Numbers;
use crate::harness::wait_for;
use crate::proxy::{Fault, Proxy, Rule, When};
use crate::server::Server as Objects;
use crate::serving::Server;
use crate::stores::remote;

/// Servers that follow one store.
const SERVERS: usize = 20;

#[test]
fn a_remote_store_is_followed_and_served_while_it_is_unavailable() {
    let Some(objects) = Objects::shared() else { return };
    let (numbers, _) = remote(objects, objects.port(), "");
    numbers.run(1).ok();
    let line = format!("numbers={} --cache cache --every 1s", numbers.store);
    let server = Server::start(&numbers.workspace, &line);
    server.wait_for_version("numbers", 1);
    numbers.run(2).ok();
    server.wait_for_version("numbers", 2);
    numbers.on("rollback", "").ok();
    server.wait_for_version("numbers", 1);
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    server.signal(Signal::KILL);
    drop(server);
    // Nothing answers on this port.
    let mut numbers = numbers;
    numbers.workspace.set_environment(&crate::stores::environment(9));
    let server = Server::start(&numbers.workspace, &line);
    server.wait_for_version("numbers", 1);
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    wait_for("the server to say so", || server.http().get("/v1").text().contains("the remote store is not followed"));
    let ready = |path: &str| server.http().get(path).status;
    assert_eq!((ready("/readyz"), ready("/readyz?strict=1")), (200, 503));
    assert_eq!(server.stop().code(), Some(143));
}

#[test]
fn versions_of_another_store_are_not_served_under_its_name() {
    let Some(objects) = Objects::shared() else { return };
    let (numbers, _) = remote(objects, objects.port(), "");
    numbers.run(1).ok();
    numbers.workspace.cutover(&format!("pull {} --to cache/numbers", numbers.store)).ok();
    let other = format!("{}-of-others", numbers.store);
    let line = format!("serve numbers={other} --cache cache --resp 127.0.0.1:0 --http off");
    numbers.workspace.cutover(&line).fails(2).complains(&["those of another store", &numbers.store, "another --cache"]);
}

/// What a server of `numbers` refuses now, by its events.
fn refusals(server: &Server) -> usize {
    server.events().iter().filter(|event| event["event"] == "refused").count()
}

#[test]
fn a_server_that_is_killed_at_any_step_of_a_download_serves_its_last_version_without_the_store() {
    let Some(objects) = Objects::shared() else { return };
    for step in ["pull.downloaded", "pull.installed", "current.decided", "storage.written", "current.replaced"] {
        let (mut numbers, _) = remote(objects, objects.port(), "");
        let line = format!("numbers={} --cache cache --every 1s", numbers.store);
        numbers.run(1).ok();
        let server = Server::start(&numbers.workspace, &line);
        server.wait_for_version("numbers", 1);
        server.stop();
        numbers.run(2).ok();
        let killed = format!("serve {line} --resp 127.0.0.1:0 --http off");
        numbers.workspace.failing(&format!("{step}=kill"), &killed).killed();
        // Nothing answers on this port.
        numbers.workspace.set_environment(&crate::stores::environment(9));
        let server = Server::start(&numbers.workspace, &line);
        let answer = server.resp().ask("GET numbers:k000");
        assert!([r#"{"generation":1}"#, r#"{"generation":2}"#].contains(&answer.as_str()), "{step}: {answer}");
        drop(server);
        numbers.workspace.set_environment(&crate::stores::environment(objects.port()));
        let server = Server::start(&numbers.workspace, &line);
        server.wait_for_version("numbers", 2);
        assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":2}"#, "{step}");
    }
}

#[test]
fn a_store_that_is_slow_away_or_altered_leaves_clients_on_their_version_until_it_is_well() {
    let Some(objects) = Objects::shared() else { return };
    let proxy = Proxy::before(objects.port(), []);
    let (numbers, _) = remote(objects, proxy.port(), "");
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, &format!("numbers={} --cache cache --every 1s", numbers.store));
    server.wait_for_version("numbers", 1);
    let direct = |generation: i64| {
        let other = Numbers::at(&numbers.store, &crate::stores::environment(objects.port()), "");
        other.run(generation).ok();
    };
    let assert_serves = |version: u64| {
        let answer = server.http().get("/v1/numbers/k000");
        assert_eq!((answer.status, answer.headers["cutover-version"].clone()), (200, version.to_string()));
    };
    // Altered tables are never served: the version is refused, and taken over when its bytes are right.
    proxy.set([Rule::new("GET", ".sst", When::Always, Fault::AlterAnswer)]);
    direct(2);
    wait_for("the altered version to be refused", || refusals(&server) > 0);
    assert_serves(1);
    assert_eq!(server.http().get("/readyz?strict=1").status, 503);
    proxy.set([]);
    server.wait_for_version("numbers", 2);
    // Away: what is here is served.
    proxy.set([Rule::new("", "", When::Always, Fault::Swallow)]);
    direct(3);
    wait_for("the store to be missed", || server.http().get("/v1").text().contains("not followed at the moment"));
    assert_serves(2);
    // Slow and cut off: in the end the version is here.
    proxy.set([
        Rule::new("GET", ".sst", When::Nth(1), Fault::CutBody(100)),
        Rule::new("", "", When::Always, Fault::Delay(Duration::from_millis(100))),
    ]);
    server.wait_for_version("numbers", 3);
    assert_serves(3);
    wait_for("the store to be followed again", || server.http().get("/readyz?strict=1").status == 200);
}

#[test]
fn a_version_that_is_deleted_during_its_download_is_left_for_the_one_that_replaced_it() {
    let Some(objects) = Objects::shared() else { return };
    let proxy = Proxy::before(objects.port(), []);
    let (numbers, bucket) = remote(objects, proxy.port(), "");
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, &format!("numbers={} --cache cache --every 1s", numbers.store));
    server.wait_for_version("numbers", 1);
    let other = Numbers::at(&numbers.store, &crate::stores::environment(objects.port()), "");
    other.run(2).ok();
    let build = other.current_json()["versions"]["2"]["build_id"].as_str().unwrap().to_owned();
    // The download waits in its middle; meanwhile another version comes, and this one goes.
    proxy.set([Rule::new("GET", ".sst", When::From(2), Fault::Delay(Duration::from_secs(5)))]);
    wait_for("the download to begin", || !proxy.seen(true).is_empty());
    other.run(3).ok();
    let bucket = Objects::open(objects.port(), &bucket);
    let gone = crate::server::keys(&bucket, Some(&format!("versions/{build}")));
    bucket.delete(gone.iter().map(|key| Key::new(key).unwrap())).unwrap();
    proxy.set([]);
    server.wait_for_version("numbers", 3);
    let served: Vec<_> = server.events().into_iter().filter(|event| event["event"] == "swapped").collect();
    assert_eq!(served.len(), 2, "never version 2: {served:?}");
    assert_eq!(server.resp().ask("GET numbers:k099"), r#"{"generation":3}"#);
}

#[test]
fn a_full_disk_leaves_clients_on_their_version_until_there_is_room() {
    let Some(objects) = Objects::shared() else { return };
    let (numbers, _) = remote(objects, objects.port(), "");
    numbers.run(1).ok();
    let line = format!("numbers={} --cache cache --every 1s", numbers.store);
    let mount = "mkdir -p cache && mount -t tmpfs -o size=8m tmpfs cache";
    let Some(server) = Server::in_namespace(&numbers.workspace, mount, &line) else { return };
    server.wait_for_version("numbers", 1);
    // What the server sees as its cache.
    let cache = numbers.workspace.path("cache");
    let cache = format!("/proc/{}/root{}", server.pid(), cache.display());
    let filler = format!("{cache}/filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    numbers.run(2).ok();
    wait_for("the disk to be full", || refusals(&server) > 0);
    let refused = server.events().into_iter().find(|event| event["event"] == "refused").unwrap();
    assert!(refused["problem"].as_str().unwrap().contains("No space left on device"), "{refused}");
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    let ready = |path: &str| server.http().get(path).status;
    assert_eq!((ready("/readyz"), ready("/readyz?strict=1")), (200, 503));
    // The space of an open file stays in use.
    drop(file);
    std::fs::remove_file(filler).unwrap();
    server.wait_for_version("numbers", 2);
    wait_for("the store to be followed again", || ready("/readyz?strict=1") == 200);
}

#[test]
fn twenty_servers_of_one_store_switch_together_and_show_each_other() {
    let Some(objects) = Objects::shared() else { return };
    let (numbers, _) = remote(objects, objects.port(), "");
    numbers.run(1).ok();
    let servers: Vec<Server> = (0..SERVERS)
        .map(|at| {
            let line = format!("numbers={} --cache cache-{at} --every 1s --threads 1", numbers.store);
            Server::start(&numbers.workspace, &line)
        })
        .collect();
    servers.iter().for_each(|server| server.wait_for_version("numbers", 1));
    numbers.write(2, 100);
    let line = format!("run numbers.toml --wait-replicas {SERVERS} --wait-for 60s");
    numbers.workspace.cutover(&line).ok();
    for server in &servers {
        server.wait_for_version("numbers", 2);
        assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":2}"#);
        assert_eq!(refusals(server), 0, "{:?}", server.events());
    }
    let mut hosts = serde_json::Value::Null;
    wait_for("every server to be shown with its version", || {
        hosts = servers[0].http().get("/v1").json()["datasets"][0]["replicas"].clone();
        let hosts = hosts.as_array().unwrap();
        hosts.len() == SERVERS && hosts.iter().all(|host| host["version"] == 2 && host["state"] == "serving")
    });
    assert!(!hosts.to_string().contains("cache-"), "no directories: {hosts}");
    numbers.on("rollback", "").ok();
    servers.iter().for_each(|server| server.wait_for_version("numbers", 1));
}
