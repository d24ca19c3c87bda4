//! Every parser of bytes that may be damaged or hostile, as a function of bytes: for fuzzers and property tests.
//!
//! `fuzz/` runs these under a fuzzer, `tests/it/mutated_inputs.rs` on mutations of valid inputs. Each returns whether
//! the bytes could be read, and panics if an invariant is broken. Checksums are filled in first: a fuzzer would never
//! guess them, and the code behind them must be safe without them.
//!
//! Not for: programs. Nothing here is part of the library's API.

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::build::range_journal;
use crate::codec::ShardRouter;
use crate::consume::journal;
use crate::format::{
    Announcement, Current, KeyColumn, KeyEncoding, KeyKind, KeySchema, Manifest, Unit, hex_checksum, stamp,
};
use crate::input::footer;
use crate::input::text;
use crate::job::Format;
use crate::job::Job;
use crate::journal::stamp as stamp_line;
use crate::kafka::{ConsumerReport, End, is_data_topic, records};
use crate::pipeline::resume;
use crate::server::{self, Request, RequestLimits};
use crate::shuffle::spill;

/// A job file. Its SQL file, if it names one, is a fixed query.
pub fn job(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let job = Job::parse(Path::new("job.toml"), text, &BTreeMap::new(), &|_| Ok("SELECT 1".to_owned()));
    job.is_ok_and(|job| job.digest(&[]).len() == 32)
}

/// A `manifest.json`.
pub fn manifest(data: &[u8]) -> bool {
    let mut bytes = data.to_vec();
    stamp(&mut bytes);
    let Ok(manifest) = Manifest::parse(&bytes, Path::new("manifest.json")) else { return false };
    let _ = manifest.rejection();
    let _ = ShardRouter::new(&manifest.key, &manifest.shard_by, manifest.partitioner, manifest.shard_count);
    read_keys(&manifest.key, data);
    let _ = manifest.value.to_json(data);
    true
}

/// A `current.json`.
pub fn current(data: &[u8]) -> bool {
    let mut bytes = data.to_vec();
    stamp(&mut bytes);
    let Ok(current) = Current::parse(&bytes, Path::new("current.json")) else { return false };
    let _ = current.current_entry();
    let _ = current.with_intent_applied();
    let _ = current.announcement("id");
    let _ = current.rollback_target(None);
    true
}

/// A journal of a consumer, a shard's builder or a sealed shuffle: the bytes with a checksum, as one line, and the
/// bytes as lines.
pub fn journal_line(data: &[u8]) -> bool {
    let nowhere = Path::new("/nonexistent");
    let is_line =
        |line: &[u8]| journal::is_line(line) || range_journal::is_line(line) || resume::is_line(line, nowhere);
    let stamped = std::str::from_utf8(data).is_ok_and(|json| is_line(stamp_line(json.to_owned()).as_bytes()));
    data.split_inclusive(|byte| *byte == b'\n').filter(|line| is_line(line)).count() > 0 || stamped
}

/// A block of a spill file.
pub fn spill_block(data: &[u8]) -> bool {
    spill::entries_of_block(data).is_some()
}

/// A Parquet footer.
pub fn parquet_footer(data: &[u8]) -> bool {
    footer::parse(data, 1 << 20).is_ok()
}

/// A CSV file.
pub fn csv(data: &[u8]) -> bool {
    text::can_be_read(data, Format::Csv)
}

/// A file of JSON lines.
pub fn json_lines(data: &[u8]) -> bool {
    text::can_be_read(data, Format::Json)
}

/// A Kafka record: an END marker, an announcement or a consumer's report; and the name of a topic.
pub fn record(data: &[u8]) -> bool {
    let sum = hex_checksum(xxh3_64(data));
    let headers = OwnedHeaders::new().insert(Header { key: records::CHECKSUM, value: Some(&sum) });
    let (topic, time) = ("topic".to_owned(), Timestamp::NotAvailable);
    let record = OwnedMessage::new(Some(data.to_vec()), None, topic, time, 0, 0, Some(headers));
    let announcement = records::from_record::<Announcement>(&record);
    if let Ok(announcement) = &announcement
        && announcement.contradiction().is_none()
        && let Some(current) = announcement.current()
    {
        let shards = current.partitions.len() as u32;
        let _ = ShardRouter::new(&current.key, &current.shard_by, current.partitioner, shards);
        let _ = is_data_topic(&current.topic, "topic");
        read_keys(&current.key, data);
    }
    let _ = std::str::from_utf8(data).is_ok_and(|name| is_data_topic(name, "topic"));
    announcement.is_ok()
        || records::from_record::<End>(&record).is_ok()
        || records::from_record::<ConsumerReport>(&record).is_ok()
}

