//! `--memory`: resident memory stays within it whatever clients do, and what cannot fit is refused.
//!
//! Not for: how it is shared out (the unit tests of `src/server/memory.rs`).

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Resp, encoded, shown};
use crate::fixture::{integers, strings, write_parquet};
use crate::harness::{Workspace, wait_for};
use crate::server::Server;

/// Rows with values of about a kilobyte: more than the block cache holds.
const ROWS: usize = 160_000;
const MIB: u64 = 1 << 20;
/// How long all hostile clients are there.
const HOSTILE: Duration = Duration::from_secs(15);

/// A store whose values do not fit into memory.
fn wide() -> Workspace {
    let workspace = Workspace::new();
    let keys: Vec<String> = (0..ROWS).map(|row| format!("k{row:06}")).collect();
    // No two values have much in common, so that blocks hold what they say.
    let values: Vec<String> = (0..ROWS as u64).map(|row| text(row, 1000)).collect();
    write_parquet(
        &workspace.path("in/part-0.parquet"),
        vec![
            ("key", strings(keys.iter().map(String::as_str))),
            ("n", integers(0..ROWS as i64)),
            ("text", strings(values.iter().map(String::as_str))),
        ],
    );
    let job = "version = 1\ndataset = \"wide\"\nstore = \"store\"\n[inputs.in]\npath = \"in/\"\n[query]\n\
               sql = \"SELECT key, n, text FROM \\\"in\\\"\"\n[output]\nkey = [\"key\"]\nshards = 2\n";
    workspace.write("wide.toml", job);
    workspace.cutover("run wide.toml").ok();
    workspace
}

/// Hex digits that depend on a number.
fn text(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

fn connect(address: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_write_timeout(Some(Duration::from_millis(50))).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(50))).ok()?;
    Some(stream)
}

/// A pipeline of large reads.
fn large_reads(first: usize) -> Vec<u8> {
    let keys: Vec<Vec<u8>> =
        (0..4000).map(|at| format!("wide:k{:06}", (first * 4000 + at) % ROWS).into_bytes()).collect();
    let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
    encoded(&words).repeat(3)
}

/// What hostile clients send; none of them reads an answer.
fn hostile(kind: usize, at: usize) -> Vec<u8> {
    match kind {
        // Pipelines whose answers are not read.
        0 => large_reads(at),
        // As much of a request as the server takes, without its end.
        1 => {
            let argument = [b"$60000\r\n".to_vec(), vec![b'a'; 60_000], b"\r\n".to_vec()].concat();
            [b"*9000\r\n$4\r\nMGET\r\n".to_vec(), argument.repeat(60)].concat()
        }
        // Many short strings, without the last one.
        2 => [b"*10001\r\n$4\r\nMGET\r\n".to_vec(), b"$1\r\na\r\n".repeat(9999)].concat(),
        // Scans of all keys.
        3 => encoded(&[b"SCAN", b"0", b"COUNT", b"10000"]).repeat(50),
        // The head of a request that does not end.
        4 => [b"GET /v1/wide/k HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 15_000]].concat(),
        // A batch whose body does not end.
        5 => {
            let head = b"POST /v1/wide/_batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4000000\r\n\r\n";
            [head.to_vec(), vec![b' '; 3_000_000]].concat()
        }
        // A batch that lists more than is allowed in few bytes.
        6 => {
            let body = format!("[{}1]", "1,".repeat(1_000_000));
            let head =
                format!("POST /v1/wide/_batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
            [head.into_bytes(), body.into_bytes()].concat()
        }
        // Large pages, compressed and not.
        _ => {
            let encoding = if at.is_multiple_of(2) { "zstd" } else { "identity" };
            let head = "host: localhost\r\naccept-encoding: ";
            format!("GET /v1/wide?limit=10000 HTTP/1.1\r\n{head}{encoding}\r\n\r\n").repeat(20).into_bytes()
        }
    }
}

/// Clients of one kind until `done`: each sends what it can, waits and comes again.
fn attack(server: &Server, kind: usize, done: &AtomicBool) {
    let address = if kind < 4 { &server.resp } else { &server.http };
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let crowd: Vec<TcpStream> = (0..40)
            .filter_map(|at| {
                let mut stream = connect(address)?;
                // It is right when this does not get through.
                let _ = stream.write_all(&hostile(kind, round * 40 + at));
                Some(stream)
            })
            .collect();
        round += 1;
        // Half of them are left half open.
        crowd.iter().step_by(2).for_each(|stream| _ = stream.shutdown(Shutdown::Write));
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Clients that send byte by byte.
fn drip(server: &Server, done: &AtomicBool) {
    let mut streams: Vec<TcpStream> = (0..200).filter_map(|_| connect(&server.resp)).collect();
    let bytes = encoded(&[b"GET", b"wide:k000000"]).repeat(1000);
    for byte in bytes {
        streams.iter_mut().for_each(|stream| _ = stream.write(&[byte]));
        if done.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[test]
fn resident_memory_stays_within_the_bound_under_hostile_clients() {
    let workspace = wide();
    let bound = 384 * MIB;
    let server = Server::start(&workspace, "wide=store --memory 384MiB --threads 2 --idle-timeout 2s");
    server.wait_for_version("wide", 1);
    let started = server.memory();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        (0..8).for_each(|kind| {
            _ = scope.spawn({
                let (server, done) = (&server, &done);
                move || attack(server, kind, done)
            })
        });
        scope.spawn(|| drip(&server, &done));
        // One that behaves fills the block cache.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut client = Resp::connect(&server.resp);
                for first in (0..ROWS).step_by(1000) {
                    let keys: Vec<String> = (first..first + 1000).map(|at| format!("wide:k{at:06}")).collect();
                    let words = keys.iter().map(|key| key.as_bytes());
                    let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(words).collect();
                    if client.stream.write_all(&encoded(&words)).is_err() || client.answer().is_none() {
                        break;
                    }
                }
            }
        });
        let began = Instant::now();
        while began.elapsed() < HOSTILE {
            assert!(server.memory() <= bound, "{} MiB of {} MiB", server.memory() / MIB, bound / MIB);
            std::thread::sleep(Duration::from_millis(5));
        }
        done.store(true, Ordering::Relaxed);
    });
    let peak = server.peak_memory();
    println!("{} MiB when it began, {} MiB at most, of {} MiB", started / MIB, peak / MIB, bound / MIB);
    assert!(peak <= bound, "{} MiB of {} MiB", peak / MIB, bound / MIB);
    assert!(peak > started + 64 * MIB, "the clients asked for much: {} MiB", peak / MIB);
    // What clients held is given back, and others are answered.
    let is_given_back = |metrics: &str| {
        metrics.contains("cutover_connections{protocol=\"resp\"} 0\n") && metrics.contains("cutover_buffered_bytes 0\n")
    };
    wait_for("everything to be given back", || {
        let metrics = server.http().get("/metrics");
        metrics.status == 200 && is_given_back(&metrics.text())
    });
    assert!(server.resp().ask("GET wide:k000007").contains(&text(7, 1000)));
}

