//! Tricks with paths: names, parameters and keys that try to escape their directory, and links in place of the store's
//! own directories and files. Each is a clear error or a plain value, and nothing is written or deleted elsewhere.
//!
//! Not for: which names a job file may use (unit tests of `job`).

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array};

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::listing;

/// Names that are not plain names.
const TRICKS: [&str; 12] = [
    "..",
    ".",
    "/",
    "../up",
    "/etc/passwd",
    "a/../../b",
    "a\\b",
    "a\u{0}b",
    "a\nb",
    "\u{202e}txt",
    "~",
    "$(touch here)",
];

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn a_dataset_or_input_has_a_plain_name() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let before = listing(&numbers.workspace.path(""));
    let long = "x".repeat(10_000);
    for name in TRICKS.iter().copied().chain([long.as_str(), "", "ä", "Numbers"]) {
        let jobs = [
            NUMBERS.replace("dataset = \"numbers\"", &format!("dataset = {}", quoted(name))),
            NUMBERS.replace("[inputs.numbers]", &format!("[inputs.{}]", quoted(name))),
        ];
        for job in jobs {
            numbers.workspace.write("numbers.toml", job);
            let refused = numbers.workspace.cutover("run numbers.toml").fails(2);
            refused.complains(&["numbers.toml:"]);
            assert!(refused.stderr.len() < 30_000, "{} bytes of message", refused.stderr.len());
        }
    }
    numbers.workspace.write("numbers.toml", NUMBERS);
    assert_eq!(listing(&numbers.workspace.path("")), before);
}

#[test]
fn a_parameter_stays_one_piece_of_its_path() {
    let numbers = Numbers::new();
    let job = NUMBERS.replace("path = \"in/\"", "path = \"in/${day}/*.parquet\"");
    numbers.workspace.write("numbers.toml", job.replace("\"store\"", "\"stores/${day}\""));
    let rows = || vec![("key", strings(["k000", "k009"])), ("generation", integers([1, 1]))];
    write_parquet(&numbers.workspace.path("in/a/part-0.parquet"), rows());
    write_parquet(&numbers.workspace.path("secret/part-0.parquet"), rows());
    let before = listing(&numbers.workspace.path(""));
    let long = "x".repeat(300);
    for value in TRICKS.iter().copied().chain([long.as_str(), "", "*", "?", "[a]", "{a,b}", "..a", "a.."]) {
        // An odd but plain name matches no files; a NUL cannot even be passed.
        let plain = ["~", "$(touch here)", "\u{202e}txt"].contains(&value);
        if value.contains('\0') {
            continue;
        }
        let set = format!("day={value}");
        let run = numbers.workspace.cutover_with(&["run", "numbers.toml", "--set", &set]);
        let code = run.code();
        assert!(code == 2 || plain && code == 3, "{value:?}: {code} {}", run.stderr);
        run.fails(code);
        assert_eq!(listing(&numbers.workspace.path("")), before, "{value:?}");
    }
    numbers.workspace.cutover_with(&["run", "numbers.toml", "--set", "day=a"]).ok();
}

/// Partition directories give values, decoded; a value is never used as a path.
#[test]
fn the_value_of_a_partition_directory_is_only_a_value() {
    let numbers = Numbers::new();
    let job = NUMBERS.replace("SELECT key, generation", "SELECT day, key, generation");
    numbers.workspace.write("numbers.toml", job.replace("key = [\"key\"]", "key = [\"day\", \"key\"]"));
    for directory in
        ["day=..%2F..%2Fetc", "day=%00", "day=%2Fabsolute", "day=ä %E2%82%AC", "day=__HIVE_DEFAULT_PARTITION__x"]
    {
        let path = format!("in/{directory}/part-0.parquet");
        write_parquet(&numbers.workspace.path(path), vec![("key", strings(["k"])), ("generation", integers([1]))]);
    }
    numbers.workspace.cutover("run numbers.toml").ok();
    let found = numbers.workspace.cutover_with(&[
        "get",
        "store",
        r#"["../../etc", "k"]"#,
        r#"["\u0000", "k"]"#,
        r#"["ä €", "k"]"#,
    ]);
    assert_eq!(found.ok().stdout.matches("\"generation\":1").count(), 3);
    let files = listing(&numbers.workspace.path("store"));
    assert!(!files.contains("etc") && !files.contains("absolute"), "{files}");
}

