//! The catalog: which versions a store has, what each is made of, and which one readers see.
//!
//! ```text
//! store/current.json ──▶ Current: version states, the pin, the one version readers see
//! store/versions/00000042/manifest.json ──▶ Manifest: every file, its size and checksum, the digest, the lineage
//! ```
//! This is the core of the crate: it runs no query and links neither RocksDB nor Kafka. Apart from the client of object
//! stores and helpers (files, errors, shutdown, failpoints, rate limit, escaping) it uses only the plain types that a
//! manifest records (key and value schema, table settings, partitioner, retention, profile). What a store has on Kafka
//! is recorded here, not sent from here.
//!
//! Invariants: `current.json` changes only by one atomic replace under `commit.lock`; a version's directory is
//! immutable once it has its number; a version that `current.json` does not list does not exist.
//!
//! Not for: opening databases (`serve`), running checks (`check`), or the order of the steps of a publish (`publish`).

mod event;
mod event_log;
mod file_system;
mod finding;
mod gc;
mod install;
mod integrity;
mod intent;
mod kafka_state;
mod layout;
mod local;
mod local_copy;
mod lock;
mod manifest_file;
mod orphans;
mod publish_rules;
mod remote;
mod reserve;
mod resumable_builds;
mod retention;
mod store;
mod transitions;
mod who;
mod work_dir;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, by};
pub use finding::{FileDepth, Finding};
pub use gc::{GRACE, GcReport};
pub use install::Installed;
pub use integrity::inspect;
pub use layout::{BuildPaths, Layout};
pub use remote::{
    Building, DownloadOptions, Downloaded, MAX_REPLICAS, PartDownload, Refreshed, Remote, Replica, ReplicaState,
    SharedWork,
};
pub use store::{BuildLock, Catalog};
pub use transitions::Flip;
pub use who::host;
