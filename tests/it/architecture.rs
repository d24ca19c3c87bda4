//! The shape of the source: which directory of `src/` may import which, how files begin, and how long they are. That
//! files of one directory import each other in one direction only is held by `circles`.
//!
//! Directories form an acyclic graph; `pipeline` and `consume` wire the stages. A new arrow between directories is a
//! decision: it is made in the table below and in ARCHITECTURE.md, which prints the same list.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each directory or file of `src/` may import from the others. Every one may import `error`.
const MAY_USE: [(&str, &[&str]); 41] = [
    ("allocator", &[]),
    ("build", &["durable_file", "failpoint", "format", "journal", "progress", "shuffle", "shutdown"]),
    ("catalog", &["durable_file", "escape", "failpoint", "format", "objects", "rate_limit", "shutdown"]),
    ("catch_panic", &[]),
    ("check", &["build", "format", "job", "profile", "shutdown"]),
    (
        "cli",
        &[
            "catalog",
            "cluster",
            "consume",
            "crash",
            "demo",
            "durable_file",
            "encode",
            "escape",
            "failpoint",
            "format",
            "input",
            "job",
            "kafka",
            "objects",
            "pipeline",
            "progress",
            "publish",
            "pull",
            "query",
            "report",
            "resources",
            "serve",
            "server",
            "shutdown",
            "stderr",
        ],
    ),
    ("cluster", &["durable_file", "format", "pipeline", "random", "resources", "shutdown", "stack"]),
    ("codec", &["format"]),
    (
        "consume",
        &[
            "build",
            "catalog",
            "catch_panic",
            "check",
            "codec",
            "durable_file",
            "failpoint",
            "follow",
            "format",
            "journal",
            "kafka",
            "progress",
            "publish",
            "rate_limit",
            "shuffle",
            "shutdown",
        ],
    ),
    ("crash", &["catalog", "durable_file", "failpoint", "random", "serve", "shutdown"]),
    ("demo", &[]),
    ("durable_file", &["failpoint"]),
    ("encode", &["codec", "escape", "format", "input", "job"]),
    ("error", &[]),
    ("escape", &[]),
    ("failpoint", &[]),
    ("follow", &["catalog", "format"]),
    ("format", &["escape"]),
    (
        "fuzzing",
        &["build", "codec", "consume", "format", "input", "job", "journal", "kafka", "pipeline", "server", "shuffle"],
    ),
    ("input", &["catch_panic", "job", "objects", "shutdown"]),
    ("job", &["format", "objects"]),
    ("journal", &["durable_file", "format"]),
    ("kafka", &["escape", "failpoint", "format", "job", "progress", "random", "resources", "serve", "shutdown"]),
    ("objects", &["catch_panic", "escape", "shutdown"]),
    (
        "pipeline",
        &[
            "build",
            "catalog",
            "check",
            "durable_file",
            "encode",
            "failpoint",
            "format",
            "input",
            "job",
            "journal",
            "objects",
            "profile",
            "progress",
            "publish",
            "query",
            "random",
            "report",
            "resources",
            "shuffle",
            "shutdown",
        ],
    ),
    ("profile", &["format"]),
    ("progress", &["stderr"]),
    ("publish", &["catalog", "escape", "failpoint", "format", "kafka", "progress", "random", "serve", "shutdown"]),
    ("pull", &["catalog", "failpoint", "follow", "format", "objects", "rate_limit", "serve", "shutdown"]),
    ("query", &["catch_panic", "format", "input", "job", "profile", "shutdown", "stack"]),
    ("random", &[]),
    ("rate_limit", &[]),
    ("report", &["format", "input", "objects", "profile", "progress", "query"]),
    ("resources", &["catch_panic", "stack"]),
    ("run", &["job", "pipeline", "progress", "report", "resources"]),
    ("serve", &["catalog", "codec", "format"]),
    ("server", &["catalog", "format", "pull", "resources", "serve", "shutdown"]),
    ("shuffle", &["codec", "durable_file", "encode", "failpoint", "format", "job", "shutdown"]),
    ("shutdown", &[]),
    ("stack", &[]),
    ("stderr", &[]),
];

/// The most lines a file has before its tests.
const LONGEST: usize = 500;
/// The lines a file's header may have, without its examples and pictures.
const HEADER: std::ops::RangeInclusive<usize> = 1..=20;

/// A source file: the part of `src/` it belongs to, and its lines before its inline tests.
struct Source {
    path: PathBuf,
    part: String,
    lines: Vec<String>,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    assert!(sources.len() > 50, "the sources are in {}", root.display());
    sources
}

