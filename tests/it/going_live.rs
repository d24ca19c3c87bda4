//! What goes live and what does not: `as_of` and parameters in jobs, backfills, staged versions, rolled-back versions,
//! and what `versions`, `show`, `log` and `gc` report about it.

use crate::fixture::{NUMBERS, Numbers};

/// A dataset of days: the job reads the day's directory, and sets `as_of` if `dated`.
fn days(dated: bool) -> Numbers {
    let numbers = Numbers::new();
    let as_of = if dated { "as_of = \"${date}\"\n" } else { "" };
    let job = NUMBERS.replace("store = \"store\"", &format!("store = \"store\"\n{as_of}"));
    numbers.workspace.write("numbers.toml", job.replace("\"in/\"", "\"in/date=${date}/\""));
    for day in 20..30 {
        numbers.write(day, 100);
        let file = numbers.workspace.path("in/part-0.parquet");
        let directory = numbers.workspace.path(format!("in/date=2026-11-{day}"));
        std::fs::create_dir(&directory).unwrap();
        std::fs::rename(file, directory.join("part-0.parquet")).unwrap();
    }
    numbers
}

/// The content of a changed file of a store, with its new checksum.
fn sealed(text: &str) -> String {
    let (before, rest) = text.split_once("\"checksum\": \"").unwrap();
    let with = |digits: &str| format!("{before}\"checksum\": \"{digits}{}", &rest[16..]);
    with(&format!("{:016x}", xxhash_rust::xxh3::xxh3_64(with(&"0".repeat(16)).as_bytes())))
}

fn of(day: u32, more: &str) -> String {
    format!("run numbers.toml --set date=2026-11-{day} {more}")
}

#[test]
fn a_backfill_is_refused_before_any_work_and_can_be_staged() {
    let numbers = days(true);
    let cutover = |line: &str| numbers.workspace.cutover(line);
    cutover(&of(25, "")).ok();
    let refused = cutover(&of(24, "")).fails(7);
    refused.complains(&["this run is as of 2026-11-24", "older than version 1", "nothing was built", "--stage"]);
    refused.complains(&["`cutover publish store N --allow older`"]);
    numbers.assert_states(&[(1, "published")]);

    cutover(&of(24, "--stage")).ok().prints(&[
        "version 2 is complete and staged: readers stay on version 1",
        "`cutover publish store 2 --allow older`",
    ]);
    let again = cutover(&of(24, "--stage --json")).ok().json();
    assert_eq!(
        (&again["outcome"], &again["published"], &again["version"]),
        (&"staged".into(), &false.into(), &2.into())
    );
    assert_eq!(again["publish_with"], "cutover publish store 2 --allow older");
    assert_eq!(numbers.seen(), (1, 25));
    numbers.on("get", "k000 --version 2").ok().prints(&["\"generation\":24"]);
    numbers.on("scan", "--version 2 --limit 1").ok().prints(&["\"generation\":24"]);
    let versions = numbers.on("versions", "").ok();
    versions.prints(&["staged", "date=2026-11-24", "date=2026-11-25", "2026-11-24 "]);
    assert!(versions.stdout.lines().all(|line| line.chars().count() <= 80), "{}", versions.stdout);

    // Later nights run, and it stays.
    cutover(&of(26, "")).ok();
    cutover(&of(27, "")).ok();
    numbers.on("gc", "--keep 1 --dry-run").ok().prints(&["would delete versions 1, 3", "version 2 is staged"]);
    numbers.on("gc", "--keep 1").ok().prints(&["deleted versions 1, 3", "version 2 is staged and stays for now"]);
    numbers.on("publish", "2").fails(7).complains(&["older than version 4", "`cutover publish store 2 --allow older`"]);
    numbers.on("publish", "2 --allow rows,undated").fails(7);
    numbers.on("publish", "2 --allow older").ok();
    assert_eq!(numbers.seen(), (2, 24));
    numbers.on("log", "").ok().prints(&["date=2026-11-24; staged", "--allow older"]);
    // Back in time without a flag is a rollback, which the message says.
    numbers.on("rollback", "").ok();
    assert_eq!(numbers.seen(), (4, 27));
}

