//! Every parser on mutations of valid inputs: each returns a value or an error, in bounded memory.
//!
//! The mutations run in a separate process with little address space, so that a parser that asks for gigabytes ends it.
//! The same functions run under a fuzzer in `fuzz/`.
//!
//! Not for: the parsers' messages.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;

use cutover::internals::fuzzing;
use serde_json::{Value, json};

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::names;
use crate::hostile;
use crate::random::{Random, seeds};
use crate::resume::Texts;

/// Mutations for each parser.
const SEEDS: u64 = 5_000;
/// KiB of address space for all of them: what the test itself uses, most of it the deep stacks of its runs, and little
/// more.
const ADDRESS_SPACE: u64 = 4 << 20;

type Parser = fn(&[u8]) -> bool;

#[test]
fn mutations_end_in_a_value_or_an_error() {
    let script =
        format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\" --ignored --exact mutated_inputs::in_bounded_memory");
    let output = Command::new("sh").args(["-c", &script]).arg(std::env::current_exe().unwrap()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
}

#[test]
#[ignore = "run by mutations_end_in_a_value_or_an_error, in a process that may take little memory"]
fn in_bounded_memory() {
    // The footer's decoder may panic, which is contained.
    cutover::internals::catch_panic::install_hook();
    let stores = Stores::new();
    let parsers: [(&str, Parser, Vec<Vec<u8>>); 13] = [
        ("job", fuzzing::job, jobs()),
        ("manifest", fuzzing::manifest, stores.files("versions/00000001/manifest.json")),
        ("current", fuzzing::current, stores.files("current.json")),
        ("journal line", fuzzing::journal_line, journal_lines()),
        ("spill block", fuzzing::spill_block, vec![spill_block()]),
        ("footer", fuzzing::parquet_footer, footers()),
        ("csv", fuzzing::csv, csv_files()),
        ("json lines", fuzzing::json_lines, json_files()),
        ("record", fuzzing::record, stores.records()),
        ("key", fuzzing::key, keys()),
        ("request", fuzzing::resp_request, requests()),
        ("HTTP request", fuzzing::http_request, http_requests()),
        ("pattern", fuzzing::scan_pattern, patterns()),
    ];
    for (name, parser, valid) in parsers {
        for (at, input) in valid.iter().enumerate() {
            assert!(parser(input), "{name}: valid input {at} is not read: {:?}", String::from_utf8_lossy(input));
        }
        let mut read = 0;
        for seed in seeds(SEEDS) {
            let input = mutated(&mut Random::new(seed), &valid);
            match catch_unwind(|| parser(&input)) {
                Ok(good) => read += u64::from(good),
                Err(_) => panic!("{name}, seed {seed}: panics on {:?}", input.escape_ascii().to_string()),
            }
        }
        println!("{name}: {read} of {} could be read", seeds(SEEDS).end);
    }
}

/// Requests of the Redis protocol.
fn requests() -> Vec<Vec<u8>> {
    let get = b"*2\r\n$3\r\nGET\r\n$10\r\nviews:home\r\n".to_vec();
    vec![get.repeat(3), [&get[..], b"PING\r\n\r\n*1\r\n$4\r\nQUIT\r\n"].concat(), b"GET views:home\n".to_vec()]
}

/// Requests by HTTP: target, accepted encodings, and keys.
fn http_requests() -> Vec<Vec<u8>> {
    vec![
        b"/v1/views/%2Fhome?version=3&raw=1\ngzip;q=0.5, zstd\n[]".to_vec(),
        b"/v1/views?prefix=%2Fho&limit=100&after=12-9f2c-00ff2f\n*;q=0\n[]".to_vec(),
        b"/v1/views/_batch\n\n[\"/home\", [\"/home\", 20], {\"a\": null}]".to_vec(),
    ]
}

/// Patterns of SCAN with a key that matches.
fn patterns() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 4] = [b"views:/ho*\nviews:/home", b"*[a-c]?\\*x*\n.b.*x", b"[^a]*[x-z]*b\nbzb", b"k\nk"];
    texts.map(<[u8]>::to_vec).to_vec()
}

