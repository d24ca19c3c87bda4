//! Spill files are removed on every exit path, and a directory that cannot hold them is named.

use tempfile::TempDir;

use super::*;
use crate::error::Kind;

fn spill_files(directory: &TempDir) -> usize {
    std::fs::read_dir(directory.path().join("spill")).map(Iterator::count).unwrap_or(0)
}

/// A shuffle of far more than its memory; two writers, one of which is still open.
fn spilled(directory: &TempDir) -> Shuffle {
    let shuffle =
        Shuffle::new(Options { writers: 2, threads: 2, shards: 2, ..options(directory.path(), 64 << 10, 16 << 10) });
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    writer.finish().unwrap();
    assert!(spill_files(directory) > 1, "nothing was spilled");
    shuffle
}

/// Whatever number is wrong in the journal of a sealed shuffle, it is refused, or its entries are the same.
#[test]
fn a_sealed_shuffle_with_a_wrong_number_is_refused_or_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let shuffle = spilled(&directory);
    let options = shuffle.options.clone();
    let shards = shuffle.finish().unwrap().0;
    let sealed = serde_json::to_value(seal(&shards).unwrap().unwrap()).unwrap();
    let expected: Vec<_> = drain(shards).into_iter().map(|ranges| ranges.concat()).collect();
    let (mut refused, mut same) = (0, 0);
    for number in numbers(&sealed, String::new()) {
        let value = sealed.pointer(&number).unwrap().as_u64().unwrap();
        for wrong in [0, 1, value + 1, value.saturating_sub(1), value ^ 1 << 20, u64::from(u32::MAX), u64::MAX] {
            let mut sealed = sealed.clone();
            *sealed.pointer_mut(&number).unwrap() = wrong.into();
            let Ok(sealed) = serde_json::from_value(sealed) else { continue };
            let entries = |shards: Vec<Shard>| -> Result<Vec<Vec<Owned>>> {
                let mut all = vec![Vec::new(); shards.len()];
                for (shard, entries) in shards.iter().zip(&mut all) {
                    for range in &shard.ranges {
                        range.for_each(|entry| {
                            let (key, order) = (entry.key.to_vec(), entry.order.to_vec());
                            entries.push((entry.shard, key, order, entry.value.to_vec()));
                            Ok(())
                        })?;
                    }
                }
                Ok(all)
            };
            match reopen(sealed, &options).and_then(entries) {
                Ok(found) => {
                    assert_eq!(found, expected, "{number} is {wrong} instead of {value}");
                    same += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Corrupt, "{number} is {wrong}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 10 && same > 10, "{refused} refused, {same} the same");
}

/// Paths of the numbers in the journal's records of runs and of the shards of splitters.
fn numbers(value: &serde_json::Value, path: String) -> Vec<String> {
    match value {
        serde_json::Value::Number(_) if !path.contains("/key/") => vec![path],
        serde_json::Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| numbers(field, format!("{path}/{name}"))).collect()
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, item)| numbers(item, format!("{path}/{at}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// A key of eight bytes; those of following rows lie anywhere.
fn scattered(row: u32) -> Vec<u8> {
    xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()).to_be_bytes().to_vec()
}

/// Runs of which not every block is indexed, as they are and sealed.
#[test]
fn ranges_begin_in_the_middle_of_long_runs() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { threads: 2, ..options(directory.path(), 1 << 20, 300 << 10) };
    let shuffle = Shuffle::new(options.clone());
    let mut expected: Vec<Owned> =
        (0..80_000).map(|row| (0, scattered(row), Vec::new(), scattered(row).repeat(12))).collect();
    let mut writer = shuffle.writer();
    expected.chunks(500).for_each(|entries| writer.push(&batch(entries)).unwrap());
    writer.finish().unwrap();
    expected.sort_unstable();
    let (shards, _) = shuffle.finish().unwrap();
    let (runs, _) = shards[0].ranges[0].on_disk().unwrap();
    assert!(runs.iter().any(|run| run.index().step() > 2), "all runs are short");
    let sealed = seal(&shards).unwrap().unwrap();
    for shards in [shards, reopen(sealed, &options).unwrap()] {
        let ranges = drain(shards).concat();
        let even = ranges.iter().all(|range| range.len() < 4 * expected.len() / ranges.len());
        assert!(ranges.len() > 20 && even, "{:?}", ranges.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(ranges.concat() == expected);
    }
}

fn ranges(shuffle: Shuffle) -> impl Iterator<Item = Range> {
    shuffle.finish().unwrap().0.into_iter().flat_map(|shard| shard.ranges)
}

#[test]
fn an_abandoned_shuffle_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let shuffle = spilled(&directory);
    drop(shuffle);
    assert_eq!(spill_files(&directory), 0);
}

#[test]
fn a_shuffle_does_not_finish_without_all_its_writers() {
    let directory = tempfile::tempdir().unwrap();
    let shuffle = spilled(&directory);
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    drop(writer);
    assert_eq!(shuffle.finish().unwrap_err().kind(), Kind::Internal);
    assert_eq!(spill_files(&directory), 0);
}

/// However many entries are pushed, the number of open files per writer is bounded.
#[test]
fn the_number_of_open_files_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let shuffle = Shuffle::new(Options { writers: 2, threads: 2, ..options(directory.path(), 8 << 10, 1 << 20) });
    let all: Vec<Owned> = (0..60_000).map(|row| (0, scattered(row), Vec::new(), vec![7; 20])).collect();
    let mut most = 0;
    std::thread::scope(|scope| {
        let fill = |half: &[Owned]| {
            let mut writer = shuffle.writer();
            let mut most = 0;
            for entries in half.chunks(500) {
                writer.push(&batch(entries)).unwrap();
                most = most.max(spill_files(&directory));
            }
            writer.finish().unwrap();
            most
        };
        let threads: Vec<_> = all.chunks(all.len() / 2).map(|half| scope.spawn(move || fill(half))).collect();
        most = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
    });
    let (shards, stats) = shuffle.finish().unwrap();
    let least = all.len() as u64 * 28 / (4 << 10);
    assert!(stats.runs > least && least > 256, "{stats:?}");
    // Runs that are being merged exist until their merge is written; and listing a directory is not a snapshot: it may
    // include both files that a thread removed and files that it created since.
    assert!(most <= 2 * (RUNS_PER_WRITER + 2) + 32, "{most} files");
    let mut expected: Vec<Vec<u8>> = all.into_iter().map(|entry| entry.1).collect();
    expected.sort_unstable();
    let found: Vec<Vec<u8>> = drain(shards).concat().concat().into_iter().map(|entry| entry.1).collect();
    assert!(found == expected);
}

#[test]
fn undrained_ranges_leave_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let ranges: Vec<Range> = ranges(spilled(&directory)).collect();
    assert!(ranges.len() > 1 && spill_files(&directory) > 0);
    drop(ranges);
    assert_eq!(spill_files(&directory), 0);
}

#[test]
fn a_build_that_fails_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let failing = |range: Range| range.for_each(|_| Err(Error::unavailable("no space for a table")));
    let failed = ranges(spilled(&directory)).try_for_each(failing).unwrap_err();
    assert_eq!(failed.message(), "no space for a table");
    assert_eq!(spill_files(&directory), 0);
}