/// Requests of the Redis protocol: the same ones whether they arrive at once or byte by byte.
pub fn resp_request(data: &[u8]) -> bool {
    let whole = requests(data, data.len().max(1));
    assert_eq!(requests(data, 1), whole, "in pieces");
    whole.1 && !whole.0.is_empty()
}

/// The requests of the bytes, which arrive in pieces, and whether all of them could be read.
fn requests(data: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let limits = RequestLimits { arguments: 16, argument_bytes: 64 };
    let (mut request, mut buffer, mut found) = (Request::default(), Vec::new(), Vec::new());
    for piece in data.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match request.read(&buffer, &limits) {
                Ok(true) => found.push(request.arguments(&buffer).map(<[u8]>::to_vec).collect::<Vec<_>>()),
                Ok(false) => break,
                Err(_) => return (found, false),
            }
            assert!(found.last().is_some_and(|arguments| !arguments.is_empty() && arguments.len() <= limits.arguments));
            request.next();
        }
        let done = request.forget();
        buffer.drain(..done);
    }
    (found, true)
}

/// A request by HTTP: lines with its target and what it accepts, and its body.
pub fn http_request(data: &[u8]) -> bool {
    server::http_request(data)
}

/// A pattern of SCAN in the first line, and a key: what matches begins with the literal part, and all that does matches
/// where only a star follows.
pub fn scan_pattern(data: &[u8]) -> bool {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, key) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let (literal, is_prefix) = server::literal_prefix(pattern);
    let is_match = server::matches(pattern, key);
    assert!(!is_match || key.starts_with(&literal), "a key without the literal part matches");
    assert!(!is_prefix || is_match == key.starts_with(&literal), "a prefix");
    is_match
}

/// A key: the first two bytes choose its columns, the rest is both its string form and its stored bytes.
pub fn key(data: &[u8]) -> bool {
    let Some(([first, second], rest)) = data.split_first_chunk() else { return false };
    read_keys(&key_schema(*first, *second), rest)
}

/// Round trip: whatever parses as a key has the same bytes after it is shown and parsed again.
fn read_keys(schema: &KeySchema, data: &[u8]) -> bool {
    let shown = schema.to_json(data);
    let Ok(text) = std::str::from_utf8(data) else { return shown.is_ok() };
    let _ = schema.parse_prefix(text);
    let Ok(bytes) = schema.parse(text) else { return shown.is_ok() };
    let value = schema.to_json(&bytes).expect("a key that was made of text can be shown");
    let again = match (schema.encoding, &value) {
        (KeyEncoding::Bytes, serde_json::Value::String(text)) => schema.parse(text),
        (_, value) => schema.parse(&value.to_string()),
    };
    assert_eq!(again.ok(), Some(bytes), "{text:?} is shown as {value}, which is another key");
    true
}

/// A key of one to three columns.
fn key_schema(first: u8, second: u8) -> KeySchema {
    let units = [Unit::Second, Unit::Millisecond, Unit::Microsecond, Unit::Nanosecond];
    let unit = units[usize::from(second >> 6)];
    let bits = 8 << (second >> 6);
    let kinds = [
        KeyKind::Bool,
        KeyKind::Int { bits, signed: true },
        KeyKind::Int { bits, signed: false },
        KeyKind::Float32,
        KeyKind::Float64,
        KeyKind::String,
        KeyKind::Binary,
        KeyKind::Date,
        KeyKind::Time(unit),
        KeyKind::Timestamp { unit, utc: true },
        KeyKind::Timestamp { unit, utc: false },
        KeyKind::Duration(unit),
        KeyKind::Decimal { precision: 38, scale: 2 },
        KeyKind::Decimal { precision: 76, scale: -3 },
    ];
    let column =
        |at: usize| KeyColumn { name: "k".to_owned(), type_name: "a type".to_owned(), kind: kinds[at % kinds.len()] };
    let columns: Vec<KeyColumn> =
        (0..=usize::from(first >> 6) % 3).map(|at| column(usize::from(first) + at * 5)).collect();
    let numbered = second & 1 == 1;
    let bytes = matches!(columns.as_slice(), [KeyColumn { kind: KeyKind::String | KeyKind::Binary, .. }] if !numbered);
    KeySchema { columns, encoding: if bytes { KeyEncoding::Bytes } else { KeyEncoding::Tuple }, numbered }
}
