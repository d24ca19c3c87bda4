//! Where an input file is, and how its bytes are read: a local path, or an object of a store.
//!
//! ```text
//! Source ─▶ open ─▶ Opened ─▶ read_at   a range of it
//!                          ─▶ reader    all of it, front to back
//!                          ─▶ chunks    some ranges of it, for the Parquet decoder
//! ```
//! An object is only ever read as the one that was listed: one that was replaced or deleted since is an error that
//! names it. Local files are compared with what was listed by their readers, and all of them once more after the run
//! (`fingerprint`).
//!
//! Not for: finding files (`resolve`).

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::InputFile;
use crate::error::{Error, Kind, Result, of_io};
use crate::objects::{self, Asked, Bucket, Entry, Tag};

/// Threads that wait for answers about files at a time.
const THREADS: usize = 16;

/// Where an input file is. Its text, for messages and the manifest, is a path or a URL.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of this machine, by its path as in the job.
    Local(PathBuf),
    /// An object.
    Object(Arc<ObjectFile>),
}

/// An object as it was when it was listed.
#[derive(Debug)]
pub struct ObjectFile {
    bucket: Bucket,
    entry: Entry,
    /// The store's own number of the version, where the listing has it.
    version: Option<String>,
    url: String,
}

impl Source {
    /// The source for an object.
    pub(super) fn object(bucket: &Bucket, mut entry: Entry) -> Self {
        let url = bucket.url(&entry.key);
        // Reads are held to the entity tag. To ask for a version by its number would need another right.
        let version = entry.tag.version.take();
        Self::Object(Arc::new(ObjectFile { bucket: bucket.clone(), entry, version, url }))
    }

    /// The path of a local file.
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Object(_) => None,
        }
    }

    /// The object, if it is one.
    pub fn remote(&self) -> Option<&Arc<ObjectFile>> {
        match self {
            Self::Local(_) => None,
            Self::Object(object) => Some(object),
        }
    }

    /// The file's name without directories, which says what is in it.
    pub(super) fn name(&self) -> &Path {
        let path = match self {
            Self::Local(path) => path.as_path(),
            Self::Object(object) => Path::new(object.entry.key.as_str()),
        };
        Path::new(path.file_name().unwrap_or_default())
    }

    /// Opens it; nothing is sent for an object.
    ///
    /// # Errors
    /// `Unavailable` if a local file cannot be opened.
    pub(super) fn open(&self) -> Result<Opened> {
        match self {
            Self::Local(path) => self.told("open", File::open(path)).map(Opened::Local),
            Self::Object(object) => Ok(Opened::Object(Arc::clone(object))),
        }
    }

    /// A result with this file in its error; an error of an object store already names it.
    ///
    /// # Errors
    /// Those of a store; else `Unavailable`.
    pub(super) fn told<T>(&self, doing: &str, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| of_io(error, || format!("cannot {doing} {self}")))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Object(object) => f.write_str(&object.url),
        }
    }
}

impl ObjectFile {
    /// The client of its store.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Its URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What was listed.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The tag of its content: the entity tag, and the version where it is known.
    pub fn tag(&self) -> Tag {
        Tag { e_tag: self.entry.tag.e_tag.clone(), version: self.version.clone() }
    }

    /// Reads ranges of it without blocking the thread, in the order in which they are given.
    ///
    /// # Errors
    /// `Input` if it was replaced or deleted since it was listed; else as [`Bucket::range`].
    pub fn ranges(
        self: &Arc<Self>,
        ranges: Vec<Range<u64>>,
    ) -> impl Future<Output = Result<Vec<Bytes>>> + Send + use<> {
        let (object, read) = (Arc::clone(self), self.bucket.ranges(&self.entry, ranges));
        async move { read.await.map_err(|error| object.changed(error)) }
    }

    /// An object that is not the listed one any more is a fault of the input, as for local files.
    fn changed(&self, error: Error) -> Error {
        if error.kind() == Kind::Conflict { changed(&self.url).because(error) } else { error }
    }
}

/// Runs `work` with rayon: on more threads than there are processors if one of the files is an object, as most of the
/// work is to wait for answers.
///
/// # Errors
/// `Unavailable` if threads cannot be started; those of `work`.
pub(super) fn on_threads_that_wait<T: Send>(
    files: &mut [InputFile],
    work: impl FnOnce(&mut [InputFile]) -> Result<T> + Send,
) -> Result<T> {
    if files.iter().all(|file| file.source.local().is_some()) {
        return work(files);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).thread_name(|number| format!("input-{number}"));
    let pool = pool.build().map_err(|error| Error::unavailable("cannot start threads").because(error))?;
    pool.install(|| work(files))
}

