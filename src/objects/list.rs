//! Lists what is below a prefix, and deletes many objects.
//!
//! A listing is handed over entry by entry while its pages arrive, so that a million objects need no more memory than a
//! page. Objects that represent the prefix itself, as consoles create them, are left out.
//!
//! Not for: matching patterns.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::failure;
use super::{Bucket, Entry, Key, network};
use crate::error::Result;

/// Objects that are handed over, or deleted, at a time: a page of S3.
const PAGE: usize = 1_000;

impl Bucket {
    /// Hands over all objects below `prefix`, a directory of the location; all of it where none is given. S3 and GCS
    /// list in order of keys.
    ///
    /// # Errors
    /// `Input` for an object whose name is no [`Key`]; else as [`Bucket::head`]; those of `each`.
    pub fn list(&self, prefix: Option<&Key>, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let place = match prefix {
            Some(prefix) => self.path(prefix)?,
            None => Path::parse(self.location.prefix()).unwrap_or_default(),
        };
        let doing = || match prefix {
            Some(prefix) => format!("list {}", self.url(prefix)),
            None => format!("list {}", self.location),
        };
        let mut stream = self.store.list(Some(&place)).fuse().boxed();
        loop {
            let (rest, page) = network::run(page(stream))?;
            stream = rest;
            let page = page.map_err(|error| failure::classified(&doing(), &error))?;
            if page.is_empty() {
                return Ok(());
            }
            for meta in page.iter().filter(|meta| meta.location != place) {
                let key = Key::of(&meta.location, self.location.prefix())?;
                each(Entry::new(key, meta))?;
            }
        }
    }

    /// Deletes objects, many in a request; those that are not there count as deleted.
    ///
    /// # Errors
    /// As [`Bucket::put`]; what was deleted before stays deleted.
    pub fn delete(&self, keys: impl IntoIterator<Item = Key>) -> Result<()> {
        self.writer()?;
        let mut keys = keys.into_iter().peekable();
        while let Some(first) = keys.peek().cloned() {
            let paths: Vec<Path> = keys.by_ref().take(PAGE).map(|key| self.path(&key)).collect::<Result<_>>()?;
            let store = Arc::clone(&self.store);
            let deleted = network::run(async move {
                let mut deleting = store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
                while let Some(deleted) = deleting.next().await {
                    match deleted {
                        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })?;
            deleted.map_err(|error| failure::classified(&format!("delete {} and others", self.url(&first)), &error))?;
        }
        Ok(())
    }
}

type Metas = BoxStream<'static, object_store::Result<ObjectMeta>>;

/// The next entries of a listing; none at its end.
async fn page(mut stream: Metas) -> (Metas, object_store::Result<Vec<ObjectMeta>>) {
    let mut page = Vec::new();
    while page.len() < PAGE {
        match stream.next().await {
            None => break,
            Some(Ok(meta)) => page.push(meta),
            Some(Err(error)) => return (stream, Err(error)),
        }
    }
    (stream, Ok(page))
}
