//! Power loss during a build that spilled: whatever is left of its journals, runs and tables, the next run ends in the
//! version that an uninterrupted one builds, and in some of the states it resumes from finished work.
//!
//! Not for: damage, which a power loss does not cause (`resume`).

use super::STORE;
use super::disk::Disk;
use super::recording::{Op, Shim};
use crate::harness::names;
use crate::random::Random;
use crate::resume::{SMALL, Texts};

/// About how many states are run again: each is an entire build.
const RUN_ON: usize = 24;

#[test]
fn a_build_that_spilled_is_resumed_or_repeated() {
    let texts = Texts::new();
    let digest = texts.digest();
    let root = texts.workspace.path("");
    let mut disk = Disk::of(&root, STORE);
    let ops = Shim::compile().record(&texts.workspace, &format!("run texts.toml --threads 1 {SMALL}"));
    let journaled = |op: &Op| matches!(op, Op::Create { name, .. } if name == "shuffle.jsonl");
    let sealed = ops.iter().position(journaled).expect("the shuffle is journaled");
    let published = ops.iter().rposition(|op| matches!(op, Op::Rename { to, .. } if to.1 == "current.json")).unwrap();
    let syncs: Vec<usize> = (sealed..=published).filter(|at| matches!(ops[*at], Op::Sync { .. })).collect();
    assert!(syncs.len() > RUN_ON, "{} syncs", syncs.len());

    let (mut done, mut ranges) = (0, Vec::new());
    for (number, &at) in syncs.iter().step_by(syncs.len() / RUN_ON).enumerate() {
        ops[done..at].iter().for_each(|op| disk.apply(op));
        done = at;
        let state = if number % 2 == 0 { disk.synced() } else { disk.some(&mut Random::new(at as u64)) };
        state.write(&root, STORE);
        let report = texts.run("");
        let place = format!("the power goes before call {at} of {}", ops.len());
        assert_eq!(report.json["digest"], digest, "{place}");
        ranges.push(report.json["resumed"]["ranges"].as_u64());
        drop(texts.workspace.cutover("gc store").ok());
        texts.is_clean();
        assert_eq!(names(&texts.workspace.path("store/versions")), ["00000001"], "{place}");
    }
    let taken_up: Vec<u64> = ranges.iter().copied().flatten().collect();
    assert!(taken_up.iter().any(|ranges| *ranges > 0), "no finished range was reused: {ranges:?}");
    println!("reused ranges, by state: {ranges:?}");
}