#[test]
fn only_stated_times_are_compared_and_a_store_without_them_can_change_over() {
    let numbers = days(false);
    let cutover = |line: &str| numbers.workspace.cutover(line);
    cutover(&of(25, "")).ok();
    // Without `as_of`, other parameters cause one warning; the same ones do not.
    let warned = cutover(&of(24, "--json")).ok();
    let warning = "this run has other parameters than version 1, which readers see: date=2026-11-24 instead of \
                   date=2026-11-25";
    warned.complains(&[warning, "as_of = \"${date}\""]);
    assert_eq!(warned.stderr.matches("other parameters").count(), 1);
    assert_eq!(warned.json()["notes"].as_array().unwrap().len(), 1);
    assert!(!cutover(&of(24, "--rebuild")).ok().stderr.contains("other parameters"));
    numbers.on("publish", "1").fails(7).complains(&["is an earlier build than version 3", "--allow older"]);

    // The first run with a stated time replaces one without, and says so.
    let first = cutover(&of(25, "--as-of 2026-11-25")).ok();
    first.complains(&["version 3, which readers see, states no as_of"]);
    assert_eq!(numbers.seen(), (4, 25));
    cutover(&of(24, "--as-of 2026-11-24")).fails(7).complains(&["--allow older"]);
    // A run with another clock time, or with none, is refused.
    let undated = cutover(&of(26, "")).fails(7);
    undated.complains(&["does not state the time its data is as of", "set `as_of` in the job", "--allow undated"]);
    cutover(&of(26, "--allow older")).fails(7);
    cutover(&of(26, "--allow undated")).ok();
    assert_eq!(numbers.seen(), (5, 26));
    // The flag overrides the job.
    let numbers = days(true);
    numbers.workspace.cutover(&of(25, "--as-of 2026-11-28")).ok();
    numbers.workspace.cutover(&of(27, "")).fails(7).complains(&["as of 2026-11-27", "as of 2026-11-28"]);
}

#[test]
fn a_wrong_clock_fails_no_run() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    // As if a build had run with a clock a year ahead.
    let current = numbers.workspace.path("store/current.json");
    let text = std::fs::read_to_string(&current).unwrap();
    let ahead = text.replace("\"as_of\": \"2", "\"as_of\": \"3");
    assert_ne!(ahead, text);
    std::fs::write(&current, sealed(&ahead)).unwrap();
    numbers.run(2).ok();
    assert_eq!(numbers.seen(), (2, 2));
}

#[test]
fn as_of_is_checked_before_any_work() {
    let numbers = days(true);
    let wrong = numbers.workspace.cutover("run numbers.toml --set date=2026-11-31").fails(2);
    wrong.complains(&[
        "numbers.toml:5: \"as_of\" cannot be \"${date}\" with --set date=2026-11-31",
        "is not a date or time",
    ]);
    numbers.workspace.cutover("run numbers.toml").fails(2).complains(&["needs a value for ${date}: add --set date=…"]);
    assert!(!numbers.workspace.path("store").exists());
}

#[test]
fn the_same_data_as_of_another_day_is_another_version() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let run = |more: &str| numbers.workspace.cutover(&format!("run numbers.toml {more}"));
    run("").ok();
    run("--as-of 2026-11-25").ok().prints(&["version 2 is live"]);
    run("--as-of 2026-11-25").ok().prints(&["already published as 2"]);
    run("").ok().prints(&["already published as 2"]);
    run("--as-of 2026-11-24").fails(7).complains(&["older than version 2"]);
    run("--as-of 2026-11-26").ok().prints(&["version 3 is live"]);
    assert_eq!(numbers.current_json()["versions"]["3"]["as_of"], "2026-11-26T00:00:00Z");
}

#[test]
fn flags_that_disabled_every_check_are_refused_with_their_replacement() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    for command in ["run numbers.toml --force", "publish store 1 --force"] {
        numbers.workspace.cutover(command).fails(2).complains(&["there is no --force", "--allow KIND"]);
    }
    numbers.on("publish", "1 --allow damaged").fails(2).complains(&["not sent to damaged versions"]);
    numbers.workspace.cutover("run numbers.toml --allow-key-change").fails(2).complains(&["--allow keys"]);
    numbers.workspace.cutover("run numbers.toml --allow all").exits(2).complains(&["older", "rolled-back", "unique"]);
}

