//! Spill files are removed on every way out, and a place that cannot hold them is named.

use tempfile::TempDir;

use super::*;
use crate::error::Kind;

fn spill_files(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path().join("spill")).map(Iterator::count).unwrap_or(0)
}

/// Takes far more than its memory; two writers, one of which is still open.
fn spilled(folder: &TempDir) -> Shuffle {
    let shuffle = Shuffle::new(Options {
        memory: 64 << 10,
        writers: 2,
        threads: 2,
        shards: 2,
        spill_dir: folder.path().join("spill"),
        range_bytes: 16 << 10,
        expected_bytes: MANY,
    });
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    writer.finish().unwrap();
    assert!(spill_files(folder) > 1, "nothing was spilled");
    shuffle
}

fn ranges(shuffle: Shuffle) -> impl Iterator<Item = Range> {
    shuffle.finish().unwrap().0.into_iter().flat_map(|shard| shard.ranges)
}

#[test]
fn a_shuffle_that_is_given_up_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let shuffle = spilled(&folder);
    let mut writer = shuffle.writer();
    writer.push(&batch(&shaped(4_000, |i| i.to_be_bytes().to_vec()).concat())).unwrap();
    let with_both = spill_files(&folder);
    drop(writer);
    assert!(spill_files(&folder) < with_both, "those of a writer that did not finish go with it");
    drop(shuffle);
    assert_eq!(spill_files(&folder), 0);
}

#[test]
fn ranges_that_nobody_drains_leave_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let ranges: Vec<Range> = ranges(spilled(&folder)).collect();
    assert!(ranges.len() > 1 && spill_files(&folder) > 0);
    drop(ranges);
    assert_eq!(spill_files(&folder), 0);
}

#[test]
fn a_build_that_fails_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let failing = |range: Range| range.for_each(|_| Err(Error::unavailable("no space for a table")));
    let failed = ranges(spilled(&folder)).try_for_each(failing).unwrap_err();
    assert_eq!(failed.message(), "no space for a table");
    assert_eq!(spill_files(&folder), 0);
}

#[test]
fn a_spill_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"in the way").unwrap();
    let spill_dir = folder.path().join("file/spill");
    let shuffle = Shuffle::new(Options {
        memory: 1 << 10,
        writers: 1,
        threads: 1,
        shards: 1,
        spill_dir: spill_dir.clone(),
        range_bytes: 1 << 10,
        expected_bytes: MANY,
    });
    let mut writer = shuffle.writer();
    let error = writer.push(&batch(&shaped(400, |i| i.to_be_bytes().to_vec()).concat())).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.message().contains(&spill_dir.display().to_string()), "{error}");
}