#[test]
fn a_spill_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), b"in the way").unwrap();
    let spill_dir = directory.path().join("file/spill");
    let shuffle = Shuffle::new(Options { spill_dir: spill_dir.clone(), ..options(directory.path(), 1 << 10, 1 << 10) });
    let mut writer = shuffle.writer();
    let error = writer.push(&batch(&shaped(400, |i| i.to_be_bytes().to_vec()).concat())).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.message().contains(&spill_dir.display().to_string()), "{error}");
}

/// What several machines exchange: one run each, of which every shard is read on its own.
#[test]
fn runs_of_several_machines_give_the_same_shards_as_those_of_one() {
    let entry = |row: u64| {
        let key = format!("key-{:05}", row * 7919 % 1009).into_bytes();
        ((row % 5) as u32 * 2, key, row.to_be_bytes().to_vec(), vec![b'v'; (row % 300) as usize])
    };
    let all: Vec<Owned> = (0..6000).map(entry).collect();
    let directory = tempfile::tempdir().unwrap();
    // With little memory many runs are merged into the one; with more of it there is one from the start.
    for memory in [40 << 10, 8 << 20] {
        let machines = all.chunks(2500).enumerate().map(|(machine, entries)| {
            let spill_dir = directory.path().join(format!("{memory}-{machine}"));
            let shuffle = Shuffle::new(Options { shards: 10, spill_dir, ..options(directory.path(), memory, 1 << 20) });
            let mut writer = shuffle.writer();
            entries.chunks(100).for_each(|some| writer.push(&batch(some)).unwrap());
            writer.finish().unwrap();
            let (run, stats) = shuffle.finish_as_run().unwrap();
            assert_eq!(stats.entries, entries.len() as u64);
            run
        });
        let machines: Vec<_> = machines.collect();
        let mut found: Vec<Owned> = Vec::new();
        for shard in 0..10 {
            let files: Vec<PartFile> = machines
                .iter()
                .enumerate()
                .flat_map(|(machine, run)| {
                    let part = run.parts.iter().find(|part| part.shard == shard)?;
                    let bytes = std::fs::read(&run.path).unwrap();
                    let path = directory.path().join(format!("part-{memory}-{machine}-{shard}"));
                    std::fs::write(&path, &bytes[part.from as usize..part.to as usize]).unwrap();
                    Some(PartFile { path, largest_block: run.largest_block, part: *part })
                })
                .collect();
            let spill_dir = directory.path().join(format!("merge-{memory}-{shard}"));
            let merging = Options { shards: 10, spill_dir, ..options(directory.path(), memory, 1 << 20) };
            for range in shard_of_parts(shard, &files, &merging).unwrap().ranges {
                range
                    .for_each(|entry| {
                        assert_eq!(entry.shard, shard);
                        found.push((entry.shard, entry.key.to_vec(), entry.order.to_vec(), entry.value.to_vec()));
                        Ok(())
                    })
                    .unwrap();
            }
            // A part with another number of entries than was written, or other bytes, is found.
            if let Some(file) = files.first() {
                let mut fewer = file.clone();
                fewer.part.entries += 1;
                let drained = shard_of_parts(shard, &[fewer], &merging).unwrap();
                let drained = drained.ranges[0].for_each(|_| Ok(())).unwrap_err();
                assert_eq!(drained.kind(), crate::error::Kind::Corrupt);
                let mut bytes = std::fs::read(&file.path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&file.path, &bytes).unwrap();
                let damaged = shard_of_parts(shard, &files[..1], &merging).unwrap();
                assert!(damaged.ranges[0].for_each(|_| Ok(())).is_err());
                std::fs::write(&file.path, &bytes[1..]).unwrap();
                assert!(shard_of_parts(shard, &files[..1], &merging).is_err());
            }
        }
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(found, expected);
    }
}
