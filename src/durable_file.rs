//! Durable files: the few primitives through which all other code reads and writes the disk.
//!
//! A file becomes visible by [`write_atomic`] (temporary file, fsync, rename, fsync of the directory), or by the rename
//! of a finished directory followed by [`sync_dir`]. Nothing here knows what a store, a version or a job is.
//!
//! Every call to the file system goes through `fs`, which a unit test can redirect to a simulated disk.
//!
//! Not for: SST files, which RocksDB writes and syncs, and spill files (`shuffle`, `query`).

pub(crate) mod fs;
#[cfg(test)]
mod simulated_fs;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Advice, OFlags};
use xxhash_rust::xxh3::Xxh3Default;

use self::fs::{File, OpenOptions};
use crate::error::{Error, IoContext, Result};
use crate::failpoint;

/// Bytes read at a time by [`hash_file`].
const HASH_BUFFER: usize = 1 << 20;

/// Replaces the file at `path` with `bytes`: readers see the old content or the new one, also after a power cut.
///
/// # Errors
/// `Unavailable` when the directory cannot be written. The file then has its old content, unless only the final sync of
/// the directory failed, which the message says.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = parent(path)?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = directory.join(name);
    let written = write_synced(&temporary, bytes)
        .and_then(|()| failpoint::reach("storage.written"))
        .and_then(|()| fs::rename(&temporary, path).io("replace", path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error.during(format!("{} was not changed", path.display())));
    }
    sync_dir(directory).map_err(|error| {
        error.during(format!("{} was replaced, but it is unknown whether that survives a power cut", path.display()))
    })
}

/// Whether `name` is a temporary file that [`write_atomic`] of `of` left in the same directory when its process died.
pub fn is_left_by_write(name: &str, of: &str) -> bool {
    let number = name.strip_prefix(of).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".tmp"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Writes a new file and syncs its content; the caller syncs the directory.
///
/// # Errors
/// `Unavailable` when it cannot be written.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    // A symlink in place of the file would redirect the bytes.
    options.write(true).create(true).truncate(true).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mut file = options.open(path).io("create", path)?;
    file.write_all(bytes).io("write", path)?;
    file.sync_all().io("sync", path)
}

/// Syncs a directory, so that the names in it survive a power cut.
///
/// # Errors
/// `Unavailable` when the directory cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).io("sync directory", path)
}

/// Syncs a file that was written through another handle.
///
/// # Errors
/// `Unavailable` when the file cannot be opened or synced.
pub fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).io("sync", path)
}

/// Creates a directory and every missing one above it, each synced into its parent.
///
/// # Errors
/// `Unavailable` when a directory cannot be created, or a path component is not a directory.
pub fn create_dir_durable(path: &Path) -> Result<()> {
    if is_dir(path) {
        return Ok(());
    }
    let parent = parent(path)?;
    create_dir_durable(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_dir(path) => Ok(()),
        made => {
            made.io("create directory", path)?;
            sync_dir(parent)
        }
    }
}

/// Syncs the directories above `path`, each into the one above it, whichever process created them. Those that this user
/// may not read are left out: it has created nothing in them.
///
/// # Errors
/// `Unavailable` when a directory cannot be synced.
pub fn sync_directories_above(path: &Path) -> Result<()> {
    for directory in path.ancestors().skip(1) {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        match synced.as_ref().map_err(std::io::Error::kind) {
            Err(ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem) => {}
            _ => synced.io("sync directory", directory)?,
        }
    }
    Ok(())
}

/// Size in bytes and XXH3-64 of a file's content.
///
/// # Errors
/// `Unavailable` when the file cannot be read.
pub fn hash_file(path: &Path) -> Result<(u64, u64)> {
    let mut file = File::open(path).io("open", path)?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; HASH_BUFFER];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).io("read", path)? {
            0 => return Ok((bytes, hasher.digest())),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// Reads a whole small file of at most `limit` bytes.
///
/// # Errors
/// `Unavailable` when the file cannot be read; `Corrupt` when it is larger than any file of its kind can be, or not a
/// regular file.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let kind = fs::symlink_metadata(path).io("stat", path)?;
    if !kind.is_file() {
        return Err(Error::corrupt(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    File::open(path).io("open", path)?.take(limit + 1).read_to_end(&mut bytes).io("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::corrupt(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Asks the kernel to forget its cached pages of a file, so that the next read comes from the disk.
///
/// # Errors
/// `Unavailable` when the file cannot be opened; a file system that ignores the advice is not an error.
pub fn drop_page_cache(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).io("open", path)?;
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    Ok(())
}

/// Asks the kernel to begin writing a file to the disk, so that a later sync is short.
pub fn begin_writeback(file: &std::fs::File) {
    // Pages that are not on the disk yet stay in the page cache under this advice; only their writing begins.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Bytes that an unprivileged user can still write to the file system that holds `path`.
///
/// # Errors
/// `Unavailable` when the file system does not answer.
pub fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).map_err(std::io::Error::from).io("query the free space of", path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that everything below `path` takes on the disk, as `du` counts them; files that are deleted meanwhile count 0.
///
/// # Errors
/// `Unavailable` when the disk cannot be read.
pub fn disk_usage(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if gone(&error) => return Ok(0),
        meta => meta.io("stat", path)?,
    };
    let mut bytes = meta.blocks() * fs::BLOCK;
    if meta.is_dir() {
        let entries = match std::fs::read_dir(path) {
            Err(error) if gone(&error) => return Ok(bytes),
            entries => entries.io("list", path)?,
        };
        for entry in entries {
            bytes += disk_usage(&entry.io("list", path)?.path())?;
        }
    }
    Ok(bytes)
}

fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn parent(path: &Path) -> Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(Error::invalid(format!("{} has no parent directory", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_atomic_write_replaces_and_leaves_no_debris() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("current.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        for (name, left) in [("current.json.7.tmp", true), ("current.json", false), ("current.json.old.tmp", false)] {
            assert_eq!(is_left_by_write(name, "current.json"), left, "{name}");
        }
    }

    #[test]
    fn reads_are_bounded_and_only_of_regular_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), crate::error::Kind::Corrupt);
        assert_eq!(read_bounded(directory.path(), 4).unwrap_err().kind(), crate::error::Kind::Corrupt);
    }
}
