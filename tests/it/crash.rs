//! Every durable step, and what is left when it fails: killed, with an error, with a panic.
//!
//! A watched run shows which steps there are and how often each is reached. Then each is made to fail: readers must see
//! exactly the version before or the new one, the same command run again must succeed, and `gc` must leave nothing in
//! the store that `current.json` and the manifests do not name.
//!
//! Not for: signals (`shutdown`), or the command that does the same with a user's job (`verify_crash`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cutover::internals::failpoint::STEPS;
use cutover::serve::{Range, Store};
use serde_json::Value;

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::{CUTOVER, Ended, Run, Workspace, listing, names};

/// The steps of a run that publishes a version and deletes the previous one.
const OF_A_RUN: [&str; 18] = [
    "build.finished",
    "build.ingested",
    "build.started",
    "build.synced",
    "build.table",
    "current.decided",
    "current.replaced",
    "install.manifest",
    "install.renamed",
    "install.reported",
    "install.synced",
    "log.append",
    "range.finished",
    "range.written",
    "retention.deleted",
    "retention.forgotten",
    "retention.renamed",
    "storage.written",
];
/// Memory that is too little for [`wide_rows`].
const LITTLE: &str = "run numbers.toml --memory 64MiB --threads 2";

/// A dataset whose store keeps one version.
fn numbers() -> Numbers {
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("shards = 4", "shards = 2") + "\n[retention]\nkeep = 1\n");
    numbers
}

/// Runs a command and returns how often it reached each step.
fn watched(workspace: &Workspace, line: &str) -> BTreeMap<String, u64> {
    let file = workspace.path("seen.json");
    let mut command = workspace.command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>());
    workspace.finish(command.env("CUTOVER_FAILPOINTS_SEEN", &file)).ok();
    serde_json::from_slice(&fs::read(&file).unwrap()).unwrap()
}

/// The occurrences at which a step is made to fail.
fn times(count: u64) -> Vec<u64> {
    BTreeSet::from([1, 2, count.div_ceil(2), count]).into_iter().filter(|at| *at <= count).collect()
}

/// The generation of all rows of the store, every one of them read; `None` if nothing is published.
#[track_caller]
fn generation(store: &Path) -> Option<i64> {
    if !store.join("current.json").exists() {
        return None;
    }
    let version = Store::open(store).unwrap().current().unwrap()?;
    let mut generations = BTreeSet::new();
    let mut rows = 0;
    for entry in version.scan(&Range::all()) {
        let (_, value) = entry.unwrap();
        generations.insert(version.value_schema().to_json(&value).unwrap()["generation"].as_i64().unwrap());
        rows += 1;
    }
    assert_eq!((rows, generations.len()), (version.manifest().rows, 1), "complete, and of one generation");
    generations.first().copied()
}

/// Fails unless the store contains exactly what `current.json` and the manifests name.
#[track_caller]
fn assert_tidy(store: &Path) {
    let json = |path: &str| -> Value { serde_json::from_slice(&fs::read(store.join(path)).unwrap()).unwrap() };
    let mut named: BTreeSet<String> =
        ["build.lock", "commit.lock", "current.json", "log/", "log/events.jsonl", "staging/", "versions/"]
            .map(str::to_owned)
            .into();
    // The first `gc` sets it aside.
    named.extend(store.join("reserve").exists().then(|| "reserve".to_owned()));
    for version in json("current.json")["versions"].as_object().unwrap().keys() {
        let directory = format!("versions/{:08}", version.parse::<u64>().unwrap());
        named.insert(format!("{directory}/"));
        named.extend(
            ["manifest.json", "job.toml", "query.sql", "report.json"].map(|name| format!("{directory}/{name}")),
        );
        for shard in json(&format!("{directory}/manifest.json"))["shards"].as_array().unwrap() {
            for file in shard["files"].as_array().unwrap() {
                let path = file["path"].as_str().unwrap();
                named.insert(format!("{directory}/{path}"));
                named.insert(format!("{directory}/{}/", path.split_once('/').unwrap().0));
            }
        }
    }
    let listing = listing(store);
    let found: BTreeSet<String> = listing.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(found, named, "what is there, and what is named");
}

