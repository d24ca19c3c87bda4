//! Fingerprints of the inputs: their digest, and a check before the flip that they have not changed.
//!
//! Local files are compared by path, size and modification time, as build tools do; a file rewritten within the clock's
//! resolution with the same size is not noticed. Objects are compared by size and entity tag, which every write
//! changes; by time only in stores that have no tags.
//!
//! Not for: checking what the files contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3Default;

use super::{Input, InputFile, ObjectFile, Source};
use crate::error::{Error, Result};
use crate::objects::{Bucket, Entry, Key, Location, Scheme};

/// Up to this number of objects of a bucket are looked at one by one; more are listed.
const MAX_LOOKED_AT: usize = 32;
/// Up to this number of directories are listed one by one; of more, the one that has them all.
const MAX_LISTED: usize = 32;

/// A digest of the file lists of all inputs: 32 hexadecimal digits.
pub fn digest(inputs: &[Input]) -> String {
    let mut hasher = Xxh3Default::new();
    for (input, file) in inputs.iter().flat_map(|input| input.files.iter().map(move |file| (input, file))) {
        let line = format!("{}\0{}\0{}\0{}\n", input.name, file.source, file.bytes, content(file));
        hasher.update(line.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

/// Which content a file has, apart from its size.
fn content(file: &InputFile) -> String {
    let tag = file.source.remote().and_then(|object| object.tag().e_tag);
    tag.unwrap_or_else(|| file.modified.to_string())
}

/// Checks every file again.
///
/// # Errors
/// `Input`, naming the file, if one is gone, or its size, modification time or entity tag differs; those of a store that
/// does not answer.
pub fn check_unchanged(inputs: &[Input]) -> Result<()> {
    let mut objects: BTreeMap<&Location, Vec<&Arc<ObjectFile>>> = BTreeMap::new();
    for file in inputs.iter().flat_map(|input| &input.files) {
        match &file.source {
            Source::Object(object) => objects.entry(object.bucket().location()).or_default().push(object),
            Source::Local(path) => {
                let now = fs::metadata(path).ok().and_then(|metadata| {
                    let modified = jiff::Timestamp::try_from(metadata.modified().ok()?).ok()?;
                    Some((metadata.len(), modified))
                });
                if now != Some((file.bytes, file.modified)) {
                    return Err(differs(&file.source, now.is_some()));
                }
            }
        }
    }
    objects.values().try_for_each(|objects| check_objects(objects))
}

/// The error for a file that was read and is another one now, or is not there any more.
/// The error for a file that was found and is gone.
pub fn disappeared(file: impl std::fmt::Display) -> Error {
    differs(file, false)
}

fn differs(file: impl std::fmt::Display, is_there: bool) -> Error {
    let what = if is_there { "changed" } else { "disappeared" };
    Error::input(format!(
        "{file} {what} while it was being read, so the result may mix old and new rows; nothing was published. Run again \
         when its writer is done"
    ))
}

/// Checks objects of one bucket: one by one, or by listings of their directories.
fn check_objects(objects: &[&Arc<ObjectFile>]) -> Result<()> {
    let Some(bucket) = objects.first().map(|object| object.bucket()) else { return Ok(()) };
    if objects.len() <= MAX_LOOKED_AT || bucket.location().scheme() == Scheme::Http {
        return objects.par_iter().try_for_each(|object| {
            let now = bucket.head(&object.entry().key)?;
            if now.as_ref().is_some_and(|now| is_same(object.entry(), now)) {
                return Ok(());
            }
            Err(differs(object.url(), now.is_some()))
        });
    }
    let mut expected: BTreeMap<&str, &ObjectFile> =
        objects.iter().map(|object| (object.entry().key.as_str(), object.as_ref())).collect();
    for directory in directories(expected.keys().copied()) {
        list(bucket, &directory, |now| match expected.remove(now.key.as_str()) {
            Some(object) if !is_same(object.entry(), &now) => Err(differs(object.url(), true)),
            _ => Ok(()),
        })?;
    }
    expected.values().next().map_or(Ok(()), |object| Err(differs(object.url(), false)))
}

fn list(bucket: &Bucket, directory: &str, each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
    let prefix = if directory.is_empty() { None } else { Some(Key::new(directory)?) };
    bucket.list(prefix.as_ref(), each)
}

fn is_same(known: &Entry, now: &Entry) -> bool {
    let is_same = match (&known.tag.e_tag, &now.tag.e_tag) {
        (Some(known), Some(now)) => known == now,
        _ => known.modified == now.modified,
    };
    is_same && known.bytes == now.bytes
}

/// Directories that have all keys: each key's own, or one for all where that would be many listings.
fn directories<'k>(keys: impl Iterator<Item = &'k str> + Clone) -> BTreeSet<String> {
    let own = keys.clone().map(|key| key.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned());
    let own: BTreeSet<String> = own.collect();
    // The root has all others.
    if own.len() <= MAX_LISTED && !own.contains("") { own } else { BTreeSet::from([common_directory(keys)]) }
}

/// The longest directory that has all keys.
fn common_directory<'k>(keys: impl Iterator<Item = &'k str>) -> String {
    let directory =
        |key: &'k str| key.rsplit_once('/').map_or(Vec::new(), |(directory, _)| directory.split('/').collect());
    let common = keys.map(directory).reduce(|common, other| {
        common.into_iter().zip(other).take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
    });
    common.unwrap_or_default().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Format;

    #[test]
    fn the_directory_of_all_keys() {
        let of = |keys: &[&'static str]| common_directory(keys.iter().copied());
        assert_eq!(of(&["a/day=1/x", "a/day=1/y"]), "a/day=1");
        assert_eq!(of(&["a/day=1/x", "a/day=2/x", "a/day=10/x"]), "a");
        assert_eq!(of(&["a/x", "b/x"]), "");
        assert_eq!(of(&["x", "a/x"]), "");
    }

    #[test]
    fn directories_are_listed_one_by_one_unless_they_are_many() {
        let of = |days: usize| {
            let keys: Vec<String> =
                (0..days).flat_map(|day| [format!("a/day={day}/x"), format!("a/day={day}/y")]).collect();
            directories(keys.iter().map(String::as_str))
        };
        assert_eq!(of(2).into_iter().collect::<Vec<_>>(), ["a/day=0", "a/day=1"]);
        assert_eq!(of(MAX_LISTED + 1).into_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(directories(["x", "a/x"].into_iter()).into_iter().collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_change_is_noticed_and_changes_the_digest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        fs::write(&path, b"one").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let file = InputFile {
            source: Source::Local(path.clone()),
            bytes: 3,
            modified: modified.try_into().unwrap(),
            partitions: vec![],
            footer: None,
        };
        let mut input = Input {
            name: "a".to_owned(),
            format: Format::Parquet,
            csv: Default::default(),
            files: vec![file],
            partition_columns: vec![],
            partitions: None,
            contract: None,
            schema: None,
            surveyed: Default::default(),
            share: None,
        };
        check_unchanged(&[input.clone()]).unwrap();
        let before = digest(&[input.clone()]);
        fs::write(&path, b"longer").unwrap();
        assert!(check_unchanged(&[input.clone()]).unwrap_err().message().contains("changed"));
        fs::remove_file(&path).unwrap();
        assert!(check_unchanged(&[input.clone()]).unwrap_err().message().contains("disappeared"));
        input.files[0].bytes = 6;
        assert_ne!(digest(&[input]), before);
    }
}
