//! What the documents say about the code: jobs, contracts, defaults, exit codes, shares, numbers, examples of bytes,
//! imports.
//!
//! Not for: links and names (the parent).

use cutover::format::{KeySchema, Partitioner};
use cutover::internals::codec::ShardRouter;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use cutover::format::{Allow, Tables};
use cutover::internals::cli::Cli;
use cutover::internals::input::Contract;
use cutover::internals::job::{DEFAULT_BOUNDS, Job, Verify};
use cutover::internals::resources::{MIN_MEMORY, Resources};

use super::{document, documents, root};
use crate::architecture;

/// The source of a number or a name in prose: the document, what it says, the source file, what it contains.
const SAID: [(&str, &str, &str, &str); 15] = [
    (
        "docs/operations.md",
        "last 256 rolled-back contents",
        "src/catalog/transitions.rs",
        "MAX_ROLLED_BACK: usize = 256",
    ),
    ("docs/operations.md", "a key 64 KiB", "src/encode/mod.rs", "MAX_KEY_BYTES: usize = 64 << 10"),
    (
        "docs/operations.md",
        "A value has at most 16 MiB",
        "src/shuffle/duplicates.rs",
        "MAX_VALUE_BYTES: usize = 16 << 20",
    ),
    ("docs/operations.md", "is tried three times", "src/build/retry.rs", "TRIES: u32 = 3"),
    (
        "docs/guarantees.md",
        "last 256 rolled-back contents",
        "src/catalog/transitions.rs",
        "MAX_ROLLED_BACK: usize = 256",
    ),
    (
        "docs/reading.md",
        "at most every 200 ms",
        "src/serve/reader.rs",
        "REFRESH_EVERY: Duration = Duration::from_millis(200)",
    ),
    ("docs/reading.md", "a cache of 256 MiB", "src/serve/db_options.rs", "BLOCK_CACHE: usize = 256 << 20"),
    ("docs/job-file.md", "at most 1,000,000 files", "src/input/resolve.rs", "MAX_FILES: usize = 1_000_000"),
    ("docs/job-file.md", "more than 2,000 operators", "src/query/sql_limits.rs", "DEEPEST: usize = 2000"),
    ("docs/job-file.md", "more than 5,000 reads", "src/query/sql_limits.rs", "MAX_READS: u64 = 5000"),
    ("docs/memory.md", "at most 1,024", "src/query/grace_hash_join.rs", "MAX_PARTITIONS: usize = 1024"),
    ("docs/memory.md", "at least 8 per thread", "src/query/grace_hash_join.rs", "MIN_PARTITIONS_PER_THREAD: usize = 8"),
    ("docs/memory.md", "at most 256 runs per writer", "src/shuffle/mod.rs", "RUNS_PER_WRITER: usize = 256"),
    ("docs/kafka.md", "within two minutes", "src/kafka/producer.rs", "DELIVERY_MILLIS: &str = \"120000\""),
    ("docs/kafka.md", "three times in all", "src/kafka/producer.rs", "ATTEMPTS: u32 = 3"),
];

/// A job with only the required keys.
const MIN_JOB: &str = "version = 1\ndataset = \"d\"\nstore = \"s\"\n[inputs.a]\npath = \"a.csv\"\n[query]\nsql = \"SELECT 1\"\n\
                         [output]\nkey = [\"k\"]\n";

#[test]
fn complete_jobs_and_contracts_are_sound() {
    let sets: BTreeMap<String, String> = [("date".to_owned(), "2026-11-22".to_owned())].into();
    let read = |_: &Path| Ok("SELECT 1".to_owned());
    let (mut jobs, mut contracts) = (0, 0);
    for document in documents() {
        let shown = document.path.display().to_string();
        for block in document.blocks("toml").iter().filter(|block| block.starts_with("version = 1")) {
            let given =
                if block.contains("$date") || block.contains("${date}") { sets.clone() } else { BTreeMap::new() };
            Job::parse(Path::new(&shown), block, &given, &read).unwrap();
            jobs += 1;
        }
        for block in document.blocks("json").iter().filter(|block| block.contains("\"meaning\"")) {
            Contract::parse(Path::new(&shown), block).unwrap();
            contracts += 1;
        }
    }
    assert!(jobs > 0 && contracts > 0, "{jobs} jobs, {contracts} contracts");
}

