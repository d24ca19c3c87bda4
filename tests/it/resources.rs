//! Resources that are missing, or change during a run: an input that is rewritten, a store that cannot be written, a
//! full disk, a closed standard output.
//!
//! The full disk and the read-only one are small file systems in their own mount namespace. If the system does not
//! allow that, the test says so and does nothing, except under CI, where that is a failure.

use std::fs;
use std::sync::Arc;

use arrow::array::StringArray;
use rustix::process::Signal;

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::{CUTOVER, Workspace, names};
use crate::namespace::in_namespace;

#[test]
fn an_input_that_changes_during_the_run_is_refused() {
    let store = "stores/enriched_events";
    let change = |workspace: &Workspace, what: &str| {
        let file = workspace.path("data/demo/events/part-00000.parquet");
        match what {
            "disappeared" => fs::remove_file(&file).unwrap(),
            _ => {
                let bytes = fs::read(&file).unwrap();
                fs::write(&file, bytes).unwrap();
            }
        }
    };
    for what in ["changed", "disappeared"] {
        let workspace = Workspace::with_repository();
        workspace.cutover("demo --generate-only --dir data/demo --events 1000000 --profiles 20000").ok();
        let mut build = workspace.start("run jobs/enriched_events.toml");
        build.stop_while_building(store);
        change(&workspace, what);
        build.signal(Signal::CONT);
        build.wait().fails(3).complains(&["data/demo/events/part-00000.parquet"]);
        workspace.cutover(&format!("versions {store}")).ok().prints(&["has no version yet"]);
        assert_eq!(names(&workspace.path(store).join("staging")), [""; 0]);
    }
}

#[test]
fn an_input_rewritten_with_the_same_bytes_counts_as_changed() {
    let workspace = Workspace::with_repository();
    workspace.cutover("demo --generate-only --dir data/demo --events 1000000 --profiles 20000").ok();
    let mut build = workspace.start("run jobs/enriched_events.toml");
    build.stop_while_building("stores/enriched_events");
    let file = workspace.path("data/demo/profiles/part-00000.parquet");
    let later = fs::metadata(&file).unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
    fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
    build.signal(Signal::CONT);
    let refused = build.wait().fails(3);
    refused
        .complains(&["data/demo/profiles/part-00000.parquet changed while it was being read", "nothing was published"]);
    workspace.cutover("run jobs/enriched_events.toml").ok().prints(&["version 1 is live"]);
}

#[test]
fn a_store_below_a_file_cannot_be_made() {
    let numbers = Numbers::new();
    numbers.workspace.write("blocked", "a file");
    numbers.workspace.write("numbers.toml", NUMBERS.replace("\"store\"", "\"blocked/store\""));
    numbers.run(1).fails(2).complains(&["blocked/store is below something that is not a directory"]);
    assert_eq!(fs::read(numbers.workspace.path("blocked")).unwrap(), b"a file");
}

#[test]
fn a_link_where_a_file_of_the_store_should_be_is_not_followed() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let lock = numbers.workspace.path("store/commit.lock");
    fs::remove_file(&lock).unwrap();
    numbers.workspace.write("victim", "precious");
    std::os::unix::fs::symlink(numbers.workspace.path("victim"), &lock).unwrap();
    numbers.run(2).fails(4).complains(&["commit.lock"]);
    assert_eq!(numbers.seen(), (1, 1));
    assert_eq!(fs::read(numbers.workspace.path("victim")).unwrap(), b"precious");
}

