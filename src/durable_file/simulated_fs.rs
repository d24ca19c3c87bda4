//! The names of `std::fs` that the crate uses, for unit tests: they use the simulated disk of the thread if there is
//! one, otherwise `std::fs`.
//!
//! Not for: what such a disk does (`crate::simulation`).

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A disk and a clock that replace the operating system's. Files are known by the number that [`Disk::open`] returns.
/// There are no symlinks.
pub(crate) trait Disk: Send + Sync {
    /// What is at a path.
    fn look(&self, path: &Path) -> io::Result<Look>;
    /// The names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file or a directory.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<u64>;
    /// Closes it, which releases its lock.
    fn close(&self, file: u64);
    /// Reads from an offset.
    fn read(&self, file: u64, at: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes at an offset.
    fn write(&self, file: u64, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Its length in bytes.
    fn len(&self, file: u64) -> io::Result<u64>;
    /// Truncates it, or extends it with zeros.
    fn set_len(&self, file: u64, bytes: u64) -> io::Result<()>;
    /// Makes the content of a file, or the names in a directory, survive a power cut.
    fn sync(&self, file: u64) -> io::Result<()>;
    /// Takes the lock on a file, if no other file handle has it.
    fn lock(&self, file: u64) -> io::Result<bool>;
    /// Releases the lock.
    fn unlock(&self, file: u64);
    /// Renames atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Creates an empty directory.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The time.
    fn now(&self) -> Instant;
    /// Advances the clock.
    fn sleep(&self, time: Duration);
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) write: bool,
    pub(crate) create: bool,
    pub(crate) truncate: bool,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) directory: bool,
    pub(crate) bytes: u64,
}

thread_local! {
    static DISK: RefCell<Option<Arc<dyn Disk>>> = const { RefCell::new(None) };
}

/// Runs `run` on this thread with a simulated disk.
pub(crate) fn on_disk<T>(disk: Arc<dyn Disk>, run: impl FnOnce() -> T) -> T {
    /// Restores the previous disk, also after a panic.
    struct Restore(Option<Arc<dyn Disk>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DISK.set(self.0.take());
        }
    }
    let _restore = Restore(DISK.replace(Some(disk)));
    run()
}

fn disk() -> Option<Arc<dyn Disk>> {
    DISK.with_borrow(Clone::clone)
}

/// As [`std::fs::Metadata`].
#[derive(Debug)]
pub(crate) enum Metadata {
    Real(std::fs::Metadata),
    Simulated(Look),
}

impl Metadata {
    pub(crate) fn is_dir(&self) -> bool {
        match self {
            Self::Real(meta) => meta.is_dir(),
            Self::Simulated(look) => look.directory,
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        match self {
            Self::Real(meta) => meta.is_file(),
            Self::Simulated(look) => !look.directory,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Real(meta) => meta.len(),
            Self::Simulated(look) => look.bytes,
        }
    }
}

pub(crate) fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    match disk() {
        Some(disk) => disk.look(path.as_ref()).map(Metadata::Simulated),
        None => std::fs::metadata(path).map(Metadata::Real),
    }
}

/// As that of `fs`; a simulated disk has no blocks.
pub(crate) fn bytes_on_disk(meta: &Metadata) -> u64 {
    match meta {
        Metadata::Real(meta) => std::os::unix::fs::MetadataExt::blocks(meta) * super::fs::BLOCK,
        Metadata::Simulated(_) => 0,
    }
}

pub(crate) fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    match disk() {
        Some(disk) => disk.look(path.as_ref()).map(Metadata::Simulated),
        None => std::fs::symlink_metadata(path).map(Metadata::Real),
    }
}

pub(crate) fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        meta => meta.map(|_| true),
    }
}

pub(crate) fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    match disk() {
        Some(disk) => disk.rename(from.as_ref(), to.as_ref()),
        None => std::fs::rename(from, to),
    }
}

pub(crate) fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    match disk() {
        Some(disk) => disk.create_dir(path.as_ref()),
        None => std::fs::create_dir(path),
    }
}

pub(crate) fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    match disk() {
        Some(disk) => disk.remove_file(path.as_ref()),
        None => std::fs::remove_file(path),
    }
}

pub(crate) fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    match disk() {
        Some(disk) => disk.remove_dir(path.as_ref()),
        None => std::fs::remove_dir(path),
    }
}

pub(crate) fn now() -> Instant {
    disk().map_or_else(Instant::now, |disk| disk.now())
}

pub(crate) fn sleep(time: Duration) {
    match disk() {
        Some(disk) => disk.sleep(time),
        None => std::thread::sleep(time),
    }
}

