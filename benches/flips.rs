//! Read latency during flips, compared with the latency in between.
//!
//! ```text
//! make bench-flips ARGS="STORE"      a store of two versions or more; it ends on the version it began with
//! ```
//! A read takes one handle and looks up 20 keys. As serving programs do, one thread calls `Reader::refresh`
//! periodically, so that no read waits for the opening of a version. "During" a flip are reads that overlap the time
//! from the beginning of the publish to a moment after the new version is served: cold blocks count.
//!
//! Prints one JSON object: per kind the number of reads and p50, p99 and the maximum in microseconds, the ratio of the
//! two p99, and how long readers had to wait for a published version.
//!
//! Not for: the throughput of RocksDB. Built as a benchmark so that it costs users' builds nothing.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover::error::{Error, Result};
use cutover::format::Allow;
use cutover::internals::catalog::Catalog;
use cutover::internals::publish::{PublishOptions, publish};
use cutover::serve::{Range, Reader, Store, Version};
use serde_json::{Value, json};

/// Number of flips.
const FLIPS: u64 = 40;
/// Time between two flips.
const PAUSE: Duration = Duration::from_millis(500);
/// Reads count as during a flip for this long after the new version is served.
const AFTER: Duration = Duration::from_millis(100);
/// How often the store is checked.
const REFRESH_EVERY: Duration = Duration::from_millis(10);
/// Keys per read, and keys that reads choose from.
const KEYS: usize = 20;
const SAMPLE: usize = 20_000;

fn main() -> ExitCode {
    // `cargo bench` appends this argument for every benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let measured = match arguments.as_slice() {
        [store] => measure(Path::new(store)),
        // Run with all other benchmarks: this one measures nothing.
        [] => return ExitCode::SUCCESS,
        _ => Err(Error::invalid("give it a store")),
    };
    match measured {
        Ok(measured) => {
            println!("{measured:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("flips: {}", error.chain().join(": "));
            ExitCode::FAILURE
        }
    }
}

/// One read: when it began, and how long it took.
type Read = (Instant, Duration);

fn measure(path: &Path) -> Result<Value> {
    let catalog = Catalog::open(path)?;
    let current = catalog.read()?;
    let (Some(live), Some(other)) =
        (current.current, current.versions.keys().rev().copied().find(|&other| Some(other) != current.current))
    else {
        return Err(Error::invalid("the store needs a published version and another one"));
    };
    let reader = Reader::follow(Store::open(path)?, Duration::from_secs(3600))?;
    let keys = sample(&reader.snapshot())?;
    if keys.is_empty() {
        return Err(Error::invalid("the store's current version has no entries"));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let done = AtomicBool::new(false);
    let (reads, flips) = std::thread::scope(|scope| {
        let (reader, keys, done) = (&reader, &keys, &done);
        let readers: Vec<_> = (0..threads).map(|seed| scope.spawn(move || read(reader, keys, seed, done))).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reader.refresh();
                std::thread::sleep(REFRESH_EVERY);
            }
        });
        let flips = flip(&catalog, reader, [other, live]);
        done.store(true, Ordering::Relaxed);
        let reads: Result<Vec<Vec<Read>>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        Ok::<_, Error>((reads?.concat(), flips?))
    })?;
    let overlaps = |(began, took): &Read| flips.iter().any(|flip| *began < flip.2 + AFTER && *began + *took > flip.0);
    let (during, between): (Vec<Read>, Vec<Read>) = reads.into_iter().partition(overlaps);
    let (during, between) = (Summary::of(&during), Summary::of(&between));
    let longest = |from: fn(&Flip) -> Duration| flips.iter().map(from).max().unwrap_or_default().as_secs_f64() * 1e3;
    Ok(json!({
        "store": path.display().to_string(),
        "rows": current.versions.get(&live).map(|entry| entry.rows),
        "threads": threads,
        "flips": flips.len(),
        "between": between.json(),
        "during": during.json(),
        "p99_ratio": during.p99 / between.p99,
        "longest_publish_ms": longest(|flip| flip.1 - flip.0),
        "longest_swap_ms": longest(|flip| flip.2 - flip.1),
    }))
}

/// When a publish began, when it was done, and when readers had the version.
type Flip = (Instant, Instant, Instant);

fn flip(catalog: &Catalog, reader: &Reader, versions: [u64; 2]) -> Result<Vec<Flip>> {
    let everything = PublishOptions { allow: Allow::all().collect(), ..PublishOptions::default() };
    let mut flips = Vec::new();
    for version in (0..FLIPS).flat_map(|_| versions).take(FLIPS as usize) {
        std::thread::sleep(PAUSE);
        let began = Instant::now();
        publish(catalog, version, &everything)?;
        let published = Instant::now();
        while reader.snapshot().number() != version {
            std::thread::yield_now();
        }
        flips.push((began, published, Instant::now()));
    }
    std::thread::sleep(PAUSE);
    Ok(flips)
}

/// Keys spread evenly over a version.
fn sample(version: &Version) -> Result<Vec<Vec<u8>>> {
    let step = (version.manifest().rows as usize / SAMPLE).max(1);
    version.scan(&Range::all()).step_by(step).map(|entry| entry.map(|(key, _)| key)).collect()
}

/// Reads until `done`.
fn read(reader: &Reader, keys: &[Vec<u8>], seed: usize, done: &AtomicBool) -> Result<Vec<Read>> {
    let mut reads = Vec::new();
    let mut at = seed * 7919;
    while !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        let version = reader.snapshot();
        let asked: [&[u8]; KEYS] = std::array::from_fn(|number| keys[(at + number * 104_729) % keys.len()].as_slice());
        version.multi_get(&asked)?;
        reads.push((began, began.elapsed()));
        at = at.wrapping_add(15_485_863) % keys.len();
    }
    Ok(reads)
}

/// The latency of many reads, in microseconds.
struct Summary {
    reads: usize,
    p50: f64,
    p99: f64,
    longest: f64,
}

impl Summary {
    fn of(reads: &[Read]) -> Self {
        let mut took: Vec<f64> = reads.iter().map(|(_, took)| took.as_secs_f64() * 1e6).collect();
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
        Self { reads: took.len(), p50: at(0.5), p99: at(0.99), longest: took.last().copied().unwrap_or_default() }
    }

    fn json(&self) -> Value {
        json!({"reads": self.reads, "p50_us": self.p50, "p99_us": self.p99, "longest_us": self.longest})
    }
}
