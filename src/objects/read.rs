//! Reads objects: what they are, their bytes, and parts of them.
//!
//! A part is read of the very object that was looked at before: the request names which one, and the store refuses when it was
//! replaced. The number of bytes is compared with what was asked for.
//!
//! Not for: what the bytes should be. Who knows their checksum compares it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, UpdateVersion};

use xxhash_rust::xxh3::Xxh3Default;

use super::failure::{self, Answer};
use super::{Bucket, Key, network};
use crate::error::{Error, Result};

/// Bytes that are handed from the network to a reader at a time, about: 1 MiB.
const PIECE: usize = 1 << 20;

/// Bytes that are asked for in one request: each has its own time and its own retries. 16 MiB.
pub const STEP: u64 = 16 << 20;

/// Which content an object has: it changes when the object is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// The entity tag.
    pub e_tag: Option<String>,
    /// The store's own number of the version, where it keeps versions.
    pub version: Option<String>,
}

impl Tag {
    pub(super) fn update(&self) -> UpdateVersion {
        UpdateVersion { e_tag: self.e_tag.clone(), version: self.version.clone() }
    }
}

/// An object, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its size.
    pub bytes: u64,
    /// Its content's tag.
    pub tag: Tag,
    /// When it was written, by the store's clock.
    pub modified: jiff::Timestamp,
}

impl Entry {
    pub(super) fn new(key: Key, meta: &ObjectMeta) -> Self {
        let tag = Tag { e_tag: meta.e_tag.clone(), version: meta.version.clone() };
        let modified = jiff::Timestamp::from_millisecond(meta.last_modified.timestamp_millis());
        Self { key, bytes: meta.size, tag, modified: modified.unwrap_or_default() }
    }

    /// Whether what came is of the same object: a server of files may not know the condition that was asked for.
    fn is_same(&self, meta: &ObjectMeta) -> bool {
        let is_same = match (&self.tag.e_tag, &meta.e_tag) {
            (Some(known), Some(found)) => known == found,
            _ => self.modified.as_second() == meta.last_modified.timestamp(),
        };
        is_same && self.bytes == meta.size
    }
}

/// An object with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub entry: Entry,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// An object, compared with what was known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is as it was.
    No,
    /// It has another content.
    Yes(Object),
    /// It is not there.
    Gone,
}

impl Bucket {
    /// Looks at an object; none where there is none.
    ///
    /// # Errors
    /// As the store's refusals are: `Invalid` for credentials, rights and missing buckets, `Unavailable` when it does
    /// not answer.
    pub fn head(&self, key: &Key) -> Result<Option<Entry>> {
        let (store, path) = (Arc::clone(&self.store), self.path(key)?);
        match network::run(
            async move { store.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await },
        )? {
            Ok(found) => Ok(Some(Entry::new(key.clone(), &found.meta))),
            Err(error) => self.none_or(key, error),
        }
    }

    /// Reads an object of at most `most` bytes; none where there is none.
    ///
    /// # Errors
    /// As [`Bucket::head`]; `Corrupt` when it is larger, or has not the bytes that the store says.
    pub fn get(&self, key: &Key, most: u64) -> Result<Option<Object>> {
        match self.get_opts(key, GetOptions::default(), most)? {
            Ok(object) => Ok(Some(object)),
            Err(error) => self.none_or(key, error),
        }
    }

