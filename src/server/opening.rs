//! Opens versions within the memory for filters and indexes.
//!
//! What a version needs is estimated from its manifest before it is opened, and measured when it is open. Where there is
//! no room, versions that are only kept for a rollback are closed; if that is not enough, the version is refused.
//!
//! Not for: which version is opened, and when (`watcher`).

use std::sync::Arc;

use super::budget::Budget;
use super::memory::mib;
use super::served::Served;
use super::settings::Settings;
use super::source::{Place, Source};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::Manifest;
use crate::pull::Follower;
use crate::serve::Store;

/// What RocksDB holds for a database besides its tables, and for a table besides its filter and its index.
const PER_SHARD: usize = 256 << 10;
const PER_TABLE: usize = 32 << 10;
/// What an entry of an index takes besides the key.
const PER_INDEX_ENTRY: usize = 24;

/// Checks the local stores that are named, and that the current versions of all local stores fit: each twice, as the next
/// one is opened before clients leave the one before.
///
/// # Errors
/// `Invalid` when they do not fit, a directory is no store, or versions of another URL are where those of one belong;
/// else as `Catalog::open`.
pub fn check(settings: &Settings, room: &Arc<Budget>) -> Result<()> {
    let mut needed = 0_usize;
    for source in &settings.sources {
        refuse_other_versions(source)?;
        needed = needed.saturating_add(current_needs(source)?);
    }
    if let Some(directory) = &settings.stores {
        for source in Source::in_directory(directory, &settings.sources)? {
            // What is wrong with one of these is reported when it is opened, as others like it may be added later.
            needed = needed.saturating_add(current_needs(&source).unwrap_or(0));
        }
    }
    if needed > room.limit() {
        return Err(Error::invalid(format!(
            "the filters and indexes of these stores need {}, for two versions of each, and --memory leaves {}: give {} \
             more, or a smaller --block-cache",
            mib(needed),
            mib(room.limit()),
            mib(4 * (needed - room.limit()))
        )));
    }
    Ok(())
}

/// Refuses a directory whose versions were pulled from another URL: clients would be served those.
fn refuse_other_versions(source: &Source) -> Result<()> {
    let Place::Remote { url, directory } = &source.place else { return Ok(()) };
    // What else is wrong is tried again while the server runs.
    Follower::check_directory(url, directory).map_err(|error| {
        Error::invalid(format!(
            "the versions of {:?} in --cache are those of another store: give this one another name, by NAME={url}, or \
             another --cache",
            source.name
        ))
        .because(error)
    })
}

/// What the current version of a local store needs, twice; nothing if it cannot be read.
fn current_needs(source: &Source) -> Result<usize> {
    let Place::Local(directory) = &source.place else { return Ok(0) };
    let catalog = Catalog::open(directory)?;
    let current = catalog.read()?;
    let manifest = current.current.and_then(|number| catalog.manifest(&current, number).ok());
    Ok(manifest.map_or(0, |manifest| needs(&manifest).saturating_mul(2)))
}

/// Opens a version. `close_another` closes a version that is only kept; false when there is none.
///
/// # Errors
/// `Unavailable` when its filters and indexes do not fit; else as `Store::version`.
pub fn open(
    store: &Store,
    number: u64,
    room: &Arc<Budget>,
    copies: usize,
    mut close_another: impl FnMut() -> bool,
) -> Result<Arc<Served>> {
    let manifest = store.catalog().manifest(&store.versions()?, number)?;
    let estimated = needs(&manifest);
    let no_room = |needed: usize| {
        let free = room.limit().saturating_sub(room.used());
        Error::unavailable(format!(
            "version {number} needs {} for its filters and indexes, and {} are left: give the server more --memory",
            mib(needed),
            mib(free)
        ))
    };
    let mut reserved = loop {
        match room.reserve(estimated * copies) {
            Some(reserved) => break reserved,
            None if close_another() => {}
            None => return Err(no_room(estimated * copies)),
        }
    };
    let version = store.version(number)?;
    let measured = fixed(&manifest) + version.table_memory()?;
    while !reserved.set(measured * copies) {
        if !close_another() {
            return Err(no_room(measured * copies));
        }
    }
    Ok(Arc::new(Served::new(version, reserved)))
}

/// Bytes of memory that an open version needs besides data blocks.
fn needs(manifest: &Manifest) -> usize {
    let filters = manifest.rows as f64 * manifest.tables.bloom_bits / 8.0;
    let blocks = manifest.bytes / manifest.tables.block_size.max(1) + tables(manifest) as u64;
    let longest = manifest.shards.iter().flat_map(|shard| [&shard.first_key, &shard.last_key]).flatten();
    let key = longest.map(|hex| hex.len() / 2).max().unwrap_or(0);
    let indexes =
        usize::try_from(blocks.min(manifest.rows)).unwrap_or(usize::MAX).saturating_mul(key + PER_INDEX_ENTRY);
    fixed(manifest).saturating_add(filters as usize).saturating_add(indexes)
}

/// What its databases and tables need, however large they are.
fn fixed(manifest: &Manifest) -> usize {
    manifest.shards.len() * PER_SHARD + tables(manifest) * PER_TABLE
}

fn tables(manifest: &Manifest) -> usize {
    manifest.shards.iter().flat_map(|shard| &shard.files).filter(|file| file.rows.is_some()).count()
}