#[test]
fn keys_cannot_become_paths() {
    let numbers = Numbers::new();
    let long = "k".repeat(60_000);
    let mut keys: Vec<&str> = TRICKS.to_vec();
    keys.extend([long.as_str(), "", "ключ", "🦀", "e\u{301}", "\u{feff}k", "%00", "[1]", "{}"]);
    let rows = keys.len();
    let columns =
        |name: &'static str| vec![(name, strings(keys.iter().copied())), ("generation", integers(0..rows as i64))];
    write_parquet(&numbers.workspace.path("in/part-0.parquet"), columns("key"));
    numbers.workspace.cutover("run numbers.toml").ok();
    numbers.on("verify", "--depth full").ok();
    for (at, key) in keys.iter().enumerate().filter(|(_, key)| !key.contains('\0')) {
        let found = numbers.workspace.cutover_with(&["get", "store", "--json", "--", key]).ok().json();
        assert_eq!(found["entries"][0]["value"]["generation"], at as i64, "{key:?}");
    }
    let scanned = numbers.on("scan", "--json").ok().json_lines();
    assert!(scanned.iter().any(|entry| entry["key"] == "a\u{0}b"), "a NUL is a byte like others");

    // The same as elements of tuples, next to bytes that are not UTF-8.
    let tuples = Numbers::new();
    tuples.workspace.write(
        "numbers.toml",
        NUMBERS.replace("SELECT key,", "SELECT key, raw,").replace("[\"key\"]", "[\"key\", \"raw\"]"),
    );
    let raw = BinaryArray::from_iter_values((0..rows).map(|row| [0, 255, row as u8, 0]));
    let mut columns = columns("key");
    columns.push(("raw", Arc::new(raw)));
    write_parquet(&tuples.workspace.path("in/part-0.parquet"), columns);
    tuples.workspace.cutover("run numbers.toml").ok();
    tuples.on("verify", "--depth full").ok();
    for (at, key) in keys.iter().enumerate() {
        let key = format!("[{}, \"0x00ff{at:02x}00\"]", quoted(key));
        let found = tuples.workspace.cutover_with(&["get", "store", "--json", &key]).ok().json();
        assert_eq!(found["entries"][0]["value"]["generation"], at as i64, "{key}");
    }
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let numbers = Numbers::new();
    let long = "k".repeat(70_000);
    write_parquet(
        &numbers.workspace.path("in/part-0.parquet"),
        vec![("key", strings([long.as_str()])), ("generation", integers([1]))],
    );
    let refused = numbers.workspace.cutover("run numbers.toml").fails(3);
    refused.complains(&["70000 bytes long", "'key'"]);
    assert!(refused.stderr.len() < 2000, "the key itself is not shown");
}

/// Columns may have any name; it appears in values and schemas, never in a path.
#[test]
fn a_column_may_have_any_name() {
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("SELECT key, generation", "SELECT *"));
    let values = || Arc::new(Int64Array::from(vec![1]));
    let columns = TRICKS.iter().map(|name| (*name, values() as _));
    let columns = [("key", strings(["k"])), ("generation", integers([1]))].into_iter().chain(columns);
    write_parquet(&numbers.workspace.path("in/part-0.parquet"), columns.collect());
    numbers.workspace.cutover("run numbers.toml").ok();
    let found = numbers.on("get", "k --json").ok().json();
    assert_eq!(found["entries"][0]["value"]["../up"], 1);
    assert_eq!(found["entries"][0]["value"]["a\u{0}b"], 1);
}

/// A store with version 1, its next input, and a directory that is not part of it.
fn next_to_a_victim() -> Numbers {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 100);
    for name in ["00000007/precious", "precious", "trash-1/precious"] {
        numbers.workspace.write(&format!("victim/{name}"), "precious");
    }
    numbers
}

#[test]
fn a_link_in_place_of_a_directory_of_the_store_is_not_followed() {
    for directory in ["versions", "staging", "log"] {
        let numbers = next_to_a_victim();
        let victim = listing(&numbers.workspace.path("victim"));
        let path = numbers.workspace.path("store").join(directory);
        let aside = numbers.workspace.path("aside");
        fs::rename(&path, &aside).unwrap();
        symlink(numbers.workspace.path("victim"), &path).unwrap();
        for command in ["run numbers.toml", "gc store", "rollback store", "pin store --reason audit"] {
            let run = numbers.workspace.cutover(command);
            let code = run.code();
            assert!([2, 6].contains(&code), "{directory}, {command}: {code} {}", run.stderr);
            run.fails(code);
            assert_eq!(listing(&numbers.workspace.path("victim")), victim, "{directory}, {command}");
        }
        numbers.workspace.cutover("run numbers.toml").fails(6).complains(&[&format!("store/{directory}"), "link"]);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        numbers.workspace.cutover("run numbers.toml").ok();
        assert_eq!(numbers.seen(), (2, 2));
    }
}

#[test]
fn a_link_in_place_of_a_part_of_a_version_is_damage() {
    for part in
        ["store/versions/00000001", "store/versions/00000001/shard-00000", "store/versions/00000001/manifest.json"]
    {
        let numbers = next_to_a_victim();
        let path = numbers.workspace.path(part);
        let aside = numbers.workspace.path("aside");
        fs::rename(&path, &aside).unwrap();
        symlink(&aside, &path).unwrap();
        numbers.on("get", "k000").fails(6);
        numbers.on("verify", "--depth sizes").exits(1);
        // The link is removed with its version, and its target stays.
        let before = listing(&aside);
        numbers.workspace.cutover("run numbers.toml --rebuild --allow damaged").ok();
        numbers.on("gc", "--keep 1").ok().prints(&["deleted version 1"]);
        assert_eq!(listing(&aside), before, "{part}");
        assert_eq!(numbers.seen(), (2, 2));
    }
}

#[test]
fn a_link_in_place_of_a_file_of_the_store_is_not_written_through() {
    for file in ["log/events.jsonl", "current.json", "build.lock"] {
        let numbers = next_to_a_victim();
        let path = numbers.workspace.path("store").join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(numbers.workspace.path("victim/file"), &whole).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(numbers.workspace.path("victim/file"), &path).unwrap();
        let run = numbers.workspace.cutover("run numbers.toml");
        let (ended, said) = match file {
            // An event that cannot be written does not stop the command.
            "log/events.jsonl" => (run.ok(), "the log lacks an event"),
            "current.json" => (run.fails(6), "current.json is not a regular file"),
            _ => (run.fails(4), "build.lock"),
        };
        ended.complains(&[said]);
        assert_eq!(fs::read(numbers.workspace.path("victim/file")).unwrap(), whole, "{file}");
    }
}

#[test]
fn a_loop_of_links_among_the_inputs_ends() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    symlink("../in", numbers.workspace.path("in/again")).unwrap();
    let run = numbers.workspace.cutover("run numbers.toml");
    let code = run.code();
    assert!([3, 4].contains(&code), "{code}: {}", run.stderr);
    run.fails(code).complains(&["in/again"]);
}
