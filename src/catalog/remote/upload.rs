//! Uploads the finished directory of a build: every file under the build's ID, several at a time.
//!
//! Memory is bounded by the client (`objects/upload.rs`), whatever the number and size of files. An upload in parts is
//! noted under `uploads/` before its first part is sent, so that `gc` can abort what a dead builder left.
//!
//! Not for: the manifest, which is written last, by `install`.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::{Remote, build_key};
use crate::durable_file::fs;
use crate::error::{Error, IoContext, Result};
use crate::format::{Manifest, seal};
use crate::objects::{Key, OpenUpload};

/// Files that are uploaded at a time.
const AT_A_TIME: usize = 8;

impl Remote {
    /// Uploads every file of `directory` but the manifest as a part of the build that `manifest` describes.
    ///
    /// # Errors
    /// `Corrupt` when a file is not as the manifest says; `Stopped` after a signal; as those of a write.
    pub(in crate::catalog) fn upload(&self, directory: &Path, manifest: &Manifest) -> Result<()> {
        let mut paths = Vec::new();
        files(directory, "", &mut paths)?;
        let files = manifest.shards.iter().flat_map(|shard| &shard.files);
        let known: std::collections::BTreeMap<&str, u64> =
            files.filter_map(|file| Some((file.path.as_str(), u64::from_str_radix(&file.xxh3, 16).ok()?))).collect();
        let (next, failed, error) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME.min(paths.len()) {
                scope.spawn(|| {
                    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed))
                        && !failed.load(Ordering::Relaxed)
                    {
                        if let Err(why) = self.upload_file(directory, path, &manifest.build_id, known.get(&**path)) {
                            failed.store(true, Ordering::Relaxed);
                            error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(why);
                        }
                    }
                });
            }
        });
        error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn upload_file(&self, directory: &Path, path: &str, build_id: &str, xxh3: Option<&u64>) -> Result<()> {
        let local = directory.join(path);
        let mut file = std::fs::File::open(&local).io("open", &local)?;
        let bytes = file.metadata().io("stat", &local)?.len();
        let key = build_key(build_id, path)?;
        let mut noted = None;
        self.bucket.upload(&key, &mut file, bytes, xxh3.copied(), &mut |open| {
            let note = note_key(build_id, open)?;
            let text = serde_json::to_vec(open).map_err(|error| Error::internal("cannot write JSON").because(error))?;
            self.bucket.put(&note, text)?;
            noted = Some(note);
            Ok(())
        })?;
        noted.map_or(Ok(()), |note| self.bucket.delete([note]))
    }

    /// Writes the manifest of a build whose files are all uploaded.
    ///
    /// # Errors
    /// `Internal` when it contradicts itself; as those of a write.
    pub(in crate::catalog) fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        if let Some(problem) = manifest.contradiction() {
            return Err(Error::internal(format!("the manifest of version {} is wrong: {problem}", manifest.version)));
        }
        self.bucket.put(&build_key(&manifest.build_id, "manifest.json")?, seal(manifest)?).map(drop)
    }
}

/// Where an open upload is noted.
fn note_key(build_id: &str, open: &OpenUpload) -> Result<Key> {
    let name = xxh3_64(format!("{}\n{}", open.key, open.id).as_bytes());
    Key::new(format!("uploads/{build_id}/{name:016x}.json"))
}

/// The files below a directory, by paths with `/`, without the manifest.
fn files(directory: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory).io("list", directory)? {
        let entry = entry.io("list", directory)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| Error::internal("a version has a file whose name is not UTF-8"))?;
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if fs::symlink_metadata(&entry.path()).io("stat", &entry.path())?.is_dir() {
            files(&entry.path(), &path, found)?;
        } else if path != "manifest.json" {
            found.push(path);
        }
    }
    Ok(())
}