fn collect(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    for name in crate::harness::names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            collect(root, &path, sources);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let inline =
                lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
            let lines = lines[..inline.unwrap_or(lines.len())].to_vec();
            let below = path.strip_prefix(root).unwrap().to_owned();
            let part = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            sources.push(Source { is_test: is_test(&below), part, lines, path: below });
        }
    }
}

/// Whether a file is only compiled for tests: a module declared below `#[cfg(test)]`.
fn is_test(path: &Path) -> bool {
    let names = ["tests", "fixture", "histories", "simulation"];
    path.iter().any(|part| names.contains(&part.to_str().unwrap().trim_end_matches(".rs")))
}

/// The parts of the crate that a line imports or names.
fn used(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let names = code.split("crate::").skip(1);
    names.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default()).collect()
}

/// Every import that the table does not allow, a sentence each.
fn violations(sources: &[Source], may_use: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut violations = Vec::new();
    for source in
        sources.iter().filter(|source| !source.is_test && !["main", "lib", "internals"].contains(&source.part.as_str()))
    {
        let Some(allowed) = may_use.get(source.part.as_str()) else {
            violations.push(format!("{} has no line in the table", source.part));
            continue;
        };
        for (number, line) in source.lines.iter().enumerate() {
            for name in used(line) {
                if name != source.part && name != "error" && !allowed.contains(name) {
                    violations.push(format!("{}:{} uses {name}", source.path.display(), number + 1));
                }
            }
        }
    }
    violations
}

pub fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    MAY_USE.into_iter().map(|(part, used)| (part, used.iter().copied().collect())).collect()
}

#[test]
fn directories_use_only_what_they_may() {
    assert_eq!(violations(&sources(), &table()), [""; 0]);
}

#[test]
fn the_table_allows_no_more_than_is_used() {
    let sources = sources();
    let mut surplus = Vec::new();
    for (part, allowed) in table() {
        let of_part = sources.iter().filter(|source| source.part == part && !source.is_test);
        let used: BTreeSet<&str> = of_part.flat_map(|source| &source.lines).flat_map(|line| used(line)).collect();
        surplus.extend(allowed.difference(&used).map(|name| format!("{part} does not use {name}")));
    }
    assert_eq!(surplus, [""; 0]);
}

#[test]
fn the_table_has_no_cycle() {
    let mut left = table();
    while let Some(leaf) = left.iter().find(|(_, used)| used.is_empty()).map(|(part, _)| *part) {
        left.remove(leaf);
        left.values_mut().for_each(|used| used.retain(|name| *name != leaf));
    }
    assert!(left.is_empty(), "a circle: {left:?}");
}

#[test]
fn a_forbidden_use_is_found() {
    let source = |line: &str| Source {
        path: "shuffle/merge.rs".into(),
        part: "shuffle".into(),
        lines: vec!["//! Merges.".into(), line.into()],
        is_test: false,
    };
    let found = |line: &str| violations(&[source(line)], &table());
    assert_eq!(found("use crate::pipeline::run;"), ["shuffle/merge.rs:2 uses pipeline"]);
    assert_eq!(found("let x = crate::cli::value();"), ["shuffle/merge.rs:2 uses cli"]);
    assert_eq!(found("use crate::encode::EntryBatch;"), [""; 0]);
    assert_eq!(found("// see crate::pipeline"), [""; 0]);
}

#[test]
fn imports_are_written_in_the_form_that_this_test_finds() {
    // `use crate::{a, b}` would hide the names from a check line by line.
    for source in sources() {
        let hidden = source.lines.iter().any(|line| line.contains("crate::{"));
        assert!(!hidden, "{}: write one `use crate::x` a line", source.path.display());
    }
}

/// Lines of the header that are not between fences.
fn header_lines(lines: &[String]) -> usize {
    let mut fenced = false;
    let header = lines.iter().take_while(|line| line.starts_with("//!"));
    let counts = header.filter(|line| {
        let fence = line.starts_with("//! ```");
        fenced ^= fence;
        !fenced && !fence
    });
    counts.count()
}

#[test]
fn every_file_has_a_header_and_none_is_long() {
    let mut problems = Vec::new();
    let mut lengths = Vec::new();
    for source in sources() {
        let name = source.path.display();
        let header = header_lines(&source.lines);
        if !HEADER.contains(&header) {
            problems.push(format!("{name} has a header of {header} lines"));
        }
        if source.lines.len() > LONGEST {
            problems.push(format!("{name} has {} lines before its tests", source.lines.len()));
        }
        lengths.push(source.lines.len());
    }
    assert_eq!(problems, [""; 0]);
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= 200, "half of the files have more than {} lines", lengths[lengths.len() / 2]);
}