#[test]
fn show_prints_all_that_is_known_about_a_version() {
    let numbers = days(true);
    numbers.workspace.cutover(&of(25, "")).ok();
    let shown = numbers.on("show", "").ok();
    shown.prints(&["version 1 of numbers, which readers see", "date=2026-11-25", "2026-11-25 00:00:00", "by tester@"]);
    shown.prints(&["rows.min", "passed", "predict", "read back", "100 rows", "published", "the first one"]);
    let document = numbers.on("show", "1 --json").ok().json();
    assert_eq!((&document["published"], &document["as_of_stated"]), (&true.into(), &true.into()));
    assert_eq!(document["params"]["date"], "2026-11-25");
    assert_eq!((&document["inputs"][0]["rows"], &document["inputs"][0]["files"]), (&100.into(), &1.into()));
    assert!(document["inputs"][0]["bytes"].as_u64().unwrap() > 0);
    let built_by = document["built_by"].as_str().unwrap();
    assert!(built_by.starts_with("tester@"), "{built_by}");
    assert!(document["stages"].as_array().unwrap().len() > 3 && document["checks"].as_array().unwrap().len() == 1);
    assert_eq!(document["events"].as_array().unwrap().len(), 2);
    // As `du` prints, here and in `versions`.
    let mut du = std::process::Command::new("du");
    let du = du.args(["-s", "-B1"]).arg(numbers.workspace.path("store/versions/00000001")).output().unwrap();
    let du: u64 = String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(document["stored_bytes"], du);
    assert_eq!(numbers.on("versions", "--json").ok().json()["versions"]["1"]["stored_bytes"], du);
    numbers.on("show", "7").fails(2).complains(&["there is no version 7"]);
    numbers.workspace.write("plain.toml", NUMBERS.replace("\"in/\"", "\"in/date=2026-11-26/\""));
    numbers.workspace.cutover("run plain.toml --allow undated").ok();
    numbers.on("show", "").ok().prints(&["the time of the build: no as_of was stated"]);
}

#[test]
fn good_content_is_not_banned_and_bad_content_can_be_read() {
    let numbers = days(false);
    let cutover = |line: &str| numbers.workspace.cutover(line);
    cutover(&of(25, "")).ok();
    cutover(&of(25, "--rebuild")).ok();
    numbers.on("rollback", "").ok();
    assert_eq!(numbers.seen(), (1, 25));
    cutover(&of(26, "")).ok();
    cutover(&of(25, "")).ok().prints(&["version 4 is live"]);
    assert_eq!(numbers.seen(), (4, 25));
    numbers.on("publish", "2 --allow older").fails(7).complains(&["version 2 is rolled back"]);

    // A bad version is kept for inspection when the repaired one is published.
    cutover(&of(27, "")).ok();
    numbers.on("rollback", "").ok();
    cutover(&of(28, "")).ok();
    assert_eq!(numbers.seen(), (6, 28));
    let states = numbers.states();
    assert!(states.contains(&(5, "rolled_back".to_owned())), "{states:?}");
    numbers.on("get", "k000 --version 5").ok().prints(&["\"generation\":27"]);
    cutover(&of(27, "")).fails(7).complains(&["version 5", "rolled back", "--allow rolled-back"]);
    numbers.on("gc", "--keep 10001").exits(2).complains(&["must be a whole number from 0 to 10000"]);
    numbers.on("gc", "--keep 1 --dry-run").ok().prints(&["version 5 is rolled back and stays for now"]);
    let foreseen = numbers.on("gc", "--keep 1 --dry-run --json").ok().json();
    let freed = numbers.on("gc", "--keep 1 --json").ok().json();
    assert_eq!((&freed["versions"], &freed["bytes"]), (&foreseen["versions"], &foreseen["bytes"]), "as foreseen");
    numbers.assert_states(&[(5, "rolled_back"), (6, "published")]);
}

#[test]
fn versions_that_gc_would_delete_are_not_reported_as_kept() {
    let numbers = days(true);
    numbers.workspace.cutover(&of(25, "")).ok();
    for day in [22, 23, 24] {
        numbers.workspace.cutover(&of(day, "--stage")).ok();
    }
    let foreseen = numbers.on("gc", "--keep 1 --dry-run").ok();
    foreseen.prints(&["would delete versions 2, 3 ", "version 4 is staged and stays"]);
    assert!(
        !foreseen.stdout.contains("version 2 is") && !foreseen.stdout.contains("version 3 is"),
        "{}",
        foreseen.stdout
    );
}

