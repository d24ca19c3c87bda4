//! The shuffle against an oracle: whatever the memory, the shards and the threads, the same entries in sorted order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encode::Column;

mod folds;
mod shapes;
mod spills;

type Owned = (u32, Vec<u8>, Vec<u8>, Vec<u8>);

fn batch(entries: &[Owned]) -> EntryBatch {
    let column = |field: fn(&Owned) -> &Vec<u8>| {
        let mut column = Column { data: Vec::new(), offsets: vec![0] };
        for entry in entries {
            column.data.extend_from_slice(field(entry));
            column.offsets.push(column.data.len());
        }
        column
    };
    EntryBatch {
        keys: column(|entry| &entry.1),
        orders: column(|entry| &entry.2),
        values: column(|entry| &entry.3),
        shards: entries.iter().map(|entry| entry.0).collect(),
    }
}

/// Runs entries through a shuffle, a writer for every part, and returns what each shard's ranges hand out.
fn shuffle(parts: &[Vec<Owned>], shards: u32, memory: usize) -> (Vec<Vec<Owned>>, Stats) {
    let folder = tempfile::tempdir().unwrap();
    let spill_dir = folder.path().join("spill");
    let shuffle = Shuffle::new(Options {
        memory,
        writers: parts.len(),
        threads: 2,
        shards,
        spill_dir: spill_dir.clone(),
        range_bytes: 4 << 10,
    });
    for part in parts {
        let mut writer = shuffle.writer();
        for entries in part.chunks(7) {
            writer.push(&batch(entries)).unwrap();
        }
        writer.finish().unwrap();
    }
    let (sorted, stats) = shuffle.finish().unwrap();
    let mut out = Vec::new();
    for (number, shard) in sorted.into_iter().enumerate() {
        assert_eq!(shard.number as usize, number);
        let mut drained = Vec::new();
        for range in shard.ranges {
            range
                .for_each(|entry| {
                    drained.push((entry.shard, entry.key.to_vec(), entry.order.to_vec(), entry.value.to_vec()));
                    Ok(())
                })
                .unwrap();
        }
        out.push(drained);
    }
    let left = std::fs::read_dir(&spill_dir).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "spill files are left behind");
    (out, stats)
}

fn oracle(parts: &[Vec<Owned>], shards: u32) -> Vec<Vec<Owned>> {
    let mut all: Vec<Owned> = parts.concat();
    all.sort();
    (0..shards).map(|shard| all.iter().filter(|entry| entry.0 == shard).cloned().collect()).collect()
}

fn entries(shards: u32) -> impl Strategy<Value = Vec<Owned>> {
    let key = prop_oneof![
        vec(0u8..3, 0..4),
        vec(any::<u8>(), 0..20),
        vec(any::<u8>(), 0..3).prop_map(|tail| [b"https://www.example.org/".to_vec(), tail].concat()),
        Just(b"hot".to_vec()),
    ];
    let value = prop_oneof![4 => vec(any::<u8>(), 0..30), 1 => vec(0u8..2, 0..3000)];
    vec((0..shards, key, vec(any::<u8>(), 0..4), value), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_budget_gives_the_same_order(
        (shards, parts) in (1u32..5).prop_flat_map(|shards| (Just(shards), vec(entries(shards), 1..4))),
        memory in prop_oneof![1usize..4096, 4096usize..100_000, Just(64 << 20)],
    ) {
        let (sorted, stats) = shuffle(&parts, shards, memory);
        prop_assert_eq!(sorted, oracle(&parts, shards));
        prop_assert_eq!(stats.entries as usize, parts.iter().map(Vec::len).sum::<usize>());
    }
}

fn shaped(count: u32, key: impl Fn(u32) -> Vec<u8>) -> Vec<Vec<Owned>> {
    let all: Vec<Owned> = (0..count).map(|i| (0, key(i), vec![], i.to_le_bytes().repeat(8))).collect();
    all.chunks(count as usize / 2).map(<[Owned]>::to_vec).collect()
}

/// Sorted, reversed, equal and skewed keys, in memory and spilled, are cut into ranges of about the same size.
#[test]
fn work_is_even_whatever_the_order_of_the_input() {
    type Key = fn(u32) -> Vec<u8>;
    let shapes: [(&str, Key); 3] = [
        ("sorted", |i| i.to_be_bytes().to_vec()),
        ("reversed", |i| (u32::MAX - i).to_be_bytes().to_vec()),
        ("long shared prefix", |i| [vec![b'x'; 200], i.to_be_bytes().to_vec()].concat()),
    ];
    for (name, key) in shapes {
        for memory in [64 << 20, 1 << 20] {
            let parts = shaped(40_000, key);
            let folder = tempfile::tempdir().unwrap();
            let shuffle = Shuffle::new(Options {
                memory,
                writers: 2,
                threads: 2,
                shards: 1,
                spill_dir: folder.path().join("spill"),
                range_bytes: 1 << 18,
            });
            for part in &parts {
                let mut writer = shuffle.writer();
                writer.push(&batch(part)).unwrap();
                writer.finish().unwrap();
            }
            let (mut sorted, stats) = shuffle.finish().unwrap();
            assert_eq!(stats.runs == 0, memory == 64 << 20, "{name}");
            let mut sizes = Vec::new();
            for range in sorted.remove(0).ranges {
                let mut size = 0;
                range
                    .for_each(|_| {
                        size += 1;
                        Ok(())
                    })
                    .unwrap();
                sizes.push(size);
            }
            let largest = sizes.iter().max().copied().unwrap_or(0);
            assert!(sizes.len() >= 2 && largest <= 40_000 * 2 / 3, "{name} with {memory} bytes: {sizes:?}");
        }
    }
}

/// Far more runs than one merge may hold are merged in passes.
#[test]
fn many_runs_are_merged_in_passes() {
    let parts = shaped(4_000, |i| (i % 1000).to_be_bytes().to_vec());
    let (sorted, stats) = shuffle(&parts, 1, 16 << 10);
    assert_eq!(sorted, oracle(&parts, 1));
    assert!(stats.runs > 8, "{stats:?}");
}

/// A damaged spill file is found before its entries are used.
#[test]
fn a_damaged_spill_file_is_corrupt() {
    use crate::error::Kind;
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let spill_dir = folder.path().join("spill");
    let shuffle = Shuffle::new(Options {
        memory: 1 << 16,
        writers: 1,
        threads: 1,
        shards: 1,
        spill_dir: spill_dir.clone(),
        range_bytes: 1 << 20,
    });
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    writer.finish().unwrap();
    let (sorted, _) = shuffle.finish().unwrap();
    let run = std::fs::read_dir(&spill_dir).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::File::options().write(true).open(&run).unwrap();
    file.write_all_at(&[0xff; 4], 200).unwrap();
    let failed = sorted.into_iter().flat_map(|shard| shard.ranges).find_map(|range| range.for_each(|_| Ok(())).err());
    let error = failed.expect("the damage is noticed");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.message().contains(&run.display().to_string()), "{error}");
}
