//! Reading real versions: routing, order, damage, and readers that stay open across publishes and deletions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fixture::{install, install_tables, publish, same};
use super::*;
use crate::catalog::Catalog;
use crate::catalog::fixture::catalog;
use crate::codec::append_number;
use crate::error::Kind;
use crate::format::{KeyColumn, KeyEncoding, KeyKind, Retention};

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn store(catalog: &Catalog) -> Store {
    Store::open(catalog.layout().root()).unwrap()
}

fn reader(catalog: &Catalog) -> Reader {
    Reader::follow(store(catalog), Duration::ZERO).unwrap()
}

fn scanned(version: &Version, range: &Range) -> Entries {
    version.scan(range).collect::<crate::error::Result<_>>().unwrap()
}

/// Every file below a directory with its content.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => drop(files.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    files
}

fn table(catalog: &Catalog, version: u64, shard: u32) -> PathBuf {
    let files = fs::read_dir(catalog.layout().shard_dir(version, shard)).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "sst")).unwrap()
}

#[test]
fn every_entry_is_found_whatever_the_number_of_shards() {
    for shards in [1, 3, 16] {
        let (_directory, catalog) = catalog();
        publish(&catalog, "one", shards);
        let version = store(&catalog).current().unwrap().unwrap();
        let entries = same("one");
        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).chain([b"absent".as_slice()]).collect();
        let values: Vec<_> = keys.iter().map(|key| version.get(key).unwrap()).collect();
        assert_eq!(values[..100], entries.iter().map(|(_, value)| Some(value.clone())).collect::<Vec<_>>());
        assert_eq!(values[100], None);
        assert_eq!(version.multi_get(&keys).unwrap(), values);
        assert_eq!(scanned(&version, &Range::all()), entries, "one order over {shards} shards");
        assert_eq!(scanned(&version, &Range::prefix(b"key-01")), entries[10..20]);
        assert_eq!(scanned(&version, &Range::between(b"key-090", b"key-095")), entries[90..95]);
        assert_eq!(scanned(&version, &Range::from(b"key-098")), entries[98..]);
        for empty in [Range::prefix(b"zzz"), Range::between(b"key-095", b"key-090"), Range::between(b"a", b"a")] {
            assert_eq!(scanned(&version, &empty), []);
        }
    }
}

#[test]
fn numbered_keys_are_routed_without_their_number() {
    let (_directory, catalog) = catalog();
    let mut entries: Entries = Vec::new();
    for name in ["a", "b", "c", "d"] {
        for number in 0..3 {
            let mut key = [&[2], name.as_bytes(), &[0]].concat(); // a tuple of one string
            append_number(&mut key, number);
            entries.push((key, name.as_bytes().to_vec()));
        }
    }
    let version = install(&catalog, &entries, 4, |manifest| {
        manifest.key.encoding = KeyEncoding::Tuple;
        manifest.key.numbered = true;
    });
    let version = store(&catalog).version(version).unwrap();
    for (key, value) in &entries {
        assert_eq!(version.get(key).unwrap().as_ref(), Some(value));
    }
    assert_eq!(version.get(b"no tuple at all").unwrap(), None);
    assert_eq!(scanned(&version, &Range::all()), entries);
}

