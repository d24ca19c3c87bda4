//! Clients that send too little, too much, or do not listen: the server answers the others, in bounded memory.
//!
//! Not for: mistakes in commands (`resp`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::{encoded, shown};
use crate::fixture::Numbers;
use crate::harness::wait_for;
use crate::server::Server;

/// What a server may hold beyond what it had before.
const MEMORY: u64 = 96 << 20;

fn served(flags: &str) -> (Numbers, Server) {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, &format!("numbers=store {flags}"));
    server.wait_for_version("numbers", 1);
    (numbers, server)
}

#[track_caller]
fn assert_answers(server: &Server) {
    assert_eq!(server.resp().ask("GET numbers:k000"), r#"{"generation":1}"#);
    assert_eq!(server.http().get("/v1/numbers/k000").status, 200);
}

#[test]
fn bytes_sent_one_by_one_are_a_command() {
    let (_numbers, server) = served("");
    let mut client = server.resp();
    for byte in encoded(&[b"GET", b"numbers:k001"]) {
        client.send_bytes(&[byte]);
    }
    assert_eq!(shown(&client.answer().unwrap()), r#"{"generation":1}"#);
}

#[test]
fn half_a_command_is_cut_off_in_time() {
    let (_numbers, server) = served("--idle-timeout 1s --request-timeout 1s");
    let mut client = server.resp();
    client.send_bytes(b"*2\r\n$3\r\nGET\r\n$5\r\nab");
    assert!(client.answer().is_none(), "the connection is closed");
    // One that never stops sending, but never completes.
    let mut slow = TcpStream::connect(&server.resp).unwrap();
    slow.write_all(b"*2\r\n$3\r\nGET\r\n$5000\r\n").unwrap();
    wait_for("the slow client to be cut off", || {
        std::thread::sleep(Duration::from_millis(100));
        slow.write_all(b"x").is_err()
    });
    assert_answers(&server);
}

#[test]
fn wrong_lengths_are_refused() {
    let (_numbers, server) = served("");
    let before = server.memory();
    for bytes in [
        &b"*2\r\n$3\r\nGET\r\n$999999999\r\n"[..],
        b"*999999999\r\n",
        b"*1\r\n$-5\r\n",
        b"*-99999999999999999999\r\n",
        b"$3\r\nGET\r\n\r\n$5 *\xff\r\n*",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &vec![b'a'; 100_000],
        &[b"*2\r\n$3\r\nGET\r\n$65536\r\n".to_vec(), vec![b'a'; 65536], b"xx".to_vec()].concat(),
    ] {
        let mut client = server.resp();
        let _ = client.stream.write_all(bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"-"), "{}", rest.escape_ascii());
    }
    assert!(server.memory() < before + MEMORY);
    assert_answers(&server);
}

#[test]
fn pipelines_whose_answers_are_not_read_wait_in_their_own_buffers() {
    let (_numbers, server) = served("");
    let before = server.memory();
    let keys: Vec<Vec<u8>> = (0..1000).map(|at| format!("numbers:k{:03}", at % 100).into_bytes()).collect();
    let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
    let bytes = encoded(&words).repeat(200);
    let clients: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.resp).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // It is right that this does not get through.
            let _ = stream.write_all(&bytes);
            stream
        })
        .collect();
    assert!(server.memory() < before + MEMORY, "{} MiB", (server.memory() - before) >> 20);
    assert_answers(&server);
    drop(clients);
    // All of a pipeline is answered, in order, when its answers are read.
    let mut client = server.resp();
    let pipeline: Vec<u8> = (0..10_000).flat_map(|at| encoded(&[b"ECHO", at.to_string().as_bytes()])).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(&pipeline).unwrap());
    for at in 0..10_000 {
        assert_eq!(shown(&client.answer().unwrap()), at.to_string());
    }
    sending.join().unwrap();
}

#[test]
fn two_thousand_idle_connections_cost_little() {
    let (_numbers, server) = served("");
    let before = server.memory();
    let idle: Vec<TcpStream> = (0..2000)
        .map(|at| {
            let mut stream = TcpStream::connect(if at % 2 == 0 { &server.resp } else { &server.http }).unwrap();
            stream.write_all(if at % 2 == 0 { b"*2\r\n$3\r\nGE" } else { b"GET /v1/num" }).unwrap();
            stream
        })
        .collect();
    let open = |protocol: &str| format!("cutover_connections{{protocol=\"{protocol}\"}} 100");
    wait_for("all connections", || {
        let metrics = server.http().get("/metrics").text();
        metrics.contains(&open("resp")) && metrics.contains(&open("http"))
    });
    assert!(server.memory() < before + MEMORY, "{} MiB", (server.memory() - before) >> 20);
    assert_answers(&server);
    drop(idle);
}

#[test]
fn connections_beyond_the_limit_are_refused_with_a_reason() {
    let (_numbers, server) = served("--max-connections 2");
    let (mut first, mut second) = (server.resp(), server.resp());
    assert_eq!((first.ask("PING"), second.ask("PING")), ("PONG".to_owned(), "PONG".to_owned()));
    let mut third = server.resp();
    assert_eq!(shown(&third.answer().unwrap()), "(error) ERR max number of clients reached");
    drop(first);
    wait_for("a connection to be free", || {
        let mut client = server.resp();
        client.send(&[b"PING"]);
        client.answer().is_some_and(|answer| shown(&answer) == "PONG")
    });
}

#[test]
fn answers_and_batches_have_limits() {
    let (_numbers, server) = served("--max-reply 1KiB --max-batch 200 --max-key 64B --max-request 10KiB");
    let mut client = server.resp();
    let keys: Vec<String> = (0..201).map(|at| format!("numbers:k{:03}", at % 100)).collect();
    let mget = |count: usize| format!("MGET {}", keys[..count].join(" "));
    assert!(client.ask(&mget(10)).starts_with("[{"));
    assert!(client.ask(&mget(200)).contains("larger than 1024 bytes"));
    assert!(client.ask(&mget(201)).contains("a request can have 200 keys"));
    assert_eq!(client.ask("GET numbers:k000"), r#"{"generation":1}"#, "the connection stays");
    let http = server.http();
    assert_eq!(http.get(&format!("/v1/numbers/{}", "k".repeat(65))).status, 413);
    let all = format!("[{}]", vec!["\"k000\""; 100].join(","));
    assert_eq!(http.post("/v1/numbers/_batch", &all).status, 413);
    assert_eq!(http.post("/v1/numbers/_batch", &" ".repeat(11 << 10)).status, 413);
    let page = http.get("/v1/numbers?limit=100").json();
    assert!(page["next"].is_string(), "a page is shorter than its limit when its entries are large");
}
