//! Uploads the finished directory of a build: every file under the build's ID, several at a time.
//!
//! Memory is bounded by the client (`objects/upload.rs`), whatever the number and size of files. An upload in parts is
//! noted under `uploads/` before its first part is sent, so that `gc` can abort what a dead builder left.
//!
//! Not for: the manifest, which is written last, by `install`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::PoisonError;

use xxhash_rust::xxh3::xxh3_64;

use super::{Remote, build_key, parallel};
use crate::durable_file::fs;
use crate::error::{Error, IoContext, Result};
use crate::format::{FileEntry, Manifest, ShardEntry, to_checksummed_json, to_json};
use crate::objects::{Key, OpenUpload};

impl Remote {
    /// Uploads the files of one finished shard in a build's directory.
    ///
    /// # Errors
    /// As [`Remote::upload`].
    pub(in crate::catalog) fn upload_shard(&self, build_id: &str, directory: &Path, shard: &ShardEntry) -> Result<()> {
        parallel::for_each(&shard.files, |file| {
            let key = build_key(build_id, &shard.object_path(file))?;
            self.upload_once(&directory.join(&file.path), key, build_id, checksum(file))
        })
    }

    /// Uploads every file of `directory` that is not uploaded yet, but the manifest, as a part of the build that
    /// `manifest` describes.
    ///
    /// # Errors
    /// `Corrupt` when a file is not as the manifest says; `Stopped` after a signal; as those of a write.
    pub(in crate::catalog) fn upload(&self, directory: &Path, manifest: &Manifest) -> Result<()> {
        let mut paths = Vec::new();
        files(directory, "", &mut paths)?;
        let known: BTreeMap<&str, &FileEntry> = manifest.files().map(|file| (file.path.as_str(), file)).collect();
        parallel::for_each(&paths, |path| {
            let key = build_key(&manifest.build_id, path)?;
            let xxh3 = known.get(path.as_str()).and_then(|file| checksum(file));
            self.upload_once(&directory.join(path), key, &manifest.build_id, xxh3)
        })
    }

    fn upload_once(&self, local: &Path, key: Key, build_id: &str, xxh3: Option<u64>) -> Result<()> {
        let uploaded = || self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !uploaded().contains(&key) {
            self.upload_file(local, &key, build_id, xxh3)?;
            uploaded().insert(key);
        }
        Ok(())
    }

    pub(super) fn upload_file(&self, local: &Path, key: &Key, build_id: &str, xxh3: Option<u64>) -> Result<()> {
        let mut file = File::open(local).io("open", local)?;
        let bytes = file.metadata().io("stat", local)?.len();
        let mut noted = None;
        self.bucket.upload(key, &mut file, bytes, xxh3, &mut |open| {
            let note = note_key(build_id, open)?;
            self.bucket.put(&note, to_json(open)?)?;
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
        self.bucket.put(&build_key(&manifest.build_id, "manifest.json")?, to_checksummed_json(manifest)?).map(drop)
    }
}

/// The checksum of a file of a shard.
fn checksum(file: &FileEntry) -> Option<u64> {
    u64::from_str_radix(&file.xxh3, 16).ok()
}

/// Where an open upload is noted.
pub(super) fn note_key(build_id: &str, open: &OpenUpload) -> Result<Key> {
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
        if fs::symlink_metadata(entry.path()).io("stat", &entry.path())?.is_dir() {
            files(&entry.path(), &path, found)?;
        } else if path != "manifest.json" {
            found.push(path);
        }
    }
    Ok(())
}
