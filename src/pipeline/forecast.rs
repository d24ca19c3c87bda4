//! What a version will ask of an object store, from its predicted size: what it costs, and what each host receives.
//!
//! Not for: what inputs cost, which depends on row groups and columns (docs/object-stores.md has the rules).

use super::predict::Sizes;
use crate::job::Job;
use crate::objects;
use crate::report::ObjectStoreForecast;

/// Files of a shard in addition to its tables: those of RocksDB, and its list of checksums.
const FILES_OF_SHARD: u64 = 5;
/// Requests of a run for the lease, the manifest, the job's copies, `current.json` and the log.
const REQUESTS_OF_RUN: u64 = 30;

/// None if the store is local, or nothing is known about the version's size.
pub(super) fn object_store(job: &Job, sizes: Option<&Sizes>) -> Option<ObjectStoreForecast> {
    job.store.to_str().filter(|store| objects::Location::is_url(store))?;
    let bytes = sizes?.stored_bytes;
    let shards = u64::from(job.output.shards);
    let tables = bytes.div_ceil(job.tables.file_size.max(1)).max(shards);
    let files = tables + shards * FILES_OF_SHARD;
    Some(ObjectStoreForecast {
        requests: REQUESTS_OF_RUN + shards * FILES_OF_SHARD + tables * objects::upload_requests(bytes / tables),
        sent_bytes: bytes,
        pulled_bytes: bytes,
        pull_requests: 2 * files + bytes / objects::READ_BYTES,
    })
}
