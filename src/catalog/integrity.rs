//! Compares the files of a version with its manifest.
//!
//! Three depths: sizes (one `stat` per file), also checksums of the small files (CURRENT, MANIFEST, OPTIONS: all that
//! RocksDB reads before any table), or checksums of all files.
//!
//! Not for: the contents as RocksDB reads them; `serve::verify` reads the entries.

use std::io::ErrorKind;
use std::path::Path;

use rayon::prelude::*;

use super::finding::{FileDepth, Finding};
use super::store::Catalog;
use crate::durable_file::{self, fs};
use crate::error::{Error, Result};
use crate::format::{Current, FileEntry, Manifest, ShardEntry, hex_checksum, shard_name};

impl Catalog {
    /// Everything of a version that differs from its manifest, down to `depth`, where the version is stored.
    ///
    /// # Errors
    /// `Unavailable` when an object store does not answer; damage is no error.
    pub fn inspect(&self, manifest: &Manifest, depth: FileDepth) -> Result<Vec<Finding>> {
        match self.remote() {
            Some(remote) => remote.inspect(manifest, depth),
            None => Ok(inspect(&self.layout().version_dir(manifest.version), manifest, depth)),
        }
    }

    /// Makes sure that the files of a version are there: all sizes, and the checksums of the small files.
    ///
    /// # Errors
    /// `Corrupt` when one differs from the manifest; else as [`Catalog::manifest`] and [`Catalog::inspect`].
    pub fn ensure_files(&self, current: &Current, version: u64) -> Result<()> {
        let manifest = self.manifest(current, version)?;
        let findings = self.inspect(&manifest, FileDepth::SmallFiles)?;
        let Some(first) = findings.first() else { return Ok(()) };
        Err(Error::corrupt(format!(
            "not applied: version {version} is damaged, {} problems, the first: {first}; `cutover verify STORE \
             {version}` lists all of them, `cutover run JOB.toml --rebuild` builds it again",
            findings.len()
        )))
    }
}

/// Everything in `directory` that differs from `manifest`, down to `depth`.
pub fn inspect(directory: &Path, manifest: &Manifest, depth: FileDepth) -> Vec<Finding> {
    let shards = manifest.shards.par_iter().flat_map_iter(|shard| {
        let name = shard_name(shard.shard);
        let problem = no_directory(&directory.join(&name));
        let finding = |file, problem| Finding { shard: Some(shard.shard), file, problem };
        match problem {
            Some(problem) => vec![finding(Some(name), problem)],
            None => {
                let files = shard.files.par_iter();
                let bad = files.filter_map(|file| Some((file.path.clone(), check(directory, file, depth)?)));
                let mut bad: Vec<(String, String)> = bad.collect();
                bad.extend(added_logs(directory, &name, shard));
                bad.into_iter().map(|(path, problem)| finding(Some(path), problem)).collect()
            }
        }
    });
    shards.collect()
}

/// What is wrong with one file.
fn check(directory: &Path, file: &FileEntry, depth: FileDepth) -> Option<String> {
    let path = directory.join(&file.path);
    let meta = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Some("is missing".to_owned()),
        Err(error) => return Some(format!("cannot be checked: {error}")),
        Ok(meta) => meta,
    };
    if !meta.is_file() {
        return Some("is not a regular file".to_owned());
    }
    if meta.len() != file.bytes {
        return Some(format!("has {} bytes, the manifest says {}", meta.len(), file.bytes));
    }
    let table = path.extension().is_some_and(|ending| ending == "sst");
    if table && depth == FileDepth::SmallFiles {
        return None;
    }
    match durable_file::hash_file(&path) {
        Err(error) => Some(format!("cannot be read: {}", error.chain().join(": "))),
        Ok((_, xxh3)) if hex_checksum(xxh3) == file.xxh3 => None,
        Ok((_, xxh3)) => Some(format!("has the checksum {}, the manifest says {}", hex_checksum(xxh3), file.xxh3)),
    }
}

/// Write-ahead logs that the manifest does not list: RocksDB would replay their entries into the version.
fn added_logs(directory: &Path, shard_name: &str, shard: &ShardEntry) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(directory.join(shard_name)) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let paths = names.filter(|name| name.ends_with(".log")).map(|name| format!("{shard_name}/{name}"));
    let added = paths.filter(|path| shard.files.iter().all(|file| file.path != *path));
    added.map(|path| (path, "is not a file of this version".to_owned())).collect()
}

/// Why a path is not a directory of its own; a link to one does not count.
fn no_directory(path: &Path) -> Option<String> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => None,
        Ok(_) => Some("is not a directory".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Some("is missing".to_owned()),
        Err(error) => Some(format!("cannot be checked: {error}")),
    }
}