#[test]
fn what_does_not_fit_into_the_memory_is_refused_at_the_start() {
    let workspace = wide();
    let refused = |flags: &str, parts: &[&str]| {
        let line = format!("serve wide=store --resp 127.0.0.1:0 --http off {flags}");
        workspace.cutover(&line).fails(2).complains(parts);
    };
    refused("--memory 100MiB", &["--memory 100MiB leaves", "give at least --memory"]);
    refused("--memory 512MiB --block-cache 600MiB", &["cannot hold --block-cache"]);
    refused("--memory 512MiB --threads 2 --block-cache 284MiB", &["filters and indexes", "give", "more"]);
    let line = "serve --stores . --resp 127.0.0.1:0 --http off --memory 512MiB --threads 2 --block-cache 284MiB";
    workspace.cutover(line).fails(2).complains(&["filters and indexes", "give", "more"]);
}

#[test]
fn a_version_that_does_not_fit_is_refused_and_connections_are_as_many_as_fit() {
    let workspace = Workspace::new();
    let write = |rows: usize| {
        let keys: Vec<String> = (0..rows).map(|row| format!("k{row:07}")).collect();
        let columns = vec![("key", strings(keys.iter().map(String::as_str))), ("n", integers(0..rows as i64))];
        write_parquet(&workspace.path("in/part-0.parquet"), columns);
    };
    let job = "version = 1\ndataset = \"n\"\nstore = \"store\"\n[inputs.in]\npath = \"in/\"\n[query]\n\
               sql = \"SELECT key, n FROM \\\"in\\\"\"\n[output]\nkey = [\"key\"]\n[tables]\nbloom_bits = 32\n";
    workspace.write("n.toml", job);
    write(1000);
    workspace.cutover("run n.toml").ok();
    // All of the memory but a few MiB has another use.
    let server = Server::start(&workspace, "n=store --memory 300MiB --threads 2 --block-cache 123MiB");
    server.wait_for_version("n", 1);
    write(800_000);
    workspace.cutover("run n.toml --allow rows,change").ok();
    wait_for("the version to be refused", || server.events().iter().any(|event| event["event"] == "refused"));
    let refused = server.events().into_iter().find(|event| event["event"] == "refused").unwrap();
    assert!(refused["problem"].as_str().unwrap().contains("filters and indexes"), "{refused}");
    assert_eq!(server.resp().ask("GET n:k0000999"), r#"{"n":999}"#);
    assert!(server.resp().ask("GET n:k0001000").contains("(nil)"));
    let mut clients: Vec<Resp> = Vec::new();
    let answer = loop {
        let mut client = server.resp();
        client.send(&[b"PING"]);
        match client.answer().map(|answer| shown(&answer)) {
            Some(answer) if answer == "PONG" => clients.push(client),
            answer => break answer,
        }
        assert!(clients.len() < 10_000);
    };
    assert_eq!(answer.as_deref(), Some("(error) ERR max number of clients reached"));
    assert!(clients.len() > 500, "{} clients", clients.len());
    assert_eq!(clients[0].ask("GET n:k0000001"), r#"{"n":1}"#);
}