#[test]
fn defaults_of_the_job_file_are_those_of_the_code() {
    let job = Job::parse(Path::new("least.toml"), MIN_JOB, &BTreeMap::new(), &|_: &Path| unreachable!()).unwrap();
    let reference = document("docs/job-file.md").table("Reference");
    let default_of = |key: &str| {
        let row = reference.iter().find(|row| row[1] == format!("`{key}`"));
        row.unwrap_or_else(|| panic!("the reference has no row for {key}")).last().unwrap().clone()
    };
    let quoted = |value: serde_json::Value| format!("`{value}`");
    let Tables { compression, block_size, bloom_bits, file_size, format_version } = job.tables;
    assert_eq!(default_of("shards"), format!("`{}`", job.output.shards));
    assert_eq!(default_of("duplicates"), quoted(serde_json::to_value(job.output.duplicates).unwrap()));
    assert_eq!(default_of("partitioner"), quoted(serde_json::to_value(job.output.partitioner).unwrap()));
    assert_eq!(
        default_of("value"),
        format!("`{{ encoding = {} }}`", serde_json::to_value(job.output.value.encoding).unwrap())
    );
    assert_eq!(default_of("compression"), quoted(serde_json::to_value(compression).unwrap()));
    assert_eq!(default_of("block_size"), format!("`\"{}KiB\"`", block_size >> 10));
    assert_eq!(default_of("file_size"), format!("`\"{}MiB\"`", file_size >> 20));
    assert_eq!(default_of("bloom_bits"), format!("`{bloom_bits}`"));
    assert_eq!(default_of("format_version"), format!("`{format_version}`"));
    assert_eq!(default_of("rows"), format!("`1`, none, `{}`, `{}`", job.checks.warn_change, job.checks.max_change));
    assert_eq!((default_of("verify").as_str(), job.checks.verify), ("`\"sample\"`", Verify::Sample));
    assert_eq!(default_of("keep"), format!("`{}`", job.retention.keep));
    assert!(job.retention.keep_for.is_none() && default_of("keep_for") == "none");
}

#[test]
fn kinds_that_can_be_allowed_are_those_of_the_code() {
    let documented = document("docs/operations.md").table("Publishing against a check");
    let documented: Vec<&str> = documented.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(documented, Allow::all().map(Allow::name).collect::<Vec<_>>());
}

#[test]
fn bounds_of_changes_are_those_of_the_code() {
    let documented = document("docs/job-file.md").table("Checks of what changed");
    let shown = |bound: Option<f64>| bound.map_or_else(|| "never".to_owned(), |bound| bound.to_string());
    let expected = DEFAULT_BOUNDS.map(|(name, bound)| [format!("`{name}`"), shown(bound.warn), shown(bound.stop)]);
    let documented: Vec<[String; 3]> =
        documented.into_iter().map(|row| [row[0].clone(), row[2].clone(), row[3].clone()]).collect();
    assert_eq!(documented, expected);
}

