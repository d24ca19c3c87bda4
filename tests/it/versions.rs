//! The rules of versions: publish, rollback, pin, `as_of`, rejection, retention, each with its exit code and what
//! readers see afterwards.

use std::fs;
use std::path::Path;

use crate::fixture::{NUMBERS, Numbers};
use crate::harness::{Workspace, copy_directory, names};

#[test]
fn a_publish_retires_the_version_before_and_a_rollback_goes_back_to_it() {
    let numbers = Numbers::new();
    numbers.run(1).ok().prints(&["version 1 is live: it is the first that readers of store see"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.run(2).ok().prints(&["readers of store went from version 1 to 2"]);
    assert_eq!(numbers.seen(), (2, 2));
    numbers.assert_states(&[(1, "retired"), (2, "published")]);

    numbers.on("rollback", "").ok().prints(&["readers of store went from version 2 to 1"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published"), (2, "rolled_back")]);
    numbers.on("get", "k000 --version 2").ok().prints(&["\"generation\":2"]);
}

#[test]
fn two_bad_versions_in_a_row_roll_back_to_the_last_good_one() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    for bad in [2, 3] {
        numbers.run(bad).ok();
        assert_eq!(numbers.seen(), (bad as u64, bad));
        numbers.on("rollback", "").ok();
        assert_eq!(numbers.seen(), (1, 1));
    }
    numbers.on("rollback", "").fails(2).complains(&["no good version before version 1", "cutover versions"]);
    numbers
        .on("rollback", "--to 3")
        .fails(2)
        .complains(&["version 3, which is rolled back", "publish store 3 --allow rolled-back"]);
    numbers.on("rollback", "--to 9").fails(2).complains(&["there is no version 9"]);
    assert_eq!(numbers.seen(), (1, 1));
    // Both are kept for inspection, although a newer version was published after the first.
    numbers.assert_states(&[(1, "published"), (2, "rolled_back"), (3, "rolled_back")]);
    numbers.on("gc", "").ok().prints(&["version 2 is rolled back and stays for now", "version 3 is rolled back"]);
}

#[test]
fn a_rollback_can_go_further_back() {
    let numbers = Numbers::new();
    (1..=3).for_each(|generation| drop(numbers.run(generation).ok()));
    numbers.on("rollback", "--to 1").ok();
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published"), (2, "retired"), (3, "rolled_back")]);
}

#[test]
fn a_pin_holds_readers_until_it_is_removed() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.on("unpin", "").fails(2).complains(&["nothing is pinned"]);
    numbers.on("pin", "").exits(2).complains(&["--reason"]);
    numbers.on("pin", "--reason audit-16").ok();
    numbers.on("pin", "--reason audit-17").ok().prints(&["this replaces the pin since", "audit-16"]);

    // A forgotten pin does not exit with 0: neither the run nor its rerun.
    numbers.run(2).exits(5).prints(&["version 2 is complete, but store is pinned: readers stay on version 1"]);
    let rerun = numbers.workspace.cutover("run numbers.toml --json").exits(5).json();
    assert_eq!((&rerun["published"], &rerun["outcome"]), (&false.into(), &"not_published".into()));
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published"), (2, "complete")]);
    for refused in ["publish store 2", "publish store 2 --allow older", "pin store 2 --reason other"] {
        numbers.workspace.cutover(refused).fails(5).complains(&["version 1 is pinned", "audit-17", "cutover unpin"]);
    }
    assert_eq!(numbers.seen(), (1, 1));

    numbers.on("unpin", "").ok().prints(&["audit-17", "cutover publish store 2"]);
    assert_eq!(numbers.seen(), (1, 1), "readers stay until the next publish");
    numbers.on("publish", "2").ok();
    assert_eq!(numbers.seen(), (2, 2));

    numbers.on("pin", "1 --reason incident").ok().prints(&["went from version 2 to 1"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("rollback", "").fails(2);
    numbers.assert_states(&[(1, "published"), (2, "retired")]);
    numbers.run(3).exits(5);
    assert_eq!(numbers.seen(), (1, 1));
}

#[test]
fn older_data_does_not_replace_newer_unless_that_is_allowed() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    numbers.workspace.cutover("run numbers.toml --as-of 2026-11-22").ok();
    numbers.write(2, 100);
    let older = numbers.workspace.cutover("run numbers.toml --as-of 2026-11-21").fails(7);
    older.complains(&[
        "as of 2026-11-21, older",
        "version 1",
        "as of 2026-11-22",
        "nothing was built",
        "--stage",
        "--allow older",
    ]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published")]);
    numbers.workspace.cutover("run numbers.toml --as-of 2026-11-21 --allow older").ok();
    assert_eq!(numbers.seen(), (2, 2));
    numbers.on("publish", "1").ok().prints(&["went from version 2 to 1"]);
    numbers
        .on("publish", "2")
        .fails(7)
        .complains(&["older than version 1, which readers see", "publish store 2 --allow older"]);
    assert_eq!(numbers.seen(), (1, 1));
}

#[test]
fn the_same_job_over_the_same_inputs_is_built_once() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let again = || numbers.workspace.cutover("run numbers.toml");
    again().ok().prints(&["already published as 1"]);
    assert_eq!(numbers.workspace.cutover("run numbers.toml --json").ok().json()["outcome"], "unchanged");
    numbers.assert_states(&[(1, "published")]);

    numbers.workspace.cutover("run numbers.toml --rebuild").ok();
    numbers.assert_states(&[(1, "retired"), (2, "published")]);
    let digest = |version: &str| numbers.current_json()["versions"][version]["digest"].clone();
    assert_eq!(digest("1"), digest("2"), "the same rows have the same digest");

    numbers.workspace.write("numbers.toml", format!("{NUMBERS}\n[retention]\nkeep = 2\n"));
    let changed = numbers.workspace.cutover("run numbers.toml --json").ok().json();
    assert_ne!(changed["version"], 1, "another job is not the same job");
    numbers.run(2).ok();
    again().ok().prints(&["already published as"]);
}

#[test]
fn what_was_rolled_back_does_not_come_back_by_itself() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.run(2).ok();
    numbers.on("rollback", "").ok();

    let rerun = numbers.workspace.cutover("run numbers.toml").fails(7);
    rerun.complains(&["version 2", "rolled back", "cutover publish store 2 --allow rolled-back"]);
    assert_eq!(numbers.seen(), (1, 1));
    let rebuilt = numbers.workspace.cutover("run numbers.toml --rebuild").fails(7);
    rebuilt.complains(&[
        "version 3 was built but not published",
        "same content as version 2",
        "publish store 3 --allow rolled-back",
    ]);
    // The same rows from a rewritten file: other inputs, the same digest.
    numbers.run(2).fails(7).complains(&["same content as version 2"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("publish", "2").fails(7).complains(&["version 2 is rolled back", "--allow rolled-back"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("publish", "3 --allow rolled-back").ok();
    assert_eq!(numbers.seen(), (3, 2));
}

#[test]
fn a_loss_of_rows_is_rejected_and_can_be_published_by_hand() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 40);
    numbers.workspace.cutover("run numbers.toml").fails(7).complains(&[
        "version 2 was built but not published",
        "rows.max_change: expected within 50 % of the 100 rows of version 1, found 40 rows, -60.0 %",
        "cutover publish store 2 --allow rows",
    ]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published"), (2, "rejected")]);
    numbers.on("publish", "2").fails(7).complains(&["version 2 is rejected (rows.max_change"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.on("publish", "2 --allow rows --reason half-closed").ok();
    assert_eq!(numbers.seen(), (2, 2));
    numbers.on("log", "").ok().prints(&["rejected", "--allow rows; half-closed", "tester@"]);
    numbers.assert_states(&[(1, "retired"), (2, "published")]);

    numbers.write(3, 10);
    let forced = numbers.workspace.cutover("run numbers.toml --allow rows").ok();
    forced.prints(&["version 3 is live", "failed, but allowed: rows.max_change", "found 10 rows, -75.0 %"]);
    assert_eq!(numbers.seen(), (3, 3));
    numbers.on("rollback", "").ok();

    numbers.write(4, 29);
    let warned = numbers.workspace.cutover("run numbers.toml").ok();
    warned.prints(&["1 warned", "warning: rows.max_change", "found 29 rows, -27.5 %"]);
}

#[test]
fn every_rule_of_a_job_stops_its_publish() {
    for (checks, allow, rule) in [
        ("rows = { min = 101 }", "rows", "rows.min: expected at least 101 rows, found 100 rows"),
        ("rows = { max = 99 }", "rows", "rows.max: expected at most 99 rows, found 100 rows"),
        ("not_null = [\"extra\"]", "not-null", "not_null: extra: expected no null, found 100 nulls"),
        ("unique = [\"generation\"]", "unique", "unique: generation: expected no value twice, found \"2\""),
    ] {
        let numbers = Numbers::new();
        numbers.run(1).ok();
        let job = NUMBERS.replace("SELECT key,", "SELECT key, CAST(NULL AS BIGINT) AS extra,");
        numbers.workspace.write("numbers.toml", format!("{job}\n[checks]\n{checks}\n"));
        numbers.run(2).fails(7).complains(&["version 2 was built but not published", rule]);
        assert_eq!(numbers.seen(), (1, 1), "{checks}");
        numbers.assert_states(&[(1, "published"), (2, "rejected")]);
        for other in ["older", "undated", "rolled-back", "keys", "values", "rejected", "rows", "not-null", "unique"] {
            if other != allow {
                numbers
                    .on("publish", &format!("2 --allow {other}"))
                    .fails(7)
                    .complains(&[&format!("--allow {allow}`")]);
            }
        }
        numbers.on("publish", &format!("2 --allow {allow}")).ok();
        assert_eq!(numbers.seen(), (2, 2), "{checks}");
        numbers.write(3, 100);
        let allowed = numbers.workspace.cutover(&format!("run numbers.toml --allow {allow}")).ok();
        allowed.prints(&["failed, but allowed: "]);
        assert_eq!(numbers.seen(), (3, 3), "{checks}");
    }
}

#[test]
fn readers_of_the_published_version_can_read_the_next() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let change = |from: &str, to: &str| numbers.workspace.write("numbers.toml", NUMBERS.replace(from, to));

    change("SELECT key, generation", "SELECT generation * 1000 + CAST(substr(key, 2) AS BIGINT) AS key, generation");
    let refused = numbers.workspace.cutover("run numbers.toml").fails(7);
    refused.complains(&["key schema", "nothing was built", "--allow keys builds"]);
    change("generation FROM", "CAST(generation AS VARCHAR) AS generation FROM");
    let refused = numbers.workspace.cutover("run numbers.toml").fails(7);
    refused.complains(&["value schema", "generation", "nothing was built"]);
    change("SELECT key, generation", "SELECT key, 7 AS other");
    numbers.workspace.cutover("run numbers.toml").fails(7).complains(&["value schema", "generation"]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.assert_states(&[(1, "published")]);

    change("SELECT key, generation", "SELECT key, generation, 7 AS added");
    numbers.workspace.cutover("run numbers.toml").ok();
    assert_eq!(numbers.seen(), (2, 1), "a new column breaks no reader");
    change(
        "SELECT key, generation",
        "SELECT generation * 1000 + CAST(substr(key, 2) AS BIGINT) AS key, generation, 7 AS added",
    );
    numbers.workspace.cutover("run numbers.toml --allow keys").ok();
    numbers.on("get", "1042").ok().prints(&["\"generation\":1"]);
}

#[test]
fn retention_keeps_what_it_says_and_never_deletes_the_current_version() {
    let numbers = Numbers::with("\n[retention]\nkeep = 2\n");
    (1..=4).for_each(|generation| drop(numbers.run(generation).ok()));
    numbers.assert_states(&[(3, "retired"), (4, "published")]);
    numbers.on("get", "k000 --version 1").fails(2).complains(&["there is no version 1"]);

    numbers.on("pin", "3 --reason audit").ok();
    (5..=8).for_each(|generation| drop(numbers.run(generation).exits(5)));
    assert_eq!(numbers.seen(), (3, 3), "the pinned version stays");
    numbers.assert_states(&[(3, "published"), (4, "retired"), (7, "complete"), (8, "complete")]);

    numbers.on("gc", "--keep 1 --keep-for 1h").ok().prints(&["nothing to delete"]);
    numbers.on("gc", "--keep 1").ok().prints(&["deleted version 7"]);
    numbers.assert_states(&[(3, "published"), (4, "retired"), (8, "complete")]);
    numbers.on("gc", "--keep 0").ok();
    numbers.assert_states(&[(3, "published")]);
    assert_eq!(numbers.seen(), (3, 3));
    assert_eq!(names(&numbers.workspace.path("store/staging")), [""; 0]);
    numbers.on("log", "").ok().prints(&["deleted"]);
    numbers.on("unpin", "").ok();
    assert_eq!(numbers.workspace.cutover("run numbers.toml --json").ok().json()["version"], 9, "no number comes twice");
}

#[test]
fn a_store_belongs_to_one_dataset() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("dataset = \"numbers\"", "dataset = \"letters\""));
    numbers.run(2).fails(2).complains(&["store", "\"numbers\"", "\"letters\""]);
    assert_eq!(numbers.seen(), (1, 1));
    numbers.workspace.write("full/readme.txt", "not ours");
    numbers.workspace.write("numbers.toml", NUMBERS.replace("store = \"store\"", "store = \"full\""));
    numbers.run(2).fails(2).complains(&["full is not a store but holds \"readme.txt\""]);
    assert_eq!(names(&numbers.workspace.path("full")), ["readme.txt"]);
    for command in ["versions", "get", "rollback", "gc", "unpin", "log", "verify", "path", "scan"] {
        let key = if command == "get" { " k" } else { "" };
        let missing = numbers.workspace.cutover(&format!("{command} nowhere{key}")).fails(2);
        missing.complains(&["there is no store at nowhere"]);
    }
}

/// A store that the first format's program wrote: two versions, the second one published.
#[test]
fn a_store_of_format_1_is_read_published_to_and_rolled_back() {
    let workspace = Workspace::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/store-of-format-1");
    copy_directory(&fixture, &workspace.path(""));
    let version = |number: u64| assert_eq!(workspace.cutover("versions store --json").ok().json()["current"], number);

    version(2);
    workspace.cutover("get store white").ok().prints(&["4"]);
    workspace.cutover("verify store --depth full").ok();
    workspace.cutover("log store").ok().prints(&["published", "streamed", "finished"]);
    workspace.cutover("rollback store").ok();
    version(1);
    workspace.cutover("get store white").exits(1);
    workspace.cutover("publish store 2 --allow rolled-back").ok();
    version(2);
    workspace.write("colours.csv", "name,code\nred,1\ngreen,2\nblue,3\nwhite,4\nblack,5\n");
    workspace.cutover("run colours.toml --set date=2026-11-03").ok();
    version(3);
    let current = fs::read_to_string(workspace.path("store/current.json")).unwrap();
    assert!(current.contains("\"format_version\": 2") && current.contains("\"targets\": {}"), "{current}");
    workspace.cutover("rollback store").ok();
    version(2);
}
