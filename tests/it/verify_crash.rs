//! `cutover verify-crash`: what it reports of a sound program and of a broken one, and that it touches nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cutover::error::Result;
use cutover::internals::crash::{self, Options, ReaderView, Report};
use rustix::process::Signal;

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{CUTOVER, listing, names, wait_for};

/// The job over one shard, with its input.
fn numbers(more: &str) -> Numbers {
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("shards = 4", "shards = 1") + more);
    numbers.write(1, 100);
    numbers
}

#[test]
fn every_kill_of_a_job_is_reported_and_its_own_store_is_never_touched() {
    let kafka = "\n[kafka]\nbrokers = \"127.0.0.1:1\"\ntopic = \"nobody-is-there\"\n";
    let numbers = numbers("");
    numbers.workspace.cutover("run numbers.toml").ok();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("shards = 4", "shards = 1") + kafka);
    let before = listing(&numbers.workspace.path(""));
    let steps = "--step build --step install --step current.replaced --step retention.renamed --step stream";
    let run = numbers.workspace.cutover(&format!("verify-crash numbers.toml {steps} --threads 2 --json")).ok();
    run.complains(&[
        "streams to Kafka; in the sandbox it does not",
        "build.table, 1 of 1: readers saw the old version",
    ]);
    assert_eq!(listing(&numbers.workspace.path("")), before);
    let printed = run.json();
    assert_eq!((&printed["ok"], &printed["kafka_left_out"]), (&true.into(), &true.into()));
    let not_reached: Vec<&str> =
        printed["not_reached"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(not_reached, ["stream.record", "stream.end", "stream.finished"]);
    let kills = printed["kills"].as_array().unwrap();
    let sees = |step: &str| -> Vec<&str> {
        let of_step = kills.iter().filter(|kill| kill["step"] == step);
        of_step.map(|kill| kill["sees"].as_str().unwrap()).collect()
    };
    for step in ["build.started", "build.table", "build.ingested", "install.manifest", "install.renamed"] {
        assert_eq!(sees(step), ["old"], "{step}");
    }
    assert_eq!(sees("build.synced"), ["old"; 3]);
    assert_eq!(sees("current.replaced"), ["old", "new", "new"], "installed, published, removed");
    assert_eq!(sees("retention.renamed"), ["new"]);
    for kill in kills {
        assert_eq!((&kill["killed"], &kill["rerun"], &kill["same_digest"]), (&true.into(), &true.into(), &true.into()));
        assert_eq!(kill["left"].as_array().unwrap().len() + kill["problems"].as_array().unwrap().len(), 0, "{kill}");
    }
}

#[test]
fn the_table_has_a_line_for_each_kill() {
    let numbers = numbers("");
    numbers.workspace.write("elsewhere/file", "");
    let resources = "--memory 64MiB --threads 1";
    let verify = format!("verify-crash numbers.toml --step install.renamed --dir elsewhere {resources}");
    let run = numbers.workspace.cutover(&verify).ok();
    run.prints(&["readers see", "install.renamed", "1 of 1", "old", "the same", "nothing", "1 kill: readers saw"]);
    assert_eq!(names(&numbers.workspace.path("elsewhere")), ["file"]);
    assert!(!numbers.workspace.path("store").exists());
}

#[test]
fn jobs_that_cannot_be_verified_are_refused() {
    let numbers = numbers("");
    let verify = |more: &str| numbers.workspace.cutover(&format!("verify-crash numbers.toml {more}"));
    verify("--step buidl").fails(2).complains(&["no step \"buidl\"", "build.table", "a table is finished and synced"]);
    verify("--dir nowhere").fails(2).complains(&["nowhere is not a directory"]);
    verify("--memory 1KiB").fails(2).complains(&["--memory"]);
    numbers
        .workspace
        .write("numbers.toml", NUMBERS.replace("SELECT key, generation", "SELECT key, now() AS generation"));
    verify("--step install").fails(3).complains(&["give different entries"]);
    numbers.workspace.write("numbers.toml", NUMBERS.replace("SELECT key, generation", "SELECT 'k' AS key, generation"));
    verify("--step install").fails(2).complains(&["does not run in the sandbox even uninterrupted", "exit status: 3"]);
    assert_eq!(names(&numbers.workspace.path("")), ["in", "numbers.toml"], "no sandbox is left");
}

#[test]
fn a_signal_ends_it_with_its_child_and_its_sandbox() {
    let numbers = numbers("");
    let sandboxes = || -> Vec<String> {
        names(&numbers.workspace.path("")).into_iter().filter(|name| name.starts_with("verify-crash-")).collect()
    };
    let verifying = numbers.workspace.start("verify-crash numbers.toml");
    wait_for("the sandbox", || !sandboxes().is_empty());
    verifying.signal(Signal::TERM);
    verifying.wait().fails(143).complains(&["the sandbox is removed", "SIGTERM"]);
    assert_eq!(sandboxes(), [""; 0]);
}

/// Verifies a program that is this one, but does something more, as shell lines, after it was killed; `$store` is the
/// sandbox's store.
fn broken_by(lines: &str) -> Result<Report> {
    let numbers = numbers("");
    let script = format!(
        "#!/bin/sh\n\
         {CUTOVER} \"$@\"\n\
         code=$?\n\
         if [ -n \"$CUTOVER_FAILPOINTS\" ]; then\n\
         store=$5\n\
         {lines}\n\
         kill -9 $$\n\
         fi\n\
         exit $code\n"
    );
    let program = numbers.workspace.path("program.sh");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let directory = numbers.workspace.path("");
    let arguments = ["-C".into(), directory.clone().into(), "--".into(), "numbers.toml".into()].to_vec();
    let options =
        Options { program, arguments, directory, steps: vec!["install.renamed".into(), "build.table".into()] };
    crash::verify(&options, |_, _| {})
}

#[test]
fn a_broken_program_is_detected() {
    assert!(broken_by("true").unwrap().is_sound());
    let cases = [
        ("for file in $store/versions/*/shard-00000/*.sst; do echo x >>$file; done", "readers: "),
        ("rm $store/current.json", "readers: "),
        ("rm -r $store/versions/*", "readers: "),
        ("echo x >$store/versions/stray", "gc left 1 unreferenced paths, such as versions/stray"),
    ];
    for (lines, problem) in cases {
        let report = broken_by(lines).unwrap();
        assert!(!report.is_sound(), "{lines}");
        for kill in &report.kills {
            assert!(kill.problems.iter().any(|found| found.starts_with(problem)), "{lines}: {kill:?}");
            assert_eq!(matches!(kill.sees, ReaderView::Broken(_)), problem == "readers: ", "{lines}");
        }
        assert_eq!(report.kills.len(), 2, "it continues in a new store");
    }
}
