//! Many connections at once.
//!
//! Not for: what single clients do wrong (`hostile`).

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fixture::Numbers;
use crate::harness::wait_for;
use crate::server::Server;

/// Connections that a server has to hold.
const MANY: usize = 10_000;
/// Files that a test or a server has open besides.
const OTHERS: u64 = 300;
/// What that many connections may cost.
const MEMORY: u64 = 400 << 20;

/// As many connections as the limit of open files allows, up to [`MANY`].
fn many() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    let free = allowed.map_or(MANY, |allowed| usize::try_from(allowed.saturating_sub(OTHERS)).unwrap_or(MANY));
    if free < MANY {
        eprintln!("{free} connections instead of {MANY}: this process may have {allowed:?} open files");
    }
    free.min(MANY)
}

#[test]
fn ten_thousand_connections_are_served_and_one_more_is_refused() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let many = many();
    let server = Server::start(&numbers.workspace, &format!("numbers=store --max-connections {many}"));
    server.wait_for_version("numbers", 1);
    let before = server.memory();
    let mut clients: Vec<TcpStream> = (0..many).map(|_| TcpStream::connect(&server.resp).unwrap()).collect();
    let open = format!("cutover_connections{{protocol=\"resp\"}} {many}");
    wait_for("all connections", || server.http().get("/metrics").text().contains(&open));
    let mut refused = String::new();
    TcpStream::connect(&server.resp).unwrap().read_to_string(&mut refused).unwrap();
    assert_eq!(refused, "-ERR max number of clients reached\r\n");
    // All ask, then all read: each has its answer.
    let expected = b"$16\r\n{\"generation\":1}\r\n";
    for round in 0..3 {
        for (at, client) in clients.iter_mut().enumerate() {
            let key = format!("numbers:k{:03}", (at + round) % 100);
            client.write_all(&crate::client::encoded(&[b"GET", key.as_bytes()])).unwrap();
        }
        for client in &mut clients {
            let mut answer = [0; 23];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *expected);
        }
    }
    assert!(server.memory() < before + MEMORY, "{} MiB for {many} connections", (server.memory() - before) >> 20);
    numbers.run(2).ok();
    server.wait_for_version("numbers", 2);
    drop(clients);
    wait_for("the connections to be closed", || server.http().get("/metrics").text().contains("protocol=\"resp\"} 0"));
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":2}"#);
}
