//! Reads a store: one key, or the first entries of a prefix.
//!
//! ```sh
//! cargo run --release --example read -- stores/planes get N10156
//! cargo run --release --example read -- stores/enriched_events scan '[42]'
//! ```
//! Keys are written as on the command line: plain text for a key of one column, a JSON array for several.
//!
//! Not for: programs that run for long; they follow the store with a `Reader` (see `follow.rs`).

use cutover::error::{Error, Result};
use cutover::serve::Store;

/// Entries that a scan shows.
const MAX_SHOWN: usize = 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, command, key] = arguments.as_slice() else {
        return Err(Error::invalid("usage: read STORE get KEY, or read STORE scan PREFIX"));
    };
    let store = Store::open(store)?;
    let Some(version) = store.current()? else {
        return Err(Error::unavailable("nothing is published in this store yet"));
    };
    println!("version {}, {} entries", version.number(), version.manifest().rows);
    match command.as_str() {
        "get" => match version.get(&version.key_schema().parse(key)?)? {
            Some(value) => println!("{}", version.value_schema().to_text(&value)?),
            None => println!("no such key"),
        },
        "scan" => {
            for entry in version.scan(&version.prefix_range(key)?).take(MAX_SHOWN) {
                let (key, value) = entry?;
                let (key, value) = (version.key_schema().to_json(&key)?, version.value_schema().to_text(&value)?);
                println!("{key}\t{value}");
            }
        }
        other => return Err(Error::invalid(format!("{other} is not a command of this example"))),
    }
    Ok(())
}
