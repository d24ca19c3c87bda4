//! Parts of an object for a reader that waits without blocking its thread, such as a scan of columns.
//!
//! Parts that lie close together are asked for as one, and several are asked for at a time. The requests run on the
//! runtime of this directory, whichever runtime the reader has; they end when the reader is dropped.
//!
//! Not for: whole objects, which `read` gives piece by piece.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::read::part;
use super::{Bucket, Entry, network};
use crate::error::{Error, Result};

/// Bytes between two parts that are rather read and dropped than asked for around: 256 KiB.
const GAP: u64 = 256 << 10;

/// Parts of an object on their way; the requests end when this is dropped.
#[derive(Debug)]
pub struct Asked(JoinHandle<Result<Vec<Bytes>>>);

impl Asked {
    /// Waits for the parts, and blocks its thread.
    ///
    /// # Errors
    /// As [`Bucket::range`].
    pub fn wait(self) -> Result<Vec<Bytes>> {
        network::run(self.ended())?
    }

    /// The parts.
    ///
    /// # Errors
    /// As [`Bucket::range`].
    pub(super) async fn ended(mut self) -> Result<Vec<Bytes>> {
        let ended = (&mut self.0).await;
        ended.unwrap_or_else(|_| Err(Error::unavailable("a request ended: the store sent an invalid answer")))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bucket {
    /// Reads parts of an object, in the order in which they are given.
    ///
    /// # Errors
    /// As [`Bucket::range`], once the future is awaited.
    pub fn ranges(
        &self,
        entry: &Entry,
        ranges: Vec<Range<u64>>,
    ) -> impl Future<Output = Result<Vec<Bytes>>> + Send + use<> {
        let (bucket, entry) = (self.clone(), entry.clone());
        async move {
            let beyond = ranges.iter().find(|range| range.start > range.end || range.end > entry.bytes);
            if let Some(range) = beyond {
                return Err(Error::invalid(format!("{} has no bytes {range:?}", bucket.url(&entry.key))));
            }
            bucket.ask(&entry, ranges)?.ended().await
        }
    }

    /// Asks for parts of an object, all of which have to be in it, and does not wait for them.
    ///
    /// # Errors
    /// `Unavailable` when the runtime cannot be started.
    pub fn ask(&self, entry: &Entry, ranges: Vec<Range<u64>>) -> Result<Asked> {
        Ok(Asked(network::start()?.spawn(self.clone().coalesced(entry.clone(), ranges))))
    }

    async fn coalesced(self, entry: Entry, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let path = self.path(&entry.key)?;
        let fetch = |range: Range<u64>| {
            let (bucket, entry, path) = (self.clone(), entry.clone(), path.clone());
            async move {
                let (store, url, length) = (Arc::clone(&bucket.store), bucket.url(&entry.key), range.end - range.start);
                if length == 0 {
                    return Ok(Bytes::new());
                }
                let key = entry.key.clone();
                let found = part(store, path, entry, range, url.clone()).await?;
                let bytes = found.bytes().await;
                let bytes = bytes.map_err(|error| super::failure::classified(&format!("read {url}"), &error))?;
                bucket.counts.received(bytes.len());
                if bytes.len() as u64 == length { Ok(bytes) } else { Err(bucket.wrong_length(&key)) }
            }
        };
        object_store::coalesce_ranges(&ranges, fetch, GAP).await
    }
}
