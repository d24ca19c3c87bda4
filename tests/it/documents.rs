//! The documents are true: their links resolve, the tests, files, commands and flags that they name exist; and they are
//! short and in plain words.
//!
//! Not for: numbers, defaults and examples (`facts`).

mod facts;
mod markdown;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::{Command, CommandFactory};
use cutover::internals::cli::Cli;

use self::markdown::Document;
use crate::harness::names;

/// Directories of the repository that documents refer to by path.
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

/// Flags of other programs that appear on their own.
const FOREIGN: [&str; 1] = ["release"];

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

/// Where a link in `from` leads: a path below the root, and an anchor that may be empty.
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

/// Every source file below these directories, with its text.
fn sources(directories: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    while let Some(directory) = directories.pop() {
        for name in names(&directory) {
            let path = directory.join(&name);
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
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
    let sources: String = sources(&["src", "tests"]).into_iter().map(|(_, text)| text).collect();
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

/// What is wrong with one command line, according to the command's own definition.
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
            let name: String = flag
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || *letter == '-')
                .collect();
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
    let shown = cli.get_subcommands().filter(|command| !command.is_hide_set());
    let missed: Vec<&str> = shown.map(Command::get_name).filter(|name| !named(name)).collect();
    assert_eq!(missed, [""; 0]);
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

/// Words that have plainer ones.
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

/// The idioms in a text, whatever is between their words.
fn idioms_in(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = format!(" {} ", words.join(" "));
    IDIOMS.into_iter().filter(|idiom| words.contains(&format!(" {idiom} "))).collect()
}

#[test]
fn documents_are_in_plain_words() {
    let mut found = Vec::new();
    for document in documents().iter().filter(|document| document.path != Path::new("CHANGELOG.md")) {
        for line in document.prose() {
            let plain = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
            let path = document.path.display();
            found.extend(idioms_in(&plain).into_iter().map(|idiom| format!("{path}: {idiom:?} in {line:?}")));
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn sources_are_in_plain_words() {
    let mut found = Vec::new();
    for (path, text) in sources(&["src"]) {
        let path = path.strip_prefix(root()).unwrap().display();
        for line in text.lines() {
            // A name of Hadoop's.
            let line = line.replace("_$folder$", "");
            found.extend(idioms_in(&line).into_iter().map(|idiom| format!("{path}: {idiom:?} in {line:?}")));
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
