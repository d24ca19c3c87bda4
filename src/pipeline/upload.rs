//! Uploads finished shards of a store on an object store while others are still built.
//!
//! Not for: the rest of a version's files and its manifest, which are uploaded by the install (`catalog`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::build_dir::BuildDir;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::format::ShardEntry;
use crate::progress::{Progress, StageTimer};

/// How often the progress of uploads is shown.
const SHOW_EVERY: Duration = Duration::from_millis(20);

/// Takes the shards that are finished.
pub(super) struct FinishedShards<'a> {
    sender: Sender<ShardEntry>,
    bytes: &'a AtomicU64,
}

impl FinishedShards<'_> {
    /// One more shard is finished and synced.
    pub(super) fn add(&self, shard: &ShardEntry) {
        self.bytes.fetch_add(shard.disk_bytes(), Ordering::Relaxed);
        // There is no receiver once an upload has failed.
        let _ = self.sender.send(shard.clone());
    }
}

/// Runs `work` and uploads the shards that it finishes; returns what it returns, and the stage in which only the rest
/// was uploaded, unless the store is local.
///
/// # Errors
/// That of `work`, otherwise the first of an upload.
pub(super) fn uploading<T>(
    catalog: &Catalog,
    build: &BuildDir,
    progress: Progress,
    work: impl FnOnce(&FinishedShards<'_>) -> Result<T>,
) -> Result<(T, Option<StageTimer>)> {
    let (sender, finished) = channel();
    let [finished_bytes, uploaded_bytes] = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        let upload = |shard: ShardEntry| {
            catalog.upload_shard(build.id(), &build.dirs().version(), &shard)?;
            uploaded_bytes.fetch_add(shard.disk_bytes(), Ordering::Relaxed);
            Ok(())
        };
        let uploads = scope.spawn(move || finished.into_iter().try_for_each(upload));
        let finished = FinishedShards { sender, bytes: &finished_bytes };
        let done = work(&finished);
        drop(finished);
        let mut rest = None;
        if done.is_ok() && catalog.remote().is_some() {
            let stage = progress.transfer("upload", finished_bytes.load(Ordering::Relaxed));
            let mut shown = 0;
            let mut show = || {
                let uploaded = uploaded_bytes.load(Ordering::Relaxed);
                stage.advance(uploaded - shown);
                shown = uploaded;
            };
            while !uploads.is_finished() {
                show();
                std::thread::sleep(SHOW_EVERY);
            }
            show();
            rest = Some(stage.finish());
        }
        let uploaded = uploads.join().unwrap_or_else(|_| Err(Error::internal("an upload thread panicked")));
        let done = done?;
        uploaded.map(|()| (done, rest))
    })
}
