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
use super::{Bucket, Entry, Key, Scheme, network};
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
        let place = self.place(prefix)?;
        let mut stream = self.store.list(Some(&place)).fuse().boxed();
        let (mut last, mut is_sorted, mut persistence) = (None, true, self.persistence());
        loop {
            let (rest, page, failed) = network::run(page(stream))?;
            stream = rest;
            for meta in page.iter().filter(|meta| meta.location != place) {
                each(self.listed(meta)?)?;
            }
            if let Some(meta) = page.last() {
                is_sorted &= last.as_ref() < page.first().map(|meta| &meta.location);
                is_sorted &= page.is_sorted_by(|one, next| one.location < next.location);
                last = Some(meta.location.clone());
                persistence.begin_anew();
            }
            match failed.map(|error| failure::classified(&self.listing(prefix), &error)) {
                None if page.is_empty() => return Ok(()),
                None => {}
                // What comes after a key is only known where keys come in order.
                Some(error) if !is_sorted => return Err(error),
                Some(error) => {
                    persistence.wait_after(error)?;
                    stream = match &last {
                        Some(last) => self.store.list_with_offset(Some(&place), last).fuse().boxed(),
                        None => self.store.list(Some(&place)).fuse().boxed(),
                    };
                }
            }
        }
    }

    /// The objects that are directly in `prefix`, and the directories in it.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub fn list_level(&self, prefix: Option<&Key>) -> Result<(Vec<Entry>, Vec<Key>)> {
        let place = self.place(prefix)?;
        let level = self.persist(|| {
            let (store, at) = (Arc::clone(&self.store), place.clone());
            let level = network::run(async move { store.list_with_delimiter(Some(&at)).await })?;
            level.map_err(|error| failure::classified(&self.listing(prefix), &error))
        })?;
        let objects = level.objects.iter().filter(|meta| meta.location != place);
        let entries = objects.map(|meta| self.listed(meta)).collect::<Result<_>>()?;
        let directory = |path: &Path| Key::of(path, self.location.prefix());
        Ok((entries, level.common_prefixes.iter().map(directory).collect::<Result<_>>()?))
    }

    /// An object of a listing. Azure's listings have entity tags without the quotes that its other answers have.
    fn listed(&self, meta: &ObjectMeta) -> Result<Entry> {
        let mut entry = Entry::new(Key::of(&meta.location, self.location.prefix())?, meta);
        let is_bare = |tag: &&mut String| !tag.starts_with('"') && !tag.starts_with("W/");
        if matches!(self.location.scheme(), Scheme::Azure | Scheme::Gcs)
            && let Some(tag) = entry.tag.e_tag.as_mut().filter(is_bare)
        {
            *tag = format!("\"{tag}\"");
        }
        Ok(entry)
    }

    fn place(&self, prefix: Option<&Key>) -> Result<Path> {
        match prefix {
            Some(prefix) => self.path(prefix),
            None => Ok(Path::parse(self.location.prefix()).unwrap_or_default()),
        }
    }

    fn listing(&self, prefix: Option<&Key>) -> String {
        match prefix {
            Some(prefix) => format!("list {}", self.url(prefix)),
            None => format!("list {}", self.location),
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
            self.persist(|| {
                let (store, paths) = (Arc::clone(&self.store), paths.clone());
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
                deleted.map_err(|error| failure::classified(&format!("delete {} and others", self.url(&first)), &error))
            })?;
        }
        Ok(())
    }
}

type Metas = BoxStream<'static, object_store::Result<ObjectMeta>>;

/// The next entries of a listing, none at its end, and what kept it from giving more.
async fn page(mut stream: Metas) -> (Metas, Vec<ObjectMeta>, Option<object_store::Error>) {
    let mut page = Vec::new();
    while page.len() < PAGE {
        match stream.next().await {
            None => break,
            Some(Ok(meta)) => page.push(meta),
            Some(Err(error)) => return (stream, page, Some(error)),
        }
    }
    (stream, page, None)
}
