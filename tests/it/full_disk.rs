//! A disk that becomes full at any stage: the error names the directory, nothing visible changes, `gc` frees the space.
//!
//! The store is a small file system in its own mount namespace, on which only N pages or N inodes are left. N grows
//! from 0 until the run succeeds, so every stage runs out of space once.
//!
//! Not for: a table that does not fit, or a read-only disk (`resources`).

use std::collections::BTreeSet;
use std::fs;

use crate::fixture::{NUMBERS, Numbers, integers, strings, write_parquet};
use crate::harness::Workspace;
use crate::namespace::in_namespace;
use crate::wide_rows;

/// Runs with more and more of what `limit` leaves free, and checks each run. `limit` is a shell function that leaves
/// this much; afterwards the file system has its full size again.
fn ends_well(limit: &str, step: usize) {
    let numbers = Numbers::new();
    numbers.workspace.write("numbers.toml", NUMBERS.replace("shards = 4", "shards = 2"));
    for generation in 1..=2 {
        numbers.write(generation, 100);
        fs::rename(
            numbers.workspace.path("in/part-0.parquet"),
            numbers.workspace.path(format!("{generation}.parquet")),
        )
        .unwrap();
    }
    let script = format!(
        "
        {limit}
        mkdir -p store in && mount -t tmpfs -o size=8m,nr_inodes=1000 tmpfs store || exit 99
        cp 1.parquet in/part-0.parquet && $CUTOVER run numbers.toml >first.txt 2>&1 || {{ cat first.txt; exit 98; }}
        cp 2.parquet in/part-0.parquet
        before=$(stat -f -c '%a %d' store)
        for free in $(seq 0 {step} 400); do
            leave $free
            $CUTOVER run numbers.toml >run.$free.txt 2>&1
            code=$?
            $CUTOVER gc store >gc.$free.txt 2>&1
            echo \"$free $code $?\" >>codes.txt
            find store/staging -mindepth 1 >>left.txt
            $CUTOVER get store k000 --json >get.$free.txt 2>&1
            rm -f store/filler && mount -o remount,size=8m,nr_inodes=1000 store
            [ $code = 0 ] && exit 0
            [ \"$(stat -f -c '%a %d' store)\" = \"$before\" ] || exit 97
        done
        exit 96"
    );
    let Some(run) = in_namespace(&numbers.workspace, &script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(numbers.workspace.path(name)).unwrap();
    assert_eq!(read("left.txt"), "", "left in staging");
    let codes = read("codes.txt");
    let mut places = BTreeSet::new();
    for line in codes.lines() {
        let [free, code, gc] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let said = read(&format!("run.{free}.txt"));
        assert!(!said.contains("panicked"), "{free} free: {said}");
        assert_eq!(gc, "0", "{free} free, gc: {}", read(&format!("gc.{free}.txt")));
        let seen = if code == "0" { "\"generation\": 2" } else { "\"generation\": 1" };
        assert!(read(&format!("get.{free}.txt")).contains(seen), "{free} free: {}", read(&format!("get.{free}.txt")));
        if code != "0" {
            assert_eq!(code, "4", "{free} free: {said}");
            assert!(said.contains("store/") && said.contains("No space left on device"), "{free} free: {said}");
            let last = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            places.insert(last.split("store/").next().unwrap_or_default().trim().to_owned());
        }
    }
    println!("{} runs, which ended at: {places:#?}", codes.lines().count());
    assert!(places.len() >= 3, "the disk was full at few stages: {places:?}");
}

#[test]
fn every_stage_survives_a_disk_without_space() {
    ends_well("leave() { head -c $(( ($(stat -f -c %a store) - $1) * 4096 )) /dev/zero >store/filler; }", 1);
}

#[test]
fn every_stage_survives_a_disk_without_inodes() {
    ends_well(
        "leave() { mount -o remount,nr_inodes=$(( $(stat -f -c %c store) - $(stat -f -c %d store) + $1 )) store; }",
        1,
    );
}

#[test]
fn a_full_disk_is_reported_with_what_gc_would_free() {
    let numbers = Numbers::new();
    for generation in 1..=3 {
        numbers.write(generation, 100);
        let (from, to) = ("in/part-0.parquet", format!("{generation}.parquet"));
        fs::rename(numbers.workspace.path(from), numbers.workspace.path(to)).unwrap();
    }
    let script = "
        mkdir -p store && mount -t tmpfs -o size=8m tmpfs store || exit 99
        for generation in 1 2; do
            cp $generation.parquet in/part-0.parquet && $CUTOVER run numbers.toml >run.txt 2>&1 || exit 98
        done
        cp 3.parquet in/part-0.parquet
        head -c $(( ($(stat -f -c %a store) - 8) * 4096 )) /dev/zero >store/filler
        $CUTOVER run numbers.toml >run.txt 2>&1
        echo $? >code.txt
        $CUTOVER gc store --keep 1 --dry-run >foreseen.txt 2>&1
        $CUTOVER gc store --keep 1 >gc.txt 2>&1";
    let Some(run) = in_namespace(&numbers.workspace, script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(numbers.workspace.path(name)).unwrap();
    assert_eq!(read("code.txt"), "4\n", "{}", read("run.txt"));
    let said = read("run.txt");
    assert!(said.contains("`cutover gc store --keep 1` would free ") && said.contains("iB: version 1"), "{said}");
    assert!(read("foreseen.txt").contains("would delete version 1 and free"), "{}", read("foreseen.txt"));
    assert!(read("gc.txt").contains("deleted version 1"), "{}", read("gc.txt"));
}

#[test]
fn gc_frees_a_disk_without_a_free_byte() {
    let numbers = Numbers::new();
    for generation in 1..=2 {
        numbers.write(generation, 100);
        let (from, to) = ("in/part-0.parquet", format!("{generation}.parquet"));
        fs::rename(numbers.workspace.path(from), numbers.workspace.path(to)).unwrap();
    }
    let script = "
        mkdir -p store && mount -t tmpfs -o size=8m tmpfs store || exit 99
        for generation in 1 2; do
            cp $generation.parquet in/part-0.parquet && $CUTOVER run numbers.toml >run.txt 2>&1 || exit 98
        done
        cat /dev/zero >store/filler 2>/dev/null
        [ $(stat -f -c %a store) = 0 ] || exit 97
        for time in 1 2; do
            $CUTOVER gc store --keep 1 >gc.$time.txt 2>&1 || { cat gc.$time.txt; exit 96; }
        done
        du -k store/reserve >reserve.txt
        $CUTOVER versions store >versions.txt 2>&1";
    let Some(run) = in_namespace(&numbers.workspace, script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(numbers.workspace.path(name)).unwrap();
    assert!(read("gc.1.txt").contains("deleted version 1"), "{}", read("gc.1.txt"));
    assert!(!read("gc.2.txt").contains("deleted"), "{}", read("gc.2.txt"));
    assert!(read("reserve.txt").split_whitespace().next().unwrap().parse::<u64>().unwrap() >= 64, "set aside again");
    assert!(read("versions.txt").contains("published"), "{}", read("versions.txt"));
}

#[test]
fn a_full_spill_directory_is_named_with_its_free_space() {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let job = NUMBERS.replace("SELECT key, generation", "SELECT *").replace("shards = 4", "");
    numbers.workspace.write("numbers.toml", job);
    let letters = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(30);
    let rows: Vec<String> = (0..60_000).map(|row| format!("k{row:06}")).collect();
    write_parquet(
        &numbers.workspace.path("in/part-0.parquet"),
        vec![
            ("key", strings(rows.iter().map(String::as_str))),
            ("generation", integers(std::iter::repeat_n(2, rows.len()))),
            ("text", strings(std::iter::repeat_n(letters.as_str(), rows.len()))),
        ],
    );
    let script = "
        mkdir -p spill && mount -t tmpfs -o size=256k tmpfs spill || exit 99
        $CUTOVER run numbers.toml --allow rows --memory 64MiB --spill-dir spill >run.txt 2>&1
        echo $? >code.txt
        find spill -mindepth 1 >left.txt; find store/staging -mindepth 1 >>left.txt
        $CUTOVER get store k000 >get.txt 2>&1";
    let Some(run) = in_namespace(&numbers.workspace, script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(numbers.workspace.path(name)).unwrap();
    let said = read("run.txt");
    assert_eq!(read("code.txt"), "4\n", "{said}");
    assert!(said.contains("spill/") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("--spill-dir") && said.contains("bytes"), "{said}");
    let needed = said.split_once("sorting may need up to ").and_then(|(_, rest)| rest.split_once(" bytes in spill"));
    let needed: u64 = needed.expect(&said).0.parse().unwrap();
    let held = (rows.len() * (rows[0].len() + letters.len())) as u64;
    assert!(needed > held && needed < 2 * held, "{needed} bytes for {held}: {said}");
    assert_eq!(read("left.txt"), "", "left in the spill directory or in staging");
    assert!(read("get.txt").contains("\"generation\":1"), "{}", read("get.txt"));
}

/// It is not an error in the data, whichever writer reports it.
#[test]
fn a_spill_directory_that_a_join_fills_is_named() {
    let workspace = Workspace::new();
    wide_rows::write(&workspace.path(""), 40_960);
    workspace.write(
        "joined.toml",
        "version = 1\ndataset = \"joined\"\nstore = \"store\"\n\n[inputs.l]\npath = \"left.parquet\"\n\n\
         [inputs.r]\npath = \"right.parquet\"\n\n[query]\nsql = \"SELECT l.id, l.payload, r.payload AS other \
         FROM l JOIN r ON l.one = r.one\"\n\n[output]\nkey = [\"id\"]\nduplicates = \"list\"\n",
    );
    let script = "
        mkdir -p spill && mount -t tmpfs -o size=1m tmpfs spill || exit 99
        $CUTOVER run joined.toml --memory 128MiB --threads 2 --spill-dir spill >run.txt 2>&1
        echo $? >code.txt
        find spill -mindepth 1 >left.txt; find store/staging -mindepth 1 >>left.txt";
    let Some(run) = in_namespace(&workspace, script) else { return };
    run.exits(0);
    let read = |name: &str| fs::read_to_string(workspace.path(name)).unwrap();
    let said = read("run.txt");
    assert_eq!(read("code.txt"), "4\n", "{said}");
    assert!(said.contains(" spill\n") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("--spill-dir"), "{said}");
    assert_eq!(read("left.txt"), "", "left in the spill directory or in staging");
}
