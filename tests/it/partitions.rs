//! `partitions` of an input: the named ones must exist and have rows, and no others are read.

use crate::fixture::{integers, strings, write_parquet};
use crate::harness::Workspace;

const JOB: &str = r#"
version = 1
dataset = "days"
store = "store"

[inputs.days]
path = "data/days/"
partitions = { date = "${date}-2..${date}" }

[query]
sql = "SELECT key, date FROM days"

[output]
key = ["key"]
"#;

fn write(workspace: &Workspace, day: u64, rows: usize) {
    let keys: Vec<String> = (0..rows).map(|row| format!("{day}-{row}")).collect();
    let numbers = integers(0..rows as i64);
    let columns = vec![("key", strings(keys.iter().map(String::as_str))), ("number", numbers)];
    write_parquet(&workspace.path(format!("data/days/date=2026-11-{day}/part-0.parquet")), columns);
}

fn days(days: &[u64]) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("job.toml", JOB);
    days.iter().for_each(|day| write(&workspace, *day, 10));
    workspace
}

#[test]
fn exactly_the_partitions_that_are_named_are_read() {
    let workspace = days(&[22, 23, 24, 25, 26]);
    workspace.write("data/days/date=2026-11-27/part-0.parquet", "not there yet");
    workspace
        .cutover("plan job.toml --set date=2026-11-25")
        .ok()
        .prints(&["days is read from date=2026-11-23 to date=2026-11-25, 3 partitions"]);
    workspace.cutover("run job.toml --set date=2026-11-25").ok().prints(&["version 1 is live"]);
    let entries = workspace.cutover("scan store --limit 100 --json").ok();
    let dates = |day: &str| entries.stdout.matches(&format!("\"2026-11-{day}\"")).count();
    assert_eq!(["22", "23", "24", "25", "26"].map(dates), [0, 10, 10, 10, 0], "{}", entries.stdout);
}

#[test]
fn missing_and_empty_partitions_stop_a_run_before_work() {
    let workspace = days(&[23, 25]);
    for command in ["run", "plan"] {
        workspace.cutover(&format!("{command} job.toml --set date=2026-11-26")).fails(3).complains(&[
            "input days: 2 of the 3 partitions that line 8 of the job names cannot be read",
            "date=2026-11-24 is not there",
            "date=2026-11-26 is not there",
        ]);
    }
    write(&workspace, 24, 0);
    workspace.write("data/days/date=2026-11-26/_SUCCESS", "");
    workspace
        .cutover("run job.toml --set date=2026-11-25")
        .fails(3)
        .complains(&["1 of the 3", "date=2026-11-24 has no rows"]);
    assert!(!workspace.path("store/current.json").exists(), "nothing was built");
    write(&workspace, 24, 3);
    workspace.cutover("run job.toml --set date=2026-11-25").ok();
}

#[test]
fn text_files_without_rows_are_empty() {
    let workspace = Workspace::new();
    workspace.write("job.toml", JOB.replace("-2..${date}", ""));
    workspace.write("data/days/date=2026-11-26/a.csv", "key,number\n");
    workspace.cutover("run job.toml --set date=2026-11-26").fails(3).complains(&["date=2026-11-26 has no rows"]);
    workspace.write("data/days/date=2026-11-26/a.csv", "key,number\nx,1\n");
    workspace.cutover("run job.toml --set date=2026-11-26").ok();
}

#[test]
fn a_marker_can_be_required_of_every_partition() {
    let workspace = days(&[24, 25, 26]);
    let job = JOB.replace("\n[query]", "require = { partition = \"_SUCCESS*\" }\n\n[query]");
    workspace.write("job.toml", job);
    workspace.write("data/days/date=2026-11-24/_SUCCESS", "");
    workspace.write("data/days/date=2026-11-26/_SUCCESS.2", "");
    workspace
        .cutover("run job.toml --set date=2026-11-26")
        .fails(3)
        .complains(&["data/days/date=2026-11-25/_SUCCESS* is not there yet"]);
    workspace.write("data/days/date=2026-11-25/_SUCCESS", "");
    workspace.cutover("run job.toml --set date=2026-11-26").ok();
}

#[test]
fn wrong_partitions_are_reported_with_their_line() {
    let workspace = days(&[26]);
    for (partitions, code, said) in [
        ("{ date = \"2026-11-26..2026-11-20\" }", 2, "job.toml:8: \"date\" in partitions has the range"),
        ("{ date = \"${day}\" }", 2, "job.toml:8: \"date\" in partitions needs a value for ${day}"),
        ("{ date = 1.5 }", 2, "must be a string"),
        ("{ }", 2, "names no partition"),
        ("{ date = [] }", 2, "names no value"),
        ("{ n = \"1..99999999\" }", 2, "at most 10000 values"),
        ("{ country = \"de\" }", 2, "line 8 of the job names partitions by country"),
        ("[\"${date}\"]", 2, "must be a table"),
    ] {
        workspace.write("job.toml", JOB.replace("{ date = \"${date}-2..${date}\" }", partitions));
        let flags = if partitions.contains("${date}") { "--set date=2026-11-26" } else { "" };
        workspace.cutover(&format!("run job.toml {flags}")).fails(code).complains(&[said]);
    }
}
