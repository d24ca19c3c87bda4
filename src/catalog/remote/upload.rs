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
use crate::format::{FileEntry, Manifest, ShardEntry, to_checksummed_json};
use crate::objects::{Key, OpenUpload};

impl Remote {
    /// Uploads the files of one finished shard in a build's directory.
    ///
    /// # Errors
    /// As [`Remote::upload`].
    pub(in crate::catalog) fn upload_shard(&self, build_id: &str, directory: &Path, shard: &ShardEntry) -> Result<()> {
        let files: Vec<(String, Option<u64>)> = shard.files.iter().map(with_checksum).collect();
        self.upload_files(build_id, directory, &files)
    }

    /// Uploads every file of `directory` that is not uploaded yet, but the manifest, as a part of the build that
    /// `manifest` describes.
    ///
    /// # Errors
    /// `Corrupt` when a file is not as the manifest says; `Stopped` after a signal; as those of a write.
    pub(in crate::catalog) fn upload(&self, directory: &Path, manifest: &Manifest) -> Result<()> {
        let mut paths = Vec::new();
        files(directory, "", &mut paths)?;
        let known = manifest.files().map(with_checksum);
        let known: BTreeMap<String, Option<u64>> = known.collect();
        let files: Vec<(String, Option<u64>)> =
            paths.into_iter().map(|path| (path.clone(), known.get(&path).copied().flatten())).collect();
        self.upload_files(&manifest.build_id, directory, &files)
    }

    /// Uploads files with their checksums, where they are known, several at a time.
    fn upload_files(&self, build_id: &str, directory: &Path, files: &[(String, Option<u64>)]) -> Result<()> {
        parallel::for_each(files, |(path, xxh3)| self.upload_once(directory, path, build_id, *xxh3))
    }

    fn upload_once(&self, directory: &Path, path: &str, build_id: &str, xxh3: Option<u64>) -> Result<()> {
        let key = build_key(build_id, path)?;
        let uploaded = || self.uploaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !uploaded().contains(&key) {
            self.upload_file(&directory.join(path), &key, build_id, xxh3)?;
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
        self.bucket.put(&build_key(&manifest.build_id, "manifest.json")?, to_checksummed_json(manifest)?).map(drop)
    }
}

/// A file of a shard with its checksum.
fn with_checksum(file: &FileEntry) -> (String, Option<u64>) {
    (file.path.clone(), u64::from_str_radix(&file.xxh3, 16).ok())
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
        if fs::symlink_metadata(entry.path()).io("stat", &entry.path())?.is_dir() {
            files(&entry.path(), &path, found)?;
        } else if path != "manifest.json" {
            found.push(path);
        }
    }
    Ok(())
}
