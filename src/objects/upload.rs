//! Uploads a large object in parts, several at a time, with bounded memory.
//!
//! ```text
//! source ─▶ a part is read once memory for it is free ─▶ sent by the runtime, with its SHA-256 ─▶ completed together
//!            └ XXH3 of all bytes, in order
//! ```
//! An upload has an id, which is noted before anything is sent, so that a later cleanup can abort it. It ends
//! completed or aborted; only where both fail it stays open, which the error reports. When the answer to the completion
//! is lost, the object is read back and compared: its name is used once, so that no other process can have written it.
//!
//! Not for: names that are written more than once.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::Xxh3Default;

use super::failure;
use super::{Bucket, Key, network};
use crate::error::{Error, Result};

/// Bytes of the smallest part, and of memory that is given out at a time: 8 MiB.
const PART: u64 = 8 << 20;
/// Parts of that size that are in memory at most, over all uploads of a client.
pub(super) const PARTS: usize = 8;
/// Parts that stores allow an object to have.
const MAX_PARTS: u64 = 10_000;

/// How long the parts that are on their way may take when an upload is aborted.
const LAST_PARTS: Duration = Duration::from_secs(10);

/// An upload that is neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// The key that the object would have.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
}

/// An object that was uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its bytes.
    pub bytes: u64,
    /// XXH3 of its bytes, 64 bits.
    pub xxh3: u64,
}

impl Bucket {
    /// Uploads the `bytes` bytes of `source` under a key that no other process uses. `note` is called with the upload
    /// before anything is sent, where parts are needed. With `xxh3`, bytes that do not match it are not completed.
    ///
    /// # Errors
    /// As [`Bucket::put`]; `Unavailable` when the source cannot be read; `Corrupt` when it has fewer or more bytes, or
    /// others than `xxh3` says; those of `note`; `Stopped` after a signal. No object is made then.
    pub fn upload(
        &self,
        key: &Key,
        source: &mut dyn Read,
        bytes: u64,
        xxh3: Option<u64>,
        note: &mut dyn FnMut(&OpenUpload) -> Result<()>,
    ) -> Result<Uploaded> {
        self.writer()?;
        let part = part_bytes(bytes).ok_or_else(|| {
            Error::invalid(format!("{} would be larger than an object can be: use more shards", self.url(key)))
        })?;
        let mut reading = Reading { source, hasher: Xxh3Default::new(), left: bytes };
        if bytes <= part {
            let _permit = self.memory(part)?;
            let read = reading.part(part, || self.url(key))?;
            reading.check_end(xxh3, || self.url(key))?;
            self.put(key, read)?;
        } else {
            let mut upload = Upload::create(self, key)?;
            let sent = note(&upload.open).and_then(|()| upload.send(self, &mut reading, part));
            let completed =
                sent.and_then(|()| reading.check_end(xxh3, || self.url(key))).and_then(|()| upload.collect());
            match completed {
                Ok(parts) => upload.complete(self, parts, bytes, reading.hasher.digest())?,
                Err(error) => return Err(upload.abort(error)),
            }
        }
        Ok(Uploaded { bytes, xxh3: reading.hasher.digest() })
    }

    /// Aborts an upload that was noted; one that is not open any more is none.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        let key = Key::new(upload.key.as_str())?;
        let (multipart, path, id) = (Arc::clone(&self.writer()?.multipart), self.path(&key)?, upload.id.clone());
        match network::run(async move { multipart.abort_multipart(&path, &id).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure::classified(&format!("abort the upload of {}", self.url(&key)), &error)),
        }
    }

    /// Waits until there is memory for a part.
    fn memory(&self, part: u64) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(part.div_ceil(PART)).unwrap_or(u32::MAX).min(PARTS as u32);
        let permit = network::run(Arc::clone(&self.parts).acquire_many_owned(units))?;
        permit.map_err(|_| Error::internal("the memory of uploads was closed"))
    }
}

/// Requests of an upload, the notes about it included.
pub fn upload_requests(bytes: u64) -> u64 {
    const BEGIN_AND_END: u64 = 4;
    match part_bytes(bytes) {
        Some(part) if bytes > part => bytes.div_ceil(part) + BEGIN_AND_END,
        _ => 1,
    }
}

/// The size of parts for an object; none for one that is too large.
fn part_bytes(bytes: u64) -> Option<u64> {
    let mut part = PART;
    while bytes.div_ceil(part) > MAX_PARTS {
        part *= 2;
    }
    (part <= PART * PARTS as u64).then_some(part)
}

/// A source that is read once, in order.
struct Reading<'a> {
    source: &'a mut dyn Read,
    hasher: Xxh3Default,
    left: u64,
}

impl Reading<'_> {
    fn part(&mut self, most: u64, url: impl Fn() -> String) -> Result<Vec<u8>> {
        let size = self.left.min(most);
        let mut bytes = Vec::with_capacity(size as usize);
        let read = (&mut *self.source).take(size).read_to_end(&mut bytes);
        read.map_err(|error| Error::unavailable(format!("cannot read what is uploaded as {}", url())).because(error))?;
        if bytes.len() as u64 != size {
            return Err(Error::corrupt(format!("what is uploaded as {} has become shorter", url())));
        }
        self.hasher.update(&bytes);
        self.left -= size;
        Ok(bytes)
    }

    fn check_end(&mut self, xxh3: Option<u64>, url: impl Fn() -> String) -> Result<()> {
        let more = self.source.read(&mut [0]);
        match more
            .map_err(|error| Error::unavailable(format!("cannot read what is uploaded as {}", url())).because(error))?
        {
            0 => {}
            _ => return Err(Error::corrupt(format!("what is uploaded as {} has become longer", url()))),
        }
        match xxh3 {
            Some(expected) if expected != self.hasher.digest() => {
                Err(Error::corrupt(format!("what is uploaded as {} does not match its checksum", url())))
            }
            _ => Ok(()),
        }
    }
}

