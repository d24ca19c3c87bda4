//! The catalog: which versions a store has, what each is made of, and which one readers see.
//!
//! ```text
//! store/current.json ──▶ Current: version states, the pin, the one version readers see
//! store/versions/00000042/manifest.json ──▶ Manifest: every file, its size and checksum, the digest, the lineage
//! ```
//! This is the core of the crate: it knows no job, no query and no RocksDB, and imports only `storage`, `error` and
//! the plain types that a manifest records (key and value schema, table settings, partitioner, retention).
//!
//! Invariants: `current.json` changes only by one atomic replace under `commit.lock`; a version's directory never
//! changes once it has its number; a version that `current.json` does not name does not exist.
//!
//! Not for: opening databases (`serve`), running checks (`check`), or the order of the steps of a publish (`publish`).

mod allow;
mod announcement;
mod checksummed_json;
mod current;
mod digest;
mod event_log;
mod file_system;
mod gc;
mod hex;
mod install;
mod integrity;
mod intent;
mod layout;
mod lock;
mod manifest;
mod orphans;
mod publish_rules;
mod reserve;
mod resumable_builds;
mod retention;
mod rfc3339;
mod store;
mod transitions;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod tests;

pub use allow::{Allow, Allowed, flag as allow_flag};
pub use announcement::{
    AnnouncedVersion, Announcement, Behind, KafkaState, PROTOCOL, StreamedPartition, StreamedVersion,
};
pub(crate) use checksummed_json::stamp;
pub use current::{Current, Pin, RolledBack, State, VersionEntry};
pub use digest::{Digest, Digester};
pub use event_log::{Action, Event, Log, by};
pub use gc::GcReport;
pub use hex::{as_text, hex};
pub use install::Installed;
pub use integrity::{FileDepth, Finding, inspect};
pub use intent::Intent;
pub use layout::{BuildPaths, Layout};
pub use lock::{Holder, Lock};
pub use manifest::{
    CheckResult, ColumnStats, Compared, FileEntry, InputFile, LargestEntry, Manifest, Outcome, ShardEntry, StageTiming,
    shown_params,
};
pub use publish_rules::Refusal;
pub use retention::LOOK;
pub use store::Catalog;
pub use transitions::{Change, Flip};
