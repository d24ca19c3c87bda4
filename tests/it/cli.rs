//! The command's output: help, tables, summaries and errors, as snapshots in `snapshots/`.
//!
//! What differs from run to run is replaced: [TIME], [SIZE], [RATE], [DIGEST], [ID], [PATH]. After an intended change,
//! `INSTA_UPDATE=always cargo test --release --test it cli` writes them again; review the difference.

use std::collections::BTreeSet;

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{Run, Workspace};

const COMMANDS: [&str; 22] = [
    "completions",
    "consume",
    "demo",
    "executor",
    "gc",
    "get",
    "init",
    "log",
    "path",
    "pin",
    "plan",
    "publish",
    "pull",
    "rollback",
    "run",
    "scan",
    "serve",
    "show",
    "unpin",
    "verify",
    "verify-crash",
    "versions",
];

/// Compares a string with its snapshot.
#[track_caller]
fn shown(name: &str, text: &str) {
    for (variable, forgiving) in [("INSTA_FORCE_PASS", ["1", "true"]), ("INSTA_UPDATE", ["always", "unseen"])] {
        let value = std::env::var(variable).unwrap_or_default();
        let under_ci = crate::harness::is_set("CI") && forgiving.contains(&value.as_str());
        assert!(!under_ci, "{variable}={value} would accept any snapshot");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in [
        (r"[\w./-]*cutover-it-[\w-]+", "[PATH]"),
        (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?", "[TIME]"),
        (r"seconds=[\d.]+", "seconds=[SECONDS]"),
        (r"\b\d+(\.\d+)? (ms|s)\b", "[TIME]"),
        (r"\b[\d.]+ (B|KiB|MiB|GiB)\b", "[SIZE]"),
        (r"×[\d.]+", "×[RATIO]"),
        (r"digest [0-9a-f]{12}", "digest [DIGEST]"),
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "[ID]"),
        (r"pid \d+", "pid [PID]"),
        (r"tester@\S+", "tester@[HOST]"),
        (r"process \d+ on \S+", "process [PID] on [HOST]"),
        // Column widths depend on the times and sizes in them.
        (r" {2,}", "  "),
        (r"─+", "─"),
        (r"(?m)(\[TIME\]  [\d,]+)(  [\d,]+)?$", "$1  [RATE]"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn both(run: &Run) -> String {
    match (run.stdout.as_str(), run.stderr.as_str()) {
        (stdout, "") => stdout.to_owned(),
        ("", stderr) => stderr.to_owned(),
        (stdout, stderr) => format!("{stdout}--- stderr ---\n{stderr}"),
    }
}

#[test]
fn help_of_every_command() {
    let workspace = Workspace::new();
    let help = workspace.cutover("--help").ok();
    let listed =
        help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let listed: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let expected: BTreeSet<&str> = COMMANDS.into_iter().chain(["help"]).collect();
    assert_eq!(listed, expected, "give a new command a snapshot");
    shown("help", &help.stdout);
    for command in COMMANDS {
        shown(&format!("help_{command}"), &workspace.cutover(&format!("{command} --help")).ok().stdout);
    }
}

#[test]
fn the_life_of_several_versions() {
    let numbers = Numbers::new();
    shown("run_first", &both(&numbers.run(1).ok()));
    let second = numbers.run(2).ok();
    assert!(!second.stdout.contains('\u{1b}') && !second.stderr.contains('\u{1b}'), "no colours in a file");
    shown("run_next", &second.stdout);
    shown("run_again", &both(&numbers.workspace.cutover("run numbers.toml").ok()));
    shown("rollback", &both(&numbers.on("rollback", "").ok()));
    shown("pin", &both(&numbers.on("pin", "--reason audit").ok()));
    shown("run_pinned", &numbers.run(3).exits(5).stdout);
    shown("versions_pinned", &both(&numbers.on("versions", "").ok()));
    shown("unpin", &both(&numbers.on("unpin", "").ok()));
    shown("publish", &both(&numbers.on("publish", "3").ok()));
    numbers.write(4, 10);
    let rejected = numbers.workspace.cutover("run numbers.toml").fails(7);
    shown("rejected", rejected.stderr.split_once("error: ").unwrap().1);
    shown("versions", &both(&numbers.on("versions", "").ok()));
    shown("get", &both(&numbers.on("get", "k001 nobody k002").exits(1)));
    shown("get_json", &numbers.on("get", "k001 nobody --json").exits(1).stdout);
    shown("scan", &both(&numbers.on("scan", "--prefix k00 --limit 3").ok()));
    shown("path", &both(&numbers.on("path", "").ok()));
    shown("verify", &both(&numbers.on("verify", "").ok()));
    shown("gc", &both(&numbers.on("gc", "--keep 1").ok()));
    shown("log", &both(&numbers.on("log", "").ok()));
}

#[test]
fn plan_of_a_job() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let plan = numbers.workspace.cutover("plan numbers.toml --threads 2 --memory 1GiB").ok();
    shown("plan", &both(&plan));
    let document = numbers.workspace.cutover("plan numbers.toml --json").ok().json();
    assert_eq!(document["predicted"]["rows"], 100);
    assert_eq!(document["preview"].as_array().unwrap().len(), 5);
}

#[test]
fn errors_as_they_are_printed() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let change = |from: &str, to: &str| numbers.workspace.write("numbers.toml", NUMBERS.replace(from, to));
    let run = || numbers.workspace.cutover("run numbers.toml");
    change("shards = 4", "shards = 0\nshard_bi = [\"key\"]\nduplicates = \"frist\"");
    shown("error_job", &run().fails(2).stderr);
    change("SELECT key,", "SELECT kye AS key,");
    shown("error_column", &run().fails(2).stderr);
    change("in/", "out/");
    shown("error_no_input", &run().fails(3).stderr);
    shown("error_set", &numbers.workspace.cutover("run numbers.toml --set day=1").fails(2).stderr);
    shown("error_no_store", &numbers.on("versions", "").fails(2).stderr);
    shown("error_no_command", &numbers.workspace.cutover("rnu numbers.toml").exits(2).stderr);
}

#[test]
fn json_is_one_document_and_nothing_else() {
    let numbers = Numbers::new();
    let report = numbers.run(1).ok();
    assert!(report.stdout.contains("version 1 is live"));
    numbers.write(2, 100);
    assert_eq!(numbers.workspace.cutover("run numbers.toml --json").ok().json()["version"], 2);
    for command in [
        "versions",
        "show",
        "path",
        "get k000",
        "verify",
        "rollback",
        "log",
        "gc --dry-run",
        "gc",
        "pin --reason audit",
        "unpin",
    ] {
        let (command, arguments) = command.split_once(' ').unwrap_or((command, ""));
        numbers.on(command, &format!("{arguments} --json")).ok().json();
    }
    assert_eq!(numbers.on("scan", "--json --limit 7").ok().json_lines().len(), 7);
}

#[test]
fn init_writes_a_job_that_runs_as_it_is() {
    let workspace = Workspace::new();
    workspace.cutover("demo --generate-only --dir data --events 2000 --profiles 50").ok();
    workspace.cutover("init data/events/ data/profiles/").ok();
    let jobs = crate::harness::names(&workspace.path("jobs"));
    let job = jobs.iter().find(|name| name.ends_with(".toml")).unwrap();
    workspace.cutover(&format!("plan jobs/{job}")).ok();
    let report = workspace.cutover(&format!("run jobs/{job} --json")).ok().json();
    assert_eq!(report["rows"], 2000);
    let refused = workspace.cutover("init data/events/ data/profiles/").fails(2);
    refused.complains(&[job, "nothing was written"]);
}

#[test]
fn the_demo_shows_every_step() {
    let workspace = Workspace::new();
    let story = workspace.cutover("demo --events 5000 --profiles 200").ok();
    story.prints(&["cutover run", "cutover get", "cutover rollback"]);
    workspace.cutover("versions cutover-demo/stores/enriched_events").ok().prints(&["rolled back"]);
    workspace.cutover("demo --events 5000 --profiles 200").ok();
    workspace.write("full/file", "");
    workspace.cutover("demo --dir full").fails(2).complains(&["full has files that the demo did not write"]);
}