#[test]
fn a_full_disk_changes_nothing_and_leaves_nothing() {
    let numbers = Numbers::new();
    numbers
        .workspace
        .write("numbers.toml", NUMBERS.replace("SELECT key,", "SELECT key, text,").replace("shards = 4", ""));
    let columns = |rows: usize, letters: usize, generation: i64| {
        // Strings that no codec compresses.
        let mut state = 88_172_645_463_325_252_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'!' + (state % 90) as u8)
        };
        let texts: Vec<String> = (0..rows).map(|_| (0..letters).map(|_| letter()).collect()).collect();
        let keys: Vec<String> = (0..rows).map(|row| format!("k{row:03}")).collect();
        vec![
            ("key", strings(keys.iter().map(String::as_str))),
            ("text", Arc::new(StringArray::from(texts)) as _),
            ("generation", integers(std::iter::repeat_n(generation, rows))),
        ]
    };
    write_parquet(&numbers.workspace.path("small.parquet"), columns(100, 10, 1));
    write_parquet(&numbers.workspace.path("large.parquet"), columns(100, 200_000, 2));
    let script = "
        mkdir -p store in && mount -t tmpfs -o size=12m tmpfs store || exit 99
        cp small.parquet in/part-0.parquet && $CUTOVER run numbers.toml >first.txt 2>&1 || { cat first.txt; exit 98; }
        cp large.parquet in/part-0.parquet && $CUTOVER run numbers.toml --spill-dir spill >second.txt 2>&1
        echo $? >code.txt
        $CUTOVER gc store >gc.txt 2>&1 || exit 97
        find store/staging -mindepth 1 >staging.txt
        $CUTOVER get store k000 >get.txt 2>&1; $CUTOVER versions store --json >versions.json 2>&1
        cp small.parquet in/part-0.parquet && $CUTOVER run numbers.toml >third.txt 2>&1";
    let Some(run) = in_namespace(&numbers.workspace, script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(numbers.workspace.path(name)).unwrap();
    let said = read("second.txt");
    assert_eq!(read("code.txt"), "4\n", "{said}");
    assert!(said.contains("store/staging/") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("the version may need up to") && said.contains("bytes free"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(read("staging.txt"), "", "left in staging");
    assert!(read("get.txt").contains("\"generation\":1"), "{}", read("get.txt"));
    let versions: serde_json::Value = serde_json::from_str(&read("versions.json")).unwrap();
    assert_eq!(versions["versions"].as_object().unwrap().len(), 1);
}

#[test]
fn a_read_only_disk_can_be_read() {
    let numbers = Numbers::new();
    numbers.write(1, 100);
    let script = "
        mkdir -p store && mount -t tmpfs -o size=64m tmpfs store || exit 99
        $CUTOVER run numbers.toml >first.txt 2>&1 || { cat first.txt; exit 98; }
        touch in/part-0.parquet && mount -o remount,ro store || exit 97
        $CUTOVER get store k000 >get.txt 2>&1 || exit 96
        for command in 'run numbers.toml' 'pin store --reason audit' 'gc store'; do
            $CUTOVER $command 2>&1; echo \"code $?\"
        done";
    let Some(run) = in_namespace(&numbers.workspace, script) else { return };
    let run = run.exits(0);
    assert_eq!(run.stdout.matches("code 4\n").count(), 3, "{}", run.stdout);
    assert_eq!(run.stdout.matches("Read-only file system").count(), 3, "{}", run.stdout);
    assert!(!run.stdout.contains("panicked"), "{}", run.stdout);
}

#[test]
fn the_reader_of_the_output_may_close_it() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let script = "{ $CUTOVER scan store; echo $? >code.txt; } | head -n 1";
    let mut command = numbers.workspace.command("sh", &["-c", script]);
    numbers.workspace.finish(command.env("CUTOVER", CUTOVER)).exits(0).prints(&["k000"]);
    let code = fs::read_to_string(numbers.workspace.path("code.txt")).unwrap();
    assert!(["0\n", "141\n"].contains(&code.as_str()), "{code}");
}

#[test]
fn a_full_standard_output_is_an_error() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let mut command = numbers.workspace.command("sh", &["-c", "$CUTOVER scan store >/dev/full"]);
    numbers.workspace.finish(command.env("CUTOVER", CUTOVER)).fails(4).complains(&["standard output"]);
}

#[test]
fn unfinished_files_of_a_command_fail_its_test() {
    let workspace = Workspace::new();
    for left in ["store/staging/build-1/spill", "elsewhere/cutover-spill-1"] {
        let run = workspace.finish(&mut workspace.command("mkdir", &["-p", left]));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.exits(0)));
        assert!(refused.is_err(), "{left} was not noticed");
    }
    // What was there before is not counted, and a consumer keeps what it received.
    let kept = workspace.finish(&mut workspace.command("mkdir", &["-p", "store/staging/follow-1"]));
    kept.exits(0);
}
