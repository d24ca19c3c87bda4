//! Every distribution of keys and every size of values, in budgets down to a few hundred bytes, against an oracle.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::resources::Resources;
use crate::shuffle::cursor::HELD_WHOLE;
use crate::shuffle::merge::{MergePlan, fan_in};

/// How keys are distributed.
#[derive(Clone, Copy, Debug)]
enum Keys {
    /// All are the same.
    Equal,
    /// Half of them are the same.
    Hot,
    /// They come in order.
    Sorted,
    /// They come in reverse.
    Reversed,
    /// They share 240 bytes and differ in the few after them; some are the beginning of others.
    Prefixed,
    /// They come in no order.
    Uniform,
}

const KEYS: [Keys; 6] = [Keys::Equal, Keys::Hot, Keys::Sorted, Keys::Reversed, Keys::Prefixed, Keys::Uniform];

impl Keys {
    /// The key of the entry at `place` of `count`, which has this random number.
    fn key(self, place: usize, count: usize, random: u64) -> Vec<u8> {
        let bytes = random.to_be_bytes();
        match self {
            Keys::Equal => b"equal".to_vec(),
            Keys::Hot if random.is_multiple_of(2) => b"hot".to_vec(),
            Keys::Hot | Keys::Uniform => bytes.to_vec(),
            Keys::Sorted => (place as u64).to_be_bytes().to_vec(),
            Keys::Reversed => ((count - place) as u64).to_be_bytes().to_vec(),
            // One of three bytes in each place, so that many are equal.
            Keys::Prefixed => {
                let tail = bytes.iter().take(random as usize % 4).map(|byte| byte % 3);
                b"https://www.example.org/".repeat(10).into_iter().chain(tail).collect()
            }
        }
    }
}