/// As [`std::fs::DirEntry`].
#[derive(Debug)]
pub(crate) struct DirEntry(PathBuf);

impl DirEntry {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }

    pub(crate) fn file_name(&self) -> OsString {
        self.0.file_name().unwrap_or_default().to_owned()
    }
}

pub(crate) fn read_dir(path: impl AsRef<Path>) -> io::Result<std::vec::IntoIter<io::Result<DirEntry>>> {
    let path = path.as_ref();
    let entries: Vec<_> = match disk() {
        Some(disk) => disk.list(path)?.into_iter().map(|name| Ok(DirEntry(path.join(name)))).collect(),
        None => std::fs::read_dir(path)?.map(|entry| Ok(DirEntry(entry?.path()))).collect(),
    };
    Ok(entries.into_iter())
}

/// As [`std::fs::OpenOptions`].
#[derive(Clone, Debug)]
pub(crate) struct OpenOptions {
    real: std::fs::OpenOptions,
    mode: Mode,
    append: bool,
}

impl OpenOptions {
    pub(crate) fn new() -> Self {
        Self { real: std::fs::OpenOptions::new(), mode: Mode::default(), append: false }
    }

    pub(crate) fn read(&mut self, yes: bool) -> &mut Self {
        self.real.read(yes);
        self
    }

    pub(crate) fn write(&mut self, yes: bool) -> &mut Self {
        self.real.write(yes);
        self.mode.write |= yes;
        self
    }

    pub(crate) fn append(&mut self, yes: bool) -> &mut Self {
        self.real.append(yes);
        self.mode.write |= yes;
        self.append = yes;
        self
    }

    pub(crate) fn create(&mut self, yes: bool) -> &mut Self {
        self.real.create(yes);
        self.mode.create = yes;
        self
    }

    pub(crate) fn truncate(&mut self, yes: bool) -> &mut Self {
        self.real.truncate(yes);
        self.mode.truncate = yes;
        self
    }

    pub(crate) fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        match disk() {
            Some(disk) => {
                let file = disk.open(path.as_ref(), self.mode)?;
                Ok(File::Simulated(Simulated { disk, file, at: 0, append: self.append }))
            }
            None => self.real.open(path).map(File::Real),
        }
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.real.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.real.custom_flags(flags);
        self
    }
}

/// As [`std::fs::File`].
#[derive(Debug)]
pub(crate) enum File {
    Real(std::fs::File),
    Simulated(Simulated),
}

/// An open file of the simulated disk.
pub(crate) struct Simulated {
    disk: Arc<dyn Disk>,
    file: u64,
    at: u64,
    append: bool,
}

impl File {
    pub(crate) fn options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::options().read(true).open(path)
    }

    pub(crate) fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::options().write(true).create(true).truncate(true).open(path)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_all(),
            Self::Simulated(it) => it.disk.sync(it.file),
        }
    }

    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_len(bytes),
            Self::Simulated(it) => it.disk.set_len(it.file, bytes),
        }
    }

    pub(crate) fn set_permissions(&self, permissions: std::fs::Permissions) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_permissions(permissions),
            Self::Simulated(_) => Ok(()),
        }
    }

    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        match self {
            Self::Real(file) => file.try_lock(),
            Self::Simulated(it) => match it.disk.lock(it.file) {
                Ok(true) => Ok(()),
                Ok(false) => Err(TryLockError::WouldBlock),
                Err(error) => Err(TryLockError::Error(error)),
            },
        }
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.unlock(),
            Self::Simulated(it) => {
                it.disk.unlock(it.file);
                Ok(())
            }
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read(buffer),
            Self::Simulated(it) => {
                let read = it.disk.read(it.file, it.at, buffer)?;
                it.at += read as u64;
                Ok(read)
            }
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.write(bytes),
            Self::Simulated(it) => {
                if it.append {
                    it.at = it.disk.len(it.file)?;
                }
                it.disk.write(it.file, it.at, bytes)?;
                it.at += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Real(file) => file.seek(to),
            Self::Simulated(it) => {
                let before = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning");
                it.at = match to {
                    SeekFrom::Start(at) => at,
                    SeekFrom::Current(by) => it.at.checked_add_signed(by).ok_or_else(before)?,
                    SeekFrom::End(by) => it.disk.len(it.file)?.checked_add_signed(by).ok_or_else(before)?,
                };
                Ok(it.at)
            }
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.disk.close(self.file);
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("file", &self.file).field("at", &self.at).finish_non_exhaustive()
    }
}
