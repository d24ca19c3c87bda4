//! The documents say what is so: their links lead somewhere, and the tests, files, commands, flags, defaults, exit codes
//! and numbers that they name are those of the code.
//!
//! Not for: whether they are well written.

mod markdown;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::{Command, CommandFactory};
use cutover::cli::Cli;
use cutover::input::Contract;
use cutover::job::{Job, Tables, Verify};
use cutover::runtime::{MIN_MEMORY, Resources};

use self::markdown::Document;
use crate::harness::names;

/// Directories of the repository that documents speak of by path.
const ROOTS: [&str; 11] = [
    ".ci/",
    "benches/",
    "data/nycflights13/",
    "docker/",
    "docs/",
    "examples/",
    "fuzz/",
    "schemas/",
    "scripts/",
    "src/",
    "tests/",
];

/// Where a number or a name in prose comes from: the document, what it says, the source, what stands there.
const SAID: [(&str, &str, &str, &str); 13] = [
    ("docs/operations.md", "last 256 rolled-back contents", "src/catalog/transitions.rs", "REMEMBERED: usize = 256"),
    ("docs/operations.md", "a key 64 KiB", "src/encode/mod.rs", "MAX_KEY_BYTES: usize = 64 << 10"),
    ("docs/operations.md", "A value has at most 16 MiB", "src/shuffle/fold.rs", "MAX_VALUE_BYTES: usize = 16 << 20"),
    ("docs/operations.md", "is tried three times", "src/build/retry.rs", "TRIES: u32 = 3"),
    ("docs/guarantees.md", "last 256 rolled-back contents", "src/catalog/transitions.rs", "REMEMBERED: usize = 256"),
    (
        "docs/reading.md",
        "at most every 200 ms",
        "src/serve/reader.rs",
        "REFRESH_EVERY: Duration = Duration::from_millis(200)",
    ),
    ("docs/reading.md", "a cache of 256 MiB", "src/serve/options.rs", "BLOCK_CACHE: usize = 256 << 20"),
    ("docs/job-file.md", "at most 1,000,000 files", "src/input/resolve.rs", "MAX_FILES: usize = 1_000_000"),
    ("docs/memory.md", "at most 1,024", "src/query/turns.rs", "const MOST: usize = 1024"),
    ("docs/memory.md", "at least 8 per thread", "src/query/turns.rs", "const LEAST: usize = 8"),
    ("docs/memory.md", "at most 256 runs per writer", "src/shuffle/mod.rs", "RUNS_PER_WRITER: usize = 256"),
    ("docs/kafka.md", "within two minutes", "src/kafka/stream.rs", "DELIVERY_MILLIS: &str = \"120000\""),
    ("docs/kafka.md", "three times in all", "src/kafka/stream.rs", "ATTEMPTS: u32 = 3"),
];

/// Flags of other programs that are named by themselves.
const FOREIGN: [&str; 1] = ["release"];

/// A job in which nothing is said that need not be.
const LEAST_JOB: &str = "version = 1\ndataset = \"d\"\nstore = \"s\"\n[inputs.a]\npath = \"a.csv\"\n[query]\nsql = \"SELECT 1\"\n\
                         [output]\nkey = [\"k\"]\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<Document> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in ["", "docs", "docs/decisions", "schemas", "data/nycflights13"] {
        let names = names(&root().join(directory)).into_iter().filter(|name| name.ends_with(".md"));
        paths.extend(names.map(|name| Path::new(directory).join(name)));
    }
    assert!(paths.len() > 15, "the documents are {paths:?}");
    paths.iter().map(|path| Document::read(root(), path)).collect()
}

fn document(path: &str) -> Document {
    Document::read(root(), Path::new(path))
}

/// Where a link of `from` leads: a path below the root, and an anchor that may be empty.
fn target(from: &Path, link: &str) -> (PathBuf, String) {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return (from.to_owned(), anchor.to_owned());
    }
    let mut path = from.parent().unwrap().to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{link} leads out of the repository"),
            part => path.push(part),
        }
    }
    (path, anchor.to_owned())
}

