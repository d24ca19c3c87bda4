//! Power loss: every state that the disk may have if the power fails during a real command, opened and read.
//!
//! ```text
//! command ─▶ shim: every system call on files ─▶ Disk: what is synced, what is not ─▶ at each sync: the states that may
//!            (RocksDB's own too)                                                      be left ─▶ open, read, run again
//! ```
//! At every sync of a command one state contains only what was synced; others contain, by seed, some of what was not.
//! In each a reader must see the complete old version or the complete new one, and every listed version must be
//! complete; in a share of them the command is run again and the rest is cleaned up.
//!
//! That the shim sees everything is checked: replaying all its records must give what is on the disk.
//!
//! Not for: killed processes; what they wrote stays.

mod disk;
mod recording;
mod resumed;

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use cutover::error::Kind;
use cutover::serve::{self, Depth, Range, Store};

use self::disk::{Disk, Tree};
use self::recording::{Op, Shim};
use crate::fixture::{NUMBERS, Numbers};
use crate::harness::names;
use crate::random::{Random, seeds};

/// The store's directory in the workspace: the simulated disk.
const STORE: &str = "store";
/// Random states at each sync.
const SEEDS: u64 = 2;
/// In one of this many states, the command is run again.
const RUN_ON: usize = 40;
/// Rows of each generation.
const ROWS: usize = 100;
/// Bytes of cache of a store that is opened once.
const CACHE: usize = 1 << 20;
/// What a store's directory may hold once nothing runs.
const OWN: [&str; 8] =
    ["build.lock", "commit.lock", "current.json", "log", "publish.lock", "reserve", "staging", "versions"];

/// A dataset in two shards, whose store keeps this many versions.
fn numbers(keep: u32) -> Numbers {
    let numbers = Numbers::new();
    let job = NUMBERS.replace("shards = 4", "shards = 2");
    numbers.workspace.write("numbers.toml", format!("{job}\n[retention]\nkeep = {keep}\n"));
    numbers
}

/// The generation that readers of a store see; `None` if nothing is published.
///
/// # Errors
/// What is broken.
fn seen(store: &Path) -> Result<Option<i64>, String> {
    let broken = |error: cutover::error::Error| error.chain().join(": ");
    let store = match Store::with_cache(store, CACHE) {
        Err(error) if error.kind() == Kind::Invalid && error.message().starts_with("there is no store") => {
            return Ok(None);
        }
        store => store.map_err(broken)?,
    };
    for &version in store.versions().map_err(broken)?.versions.keys() {
        let report = serve::verify(&store, version, Depth::Full).map_err(broken)?;
        if let Some(finding) = report.findings.first() {
            return Err(format!("version {version} is not complete: {finding}"));
        }
    }
    let Some(version) = store.current().map_err(broken)? else { return Ok(None) };
    let mut generations = BTreeSet::new();
    let mut rows = 0;
    for entry in version.scan(&Range::default()) {
        let (_, value) = entry.map_err(broken)?;
        generations.insert(version.value_schema().to_json(&value).map_err(broken)?["generation"].as_i64());
        rows += 1;
    }
    match (rows, generations.len()) {
        (ROWS, 1) => Ok(generations.pop_first().flatten()),
        _ => Err(format!("version {} has {rows} rows of {generations:?}", version.number())),
    }
}

/// Records a command that takes readers from one generation to another, and checks every state it may leave.
#[track_caller]
fn survives(numbers: &Numbers, line: &str, from: Option<i64>, to: i64) {
    let root = numbers.workspace.path("");
    let mut disk = Disk::of(&root, STORE);
    assert_eq!(seen(&root.join(STORE)), Ok(from), "before {line}");
    let ops = Shim::compile().record(&numbers.workspace, line);
    let mut whole = disk.clone();
    ops.iter().for_each(|op| whole.apply(op));
    let there = Tree::read(&root, STORE);
    assert_eq!(whole.whole().differences(&there), [""; 0], "the shim did not see everything that {line} did");

    let scratch = tempfile::tempdir().unwrap();
    let mut random = Random::new(ops.len() as u64);
    let mut known = HashSet::new();
    let mut run_on = 0;
    let ends = |at: &usize| matches!(ops.get(*at), None | Some(Op::Sync { .. }));
    let mut done = 0;
    for at in (0..=ops.len()).filter(ends) {
        ops[done..at].iter().for_each(|op| disk.apply(op));
        done = at;
        let states = std::iter::once((None, disk.synced()));
        let some = seeds(SEEDS).map(|seed| (Some(seed), disk.some(&mut Random::new(seed << 32 | at as u64))));
        for (seed, state) in states.chain(some) {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            if !known.insert(hasher.finish()) {
                continue;
            }
            let place = format!("{line}: the power goes before call {at} of {}, seed {seed:?}", ops.len());
            state.write(scratch.path(), STORE);
            let found = seen(&scratch.path().join(STORE)).unwrap_or_else(|problem| {
                panic!("{place}: {problem}\n{}", last_calls(&ops, at, &state, &there));
            });
            assert!(found == from || found == Some(to), "{place}: readers see {found:?}");
            if random.once_in(RUN_ON) || at == ops.len() {
                run_on += 1;
                recovers(numbers, line, &state, found, to, &place);
            }
        }
    }
    assert_eq!(seen_in(&disk, scratch.path()), Some(to), "what {line} said is done must be on the disk");
    println!("{line}: {} calls, {} states, {run_on} of them run on", ops.len(), known.len());
}