#[test]
fn every_key_of_the_job_file_is_in_its_reference() {
    let reference = document("docs/job-file.md").text() + &document("docs/kafka.md").text();
    for file in ["inputs", "output", "checks", "kafka"] {
        let source = fs::read_to_string(root().join(format!("src/job/{file}.rs"))).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for key in source.split("section.item(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(reference.contains(key), "no document names the key {key} of src/job/{file}.rs");
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_command() {
    let table = document("docs/operations.md").table("Exit codes");
    let numbers = |text: &str| -> BTreeSet<u8> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    let documented: BTreeSet<u8> = table.iter().flat_map(|row| numbers(&row[0])).collect();
    let source = fs::read_to_string(root().join("src/main.rs")).unwrap();
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix("Kind::")?.split_once(" => "));
    let mut expected: BTreeSet<u8> = arms.filter_map(|(_, code)| code.trim_end_matches(',').parse().ok()).collect();
    assert!(expected.contains(&70), "{expected:?}");
    expected.extend([0, 1, 128 + 2, 128 + 15, 141]);
    assert_eq!(documented, expected);
    let help = Cli::command().get_after_help().unwrap().to_string();
    let help = help.split_once("Exit codes:").unwrap().1;
    assert_eq!(numbers(help), expected.into_iter().filter(|code| *code != 141).collect());
}

#[test]
fn shares_of_the_memory_are_those_of_the_code() {
    let memory = 1 << 30;
    let resources = Resources { threads: 2, memory };
    let percent = |bytes: usize| format!("{} %", (bytes as f64 / memory as f64 * 100.0).round());
    let table = document("docs/memory.md").table("How memory is split");
    let shares: Vec<&str> = table.iter().map(|row| row[0].as_str()).take(3).collect();
    let expected = [resources.query_memory(), resources.shuffle_memory(), resources.build_memory()].map(percent);
    assert_eq!(shares, expected);
    assert!(document("docs/memory.md").text().contains(&format!("at least {} MiB", MIN_MEMORY >> 20)));
}

#[test]
fn numbers_in_prose_are_those_of_the_source() {
    for (path, said, source, there) in SAID {
        let prose = document(path).text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(prose.contains(said), "{path} no longer says {said:?}");
        let source_text = fs::read_to_string(root().join(source)).unwrap();
        assert!(source_text.contains(there), "{path} says {said:?}, and {source} no longer has {there:?}");
    }
}

#[test]
fn the_shards_of_the_examples_are_those_of_the_code() {
    let schema = |columns: serde_json::Value, encoding: &str| -> KeySchema {
        serde_json::from_value(serde_json::json!({"columns": columns, "encoding": encoding, "numbered": false}))
            .unwrap()
    };
    let user = serde_json::json!({"name": "user_id", "type": "int64", "kind": {"int": {"bits": 64, "signed": true}}});
    let day = serde_json::json!({"name": "day", "type": "date", "kind": "date"});
    let url = serde_json::json!({"name": "url", "type": "string", "kind": "string"});
    let by_user = schema(serde_json::json!([user, day]), "tuple");
    let by_url = schema(serde_json::json!([url, user]), "tuple");
    let url_alone = schema(serde_json::json!([url]), "bytes");
    let rows = document("docs/reading.md").table("Which shard holds a key");
    let rows: Vec<&Vec<String>> = rows.iter().filter(|row| row.len() == 5).collect();
    let cases = [
        (&by_user, "[42, \"2026-11-22\"]", vec!["user_id"]),
        (&by_user, "[300, \"2026-11-22\"]", vec!["user_id"]),
        (&by_user, "[-1, \"2026-11-22\"]", vec!["user_id"]),
        (&url_alone, "/home", vec![]),
        (&by_url, "[\"/home\", 42]", vec!["url"]),
        (&by_url, "[\"/b\", 300]", vec!["url"]),
    ];
    assert_eq!(rows.len(), cases.len());
    for (row, (schema, key, shard_by)) in rows.into_iter().zip(cases) {
        let shard_by: Vec<String> = shard_by.into_iter().map(str::to_owned).collect();
        let sharding = ShardRouter::new(schema, &shard_by, Partitioner::Xxh3, 4).unwrap();
        let bytes = schema.parse(key).unwrap();
        assert_eq!(sharding.of_key(&bytes, schema).unwrap().to_string(), row[4], "{row:?}");
        let hex: String = row[2].trim_matches('`').split(' ').collect();
        let hashed: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(format!("`{:016x}`", xxhash_rust::xxh3::xxh3_64(&hashed)), row[3], "{row:?}");
        assert!(bytes.windows(hashed.len()).any(|part| part == hashed), "{row:?}");
    }
}

#[test]
fn the_architecture_prints_the_allowed_imports() {
    let blocks = document("ARCHITECTURE.md").blocks("");
    let printed = blocks.iter().find(|block| block.starts_with("allocator ")).expect("no table of imports");
    let printed: BTreeMap<&str, BTreeSet<&str>> = printed
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(part, used)| (part, used.split_whitespace().filter(|name| *name != "—").collect()))
        .collect();
    assert_eq!(printed, architecture::table());
}