/// One of the inputs with a few changes.
fn mutated(random: &mut Random, valid: &[Vec<u8>]) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"99999999999999999999",
        b"-1",
        b"18446744073709551615",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"{\"a\":{\"a\":{\"a\":{\"a\":",
        b"1e999",
        b"\xff\xff\xff\xff\x0f",
        b"\0",
        b"\"\\u0000\"",
        b"../../",
        b"null",
        b"\xf0\x9f\xa6\x80",
    ];
    let mut bytes = valid[random.below(valid.len())].clone();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 if at < end => bytes[at] ^= 1 << random.below(8),
            1 if at < end => bytes[at] = random.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let repeated = bytes[at..end].repeat(1 + random.below(4));
                drop(bytes.splice(at..at, repeated));
            }
            4 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            5 => bytes.truncate(at),
            6 => number_replaced(&mut bytes, random, &PIECES),
            _ => {
                let other = &valid[random.below(valid.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + 1 + random.below(64)).min(other.len())].to_vec();
                drop(bytes.splice(at..end, piece));
            }
        }
    }
    bytes
}

/// Replaces a number that is written as text.
fn number_replaced(bytes: &mut Vec<u8>, random: &mut Random, pieces: &[&[u8]]) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric()))
        .collect();
    let Some(&at) = starts.get(random.below(starts.len())) else { return };
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(at..at + digits, pieces[random.below(3)].iter().copied()));
}

fn jobs() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let files = names(&directory).into_iter().filter(|name| name.ends_with(".toml"));
    let mut jobs: Vec<Vec<u8>> = files.map(|name| fs::read(directory.join(name)).unwrap()).collect();
    let sections = "[retention]\nkeep_for = \"48h\"\n[kafka]\nbrokers = \"127.0.0.1:9092\"\ntopic = \"numbers\"\n";
    jobs.push(format!("{NUMBERS}{sections}").into_bytes());
    // Those with parameters are refused without values.
    jobs.retain(|job| fuzzing::job(job));
    assert!(jobs.len() > 3, "most of the shipped jobs are read");
    jobs
}

/// Stores with what can differ in them.
struct Stores(Vec<Numbers>);

impl Stores {
    fn new() -> Self {
        let avro =
            NUMBERS.replace("key = [\"key\"]", "key = [\"generation\", \"key\"]\nvalue = { encoding = \"avro\" }");
        let avro = avro.replace("SELECT key, generation", "SELECT key, generation, 1.5 AS ratio");
        let stores = [NUMBERS.to_owned(), avro].map(|job| {
            let numbers = Numbers::new();
            numbers.workspace.write("numbers.toml", job);
            (1..=3).for_each(|generation| drop(numbers.run(generation).ok()));
            drop(numbers.on("rollback", "").ok());
            drop(numbers.on("pin", "--reason audit").ok());
            numbers
        });
        Self(stores.into())
    }

    fn files(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().map(|numbers| fs::read(numbers.workspace.path("store").join(name)).unwrap()).collect()
    }

    /// The three Kafka records that are not entries.
    fn records(&self) -> Vec<Vec<u8>> {
        let manifest = self.files("versions/00000001/manifest.json").remove(1);
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let partitions: Vec<Value> = manifest["shards"]
            .as_array()
            .unwrap()
            .iter()
            .map(|shard| {
                let end = shard["rows"].as_u64().unwrap() + 1;
                json!({"partition": shard["shard"], "begin": 0, "end": end, "rows": shard["rows"],
                       "bytes": shard["bytes"], "digest": shard["digest"]})
            })
            .collect();
        let mut version = json!({"topic": "topic.v1-b-00000000", "state": "published", "partitions": partitions});
        for field in [
            "version",
            "build_id",
            "as_of",
            "created_at",
            "rows",
            "bytes",
            "digest",
            "key",
            "value",
            "shard_by",
            "partitioner",
            "tables",
        ] {
            version[field] = manifest[field].clone();
        }
        let announcement =
            json!({"protocol": 1, "id": "id", "dataset": "numbers", "current": 1, "versions": [version]});
        let end = json!({"protocol": 1, "dataset": "numbers", "version": 1, "build_id": "b", "shard": 0, "rows": 1,
                         "bytes": 2, "digest": "0".repeat(32)});
        let report = json!({"protocol": 1, "consumer": "c", "dataset": "numbers", "state": "staging", "version": 1,
                            "build_id": "b", "announced": 2, "rows": 1, "rows_total": 2, "error": null, "at": "now"});
        [announcement, end, report].map(|record| serde_json::to_vec(&record).unwrap()).into()
    }
}

