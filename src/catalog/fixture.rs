//! Manifests, versions and stores for tests, without RocksDB: the file of a shard holds four bytes of text.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Catalog, Installed};
use crate::error::Result;
use crate::format::{
    Allow, Allowed, Current, Digester, FileEntry, KeyColumn, KeyEncoding, KeyKind, KeySchema, Manifest, Partitioner,
    ShardEntry, State, Tables, VersionEntry, hex,
};

/// The instant `seconds` after the Unix epoch.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// Applies a change as a commit does: all or nothing, and increments the epoch.
pub(crate) fn commit<T>(current: &mut Current, change: impl FnOnce(&mut Current) -> Result<T>) -> Result<T> {
    let mut after = current.clone();
    let result = change(&mut after)?;
    after.epoch += 1;
    assert_eq!(after.contradiction(), None);
    *current = after;
    Ok(result)
}

/// Allows no kind.
pub(crate) fn nothing() -> Allowed {
    Allowed::new()
}

/// Allows all kinds.
pub(crate) fn everything() -> Allowed {
    Allow::all().collect()
}

/// A complete version that is as of `as_of` and has the content `content`.
pub(crate) fn entry(as_of: i64, content: &str) -> VersionEntry {
    let mut manifest = manifest(1, &[("key", content)]);
    manifest.as_of = at(as_of);
    VersionEntry::new(&manifest)
}

/// A store with this many complete versions, each as of a second later than the one before.
pub(crate) fn store_of(versions: u64) -> Current {
    let mut current = Current::new("views");
    for version in 1..=versions {
        let state = commit(&mut current, |c| c.add(version, entry(version as i64, &version.to_string()))).unwrap();
        assert_eq!(state, State::Complete);
    }
    current
}

/// The key schema of one string column.
pub(crate) fn key_schema() -> KeySchema {
    let column = KeyColumn { name: "url".into(), type_name: "string".into(), kind: KeyKind::String };
    KeySchema { columns: vec![column], encoding: KeyEncoding::Bytes, numbered: false }
}

/// A manifest of one shard with these entries and one file, `shard-00000/CURRENT`.
pub(crate) fn manifest(version: u64, entries: &[(&str, &str)]) -> Manifest {
    let mut digester = Digester::new();
    entries.iter().for_each(|(key, value)| digester.add(key.as_bytes(), value.as_bytes()));
    let bytes = entries.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    let key = |entry: Option<&(&str, &str)>| entry.map(|(key, _)| hex(key.as_bytes()));
    let file = FileEntry {
        path: "shard-00000/CURRENT".into(),
        bytes: 4,
        xxh3: crate::format::hex_checksum(xxhash_rust::xxh3::xxh3_64(b"file")),
        rows: None,
        first_key: None,
        last_key: None,
    };
    let shard = ShardEntry {
        shard: 0,
        rows: entries.len() as u64,
        bytes,
        digest: digester.digest(),
        first_key: key(entries.first()),
        last_key: key(entries.last()),
        files: vec![file],
        attempt: None,
    };
    Manifest {
        format_version: 1,
        dataset: "views".into(),
        version,
        build_id: format!("build-{version}"),
        tool_version: "0.0.0".into(),
        job_digest: "job".into(),
        input_digest: "inputs".into(),
        as_of: at(version as i64),
        as_of_stated: true,
        created_at: at(version as i64),
        built_by: None,
        staged: false,
        params: None,
        inputs: Vec::new(),
        key: key_schema(),
        value: serde_json::from_str(r#"{"encoding": "json", "columns": [], "list": false}"#).unwrap(),
        shard_by: Vec::new(),
        partitioner: Partitioner::Xxh3,
        shard_count: 1,
        tables: Tables::default(),
        rows: shard.rows,
        bytes,
        digest: shard.digest,
        shards: vec![shard],
        columns: Vec::new(),
        checks: Vec::new(),
        stages: Vec::new(),
        largest: None,
        profile: None,
    }
}

/// A new store, deleted with the directory that is returned.
pub(crate) fn catalog() -> (tempfile::TempDir, Catalog) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Catalog::open_or_create(directory.path().join("store"), "views").unwrap();
    (directory, catalog)
}

/// A staged directory that fits [`manifest`].
pub(crate) fn staged(catalog: &Catalog, build_id: &str) -> PathBuf {
    let directory = catalog.layout().staging_dir(build_id).unwrap();
    fs::create_dir_all(directory.join("shard-00000")).unwrap();
    fs::write(directory.join("shard-00000/CURRENT"), "file").unwrap();
    directory
}

/// Installs a version with one entry.
pub(crate) fn install(catalog: &Catalog, content: &str) -> Installed {
    let directory = staged(catalog, &format!("build-{content}"));
    catalog.install(&directory, |version| manifest(version, &[("key", content)])).unwrap()
}
