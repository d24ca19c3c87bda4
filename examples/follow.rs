//! Follows a store, as a serving program does: prints a line whenever its readers switch to another version.
//!
//! ```sh
//! cargo run --release --example follow -- stores/planes
//! ```
//! One thread refreshes the reader by the clock, so that no request pays for opening a new version. A request takes one
//! snapshot and does all of its reads on it: it sees one whole version, also while the store is switched.
//!
//! Not for: reading once (see `read.rs`).

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cutover::error::{Error, Result};
use cutover::serve::Reader;

/// How often the store is checked for a new version.
const REFRESH_EVERY: Duration = Duration::from_millis(200);

fn main() -> Result<()> {
    let Some(store) = std::env::args().nth(1) else {
        return Err(Error::invalid("usage: follow STORE"));
    };
    let reader = Arc::new(Reader::open(store)?);
    let refreshed = Arc::clone(&reader);
    thread::spawn(move || {
        loop {
            refreshed.refresh();
            thread::sleep(REFRESH_EVERY);
        }
    });

    let mut shown = None;
    loop {
        let version = reader.snapshot(); // what each request of a server does first
        if shown != Some(version.number()) {
            println!("version {} is served: {} entries", version.number(), version.manifest().rows);
            shown = Some(version.number());
        }
        if let Some(error) = reader.last_error() {
            eprintln!("still on version {}: {error}", version.number());
        }
        thread::sleep(REFRESH_EVERY);
    }
}