/// A line of a consumer, and those of a killed build: its sealed shuffle and its first finished range.
fn journal_lines() -> Vec<Vec<u8>> {
    let table = json!({"name": "range-00000-00000.sst", "rows": 1, "bytes": 2, "digest": "0".repeat(32),
                       "first_key": "01", "last_key": "01", "largest_key": "01", "largest_bytes": 2});
    let consumer = serde_json::to_vec(&json!({"table": table, "xxh3": "0".repeat(16), "next": 7})).unwrap();
    let texts = Texts::new();
    texts.run_at("range.finished=kill@2", "").killed();
    let journal = texts.unfinished().join("journal");
    let of_build = ["shuffle.jsonl", "shard-00000.jsonl"].map(|name| {
        let bytes = fs::read(journal.join(name)).unwrap();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        // Without the checksum, which the parser adds again.
        line[17..].to_vec()
    });
    [vec![consumer], of_build.to_vec()].concat()
}

/// Four entries: the shard and three lengths, key, order and value.
fn spill_block() -> Vec<u8> {
    let raw = [
        b"\x00\x03\x00\x05abcvalue".as_slice(),
        b"\x01\x01\x01\x01kov",
        b"\x00\x00\x00\x00",
        &[0, 1, 0, 3, 1, 2, 3, 4],
    ]
    .concat();
    let compressed = lz4_flex::block::compress(&raw);
    let mut block = (raw.len() as u32).to_le_bytes().to_vec();
    block.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
    block.extend_from_slice(&[0; 8]);
    block.extend_from_slice(&compressed);
    block
}

fn footers() -> Vec<Vec<u8>> {
    hostile::shapes().into_iter().map(|(_, bytes)| bytes[hostile::footer(&bytes)].to_vec()).collect()
}

fn csv_files() -> Vec<Vec<u8>> {
    let rows = [
        "id,\"a \"\"b\"\"\",c\r\n1,\"x\ny\",2024-01-01T00:00:00.5Z\r\n-2,,1e-5",
        "v\n0.1\n\n\"\"\n18446744073709551616\n",
    ];
    rows.iter().map(|rows| rows.as_bytes().to_vec()).collect()
}

fn json_files() -> Vec<Vec<u8>> {
    let rows = [
        "{\"a\": [1, -0.5e3, null], \"b\": {\"c\": \"\\u00e9\\ud83d\\ude00\"}}\n\n{\"b\": null, \"d\": true}",
        "{}\n{\"a\":[[{}]]}",
    ];
    rows.iter().map(|rows| rows.as_bytes().to_vec()).collect()
}

/// The two bytes that choose the columns, and a key of them.
fn keys() -> Vec<Vec<u8>> {
    let kinds: [&[u8]; 14] = [
        b"true",
        b"-42",
        b"42",
        b"1.5",
        b"-0.1",
        b"text",
        b"0xcafe",
        b"2026-11-22",
        b"10:30:00",
        b"2026-11-22T10:30:00Z",
        b"2026-11-22T10:30:00",
        b"1000",
        b"1.25",
        b"1000",
    ];
    let one = |(kind, text): (usize, &&[u8])| [&[kind as u8, 0x80][..], *text].concat();
    let mut keys: Vec<Vec<u8>> = kinds.iter().enumerate().map(one).collect();
    keys.push(b"\x42\x80[42, 7]".to_vec()); // 66: the columns 10 and 1 of 14
    keys.push(b"\x05\x01[\"text\", 7]".to_vec());
    keys.retain(|key| fuzzing::key(key));
    assert!(keys.len() > 10, "most keys are read: {}", keys.len());
    keys
}
