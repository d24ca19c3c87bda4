//! Announcements that are sound except for a field or two, through all that a follower does with them before and after
//! it reads records: each is refused as damage or staged, and nothing panics or ends the process.

use rdkafka::message::{OwnedMessage, Timestamp as RecordTime};
use serde_json::{Value, json};

use super::*;
use crate::catalog::fixture::{catalog, manifest};
use crate::format::{AnnouncedVersion, Announcement, Digester, State, StreamedPartition};
use crate::kafka::{End, Values, is_data_topic, only_announcement, records};

const ENTRIES: [(&str, &str); 3] = [("a", "1"), ("b", "2"), ("c", "3")];

/// An announcement of one version with [`ENTRIES`] in one partition.
fn good() -> Value {
    let manifest = manifest(7, &ENTRIES);
    let (rows, bytes, digest) = (manifest.rows, manifest.bytes, manifest.digest);
    let part = StreamedPartition { partition: 0, begin: 0, end: rows as i64 + 1, rows, bytes, digest };
    let streamed = StreamedVersion::new(&manifest, "views.v7-build-7-00000000".into(), vec![part]);
    let versions = vec![AnnouncedVersion { state: State::Published, streamed }];
    let announcement = Announcement { protocol: 1, id: "id".into(), dataset: "views".into(), current: 7, versions };
    serde_json::to_value(announcement).unwrap()
}

/// Every place in a document, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), found)),
        _ => {}
    }
}

/// What a place is changed to; the last one removes the field.
fn changes(before: &Value) -> Vec<Option<Value>> {
    let numbers =
        [0, 1, 2, 5, 4096, 4097, u64::from(u32::MAX), 1 << 32, 1 << 53, (1 << 53) + 1, i64::MAX as u64, 1 << 63];
    let mut changes: Vec<Value> = numbers.iter().map(|number| json!(number)).collect();
    changes.extend([json!(u64::MAX), json!(-1), json!(i64::MIN), json!(0.5), json!(-0.0), json!(1e308)]);
    let texts = ["", "x", "../../x", "\u{1b}[2J", "9999-12-31T23:59:59Z", "-009999-01-01T00:00:00Z", "zstd", "murmur2"];
    changes.extend(texts.iter().map(|text| json!(text)));
    let long = "b".repeat(200);
    changes.extend([json!("b".repeat(249)), json!("b".repeat(1 << 20)), json!(format!("views.v9-{long}-00000000"))]);
    changes.extend([json!(null), json!(true), json!([]), json!({}), json!("ffffffffffffffffffffffffffffffff")]);
    if let Value::Array(items) = before {
        changes.push(Value::Array([items.clone(), items.clone()].concat()));
        changes.push(Value::Array(items.iter().cycle().take(items.len() * 5000).cloned().collect()));
    }
    changes.into_iter().map(Some).chain([None]).collect()
}

fn change(document: &mut Value, place: &str, to: Option<Value>) {
    match (to, place.rsplit_once('/')) {
        (Some(to), _) => {
            if let Some(at) = document.pointer_mut(place) {
                *at = to;
            }
        }
        (None, Some((above, name))) => {
            if let Some(Value::Object(fields)) = document.pointer_mut(above) {
                fields.remove(name);
            }
        }
        (None, None) => {}
    }
}

/// What a follower does with a record of the control topic. The records of its partitions are those that are announced.
fn follow(announcement: &Value) -> Result<()> {
    let (value, headers) = records::to_record(announcement).unwrap();
    let (topic, time) = ("views.versions".to_owned(), RecordTime::NotAvailable);
    let record = OwnedMessage::new(Some(value), Some(b"views".to_vec()), topic, time, 0, 3, Some(headers));
    let mut values = Values::new(Some("views".to_owned()));
    values.take(&record);
    // A consumer that does not know the dataset yet gets the same.
    let unknown = only_announcement(&values, "views", None);
    let announcement = only_announcement(&values, "views", Some("views"))?.expect("an announcement");
    assert_eq!(unknown?.as_ref(), Some(&announcement));
    let wanted = announcement.current().expect("a current version");
    if !is_data_topic(&wanted.topic, "views") {
        return Err(Error::corrupt("not a data topic"));
    }
    stage(&announcement, wanted)
}

