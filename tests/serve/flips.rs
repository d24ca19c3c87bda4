//! A new version every second, under load, with readers that know what every version holds.
//!
//! `CUTOVER_FLIP_SECONDS` sets the duration: 600 for a long run.
//!
//! Not for: how one switch behaves (`swaps`).

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::shown;
use crate::fixture::Numbers;
use crate::server::Server;

/// Duration in seconds in `make test`.
const SECONDS: u64 = 20;
/// Time between two versions.
const EVERY: Duration = Duration::from_secs(1);
const KEYS: usize = 100;

/// What readers have seen.
#[derive(Default)]
struct Seen {
    reads: AtomicU64,
    /// The longest read, in microseconds.
    slowest: AtomicU64,
    newest: AtomicU64,
}

impl Seen {
    /// Counts a read of the version `generation`, which must not be older than what this reader saw before.
    fn count(&self, began: Instant, generation: u64, before: &mut u64) {
        assert!(generation >= *before, "version {generation} after version {before}");
        *before = generation;
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.newest.fetch_max(generation, Ordering::Relaxed);
        self.slowest.fetch_max(u64::try_from(began.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
    }
}

/// redis-benchmark until it is dropped, where there is one.
struct Load(Option<Child>);

impl Load {
    fn on(server: &Server) -> Self {
        let port = server.resp.rsplit(':').next().unwrap();
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", port, "-l", "-c", "20", "-P", "4", "-q", "GET", "numbers:k042"]);
        let load = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if load.is_err() {
            eprintln!("without the load of redis-benchmark, which is not here");
        }
        Self(load.ok())
    }

    fn is_running(&mut self) -> bool {
        self.0.as_mut().is_none_or(|load| load.try_wait().unwrap().is_none())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(load) = &mut self.0 {
            let _ = load.kill();
            let _ = load.wait();
        }
    }
}

/// Reads all keys by the Redis protocol until `done`.
fn read_resp(server: &Server, seen: &Seen, done: &AtomicBool) {
    let keys: Vec<String> = (0..KEYS).map(|at| format!("numbers:k{at:03}")).collect();
    let words: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(keys.iter().map(|key| key.as_bytes())).collect();
    let (mut client, mut before) = (server.resp(), 0);
    while !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.send(&words);
        let answer = shown(&client.answer().expect("the connection stays"));
        let generation = answer.split(['}', ':']).nth(1).and_then(|number| number.parse().ok());
        let generation = generation.unwrap_or_else(|| panic!("a failed read: {answer}"));
        let one = format!("{{\"generation\":{generation}}}");
        assert_eq!(answer, format!("[{}]", vec![one; KEYS].join(", ")), "all of one version");
        seen.count(began, generation, &mut before);
    }
}

/// The same by HTTP.
fn read_http(server: &Server, seen: &Seen, done: &AtomicBool) {
    let list = format!("[{}]", (0..KEYS).map(|at| format!("\"k{at:03}\"")).collect::<Vec<_>>().join(","));
    let (http, mut before) = (server.http(), 0);
    while !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = http.post("/v1/numbers/_batch", &list);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let batch = answer.json();
        let (version, entries) = (&batch["version"], batch["entries"].as_array().unwrap());
        assert_eq!(answer.headers["cutover-version"], version.to_string());
        assert!(
            entries.len() == KEYS && entries.iter().all(|entry| entry["value"]["generation"] == *version),
            "{batch}"
        );
        seen.count(began, version.as_u64().unwrap(), &mut before);
    }
}

#[test]
fn a_version_every_second_under_load_fails_no_read_and_mixes_none() {
    let seconds = std::env::var("CUTOVER_FLIP_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let numbers = Numbers::with("[retention]\nkeep = 3\n");
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    let mut load = Load::on(&server);
    let (seen, done, began) = (Seen::default(), AtomicBool::new(false), Instant::now());
    let newest = std::thread::scope(|scope| {
        let readers = [
            scope.spawn(|| read_resp(&server, &seen, &done)),
            scope.spawn(|| read_resp(&server, &seen, &done)),
            scope.spawn(|| read_http(&server, &seen, &done)),
        ];
        let mut generation = 1;
        while began.elapsed() < Duration::from_secs(seconds) && readers.iter().all(|reader| !reader.is_finished()) {
            let next = Instant::now() + EVERY;
            generation += 1;
            numbers.run(generation).ok();
            server.wait_for_version("numbers", generation as u64);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        assert!(load.is_running(), "redis-benchmark ended: an answer was an error, or the connection broke");
        done.store(true, Ordering::Relaxed);
        generation as u64
    });
    drop(load);
    let reads = seen.reads.load(Ordering::Relaxed);
    println!("{newest} versions, {reads} reads, the longest {} µs", seen.slowest.load(Ordering::Relaxed));
    assert_eq!(seen.newest.load(Ordering::Relaxed), newest);
    assert!(reads > 10 * newest, "{reads} reads of {newest} versions");
    assert!(!server.events().iter().any(|event| event["event"] == "refused"), "{:?}", server.events());
    assert!(server.http().get("/metrics").text().contains("cutover_request_errors_total{protocol=\"resp\"} 0"));
}