/// Makes every step of a run fail, each time in a store that serves the previous generation.
fn fail_everywhere(action: &str, ended: fn(Run) -> Ended) {
    let numbers = numbers();
    let store = numbers.workspace.path("store");
    numbers.run(1).ok();
    numbers.write(2, 100);
    let counts = watched(&numbers.workspace, "run numbers.toml");
    assert_eq!(counts.keys().map(String::as_str).collect::<Vec<_>>(), OF_A_RUN);
    let mut new = 2;
    let mut seen_after = BTreeSet::new();
    for (step, at) in counts.iter().flat_map(|(step, count)| times(*count).into_iter().map(move |at| (step, at))) {
        new += 1;
        numbers.write(new, 100);
        let failpoint = format!("{step}={action}@{at}");
        let ended = ended(numbers.workspace.failing(&failpoint, "run numbers.toml"));
        let seen = generation(&store).unwrap();
        assert!([new - 1, new].contains(&seen), "{failpoint}: generation {seen} instead of {new} or the one before");
        seen_after.insert(new - seen);
        if action != "kill" {
            let staging = names(&store.join("staging"));
            assert!(staging.iter().all(|name| name.starts_with("trash-")), "{failpoint} left {staging:?}");
        }
        if ended.code() == 0 {
            assert_eq!(seen, new, "{failpoint}: the command says that it did its work");
        } else if action == "error" && seen == new {
            ended.complains(&["unknown whether applied"]);
        }
        numbers.workspace.cutover("run numbers.toml").ok();
        assert_eq!(generation(&store), Some(new), "{failpoint}: after the rerun");
        numbers.on("gc", "--keep 1").ok();
        assert_tidy(&store);
    }
    assert_eq!(seen_after, BTreeSet::from([0, 1]), "some steps are before the flip and some after it");
    numbers.on("verify", "--depth full").ok();
}

#[test]
fn a_run_that_is_killed_at_any_step_leaves_the_old_version_or_the_new_one() {
    fail_everywhere("kill", Run::killed);
}

#[test]
fn a_run_that_panics_at_any_step_leaves_the_old_version_or_the_new_one() {
    fail_everywhere("panic", Run::panicked);
}

/// Steps after the flip, the log and retention, only warn.
#[test]
fn a_run_whose_disk_fails_at_any_step_leaves_the_old_version_or_the_new_one() {
    fail_everywhere("error", |run| if run.code() == 0 { run.ok() } else { run.fails(4) });
}

#[test]
fn a_first_run_that_is_killed_leaves_a_store_that_the_next_can_use() {
    let fresh = || {
        let numbers = numbers();
        numbers.write(1, 100);
        numbers
    };
    let counts = watched(&fresh().workspace, "run numbers.toml");
    assert_eq!(counts["store.directories"], 1);
    let steps = ["store.directories", "build.started", "install.renamed", "current.decided", "storage.written"];
    for step in steps.into_iter().chain(["current.replaced", "log.append"]) {
        for at in 1..=counts[step] {
            let numbers = fresh();
            let store = numbers.workspace.path("store");
            numbers.workspace.failing(&format!("{step}=kill@{at}"), "run numbers.toml").killed();
            let seen = generation(&store);
            let published = step == "current.replaced" && at == counts[step] || step == "log.append" && at == 3;
            assert_eq!(seen, published.then_some(1), "{step}, {at}");
            numbers.workspace.cutover("run numbers.toml").ok();
            assert_eq!(generation(&store), Some(1));
            numbers.on("gc", "").ok();
            assert_tidy(&store);
        }
    }
}

/// A generation whose entries do not fit into [`LITTLE`] memory: few rows with long strings that compress well.
fn wide(numbers: &Numbers, generation: i64) {
    let keys: Vec<String> = (0..400).map(|row| format!("k{row:03}")).collect();
    let text = "spill ".repeat(20_000);
    write_parquet(
        &numbers.workspace.path("in/part-0.parquet"),
        vec![
            ("key", strings(keys.iter().map(String::as_str))),
            ("generation", integers(std::iter::repeat_n(generation, 400))),
            ("text", strings(std::iter::repeat_n(text.as_str(), 400))),
        ],
    );
}

