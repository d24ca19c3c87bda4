//! Every duplicate policy with any memory, against a map of all entries: a key's entries are in one range, in order,
//! each once.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::append_number;
use crate::error::Kind;
use crate::format::{Encoding, KeyColumn, KeyEncoding, KeyKind, KeySchema};
use crate::job::Fold;
use crate::shuffle::duplicates::{Deduplicator, DuplicatePolicy};

/// Pairs of bytes: key and value of a record, or order and value of an entry.
type Records = Vec<(Vec<u8>, Vec<u8>)>;
type ByKey = BTreeMap<Vec<u8>, Records>;

const FOLDS: [Fold; 7] = [Fold::Error, Fold::First, Fold::Last, Fold::Number, Fold::List, Fold::Top(1), Fold::Top(3)];

fn folding(fold: Fold) -> DuplicatePolicy {
    let column = KeyColumn { name: "key".to_owned(), type_name: "binary".to_owned(), kind: KeyKind::Binary };
    let key = KeySchema { columns: vec![column], encoding: KeyEncoding::Bytes, numbered: false };
    DuplicatePolicy { fold, encoding: Encoding::Json, header: b"head".to_vec(), key }
}

/// The records of each shard, with a deduplicator per range, as in a build.
fn folded(parts: &[Vec<Owned>], count: u32, memory: usize, fold: Fold) -> Result<Vec<Records>> {
    let folding = folding(fold);
    let directory = tempfile::tempdir().unwrap();
    let shuffle = Shuffle::new(Options {
        writers: parts.len(),
        threads: 2,
        shards: count,
        ..options(directory.path(), memory, 1 << 10)
    });
    for part in parts {
        let mut writer = shuffle.writer();
        writer.push(&batch(part)).unwrap();
        writer.finish().unwrap();
    }
    let (sorted, _) = shuffle.finish().unwrap();
    let of_shard = |shard: Shard| {
        let mut records = Records::new();
        for range in shard.ranges {
            let mut deduplicator = Deduplicator::new(&folding);
            let mut emit = |record: duplicates::Record<'_>| {
                records.push((record.key().to_vec(), record.value().to_vec()));
                Ok(())
            };
            range.for_each(|entry| deduplicator.push(entry, &mut emit))?;
            deduplicator.finish(&mut emit)?;
        }
        Ok(records)
    };
    sorted.into_iter().map(of_shard).collect()
}

/// The same from a map; none if a key that must be unique occurs twice.
fn expected(parts: &[Vec<Owned>], count: u32, fold: Fold) -> Option<Vec<Records>> {
    let mut keys = vec![ByKey::new(); count as usize];
    for (shard, key, order, value) in parts.iter().flatten().cloned() {
        keys[shard as usize].entry(key).or_default().push((order, value));
    }
    let head = |value: &[u8]| [b"head".as_slice(), value].concat();
    let of_shard = |keys: ByKey| {
        let mut records = Records::new();
        for (key, mut entries) in keys {
            entries.sort();
            let values: Vec<Vec<u8>> = entries.into_iter().map(|(_, value)| value).collect();
            let list = |most: usize| {
                let kept: Vec<&[u8]> = values.iter().take(most).map(Vec::as_slice).collect();
                head(&[b"[".as_slice(), &kept.join(&b","[..]), b"]"].concat())
            };
            match fold {
                Fold::Error if values.len() > 1 => return None,
                Fold::Error | Fold::First => records.push((key, head(&values[0]))),
                Fold::Last => records.push((key, head(&values[values.len() - 1]))),
                Fold::Number => records.extend(values.iter().enumerate().map(|(number, value)| {
                    let mut numbered = key.clone();
                    append_number(&mut numbered, number as u64);
                    (numbered, head(value))
                })),
                Fold::List => records.push((key, list(usize::MAX))),
                Fold::Top(most) => records.push((key, list(most as usize))),
            }
        }
        Some(records)
    };
    keys.into_iter().map(of_shard).collect()
}

/// Few keys with many entries, or many with few.
fn entries(count: u32) -> impl Strategy<Value = Vec<Owned>> {
    (1u8..=255).prop_flat_map(move |keys| {
        vec((0..keys, vec(0u8..3, 0..3), vec(b'a'..=b'z', 1..60)), 0..250).prop_map(move |rows| {
            let entry = |(key, order, value)| (u32::from(key) % count, vec![b'k', key], order, value);
            rows.into_iter().map(entry).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_fold_in_any_memory_is_that_of_a_map(
        (count, parts) in (1u32..4).prop_flat_map(|count| (Just(count), vec(entries(count), 1..4))),
        memory in (8u32..18).prop_map(|bits| 1usize << bits),
        fold in proptest::sample::select(&FOLDS[..]),
    ) {
        match (folded(&parts, count, memory, fold), expected(&parts, count, fold)) {
            (Ok(records), Some(expected)) => prop_assert_eq!(records, expected),
            (Err(error), None) => prop_assert_eq!(error.kind(), Kind::Input),
            (folded, expected) => prop_assert!(false, "{folded:?} instead of {expected:?}"),
        }
    }
}
