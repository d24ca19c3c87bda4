//! Times reads of a store from Rust: what `benches/python.py` compares Python's with.
//!
//! ```sh
//! cargo run --release --example time_reads -- stores/planes 100000
//! ```
//! Prints one JSON object: seconds per `get` and per entry of a scan, with everything in the block cache.
//!
//! Not for: the latency of a server; `benches/serve.py` measures that.

use std::time::Instant;

use cutover::error::{Error, Result};
use cutover::serve::{Range, Store};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wrong = || Error::invalid("usage: time_reads STORE COUNT");
    let [store, count] = arguments.as_slice() else { return Err(wrong()) };
    let count: usize = count.parse().map_err(|_| wrong())?;
    let version = Store::open(store)?.current()?.ok_or_else(|| Error::unavailable("nothing is published"))?;

    let entries = version.scan(&Range::all()).take(count).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    let scanned = version.scan(&Range::all()).take(count).filter(Result::is_ok).count();
    let scan = started.elapsed().as_secs_f64() / scanned.max(1) as f64;

    // A stride that visits every key once, in an order that is not the keys'.
    let stride = (entries.len() / 2 + 1) | 1;
    let mut found = 0;
    let started = Instant::now();
    for at in 0..entries.len() {
        let (key, _) = &entries[at * stride % entries.len()];
        found += usize::from(version.get(key)?.is_some());
    }
    let get = started.elapsed().as_secs_f64() / found.max(1) as f64;
    println!("{}", serde_json::json!({"entries": entries.len(), "get": get, "scan": scan}));
    Ok(())
}
