//! A server of a store on an object store: it follows, and it serves what it has when the object store is away.
//!
//! Not for: pulling (`pulls`), or what a server answers (`tests/serve`).

use rustix::process::Signal;

use crate::harness::wait_for;
use crate::server::Server as Objects;
use crate::serving::Server;
use crate::stores::remote;

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
