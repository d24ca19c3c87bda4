//! Downloads a version of a remote store into a local directory: several files at a time, each compared with its
//! checksum while it is written.
//!
//! ```text
//! file of the manifest ─▶ here already, with its checksum?          keep it (an earlier attempt)
//!                      ─▶ in another version, with its checksum?    link it
//!                      ─▶ download, hash, sync
//! ```
//! Only paths that the manifest names, and the fixed names outside shards, are written: a manifest names no path
//! outside its own shards, and nothing is taken from a listing.
//!
//! Not for: making the directory a version (`install`).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::Xxh3Default;

use super::{Remote, build_key, parallel};
use crate::catalog::layout;
use crate::durable_file::{self, fs};
use crate::error::{Error, IoContext, Kind, Result};
use crate::format::{FileEntry, Manifest, ShardEntry, hex_checksum, shard_name};
use crate::rate_limit::RateLimit;
use crate::shutdown;

/// The job, its query and the like are for people; larger ones are left out. 16 MiB.
const MAX_OUTSIDE: u64 = 16 << 20;

/// How a version is downloaded.
pub struct DownloadOptions<'a> {
    /// Directories of local versions, with their manifests: their files are linked where they have the same content.
    pub local: &'a [(PathBuf, Manifest)],
    /// Limit of the bytes per second.
    pub limit: Option<&'a RateLimit>,
    /// Called with the number of bytes after every piece; its error ends the download.
    pub progress: &'a (dyn Fn(u64) -> Result<()> + Sync),
}

/// How a version came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Downloaded {
    /// Bytes that were received.
    pub received_bytes: u64,
    /// Bytes of files that were here already or were linked.
    pub reused_bytes: u64,
}

impl Remote {
    /// Downloads all files of the version that `manifest` describes into `directory`, but not its manifest.
    ///
    /// # Errors
    /// `Corrupt` when an object is not as the manifest says, or is missing; `Conflict` when the version was deleted;
    /// `Unavailable` when the disk or the object store fails; `Stopped` after a signal. What is complete stays, and the
    /// next call keeps it.
    pub fn download(&self, manifest: &Manifest, directory: &Path, options: &DownloadOptions<'_>) -> Result<Downloaded> {
        let known = local_files(options.local);
        for shard in &manifest.shards {
            durable_file::create_dir_durable(&directory.join(shard_name(shard.shard)))?;
        }
        let files: Vec<(&ShardEntry, &FileEntry)> = manifest.placed_files().collect();
        let work = Download { remote: self, manifest, directory, options, known, received: AtomicU64::new(0) };
        let reused = AtomicU64::new(0);
        parallel::for_each(&files, |(shard, file)| {
            reused.fetch_add(work.file(shard, file)?, Ordering::Relaxed);
            Ok(())
        })?;
        work.files_outside_shards()?;
        Ok(Downloaded {
            received_bytes: work.received.load(Ordering::Relaxed),
            reused_bytes: reused.load(Ordering::Relaxed),
        })
    }
}

/// Files of local versions by size and checksum.
type LocalFiles = BTreeMap<(u64, String), PathBuf>;

fn local_files(versions: &[(PathBuf, Manifest)]) -> LocalFiles {
    let files = versions.iter().flat_map(|(directory, manifest)| {
        manifest.files().map(move |file| ((file.bytes, file.xxh3.clone()), directory.join(&file.path)))
    });
    files.collect()
}

struct Download<'a> {
    remote: &'a Remote,
    manifest: &'a Manifest,
    directory: &'a Path,
    options: &'a DownloadOptions<'a>,
    known: LocalFiles,
    received: AtomicU64,
}

