//! For unit tests: an object store in memory that loses answers and refuses requests by chance.
//!
//! Only writes fail: a lost answer of a read is the same as a read that is tried again.
//!
//! Not for: what a real server does (`tests/objects`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use tokio::sync::Semaphore;

use super::{Bucket, Location, Writer, upload};
use crate::error::Result;

/// A client of a new store in memory. Of a hundred conditional writes, `lost` are carried out and their answers lost,
/// and `refused` are not carried out, which looks the same to the writer.
pub(crate) fn bucket(seed: u64, lost: u64, refused: u64) -> Result<Bucket> {
    let memory = Arc::new(InMemory::new());
    let once = Arc::new(Faulty { inner: Arc::clone(&memory), state: AtomicU64::new(seed), lost, refused });
    super::network::start()?;
    Ok(Bucket {
        location: Location::parse("s3://simulated/store")?,
        store: Arc::clone(&memory) as _,
        writer: Some(Writer { once, multipart: memory }),
        counts: Arc::default(),
        settle_for: Duration::from_millis(2),
        parts: Arc::new(Semaphore::new(upload::PARTS)),
    })
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<InMemory>,
    state: AtomicU64,
    lost: u64,
    refused: u64,
}

impl Faulty {
    /// A number below 100.
    fn chance(&self) -> u64 {
        let mixed = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % 100
    }
}

fn no_answer() -> object_store::Error {
    object_store::Error::Generic { store: "simulated", source: "no answer".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated object store")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        match self.chance() {
            chance if chance < self.refused => Err(no_answer()),
            chance if chance < self.refused + self.lost => {
                // Whatever came of it.
                let _ = self.inner.put_opts(at, payload, options).await;
                Err(no_answer())
            }
            _ => self.inner.put_opts(at, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