fn all_sources() -> String {
    let mut text = String::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for name in names(&directory) {
            let path = directory.join(&name);
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let anchors: BTreeMap<&Path, Vec<String>> =
        documents.iter().map(|document| (document.path.as_path(), document.anchors())).collect();
    let mut broken = Vec::new();
    for document in &documents {
        for link in document.links() {
            let (path, anchor) = target(&document.path, &link);
            let there = root().join(&path).exists();
            let heading = anchor.is_empty() || anchors.get(path.as_path()).is_some_and(|known| known.contains(&anchor));
            if !there || !heading {
                broken.push(format!("{}: {link}", document.path.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let documents = documents();
    let mut reached: BTreeSet<PathBuf> = BTreeSet::new();
    let mut next = VecDeque::from([PathBuf::from("README.md")]);
    while let Some(path) = next.pop_front() {
        if !reached.insert(path.clone()) {
            continue;
        }
        if let Some(document) = documents.iter().find(|document| document.path == path) {
            next.extend(document.links().iter().map(|link| target(&path, link).0));
        }
    }
    let missed: Vec<_> =
        documents.iter().map(|document| &document.path).filter(|path| !reached.contains(*path)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn tests_that_are_named_exist() {
    let sources = all_sources();
    let is_name = |span: &str| {
        span.matches('_').count() >= 3 && span.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut found = 0;
    for document in documents() {
        for span in document.spans().iter().filter(|span| is_name(span)) {
            found += 1;
            let exists = sources.contains(&format!("fn {span}("));
            assert!(exists, "{} names {span}, which is no test", document.path.display());
        }
    }
    assert!(found > 20, "only {found} tests are named");
}

#[test]
fn files_that_are_named_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        for span in document.spans() {
            let names_file = ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains([' ', '*', '…', '<']);
            if names_file && !root().join(&span).exists() {
                missing.push(format!("{}: {span}", document.path.display()));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

/// What is wrong with one command line, as the command's own definition sees it.
fn misused(cli: &Command, line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "cutover").skip(1).peekable();
    while words.next_if_eq(&"-C").is_some() {
        words.next();
    }
    let name = words.next_if(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    let command = match name {
        Some(name) => match cli.find_subcommand(name) {
            Some(command) => command,
            None => return Some(format!("there is no command {name}")),
        },
        None => cli,
    };
    for word in words.take_while(|word| !["|", ">", ">>", "#", "&&"].contains(word)) {
        let Some(flag) = word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap_or_default()) else {
            continue;
        };
        let flag = flag.trim_end_matches(|letter: char| !letter.is_ascii_lowercase());
        if !has_flag(command, flag) && !has_flag(cli, flag) {
            return Some(format!("{} has no flag --{flag}", command.get_name()));
        }
    }
    None
}

fn has_flag(command: &Command, flag: &str) -> bool {
    ["help", "version"].contains(&flag) || command.get_arguments().any(|argument| argument.get_long() == Some(flag))
}

#[test]
fn commands_and_flags_that_are_named_exist() {
    let cli = Cli::command();
    let any = |flag: &str| has_flag(&cli, flag) || cli.get_subcommands().any(|command| has_flag(command, flag));
    let mut problems = Vec::new();
    let mut seen = 0;
    for document in documents().iter().filter(|document| document.path != Path::new("CHANGELOG.md")) {
        let shown = ["sh", "cron", "console"].iter().flat_map(|language| document.blocks(language));
        let lines: Vec<String> =
            shown.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let typed = |line: &&String| {
            line.split_whitespace().any(|word| word == "cutover") && !line.trim_start().starts_with(['#'])
        };
        let spans = document.spans();
        let commands = spans.iter().filter(|span| span.starts_with("cutover ")).chain(lines.iter().filter(typed));
        for line in commands {
            seen += 1;
            problems.extend(misused(&cli, line).map(|what| format!("{}: {line}: {what}", document.path.display())));
        }
        for flag in spans.iter().filter_map(|span| span.strip_prefix("--")) {
            let name: String =
                flag.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '-').collect();
            if !any(&name) && !FOREIGN.contains(&name.as_str()) {
                problems.push(format!("{}: no command has --{flag}", document.path.display()));
            }
        }
    }
    assert_eq!(problems, [""; 0]);
    assert!(seen > 30, "only {seen} commands are named");
}

#[test]
fn every_command_is_in_the_readme_or_a_guide() {
    let texts: String =
        documents().iter().filter(|document| document.path.extension().is_some()).map(Document::text).collect();
    let cli = Cli::command();
    let named = |name: &str| texts.contains(&format!("cutover {name}"));
    let missed: Vec<&str> = cli.get_subcommands().map(Command::get_name).filter(|name| !named(name)).collect();
    assert_eq!(missed, [""; 0]);
}

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
    let job = Job::parse(Path::new("least.toml"), LEAST_JOB, &BTreeMap::new(), &|_: &Path| unreachable!()).unwrap();
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
    use cutover::encode::{KeySchema, Sharding};
    use cutover::job::Partitioner;
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
        let sharding = Sharding::new(schema, &shard_by, Partitioner::Xxh3, 4).unwrap();
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
fn every_decision_says_what_it_costs_or_why() {
    for document in documents().iter().filter(|document| document.path.starts_with("docs/decisions")) {
        let text = document.text();
        for section in text.split("\n## ").skip(1).filter(|section| !section.starts_with("Where answers differ")) {
            let title = section.lines().next().unwrap_or_default();
            let said = section.matches("- **").count();
            assert!(said > 0, "{}: {title}", document.path.display());
        }
    }
}

/// Words that have a plainer one; a native speaker reads them twice. They may be parts of names in code.
const IDIOMS: [&str; 16] = [
    "so many",
    "stands",
    "is told",
    "are told",
    "whoever",
    "goes on",
    "go on with",
    "gone on with",
    "beside",
    "taken up",
    "takes up",
    "all the same",
    "nobody",
    "somebody",
    "folder",
    "folders",
];

#[test]
fn documents_are_in_plain_words() {
    let mut found = Vec::new();
    for document in documents().iter().filter(|document| document.path != Path::new("CHANGELOG.md")) {
        for line in document.prose() {
            let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
            let words: Vec<&str> =
                plain.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            let words = format!(" {} ", words.join(" "));
            let idioms = IDIOMS.iter().filter(|idiom| words.contains(&format!(" {idiom} ")));
            found.extend(idioms.map(|idiom| format!("{}: {idiom:?} in {line:?}", document.path.display())));
        }
    }
    assert_eq!(found, [""; 0]);
}

/// Documents that are read from beginning to end, and the most lines they may have.
const SHORT: [(&str, usize); 2] = [("README.md", 180), ("ARCHITECTURE.md", 200)];

#[test]
fn what_is_read_from_beginning_to_end_is_short() {
    for (path, most) in SHORT {
        let length = document(path).length();
        assert!(length <= most, "{path} has {length} lines, {most} are allowed");
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
    assert_eq!(printed, super::structure::table());
}