type Sending = JoinHandle<Result<PartId, object_store::Error>>;

/// An upload in parts on its way.
struct Upload {
    open: OpenUpload,
    url: String,
    path: Path,
    multipart: Arc<dyn MultipartStore>,
    parts: Vec<Sending>,
    has_failed: Arc<AtomicBool>,
}

impl Upload {
    fn create(bucket: &Bucket, key: &Key) -> Result<Self> {
        let (multipart, path) = (Arc::clone(&bucket.writer()?.multipart), bucket.path(key)?);
        let url = bucket.url(key);
        let id = bucket.persist(|| {
            let creating = (Arc::clone(&multipart), path.clone());
            // To its end, as an upload whose id is lost could not be aborted.
            let id = network::run_to_end(async move { creating.0.create_multipart(&creating.1).await })?;
            id.map_err(|error| failure::classified(&format!("write {url}"), &error))
        })?;
        let open = OpenUpload { key: key.as_str().to_owned(), id };
        Ok(Self { open, url, path, multipart, parts: Vec::new(), has_failed: Arc::default() })
    }

    /// Reads all parts and gives them to the runtime, as memory is there; ends early when one has failed.
    fn send(&mut self, bucket: &Bucket, reading: &mut Reading<'_>, part: u64) -> Result<()> {
        let runtime = network::start()?;
        while reading.left > 0 && !self.has_failed.load(Ordering::Relaxed) {
            let permit = bucket.memory(part)?;
            let payload = PutPayload::from(reading.part(part, || self.url.clone())?);
            let (multipart, path, id) = (Arc::clone(&self.multipart), self.path.clone(), self.open.id.clone());
            let (number, has_failed) = (self.parts.len(), Arc::clone(&self.has_failed));
            self.parts.push(runtime.spawn(async move {
                let sent = multipart.put_part(&path, &id, number, payload).await;
                has_failed.fetch_or(sent.is_err(), Ordering::Relaxed);
                drop(permit);
                sent
            }));
        }
        Ok(())
    }

    /// Waits for all parts; the first failure is returned, after all have ended.
    fn collect(&mut self) -> Result<Vec<PartId>> {
        let parts = std::mem::take(&mut self.parts);
        let ended = network::run(futures::future::join_all(parts))?;
        let doing = || format!("write {}", self.url);
        ended
            .into_iter()
            .map(|part| match part {
                Ok(sent) => sent.map_err(|error| failure::classified(&doing(), &error)),
                Err(_) => Err(Error::unavailable(format!("cannot {}: the store sent an invalid answer", doing()))),
            })
            .collect()
    }

    fn complete(mut self, bucket: &Bucket, parts: Vec<PartId>, bytes: u64, xxh3: u64) -> Result<()> {
        let (multipart, path, id) = (Arc::clone(&self.multipart), self.path.clone(), self.open.id.clone());
        let completed = network::run_to_end(async move { multipart.complete_multipart(&path, &id, parts).await })?;
        let Err(error) = completed else { return Ok(()) };
        match self.is_there(bucket, bytes, xxh3) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.abort(failure::classified(&format!("write {}", self.url), &error))),
            Err(unknown) => Err(unknown.during(format!(
                "it is unknown whether {} was written; its upload may still be open, with id {}",
                self.url, self.open.id
            ))),
        }
    }

    /// Whether the object is there, with the bytes that were uploaded.
    fn is_there(&self, bucket: &Bucket, bytes: u64, xxh3: u64) -> Result<bool> {
        let Some(entry) = bucket.head(&Key::new(self.open.key.as_str())?)? else { return Ok(false) };
        if entry.bytes != bytes {
            return Ok(false);
        }
        Ok(bucket.hash(&entry)? == xxh3)
    }

    /// Aborts the upload, once its parts have ended: one that the store still works on when it aborts would stay.
    fn abort(&mut self, error: Error) -> Error {
        let mut parts = std::mem::take(&mut self.parts);
        let (multipart, path, id) = (Arc::clone(&self.multipart), self.path.clone(), self.open.id.clone());
        let aborted = network::run_to_end(async move {
            let ended = futures::future::join_all(&mut parts);
            if tokio::time::timeout(LAST_PARTS, ended).await.is_err() {
                parts.iter().for_each(JoinHandle::abort);
            }
            multipart.abort_multipart(&path, &id).await
        });
        match aborted {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => error,
            Ok(Err(_)) | Err(_) => {
                let url = &self.url;
                error.during(format!("an upload of {url} stays open, with id {}, until it is aborted", self.open.id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_small_as_their_maximum_number_allows() {
        assert_eq!(part_bytes(0), Some(PART));
        assert_eq!(part_bytes(PART * MAX_PARTS), Some(PART));
        assert_eq!(part_bytes(PART * MAX_PARTS + 1), Some(2 * PART));
        assert_eq!(part_bytes(PART * PARTS as u64 * MAX_PARTS), Some(PART * PARTS as u64));
        assert_eq!(part_bytes(PART * PARTS as u64 * MAX_PARTS + 1), None);
    }
}