    /// Reads an object of at most `most` bytes unless it is still as `tag` says, in one request either way.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub fn get_if_changed(&self, key: &Key, tag: &Tag, most: u64) -> Result<Changed> {
        let options = GetOptions { if_none_match: tag.e_tag.clone(), ..GetOptions::default() };
        match self.get_opts(key, options, most)? {
            Ok(object) => Ok(Changed::Yes(object)),
            Err(object_store::Error::NotModified { .. }) => Ok(Changed::No),
            Err(error) => Ok(self.none_or(key, error)?.map_or(Changed::Gone, Changed::Yes)),
        }
    }

    /// Reads a part of an object.
    ///
    /// # Errors
    /// As [`Bucket::head`]; `Conflict` when the object was replaced or deleted meanwhile; `Invalid` for a part beyond it.
    pub fn range(&self, entry: &Entry, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity((range.end.saturating_sub(range.start)) as usize);
        self.read(entry, range, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads a part of an object piece by piece, in order, with bounded memory.
    ///
    /// # Errors
    /// As [`Bucket::range`], and those of `each`.
    pub fn read(&self, entry: &Entry, range: Range<u64>, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if range.start > range.end || range.end > entry.bytes {
            return Err(Error::invalid(format!("{} has no bytes {range:?}", self.url(&entry.key))));
        }
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + STEP);
            self.read_step(entry, start..end, &mut each)?;
            start = end;
        }
        Ok(())
    }

    /// XXH3 of all bytes of an object, 64 bits.
    ///
    /// # Errors
    /// As [`Bucket::range`].
    pub fn hash(&self, entry: &Entry) -> Result<u64> {
        let mut hasher = Xxh3Default::new();
        self.read(entry, 0..entry.bytes, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        Ok(hasher.digest())
    }

    /// Reads a part in one request.
    fn read_step(&self, entry: &Entry, range: Range<u64>, each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = range.end - range.start;
        let (store, path) = (Arc::clone(&self.store), self.path(&entry.key)?);
        let found = network::run(part(store, path, entry.clone(), range, self.url(&entry.key)))??;
        let doing = || format!("read {}", self.url(&entry.key));
        let mut stream = found.into_stream().fuse().boxed();
        loop {
            let (rest, pieces) = network::run(next(stream))?;
            stream = rest;
            let pieces = pieces.map_err(|error| failure::told(&doing(), &error))?;
            if pieces.is_empty() {
                break;
            }
            for piece in pieces {
                self.counts.received(piece.len());
                left = left.checked_sub(piece.len() as u64).ok_or_else(|| self.wrong_length(&entry.key))?;
                each(&piece)?;
            }
        }
        if left == 0 { Ok(()) } else { Err(self.wrong_length(&entry.key)) }
    }

    fn get_opts(&self, key: &Key, options: GetOptions, most: u64) -> Result<Result<Object, object_store::Error>> {
        let (store, path) = (Arc::clone(&self.store), self.path(key)?);
        let read = network::run(async move { whole(store.get_opts(&path, options).await?, most).await })?;
        let (meta, bytes) = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let entry = Entry::new(key.clone(), &meta);
        let Some(bytes) = bytes else {
            return Err(Error::corrupt(format!(
                "{} has {} bytes, and {most} is the most that it can have",
                self.url(key),
                entry.bytes
            )));
        };
        self.counts.received(bytes.len());
        if bytes.len() as u64 != entry.bytes {
            return Err(self.wrong_length(key));
        }
        Ok(Ok(Object { entry, bytes }))
    }

    pub(super) fn wrong_length(&self, key: &Key) -> Error {
        Error::unavailable(format!("cannot read {}: the store gave more or fewer bytes than it said", self.url(key)))
    }

    /// None for an object that is not there; any other error is returned, that of a missing bucket too.
    fn none_or<T>(&self, key: &Key, error: object_store::Error) -> Result<Option<T>> {
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        let code = Answer::of(&error).code;
        if is_missing && !matches!(code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound")) {
            return Ok(None);
        }
        Err(failure::told(&format!("read {}", self.url(key)), &error))
    }
}

/// Asks for a part of an object, which has to be the one that was looked at.
///
/// # Errors
/// As [`Bucket::range`].
pub(super) async fn part(
    store: Arc<dyn ObjectStore>,
    path: Path,
    entry: Entry,
    range: Range<u64>,
    url: String,
) -> Result<GetResult> {
    // A weak tag never matches by the rules of HTTP; the answer is compared below.
    let strong = |tag: &String| !tag.starts_with("W/");
    let options = GetOptions {
        if_match: entry.tag.e_tag.clone().filter(strong),
        // Where the entity tag says it, asking for a version by its number would only need another right.
        version: entry.tag.version.clone().filter(|_| entry.tag.e_tag.is_none()),
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    };
    let doing = format!("read {url}");
    let found = store.get_opts(&path, options).await.map_err(|error| failure::told(&doing, &error))?;
    if entry.is_same(&found.meta) {
        Ok(found)
    } else {
        Err(Error::conflict(format!("cannot {doing}: it was replaced meanwhile")))
    }
}

/// All bytes of an answer, unless there are more than `most`.
async fn whole(found: GetResult, most: u64) -> Result<(ObjectMeta, Option<Vec<u8>>), object_store::Error> {
    let meta = found.meta.clone();
    let mut bytes = Vec::new();
    let mut stream = found.into_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if (bytes.len() + piece.len()) as u64 > most {
            return Ok((meta, None));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((meta, Some(bytes)))
}

type Pieces = BoxStream<'static, object_store::Result<bytes::Bytes>>;

/// The next pieces of a stream, some [`PIECE`] of bytes together; none at its end.
async fn next(mut stream: Pieces) -> (Pieces, object_store::Result<Vec<bytes::Bytes>>) {
    let (mut pieces, mut size) = (Vec::new(), 0);
    while size < PIECE {
        match stream.next().await {
            None => break,
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => {
                size += piece.len();
                pieces.push(piece);
            }
            Some(Err(error)) => return (stream, Err(error)),
        }
    }
    (stream, Ok(pieces))
}