impl Download<'_> {
    /// Brings one file; returns its bytes if they did not have to be received.
    fn file(&self, shard: &ShardEntry, file: &FileEntry) -> Result<u64> {
        shutdown::check()?;
        let path = self.directory.join(&file.path);
        if has_content(&path, file) || self.link(file, &path)? {
            (self.options.progress)(file.bytes)?;
            return Ok(file.bytes);
        }
        let received = self.receive(shard, file, &path);
        received.map(|()| 0).map_err(|error| match error.kind() {
            Kind::Corrupt => error.during(format!(
                "version {} of {} cannot be fetched; try again, and if it fails in the same way, `cutover rollback` of that \
                 store serves the version before it, and `cutover run JOB.toml --rebuild --allow damaged` builds its data \
                 again",
                self.manifest.version,
                self.remote.url()
            )),
            _ => error,
        })
    }

    /// Links the file of another local version that has the same content.
    fn link(&self, file: &FileEntry, path: &Path) -> Result<bool> {
        let Some(known) = self.known.get(&(file.bytes, file.xxh3.clone())).filter(|known| has_content(known, file))
        else {
            return Ok(false);
        };
        remove(path)?;
        // Another file system, or too many links: it is downloaded then.
        Ok(std::fs::hard_link(known, path).is_ok())
    }

    fn receive(&self, shard: &ShardEntry, file: &FileEntry, path: &Path) -> Result<()> {
        let bucket = &self.remote.bucket;
        let key = build_key(&self.manifest.build_id, &shard.object_path(file))?;
        let url = bucket.url(&key);
        let Some(entry) = bucket.head(&key)? else { return Err(self.missing(&url)) };
        if entry.bytes != file.bytes {
            return Err(Error::corrupt(format!("{url} has {} bytes, the manifest says {}", entry.bytes, file.bytes)));
        }
        remove(path)?;
        let mut written = fs::File::create(path).io("create", path)?;
        let mut hasher = Xxh3Default::new();
        bucket.read(&entry, 0..entry.bytes, |piece| {
            if let Some(limit) = self.options.limit {
                limit.take(piece.len() as u64, || shutdown::check().is_err());
            }
            hasher.update(piece);
            written.write_all(piece).io("write", path)?;
            self.received.fetch_add(piece.len() as u64, Ordering::Relaxed);
            (self.options.progress)(piece.len() as u64)
        })?;
        let found = hex_checksum(hasher.digest());
        if found != file.xxh3 {
            remove(path)?;
            return Err(Error::corrupt(format!("{url} has the checksum {found}, the manifest says {}", file.xxh3)));
        }
        written.sync_all().io("sync", path)
    }

    /// Why an object is not there: a version is taken out of `current.json` before its objects are deleted.
    fn missing(&self, url: &str) -> Error {
        let Manifest { version, build_id, .. } = self.manifest;
        match self.remote.current() {
            Err(error) => error.during(format!("{url} is missing, and whether the store still has it is unknown")),
            Ok(current) if current.versions.get(version).is_some_and(|entry| entry.build_id == *build_id) => {
                Error::corrupt(format!("{url} is missing: version {version} is damaged"))
            }
            Ok(_) => Error::conflict(format!("{url} is missing: version {version} was deleted")),
        }
    }

    /// The job, its query and the like, where they are there: they have no checksum, and no reader needs them.
    fn files_outside_shards(&self) -> Result<()> {
        let inputs = self.manifest.inputs.iter().map(|file| file.input.as_str());
        let manifest = layout::manifest_in(Path::new(""));
        for name in layout::files_outside_shards(inputs).into_iter().filter(|name| *name != manifest) {
            let Some(text) = name.to_str() else { continue };
            let Ok(key) = build_key(&self.manifest.build_id, text) else { continue };
            let Some(object) = self.remote.bucket.get(&key, MAX_OUTSIDE)? else { continue };
            let path = self.directory.join(&name);
            if let Some(parent) = path.parent() {
                durable_file::create_dir_durable(parent)?;
            }
            durable_file::write_synced(&path, &object.bytes)?;
        }
        Ok(())
    }
}

/// Whether a regular file has the size and the checksum that a manifest says.
fn has_content(path: &Path, file: &FileEntry) -> bool {
    let is_candidate = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == file.bytes);
    is_candidate && durable_file::hash_file(path).is_ok_and(|(_, xxh3)| hex_checksum(xxh3) == file.xxh3)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.io("delete", path),
    }
}