#[test]
fn a_part_of_the_key_can_decide_the_shard() {
    let (_directory, catalog) = catalog();
    let key = |url: &str, age: &str| [&[2], url.as_bytes(), &[0, 2], age.as_bytes(), &[0]].concat();
    let entries: Entries = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|url| ["18", "25", "35"].map(|age| (key(url, age), b"v".to_vec())))
        .collect();
    let version = install(&catalog, &entries, 4, |manifest| {
        let column = KeyColumn { name: "age".into(), type_name: "string".into(), kind: KeyKind::String };
        manifest.key.columns.push(column);
        manifest.key.encoding = KeyEncoding::Tuple;
        manifest.shard_by = vec!["url".into()];
    });
    let version = store(&catalog).version(version).unwrap();
    entries.iter().for_each(|(key, value)| assert_eq!(version.get(key).unwrap().as_ref(), Some(value)));
    assert_eq!(scanned(&version, &Range::prefix(&key("b", "")[..4])), entries[3..6]);
    assert_eq!(scanned(&version, &version.prefix_range(r#"["b"]"#).unwrap()), entries[3..6]);
}

#[test]
fn a_prefix_of_columns_holds_no_key_whose_column_only_begins_with_it() {
    let (_directory, catalog) = catalog();
    let key = |url: &[u8], number: u8| [&[2], url, &[0, 0x15, number]].concat();
    let urls: [&[u8]; 5] = [b"\x00\xff", b"a", b"a\x00\xff", b"a\x00\xffb", b"ab"];
    let entries: Entries = urls.iter().map(|url| (key(url, 1), b"v".to_vec())).collect();
    let version = install(&catalog, &entries, 2, |manifest| {
        let kind = KeyKind::Int { bits: 64, signed: true };
        manifest.key.columns.push(KeyColumn { name: "n".into(), type_name: "int64".into(), kind });
        manifest.key.encoding = KeyEncoding::Tuple;
    });
    let version = store(&catalog).version(version).unwrap();
    let found = |prefix: &str| scanned(&version, &version.prefix_range(prefix).unwrap());
    assert_eq!(found(r#"["a"]"#), entries[1..2]);
    assert_eq!(found(r#"["a\u0000"]"#), entries[2..3]);
    assert_eq!(found(r#"["ab"]"#), entries[4..]);
    assert_eq!(found(r#"["a",1]"#), entries[1..2]);
    assert_eq!(found("[]"), entries);
}

#[test]
fn reading_writes_nothing() {
    let (_directory, catalog) = catalog();
    let number = publish(&catalog, "one", 2);
    let before = contents(&catalog.layout().version_dir(number));
    let version = store(&catalog).current().unwrap().unwrap();
    assert_eq!(scanned(&version, &Range::all()).len(), 100);
    assert!(verify(&store(&catalog), number, Depth::Full).unwrap().findings.is_empty());
    drop(version);
    assert_eq!(contents(&catalog.layout().version_dir(number)), before);
}

#[test]
fn a_damaged_version_is_not_opened() {
    let (_directory, catalog) = catalog();
    let number = publish(&catalog, "one", 2);
    let shard = catalog.layout().shard_dir(number, 1);
    let damages: [&dyn Fn(); 4] = [
        &|| fs::write(shard.join("CURRENT"), "MANIFEST-000099\n").unwrap(),
        &|| fs::remove_file(table(&catalog, number, 1)).unwrap(),
        &|| fs::write(table(&catalog, number, 1), "short").unwrap(),
        &|| fs::write(catalog.layout().manifest(number), "{}").unwrap(),
    ];
    let good = contents(&shard);
    let manifest = fs::read(catalog.layout().manifest(number)).unwrap();
    for damage in damages {
        damage();
        let error = store(&catalog).current().unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        good.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
        fs::write(catalog.layout().manifest(number), &manifest).unwrap();
        assert!(store(&catalog).current().unwrap().is_some());
    }
}

#[test]
fn a_damaged_block_is_noticed_when_it_is_read() {
    let (_directory, catalog) = catalog();
    let number = publish(&catalog, "one", 1);
    let path = table(&catalog, number, 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let version = store(&catalog).version(number).unwrap();
    assert_eq!(version.get(b"key-000").unwrap_err().kind(), Kind::Corrupt);
    let mut scan = version.scan(&Range::all());
    assert_eq!(scan.next().unwrap().unwrap_err().kind(), Kind::Corrupt);
    assert!(scan.next().is_none());
    assert_eq!(verify(&store(&catalog), number, Depth::Sizes).unwrap().findings, []);
    let found = verify(&store(&catalog), number, Depth::Checksums).unwrap().findings;
    assert!(found.len() == 1 && found[0].problem.contains("checksum") && found[0].shard == Some(0), "{found:?}");
    let found = verify(&store(&catalog), number, Depth::Full).unwrap().findings;
    assert!(found.iter().any(|finding| finding.problem.contains("cannot read further after 0 entries")), "{found:?}");
}

#[test]
fn full_verification_finds_what_checksums_of_files_cannot() {
    let (_directory, catalog) = catalog();
    type Change = fn(&mut crate::format::ShardEntry);
    let wrong: [(Change, &str); 3] = [
        (|shard| shard.rows += 1, "number of entries"),
        (|shard| shard.digest = crate::format::Digest(7), "digest"),
        (|shard| shard.last_key = Some("00".into()), "last key"),
    ];
    let good = publish(&catalog, "one", 2);
    let report = verify(&store(&catalog), good, Depth::Full).unwrap();
    assert_eq!((report.findings.as_slice(), report.entries), ([].as_slice(), 100));
    let layout = catalog.layout();
    let current = catalog.read().unwrap();
    for (change, problem) in wrong {
        let mut manifest = catalog.manifest(&current, good).unwrap();
        change(&mut manifest.shards[0]);
        let mut found = super::verify::Report { version: good, findings: Vec::new(), files: 0, bytes: 0, entries: 0 };
        super::verify::read_entries(layout, &manifest, &mut found);
        assert_eq!(found.findings.len(), 1, "{found:?}");
        assert!(found.findings[0].problem.contains(problem), "{found:?}");
    }
    let mut manifest = catalog.manifest(&current, good).unwrap();
    manifest.partitioner = crate::format::Partitioner::Murmur2;
    let mut found = super::verify::Report { version: good, findings: Vec::new(), files: 0, bytes: 0, entries: 0 };
    super::verify::read_entries(layout, &manifest, &mut found);
    assert!(found.findings[0].problem.contains("belong to another shard"), "{found:?}");
    fs::remove_file(layout.manifest(good)).unwrap();
    assert_eq!(
        verify(&store(&catalog), good, Depth::Sizes).unwrap().findings[0].file.as_deref(),
        Some("manifest.json")
    );
    assert_eq!(verify(&store(&catalog), 9, Depth::Sizes).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_snapshot_never_changes_and_outlives_its_directory() {
    let (_directory, catalog) = catalog();
    // More tables than RocksDB keeps open when it may choose.
    let first = install_tables(&catalog, &same("one"), 2, 2, |_| {});
    crate::publish::publish(&catalog, first, &Default::default()).unwrap();
    let reader = reader(&catalog);
    let old = reader.snapshot();
    let second = publish(&catalog, "two", 2);
    assert_eq!((old.number(), reader.snapshot().number()), (first, second));
    crate::publish::gc(&catalog, &Retention { keep: 1, keep_for: None }, Duration::ZERO).unwrap();
    assert!(!old.directory().exists());
    assert_eq!(scanned(&old, &Range::all()), same("one"), "its files are open");
    assert_eq!(scanned(&reader.snapshot(), &Range::all()), same("two"));
}

#[test]
fn a_reader_follows_rollbacks_too() {
    let (_directory, catalog) = catalog();
    let first = publish(&catalog, "one", 1);
    publish(&catalog, "two", 1);
    let reader = reader(&catalog);
    crate::publish::rollback(&catalog, None, Default::default()).unwrap();
    assert_eq!(reader.snapshot().number(), first);
    assert!(reader.last_error().is_none());
}

#[test]
fn a_reader_needs_a_published_version() {
    let (_directory, catalog) = catalog();
    install(&catalog, &same("one"), 1, |_| {});
    assert!(store(&catalog).current().unwrap().is_none());
    assert_eq!(Reader::open(catalog.layout().root()).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_reader_keeps_what_it_has_when_the_store_is_damaged_and_says_so() {
    let (_directory, catalog) = catalog();
    let first = publish(&catalog, "one", 1);
    let reader = reader(&catalog);
    let second = publish(&catalog, "two", 1);
    let table = table(&catalog, second, 0);
    let good = fs::read(&table).unwrap();
    fs::write(&table, "short").unwrap();
    assert_eq!(reader.snapshot().number(), first);
    assert_eq!(reader.last_error().unwrap().kind(), Kind::Corrupt);
    fs::write(&table, good).unwrap();
    assert_eq!(reader.refresh().number(), second);
    assert!(reader.last_error().is_none());
    fs::write(catalog.layout().current(), "{").unwrap();
    assert_eq!(reader.refresh().number(), second);
    assert_eq!(reader.last_error().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn a_reader_checks_the_store_once_per_interval() {
    let (_directory, catalog) = catalog();
    let first = publish(&catalog, "one", 1);
    let reader = Reader::follow(store(&catalog), Duration::from_secs(3600)).unwrap();
    reader.snapshot();
    let second = publish(&catalog, "two", 1);
    assert_eq!(reader.snapshot().number(), first);
    assert_eq!(reader.refresh().number(), second);
}

#[test]
fn no_read_ever_sees_two_versions() {
    let (_directory, catalog) = catalog();
    publish(&catalog, "0", 3);
    let reader = reader(&catalog);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let version = reader.snapshot();
                    let value = version.get(b"key-050").unwrap().unwrap();
                    let entries = scanned(&version, &Range::all());
                    assert!(entries.len() == 100 && entries.iter().all(|(_, other)| *other == value));
                    assert!(reader.last_error().is_none(), "{:?}", reader.last_error());
                }
            });
        }
        for version in 1..12 {
            publish(&catalog, &version.to_string(), 3);
            crate::publish::gc(&catalog, &Retention { keep: 1, keep_for: None }, Duration::ZERO).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(reader.refresh().number(), 12);
}