/// As many bytes as asked for, which no codec makes much smaller.
fn noise(mut state: u64, bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&(state ^ (state >> 29)).to_be_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Entries of this shape, distributed over `writers` writers; `rows` gives a random number and the bits of a value's
/// length for each. A key is always in the same shard.
fn entries(keys: Keys, shards: u32, writers: usize, rows: &[(u64, u32)]) -> Vec<Vec<Owned>> {
    let mut parts = vec![Vec::new(); writers];
    for (place, (random, bits)) in rows.iter().enumerate() {
        let key = keys.key(place, rows.len(), *random);
        let shard = xxhash_rust::xxh3::xxh3_64(&key) as u32 % shards;
        let value = noise(*random, (*random >> 32) as usize % (1 << bits) + 1);
        parts[place * writers / rows.len()].push((shard, key, vec![(random % 5) as u8], value));
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_shape_of_keys_comes_out_in_order(
        keys in proptest::sample::select(&KEYS[..]),
        (shards, writers) in (1u32..5, 1usize..4),
        rows in vec((any::<u64>(), prop_oneof![6 => 0u32..8, 3 => 8u32..13, 1 => 13u32..18]), 1..400),
        memory in (8u32..22).prop_map(|bits| 1usize << bits),
    ) {
        let parts = entries(keys, shards, writers, &rows);
        let (sorted, stats) = shuffle(&parts, shards, memory);
        prop_assert_eq!(sorted, oracle(&parts, shards));
        prop_assert_eq!(stats.entries as usize, rows.len());
    }
}

/// With twice the memory that entries and their index take, nothing is written, however keys are distributed.
#[test]
fn what_fits_is_not_spilled() {
    let rows: Vec<(u64, u32)> =
        (0..20_000_u64).map(|row| (xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()), 6)).collect();
    for keys in KEYS {
        let parts = entries(keys, 3, 2, &rows);
        let held: usize =
            parts.iter().flatten().map(|(_, key, order, value)| key.len() + order.len() + value.len()).sum();
        let (sorted, stats) = shuffle(&parts, 3, 2 * (held + rows.len() * bucket::INDEX_BYTES));
        assert_eq!((stats.runs, stats.spilled_bytes), (0, 0), "{keys:?}");
        assert!(sorted == oracle(&parts, 3), "{keys:?}");
    }
}

/// Values of 1 byte, 2, 4 and so on to 16 MiB, in memory for none of them, for some and for all.
#[test]
fn values_of_1_byte_to_16_mebibytes_come_out_in_order() {
    let value = |bits: u32| noise(u64::from(bits), 1 << bits);
    // The largest come in the middle, and one key has every second of them.
    let sizes = (0..=24_u32).step_by(2).chain((1..24).rev().step_by(2));
    let all: Vec<Owned> = sizes
        .map(|bits| {
            let key = if bits % 2 == 0 { b"hot".to_vec() } else { vec![bits as u8] };
            (bits % 2, key, vec![u8::MAX - bits as u8], value(bits))
        })
        .collect();
    let parts: Vec<Vec<Owned>> = all.chunks(9).map(<[Owned]>::to_vec).collect();
    for (memory, spills) in [(4 << 10, true), (1 << 20, true), (40 << 20, true), (200 << 20, false)] {
        let (sorted, stats) = shuffle(&parts, 2, memory);
        // Not `assert_eq!`, which would print all of it.
        assert!(sorted == oracle(&parts, 2), "in {memory} bytes");
        assert_eq!(stats.runs > 0, spills, "in {memory} bytes");
    }
}

/// Large entries of one key, which differ late: in the value, in the order, or in what follows equal orders. A merge
/// holds the front of each alone.
#[test]
fn large_entries_that_differ_late_are_merged_in_order() {
    let size = 2 * HELD_WHOLE;
    let ends_in = |last: u8| [vec![b'x'; size], vec![last]].concat();
    let row = |order: Vec<u8>, value: Vec<u8>| (0, b"key".to_vec(), order, value);
    let mut rows = vec![row(vec![1], vec![b'x'; 9]), row(vec![1], vec![b'x'; size / 2 + 9])];
    for last in [7, 3, 9, 1, 200, 3] {
        rows.extend([row(vec![1], ends_in(last)), row(ends_in(last), vec![last]), row(ends_in(5), ends_in(last))]);
        rows.push((0, vec![last], vec![2; 20], ends_in(last)));
    }
    let parts: Vec<Vec<Owned>> = rows.chunks(5).map(<[Owned]>::to_vec).collect();
    let (sorted, stats) = shuffle(&parts, 1, 4 << 10);
    assert!(stats.runs as usize >= rows.len() / 2, "{stats:?}");
    assert!(sorted == oracle(&parts, 1), "another order, or other entries");
}

/// What merges hold does not grow with the values: one that is large makes no merge read fewer runs.
#[test]
fn a_merge_of_large_values_reads_as_many_runs() {
    assert_eq!(fan_in(16 << 20, HELD_WHOLE), 32);
    let directory = tempfile::tempdir().unwrap();
    let options = Options { writers: 1, ..options(directory.path(), 24 << 20, 64 << 20) };
    let shuffle = Shuffle::new(options.clone());
    let mut writer = shuffle.writer();
    for row in 0..30_u8 {
        writer.push(&batch(&[(0, vec![row], Vec::new(), noise(row.into(), 9 << 20))])).unwrap();
    }
    writer.finish().unwrap();
    let (shards, stats) = shuffle.finish().unwrap();
    assert_eq!(stats.runs, 30, "no pass of merges was needed");
    assert_eq!(drain(shards)[0].concat().len(), 30);
}

/// A thousand times the budget, with no less memory for a thread than it needs: whatever is written is written once,
/// and once more by a merge. Only the sizes of runs are played through, by the rules by which they are merged.
#[test]
fn a_thousand_times_the_budget_is_written_twice_at_most() {
    for (budget, threads) in [(64 << 20, 1), (128 << 20, 2), (512 << 20, 8), (8 << 30, 32), (256 << 30, 256)] {
        let memory = Resources { threads, memory: budget as u64 }.shuffle_memory();
        let options = Options { writers: threads, threads, ..options(Path::new(""), memory, 64 << 20) };
        let share = memory / threads;
        // The smallest first, with how many times their bytes were written. A run is half of what a writer may hold.
        let mut runs: BinaryHeap<Reverse<(usize, u32)>> = BinaryHeap::new();
        let merge = |runs: &mut BinaryHeap<Reverse<(usize, u32)>>, count: usize| {
            let taken: Vec<(usize, u32)> = (0..count).filter_map(|_| runs.pop()).map(|Reverse(run)| run).collect();
            let written = taken.iter().map(|run| run.1).max().unwrap() + 1;
            runs.push(Reverse((taken.iter().map(|run| run.0).sum(), written)));
        };
        for _ in 0..1_000 * budget / (share / 2) {
            runs.push(Reverse((share / 2, 1)));
            if runs.len() > RUNS_PER_WRITER * threads {
                merge(&mut runs, fan_in(share, 0));
            }
        }
        if let Some(pass) = MergePlan::of(runs.len(), 0, &options) {
            (0..pass.merges).for_each(|_| merge(&mut runs, pass.runs / pass.merges));
            // The rest of them is one more merge.
            if !pass.runs.is_multiple_of(pass.merges) {
                merge(&mut runs, pass.runs % pass.merges + 1);
            }
        }
        let most = runs.iter().map(|Reverse((_, written))| *written).max();
        assert_eq!(most, Some(2), "{budget} bytes, {threads} threads");
        assert_eq!(
            MergePlan::of(runs.len(), 0, &options),
            None,
            "{budget} bytes, {threads} threads: one pass is not enough"
        );
    }
}

proptest! {
    /// Each merge of a pass reads at least two runs, and no more than memory allows; where one pass is enough, few
    /// enough runs are left, and no run is merged needlessly.
    #[test]
    fn a_pass_leaves_few_enough_runs(
        count in 0usize..200_000, mib in 1usize..5_000, threads in 1usize..200, largest_block in 0usize..16 << 20,
    ) {
        let options = Options { writers: threads, threads, ..options(Path::new(""), mib << 20, 64 << 20) };
        let (all, last) = (fan_in(options.memory, largest_block), fan_in(options.memory / threads, largest_block));
        match MergePlan::of(count, largest_block, &options) {
            None => prop_assert!(count <= last),
            Some(pass) => {
                let each = pass.runs.div_ceil(pass.merges);
                let left = count - pass.runs + pass.merges;
                prop_assert!(count > last && each >= 2 && each <= all && pass.runs <= count, "{:?}", pass);
                prop_assert!(pass.at_once >= 1 && pass.at_once * each <= all.max(each) && pass.at_once <= threads);
                prop_assert!(left < count);
                prop_assert!(count.div_ceil(last) > all || left <= last, "{:?} leaves {}", pass, left);
                prop_assert!(pass.runs == count || left == last, "{:?} leaves {}, {} would do", pass, left, last);
            }
        }
    }
}