#[test]
fn a_backfill_can_be_planned() {
    let numbers = days(true);
    let cutover = |line: &str| numbers.workspace.cutover(line);
    cutover(&of(25, "")).ok();
    let plan = |day: u32, more: &str| cutover(&format!("plan numbers.toml --set date=2026-11-{day} {more}"));
    let refused = plan(24, "--json").fails(7).json();
    assert_eq!(refused["next"], "cutover plan numbers.toml --set date=2026-11-24 --json --stage");
    plan(24, "--stage").ok().prints(&["would build version 2 and stage it; readers stay on version 1"]);
    plan(24, "--allow older").ok().prints(&["would build version 2 and move readers to it"]);
    plan(24, "--as-of 2026-11-27").ok().prints(&["would build version 2 and move readers to it"]);
    cutover(&of(24, "--stage")).ok();
    plan(24, "--stage").ok().prints(&["would do nothing: version 2 is built and staged"]);
}

#[test]
fn the_next_command_is_the_one_that_the_message_names() {
    let numbers = days(true);
    let cutover = |line: &str| numbers.workspace.cutover(line);
    cutover(&of(25, "")).ok();
    let next = |line: &str, code: i32| cutover(&format!("{line} --json")).fails(code).json()["next"].clone();
    assert_eq!(next(&of(24, ""), 7), format!("cutover {} --json --stage", of(24, "").trim_end()));
    let staged = cutover(&of(24, "--stage")).ok();
    staged.prints(&["next     cutover scan store --version 2 --limit 5 · cutover versions store"]);
    assert_eq!(cutover(&of(24, "--stage --json")).ok().json()["next"], "cutover scan store --version 2 --limit 5");
    assert_eq!(next("publish store 2", 7), "cutover publish store 2 --allow older");
    assert_eq!(next("publish store 9", 2), "cutover versions store");
    assert_eq!(next("rollback store", 2), "cutover versions store");

    numbers.on("pin", "--reason audit").ok();
    assert_eq!(next("publish store 2 --allow older", 5), "cutover unpin store");
    let pinned = cutover(&of(26, "")).exits(5);
    pinned.prints(&["next     cutover unpin store · cutover scan store --version 3 --limit 5"]);
    let unpinned = numbers.on("unpin", "").ok();
    unpinned.prints(&["built meanwhile and held back: version 3; `cutover publish store 3` publishes the newest"]);
    let detail = &numbers.on("log", "--limit 1 --json").ok().json()["events"][0]["detail"];
    assert!(!detail.as_str().unwrap().contains('.'), "seconds are enough: {detail}");

    numbers.on("pin", "--reason again").ok();
    assert_eq!(numbers.on("unpin", "").ok().stdout.lines().last(), Some("readers still see it"), "nothing was built");
    assert_eq!(cutover("serve nostore --json").exits(2).json()["store"], "nostore");
}

#[test]
fn sizes_and_times_are_the_same_in_every_command() {
    let numbers = days(false);
    let report = numbers.workspace.cutover(&of(25, "--json")).ok().json();
    let listed = numbers.on("versions", "").ok();
    listed.prints(&["(…) by the clock: no as_of was stated"]);
    let listed = numbers.on("versions", "--json").ok().json();
    assert_eq!(report["stored_bytes"], listed["versions"]["1"]["stored_bytes"]);
    let shown = numbers.on("show", "--json").ok().json();
    assert!(shown["stages"][0]["seconds"].is_number() && shown["stages"][0].get("millis").is_none(), "{shown}");
    numbers.workspace.cutover_with(&["pin", "store", "--reason", "one\ntwo"]).ok();
    numbers.on("versions", "").ok().prints(&["one\\ntwo"]);
}

#[test]
fn a_rejected_version_is_not_published_by_staging_it() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    numbers.write(2, 10);
    let rejected = numbers.workspace.cutover("run numbers.toml --stage").fails(7);
    rejected.complains(&["version 2 was built but not published", "rows.max_change", "publish store 2 --allow rows"]);
    numbers
        .workspace
        .cutover("run numbers.toml --stage --allow rows")
        .ok()
        .prints(&["version 3 is complete and staged"]);
    numbers.on("publish", "3").ok();
    assert_eq!(numbers.seen(), (3, 2));
}