/// The error for a file that is not as it was listed.
pub(super) fn changed(file: impl fmt::Display) -> Error {
    Error::input(format!(
        "{file}: changed while it was being read; nothing was published. Run again when its writer is done"
    ))
}

/// A source that can be read.
#[derive(Debug)]
pub(super) enum Opened {
    Local(File),
    Object(Arc<ObjectFile>),
}

impl Opened {
    /// Its size in bytes.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        match self {
            Self::Local(file) => Ok(file.metadata()?.len()),
            Self::Object(object) => Ok(object.entry.bytes),
        }
    }

    /// Whether every read is a request.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Reads a range of it, all of which has to be there.
    ///
    /// # Errors
    /// The system's; an error of a store in an I/O error.
    pub(super) fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            Self::Local(file) => {
                let beyond = |_| io::Error::from(ErrorKind::UnexpectedEof);
                let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).map_err(beyond)?];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
            Self::Object(object) => {
                Ahead { asked: object.bucket.ask(&object.entry, vec![range]), object: Arc::clone(object) }.wait()
            }
        }
    }

    /// Asks for a range of an object, to be had later; local files are read when they are needed.
    pub(super) fn ahead(&self, range: Range<u64>) -> Option<Ahead> {
        match self {
            Self::Local(_) => None,
            Self::Object(object) => {
                Some(Ahead { asked: object.bucket.ask(&object.entry, vec![range]), object: Arc::clone(object) })
            }
        }
    }

    /// Reads all of it, front to back; of an object, with `depth` parts on their way while one is used.
    pub(super) fn into_reader(self, depth: usize) -> Reader {
        match self {
            Self::Local(file) => Reader::Local(file),
            Self::Object(object) => Reader::Object(Box::new(object.bucket.reader(&object.entry, depth)), object),
        }
    }

    /// Reads some ranges of it, for the Parquet decoder to decode what is in them.
    ///
    /// # Errors
    /// As [`Opened::read_at`].
    pub(super) fn chunks(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> io::Result<Chunks> {
        let read = |range: Range<u64>| Ok((range.start, self.read_at(range)?));
        Ok(Chunks { bytes: self.bytes()?, read: ranges.into_iter().map(read).collect::<io::Result<_>>()? })
    }
}

/// A range of an object on its way.
pub(super) struct Ahead {
    asked: Result<Asked>,
    object: Arc<ObjectFile>,
}

impl Ahead {
    /// Waits for it.
    ///
    /// # Errors
    /// That of the store, in an I/O error.
    pub(super) fn wait(self) -> io::Result<Bytes> {
        let read = self.asked.and_then(Asked::wait).map_err(|error| self.object.changed(error));
        Ok(read.map_err(io::Error::other)?.pop().unwrap_or_default())
    }
}

/// Reads a file front to back.
#[derive(Debug)]
pub(super) enum Reader {
    Local(File),
    Object(Box<objects::Reader>, Arc<ObjectFile>),
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(bytes),
            Self::Object(reader, object) => reader.read(bytes).map_err(|error| {
                io::Error::other(object.changed(of_io(error, || format!("cannot read {}", object.url))))
            }),
        }
    }
}

/// Ranges of a file in memory.
pub(super) struct Chunks {
    bytes: u64,
    /// The ranges by their beginnings.
    read: Vec<(u64, Bytes)>,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let part = |(first, bytes): &(u64, Bytes)| {
            let at = usize::try_from(start.checked_sub(*first)?).ok()?;
            (at <= bytes.len()).then(|| bytes.slice(at..))
        };
        // Where one chunk ends, another may begin.
        let found = self.read.iter().filter_map(part).max_by_key(Bytes::len);
        found.map(Bytes::reader).ok_or_else(|| ParquetError::EOF(format!("byte {start} is in no chunk of the footer")))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.get_read(start)?.into_inner();
        if length <= rest.len() {
            return Ok(rest.slice(..length));
        }
        Err(ParquetError::EOF(format!("Expected to read {length} bytes, read only {}", rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_what_was_read_and_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let source = Source::Local(file.path().to_owned());
        let opened = source.open().unwrap();
        let chunks = opened.chunks([2..5, 7..9]).unwrap();
        assert_eq!((chunks.len(), &chunks.get_bytes(3, 2).unwrap()[..]), (10, b"34".as_slice()));
        assert_eq!(&chunks.get_bytes(7, 2).unwrap()[..], b"78");
        let next = opened.chunks([2..5, 5..9]).unwrap();
        assert_eq!(&next.get_bytes(5, 3).unwrap()[..], b"567");
        assert!(chunks.get_bytes(3, 3).is_err() && chunks.get_read(0).is_err() && chunks.get_read(6).is_err());
        assert_eq!(opened.read_at(8..11).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
