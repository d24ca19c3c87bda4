//! Reads a freshly built shard back from the disk, as a client would, and compares it with what was written.
//!
//! When its files were built, they were dropped from the page cache and read again for their checksums. Here RocksDB
//! verifies every block, its count of entries is compared with ours, and sampled entries are looked up. With `full`, or
//! if too few entries were sampled, every entry is read and the digest compared.
//!
//! Not for: stored versions (`serve::verify`).

use std::path::Path;

use rocksdb::{DB, IteratorMode, ReadOptions};

use crate::build::{BuiltShard, read_options, verify_checksums};
use crate::error::{Error, Result};
use crate::format::{Digest, Digester};
use crate::shutdown;

/// With fewer samples of a shard that has more entries, every entry is read.
const MIN_SAMPLES: u64 = 1000;

/// RocksDB's aggregated properties of all tables of a database.
const TABLE_PROPERTIES: &str = "rocksdb.aggregated-table-properties";

/// Compares the shard's database with what was written to it.
///
/// # Errors
/// `Corrupt`, naming the shard and the difference; `Unavailable` when the database cannot be read; `Stopped` after a
/// signal.
pub fn read_back(built: &BuiltShard, shard_dir: &Path, full: bool) -> Result<()> {
    shutdown::check()?;
    let shard = built.entry.shard;
    let differs = |what: String| {
        Error::corrupt(format!(
            "shard {shard} read back from {} is not what was written: {what}; nothing was published. Check the disk \
             and the memory of this machine, then run again",
            shard_dir.display()
        ))
    };
    let db = DB::open_for_read_only(&read_options(), shard_dir, false).map_err(|error| match error.kind() {
        rocksdb::ErrorKind::IOError => {
            let message = format!("cannot open {} to read it back", shard_dir.display());
            Error::unavailable(message).because(error)
        }
        _ => differs("it does not open".to_owned()).because(error),
    })?;
    verify_checksums(&db).map_err(&differs)?;
    let entries = entries(&db)?;
    if entries != built.entry.rows {
        return Err(differs(format!("its tables hold {entries} entries instead of {}", built.entry.rows)));
    }
    for sample in &built.samples {
        let value = db.get_pinned(&sample.key).map_err(|error| differs("a lookup failed".to_owned()).because(error))?;
        let found = value.map(|value| Digest::of_entry(&sample.key, &value));
        if found != Some(sample.digest) {
            let what = if found.is_some() { "another value" } else { "no value" };
            return Err(differs(format!("key 0x{} has {what}", crate::format::hex(&sample.key))));
        }
    }
    if full || (built.samples.len() as u64) < built.entry.rows.min(MIN_SAMPLES) {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        let mut digester = Digester::new();
        for entry in db.iterator_opt(IteratorMode::Start, options) {
            shutdown::check()?;
            let (key, value) = entry.map_err(|error| differs("a scan failed".to_owned()).because(error))?;
            digester.add(&key, &value);
        }
        if digester.digest() != built.entry.digest {
            return Err(differs(format!("digest {} instead of {}", digester.digest(), built.entry.digest)));
        }
    }
    Ok(())
}

/// Entries of all tables, from their properties.
fn entries(db: &DB) -> Result<u64> {
    let text = db.property_value(TABLE_PROPERTIES).ok().flatten().unwrap_or_default();
    text.split(';')
        .find_map(|property| property.trim().strip_prefix("# entries=")?.trim().parse().ok())
        .ok_or_else(|| Error::internal(format!("RocksDB's table properties read {text:?}")))
}