fn stage(announcement: &Announcement, wanted: &StreamedVersion) -> Result<()> {
    let (_directory, catalog) = catalog();
    catalog.commit(|current| {
        current.follows = Some("views".to_owned());
        Ok(())
    })?;
    let staging = VersionStager {
        catalog: &catalog,
        connection: &Connection::new("127.0.0.1:1", None)?,
        dataset: &announcement.dataset,
        wanted,
        rate_limit: None,
        threads: 1,
        progress: Progress::Silent,
    };
    let dirs = catalog.layout().build_dirs(&directory_name(&wanted.topic))?;
    durable_file::create_dir_durable(&dirs.version())?;
    let shards = wanted.partitions.len() as u32;
    let sharding = ShardRouter::new(&wanted.key, &wanted.shard_by, wanted.partitioner, shards)
        .map_err(|error| Error::corrupt("the announcement has no usable sharding").because(error))?;
    let (version_dir, material, part) =
        (dirs.version(), ShardBuildContext::new(&wanted.tables, SAMPLE_BYTES), wanted.partitions[0]);
    let paths = Paths::new(&dirs, 0);
    let target = paths.target(&version_dir, wanted);
    let mut writer = PartitionWriter::open(part, wanted, staging.dataset, &sharding, &material, &target, &dirs)?;
    let mut digester = Digester::new();
    for (offset, (key, value)) in ENTRIES.iter().enumerate() {
        writer.take(part.begin + offset as i64, key.as_bytes(), value.as_bytes())?;
        digester.add(key.as_bytes(), value.as_bytes());
    }
    let end = End {
        protocol: 1,
        dataset: announcement.dataset.clone(),
        version: wanted.version,
        build_id: wanted.build_id.clone(),
        shard: 0,
        rows: ENTRIES.len() as u64,
        bytes: part.bytes,
        digest: digester.digest(),
    };
    writer.end(part.begin + ENTRIES.len() as i64, &end)?;
    let tables = writer.tables().to_vec();
    drop(writer);
    let built = staging.build(&dirs, vec![ReceivedPartition { partition: 0, tables, resumed_rows: 0, material }])?;
    let manifest = staging.manifest(built)?;
    let version = ReceivedVersion { dirs, manifest, resumed_rows: 0 }.install(&catalog, wanted.version)?;
    crate::follow::flip(&catalog, version, State::Retired, "as announced").map(drop)
}

#[test]
fn a_sound_announcement_is_taken_over() {
    follow(&good()).unwrap();
}

#[test]
fn no_announcement_ends_a_follower() {
    let good = good();
    let mut found = Vec::new();
    places(&good, "", &mut found);
    let (mut refused, mut taken) = (0, 0);
    for place in &found {
        for to in changes(good.pointer(place).unwrap()) {
            let mut document = good.clone();
            let shown = to.as_ref().map_or("nothing".to_owned(), |to| to.to_string().chars().take(80).collect());
            change(&mut document, place, to);
            match follow(&document) {
                Ok(()) => taken += 1,
                // Another protocol needs another program.
                Err(error) if place == "/protocol" && error.kind() == Kind::Invalid => refused += 1,
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Corrupt, "{place} → {shown}: {:?}", error.chain());
                    let longest = error.chain().iter().map(String::len).max().unwrap_or_default();
                    assert!(longest < 3000, "{place} → {shown}: a message of {longest} bytes");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 1000 && taken > 40, "{refused} refused, {taken} taken");
}

#[test]
fn a_build_id_of_any_length_that_kafka_takes_has_a_directory() {
    for letters in [1, 90, 100, 200] {
        let name = directory_name(&format!("views.v9-{}-00000000", "b".repeat(letters)));
        assert!(name.len() <= 128 && name.starts_with("follow-"), "{name}");
    }
}
