//! The shuffle against an oracle: whatever the memory, the shards and the threads, the same entries in sorted order.

use std::path::Path;

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

/// Passes entries through a shuffle, with one writer per part, and returns the output of each shard's ranges.
fn shuffle(parts: &[Vec<Owned>], shards: u32, memory: usize) -> (Vec<Vec<Owned>>, Stats) {
    shuffle_sealed(parts, shards, (memory, MANY), false)
}

/// More bytes than any test has: the key space is cut as early and as finely as the memory allows.
const MANY: u64 = 1 << 40;

/// Options for one writer, one thread and one shard; runs are in a subdirectory of `directory`.
fn options(directory: &Path, memory: usize, range_bytes: u64) -> Options {
    Options {
        memory,
        writers: 1,
        threads: 1,
        shards: 1,
        spill_dir: directory.join("spill"),
        range_bytes,
        expected_bytes: MANY,
    }
}

/// The same with this memory and this number of expected bytes. With `seals`, the shuffle is also sealed and reopened,
/// which must give the same entries, range by range.
fn shuffle_sealed(
    parts: &[Vec<Owned>],
    shards: u32,
    (memory, expected_bytes): (usize, u64),
    seals: bool,
) -> (Vec<Vec<Owned>>, Stats) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        writers: parts.len(),
        threads: 2,
        shards,
        expected_bytes,
        ..options(directory.path(), memory, 4 << 10)
    };
    let shuffle = Shuffle::new(options.clone());
    for part in parts {
        let mut writer = shuffle.writer();
        for entries in part.chunks(7) {
            writer.push(&batch(entries)).unwrap();
        }
        writer.finish().unwrap();
    }
    let (sorted, stats) = shuffle.finish().unwrap();
    let sealed = if seals { seal(&sorted).unwrap() } else { None };
    assert_eq!(sealed.is_some(), seals && stats.runs > 0);
    let drained = drain(sorted);
    let left = || std::fs::read_dir(&options.spill_dir).map(Iterator::count).unwrap_or(0);
    assert_eq!(left(), sealed.as_ref().map_or(0, Sealed::runs), "only sealed runs are left behind");
    if let Some(sealed) = sealed {
        let json = serde_json::to_string(&sealed).unwrap();
        let again = drain(reopen(serde_json::from_str(&json).unwrap(), &options).unwrap());
        assert_eq!(again, drained, "the reopened shuffle has the same entries");
        assert_eq!(left(), sealed.runs(), "and can be reopened once more");
    }
    (drained.into_iter().map(|ranges| ranges.concat()).collect(), stats)
}

/// Drains every range of every shard twice, which must give the same entries.
fn drain(shards: Vec<Shard>) -> Vec<Vec<Vec<Owned>>> {
    let drain = |range: &Range| {
        let mut drained = Vec::new();
        let owned = |entry: Entry<'_>| (entry.shard, entry.key.to_vec(), entry.order.to_vec(), entry.value.to_vec());
        range
            .for_each(|entry| {
                drained.push(owned(entry));
                Ok(())
            })
            .unwrap();
        drained
    };
    let mut out = Vec::new();
    for (number, shard) in shards.into_iter().enumerate() {
        assert_eq!(shard.number as usize, number);
        let ranges: Vec<_> = shard.ranges.iter().map(drain).collect();
        assert_eq!(shard.ranges.iter().map(drain).collect::<Vec<_>>(), ranges);
        out.push(ranges);
    }
    out
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
        expected in prop_oneof![Just(0), Just(MANY)],
        seals: bool,
    ) {
        let (sorted, stats) = shuffle_sealed(&parts, shards, (memory, expected), seals);
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
            let directory = tempfile::tempdir().unwrap();
            let shuffle =
                Shuffle::new(Options { writers: 2, threads: 2, ..options(directory.path(), memory, 1 << 18) });
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

/// A shuffle of 4,000 entries in runs, and the directory they are in.
fn spilled() -> (tempfile::TempDir, Options, Vec<Shard>) {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path(), 1 << 16, 1 << 20);
    let shuffle = Shuffle::new(options.clone());
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    writer.finish().unwrap();
    (directory, options, shuffle.finish().unwrap().0)
}

fn first_run(options: &Options) -> std::path::PathBuf {
    std::fs::read_dir(&options.spill_dir).unwrap().map(|entry| entry.unwrap().path()).min().unwrap()
}

/// A damaged spill file is found before its entries are used.
#[test]
fn a_damaged_spill_file_is_corrupt() {
    use crate::error::Kind;
    use std::os::unix::fs::FileExt;
    let (_directory, options, sorted) = spilled();
    let run = first_run(&options);
    let file = std::fs::File::options().write(true).open(&run).unwrap();
    file.write_all_at(&[0xff; 4], 200).unwrap();
    let failed = sorted.into_iter().flat_map(|shard| shard.ranges).find_map(|range| range.for_each(|_| Ok(())).err());
    let error = failed.expect("the damage is noticed");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.message().contains(&run.display().to_string()), "{error}");
}

/// Whatever is flipped or cut off in a sealed run, the result is an error or the same entries, never others.
#[test]
fn a_damaged_sealed_run_never_gives_other_entries() {
    use crate::error::Kind;
    let (_directory, options, sorted) = spilled();
    let sealed = seal(&sorted).unwrap().unwrap();
    let whole = drain(sorted);
    let run = first_run(&options);
    let bytes = std::fs::read(&run).unwrap();
    let found = || -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        for range in reopen(sealed.clone(), &options)?.into_iter().flat_map(|shard| shard.ranges) {
            range.for_each(|entry| {
                keys.push(entry.key.to_vec());
                Ok(())
            })?;
        }
        Ok(keys)
    };
    let keys: Vec<Vec<u8>> = whole.concat().concat().into_iter().map(|entry| entry.1).collect();
    assert_eq!(found().unwrap(), keys);
    let step = bytes.len() / 150;
    for at in (0..bytes.len()).rev().step_by(step) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        for damaged in [&flipped[..], &bytes[..at], &[&bytes[..], b"x"].concat()] {
            std::fs::write(&run, damaged).unwrap();
            assert_eq!(found().unwrap_err().kind(), Kind::Corrupt, "byte {at}");
        }
    }
    std::fs::remove_file(&run).unwrap();
    assert_eq!(found().unwrap_err().kind(), Kind::Corrupt);
    std::fs::write(&run, &bytes).unwrap();
    assert_eq!(found().unwrap(), keys);
    let fewer_shards = Options { shards: 0, ..options.clone() };
    assert_eq!(reopen(sealed.clone(), &fewer_shards).unwrap_err().kind(), Kind::Corrupt);
}