/// In a state that a power loss left, the command succeeds, and nothing is left over.
#[track_caller]
fn recovers(numbers: &Numbers, line: &str, state: &Tree, found: Option<i64>, to: i64, place: &str) {
    let root = numbers.workspace.path("");
    state.write(&root, STORE);
    if found != Some(to) || line.starts_with("run ") {
        drop(numbers.workspace.cutover(line).ok());
    }
    drop(numbers.on("gc", "--keep 9").ok());
    assert_eq!(seen(&root.join(STORE)), Ok(Some(to)), "{place}, and it was run again");
    let versions = numbers.states().into_iter().map(|(version, _)| format!("{version:08}"));
    assert_eq!(names(&root.join("store/versions")), versions.collect::<Vec<_>>(), "{place}, after gc");
    assert_eq!(names(&root.join("store/staging")), [""; 0], "{place}, after gc");
    let foreign: Vec<_> = names(&root.join(STORE)).into_iter().filter(|name| !OWN.contains(&name.as_str())).collect();
    assert_eq!(foreign, [""; 0], "{place}, after gc");
}

/// What readers see if only what was synced survives.
fn seen_in(disk: &Disk, scratch: &Path) -> Option<i64> {
    disk.synced().write(scratch, STORE);
    seen(&scratch.join(STORE)).unwrap()
}

/// The calls that led to a state, for the message of a failure.
fn last_calls(ops: &[Op], at: usize, state: &Tree, there: &Tree) -> String {
    let shown = |op: &Op| match op {
        Op::Write { inode, offset, data } => {
            format!("Write {{ inode: {inode}, offset: {offset}, {} bytes }}", data.len())
        }
        op => format!("{op:?}"),
    };
    let calls: Vec<String> = ops[at.saturating_sub(40)..at].iter().map(shown).collect();
    format!("last calls:\n  {}\nnot as at the end: {:?}", calls.join("\n  "), state.differences(there))
}

#[test]
fn the_first_run_is_whole_or_absent() {
    let numbers = numbers(3);
    numbers.write(1, ROWS);
    survives(&numbers, "run numbers.toml", None, 1);
}

#[test]
fn a_run_that_deletes_the_previous_version_leaves_the_old_or_the_new() {
    let numbers = numbers(1);
    numbers.run(1).ok();
    numbers.write(2, ROWS);
    survives(&numbers, "run numbers.toml", Some(1), 2);
}

#[test]
fn commands_that_switch_readers_leave_the_old_or_the_new() {
    let numbers = numbers(3);
    (1..=2).for_each(|generation| drop(numbers.run(generation).ok()));
    survives(&numbers, "rollback store --to 1", Some(2), 1);
    survives(&numbers, "publish store 2 --allow rolled-back", Some(1), 2);
    survives(&numbers, "pin store 1 --reason audit", Some(2), 1);
    drop(numbers.on("unpin", "").ok());
    drop(numbers.on("publish", "2 --allow older").ok());
    survives(&numbers, "gc store --keep 1", Some(2), 2);
    numbers.assert_states(&[(2, "published")]);
}

/// The disk loses what a correct program must sync: a check that cannot fail shows nothing.
#[test]
fn a_disk_loses_what_was_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join(STORE)).unwrap();
    std::fs::write(directory.path().join("store/current"), "old").unwrap();
    let store = recording::inode(&directory.path().join(STORE));
    let create = Op::Create { directory: store, name: "temporary".into(), inode: 7 };
    let write = Op::Write { inode: 7, offset: 0, data: b"new".to_vec() };
    let rename = Op::Rename { from: (store, "temporary".into()), to: (store, "current".into()) };
    let (file, names) = (Op::Sync { inode: 7 }, Op::Sync { inode: store });
    let left = |ops: &[&Op]| {
        let mut disk = Disk::of(directory.path(), STORE);
        ops.iter().for_each(|op| disk.apply(op));
        let scratch = tempfile::tempdir().unwrap();
        let mut contents = BTreeSet::new();
        let some = (0..64).map(|seed| disk.some(&mut Random::new(seed)));
        for state in some.chain([disk.synced()]) {
            state.write(scratch.path(), STORE);
            contents.insert(std::fs::read_to_string(scratch.path().join("store/current")).unwrap_or_default());
        }
        contents.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(left(&[&create, &write, &file, &rename]), ["new", "old"]);
    assert_eq!(left(&[&create, &write, &file, &rename, &names]), ["new"]);
    let careless = left(&[&create, &write, &rename, &names]);
    assert!(careless.iter().any(|content| content != "old" && content != "new"), "{careless:?}");
}
