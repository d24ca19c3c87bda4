//! What `cutover serve` is compared with, and reads of a server while versions are switched.
//!
//! ```text
//! serving constant ADDRESS BODY      an axum server that answers every request with the same text
//! serving gets STORE                 `Version::get` compared with RocksDB's own get, on the keys of a store of one shard
//! serving swaps STORE ADDRESS        p99 of a server's reads around switches, compared with the time in between
//! ```
//! `make bench-serve` starts it. The last two print one JSON object. Switches go back and forth between the last two
//! versions of the store; it ends on the one that it began with.
//!
//! Not for: throughput, which redis-benchmark and wrk measure (`serve.py`).

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark may panic")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover::format::Allow;
use cutover::internals::catalog::Catalog;
use cutover::internals::publish::{PublishOptions, publish};
use cutover::serve::{Range, Store, Version};
use rocksdb::{BlockBasedOptions, Cache, DB, Options, ReadOptions};
use serde_json::{Value, json};

/// Keys that reads choose from.
const KEYS: usize = 200_000;
/// Alternating passes over the keys by both sides, and the first ones, which only warm up.
const PASSES: usize = 12;
const WARM: usize = 2;
/// Bytes of cache: more than the tables.
const CACHE: usize = 1 << 30;
/// Switches, and the time from one to the next.
const SWAPS: u64 = 6;
const BETWEEN: Duration = Duration::from_secs(20);
/// Reads count as around a switch within this time before and after it.
const AROUND: Duration = Duration::from_secs(5);
/// Clients that read meanwhile.
const CLIENTS: usize = 4;

fn main() -> ExitCode {
    // `cargo bench` appends this argument for every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // Run with all other benchmarks: this one measures nothing.
        [] => {}
        ["constant", address, body] => constant(address, (*body).to_owned()),
        ["gets", store] => println!("{:#}", gets(Path::new(store))),
        ["swaps", store, address] => println!("{:#}", swaps(Path::new(store), address)),
        _ => {
            eprintln!("serving: give it constant ADDRESS BODY, gets STORE, or swaps STORE ADDRESS");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Answers every request with the same text, by as many threads as there are processors.
fn constant(address: &str, body: String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let answer = move || std::future::ready(([("content-type", "application/json")], body.clone()));
        let router = axum::Router::new().fallback(answer);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = stream.set_nodelay(true);
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
}

/// Nanoseconds of a read through the library and through RocksDB, by passes that alternate.
fn gets(path: &Path) -> Value {
    let version = Store::with_cache(path, CACHE).unwrap().current().unwrap().unwrap();
    let keys = shuffled(sample(&version));
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_max_open_files(-1);
    let raw = DB::open_for_read_only(&options, version.directory().join("shard-00000"), false).unwrap();
    let read = ReadOptions::default();
    let (mut library, mut rocksdb) = (Vec::new(), Vec::new());
    for pass in 0..PASSES {
        let ours = timed(&keys, |key| version.get(key).unwrap().unwrap().len());
        let theirs = timed(&keys, |key| raw.get_opt(key, &read).unwrap().unwrap().len());
        if pass >= WARM {
            library.push(ours);
            rocksdb.push(theirs);
        }
    }
    let ratios = library.iter().zip(&rocksdb).map(|(ours, theirs)| theirs / ours).collect();
    json!({ "library_ns": median(library), "rocksdb_ns": median(rocksdb), "ratio": median(ratios) })
}

fn timed(keys: &[Vec<u8>], mut get: impl FnMut(&[u8]) -> usize) -> f64 {
    let began = Instant::now();
    let bytes: usize = keys.iter().map(|key| get(key)).sum();
    std::hint::black_box(bytes);
    began.elapsed().as_nanos() as f64 / keys.len() as f64
}

fn sample(version: &Version) -> Vec<Vec<u8>> {
    version.scan(&Range::all()).take(KEYS).map(|entry| entry.unwrap().0).collect()
}

/// In an order that looks random and is always the same.
fn shuffled(mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    for at in (1..keys.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        keys.swap(at, (state >> 33) as usize % (at + 1));
    }
    keys
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One read: when it began, and how long it took.
type Get = (Instant, Duration);

fn swaps(path: &Path, address: &str) -> Value {
    let catalog = Catalog::open(path).unwrap();
    let current = catalog.read().unwrap();
    let live = current.current.unwrap();
    let other = current.versions.keys().rev().copied().find(|other| *other != live).unwrap();
    let keys = shuffled(sample(&Store::open(path).unwrap().version(live).unwrap()));
    let dataset = path.file_name().unwrap().to_str().unwrap();
    let done = AtomicBool::new(false);
    let (reads, swaps) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (keys, done) = (&keys, &done);
                    move || client_reads(address, dataset, keys, client, done)
                })
            })
            .collect();
        let everything = PublishOptions { allow: Allow::all().collect(), ..PublishOptions::default() };
        let mut swaps = Vec::new();
        for swap in 0..SWAPS {
            std::thread::sleep(BETWEEN);
            let to = if swap % 2 == 0 { other } else { live };
            publish(&catalog, to, &everything).unwrap();
            swaps.push(Instant::now());
        }
        std::thread::sleep(BETWEEN);
        done.store(true, Ordering::Relaxed);
        (clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<Get>>(), swaps)
    });
    let is_around = |at: &Instant| swaps.iter().any(|swap| *at + AROUND > *swap && *at < *swap + AROUND);
    let (around, steady): (Vec<Get>, Vec<Get>) = reads.into_iter().partition(|(at, _)| is_around(at));
    let (around, steady) = (sorted(around), sorted(steady));
    json!({
        "swaps": swaps.len(),
        "around": summary(&around),
        "steady": summary(&steady),
        "p99_ratio": quantile(&around, 0.99) / quantile(&steady, 0.99),
    })
}

/// Reads random keys one by one until `done`.
fn client_reads(address: &str, dataset: &str, keys: &[Vec<u8>], client: usize, done: &AtomicBool) -> Vec<Get> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reads, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    for key in keys.iter().cycle().skip(client * keys.len() / CLIENTS) {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let length = dataset.len() + 1 + key.len();
        let mut request = format!("*2\r\n$3\r\nGET\r\n${length}\r\n{dataset}:").into_bytes();
        request.extend_from_slice(key);
        request.extend_from_slice(b"\r\n");
        let began = Instant::now();
        stream.write_all(&request).unwrap();
        let read = stream.read(&mut buffer).unwrap();
        reads.push((began, began.elapsed()));
        assert!(buffer.first() == Some(&b'$') && read > 5 && !buffer.starts_with(b"$-1"), "a read failed");
    }
    reads
}

/// The times in microseconds, sorted.
fn sorted(reads: Vec<Get>) -> Vec<f64> {
    let mut times: Vec<f64> = reads.iter().map(|(_, took)| took.as_secs_f64() * 1e6).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

fn summary(sorted: &[f64]) -> Value {
    json!({
        "reads": sorted.len(),
        "p50_us": quantile(sorted, 0.5),
        "p99_us": quantile(sorted, 0.99),
        "p9999_us": quantile(sorted, 0.9999),
        "longest_us": quantile(sorted, 1.0),
    })
}