#[test]
fn a_run_that_fails_while_it_spills_leaves_nothing() {
    let numbers = numbers();
    let job = fs::read_to_string(numbers.workspace.path("numbers.toml")).unwrap();
    numbers.workspace.write("numbers.toml", job.replace("SELECT key,", "SELECT key, text,"));
    let store = numbers.workspace.path("store");
    wide(&numbers, 1);
    numbers.workspace.cutover(LITTLE).ok();
    wide(&numbers, 2);
    let runs = watched(&numbers.workspace, LITTLE)["shuffle.spilled"];
    let mut new = 2;
    for at in times(runs) {
        for action in ["kill", "error", "panic"] {
            new += 1;
            wide(&numbers, new);
            let run = numbers.workspace.failing(&format!("shuffle.spilled={action}@{at}"), LITTLE);
            match action {
                "kill" => run.killed(),
                "error" => run.fails(4),
                _ => run.panicked(),
            };
            assert_eq!(generation(&store), Some(new - 1), "{action} {at}");
            if action != "kill" {
                assert_eq!(names(&store.join("staging")), [""; 0], "{action} {at}");
            }
            numbers.workspace.cutover(LITTLE).ok();
            assert_eq!(generation(&store), Some(new));
            numbers.on("gc", "--keep 1").ok();
            assert_tidy(&store);
        }
    }
}

#[test]
fn a_gc_that_is_killed_is_finished_by_the_next() {
    let numbers = Numbers::new();
    let store = numbers.workspace.path("store");
    let build = |generation| drop(numbers.run(generation).ok());
    [1, 2].into_iter().for_each(build);
    let counts = watched(&numbers.workspace, "gc store --keep 1");
    let steps = ["current.decided", "current.replaced", "log.append", "storage.written"];
    let retention = ["retention.deleted", "retention.forgotten", "retention.renamed"];
    assert_eq!(
        counts.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        steps.into_iter().chain(retention).collect()
    );
    let mut new = 2;
    for (step, at) in counts.iter().flat_map(|(step, count)| times(*count).into_iter().map(move |at| (step, at))) {
        new += 1;
        build(new);
        numbers.workspace.failing(&format!("{step}=kill@{at}"), "gc store --keep 1").killed();
        assert_eq!(generation(&store), Some(new), "{step}, {at}");
        numbers.on("gc", "--keep 1").ok();
        assert_tidy(&store);
    }
}

#[test]
fn a_rollback_that_is_killed_has_happened_or_not() {
    let numbers = Numbers::new();
    let store = numbers.workspace.path("store");
    let mut new = 1;
    numbers.run(new).ok();
    for (step, applied) in
        [("current.decided", false), ("storage.written", false), ("current.replaced", true), ("log.append", true)]
    {
        let good = new;
        new += 1;
        numbers.run(new).ok();
        numbers.workspace.failing(&format!("{step}=kill"), "rollback store").killed();
        assert_eq!(generation(&store), Some(if applied { good } else { new }), "{step}");
        if applied {
            new += 1;
            numbers.run(new).ok();
        }
        numbers.on("gc", "--keep 1").ok();
        assert_tidy(&store);
        assert_eq!(generation(&store), Some(new));
    }
}

#[test]
fn the_list_of_steps_and_the_code_name_the_same() {
    let mut places = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut places);
    let listed: BTreeSet<String> = STEPS.iter().map(|step| step.name.to_owned()).collect();
    assert_eq!(places, listed, "in the code, and in the list");
}

/// Every name that the sources below a directory pass to `failpoint::reach`.
fn collect(directory: &Path, places: &mut BTreeSet<String>) {
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            collect(&path, places);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("failpoint::reach(\"").skip(1).filter_map(|rest| rest.split_once('"'));
            places.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn an_unknown_failpoint_is_refused_with_the_list_of_all() {
    let numbers = Numbers::new();
    let refused = numbers.workspace.failing("build.tabel=kill", "run numbers.toml").fails(2);
    refused.complains(&["CUTOVER_FAILPOINTS", "\"build.tabel\"", "build.table", "consume.flipped"]);
}
