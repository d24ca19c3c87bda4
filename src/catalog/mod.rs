//! The catalog: which versions a store has, what each is made of, and which one readers see.
//!
//! ```text
//! store/current.json ──▶ Current: version states, the pin, the one version readers see
//! store/versions/00000042/manifest.json ──▶ Manifest: every file, its size and checksum, the digest, the lineage
//! ```
//! This is the core of the crate: it knows no job, no query and no RocksDB, and imports only `storage`, `error` and
//! the plain types that a manifest records (key and value schema, table settings, partitioner, retention).
//!
//! Invariants: `current.json` changes only by one atomic replace under `commit.lock`; a version's folder never changes
//! once it has its number; a version that `current.json` does not name does not exist.
//!
//! Not for: opening databases (`serve`), running checks (`check`), or the order of the steps of a publish (`publish`).

mod allow;
mod current;
mod digest;
mod hex;
mod inspect;
mod install;
mod layout;
mod lock;
mod log;
mod manifest;
mod pending;
mod reach;
mod refusals;
mod remove;
mod retention;
mod sealed;
mod store;
mod streamed;
mod time;
mod transitions;
mod unfinished;
mod walk;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use allow::{Allow, Allowed, flag as allow_flag};
pub use current::{Current, Pin, RolledBack, State, VersionEntry};
pub use digest::{Digest, Digester};
pub use hex::{as_text, hex};
pub use inspect::{FileDepth, Finding, inspect};
pub use install::Installed;
pub use layout::{BuildDirs, Layout};
pub use lock::{Holder, Lock};
pub use log::{Action, Event, Log, by};
pub use manifest::{
    CheckResult, ColumnStats, FileEntry, InputFile, LargestEntry, Manifest, Outcome, ShardEntry, StageTiming,
    shown_params,
};
pub use pending::Pending;
pub use refusals::Refusal;
pub use remove::GcReport;
pub use retention::LOOK;
pub(crate) use sealed::stamp;
pub use store::Catalog;
pub use streamed::{Announced, Announcement, Behind, Ledger, PROTOCOL, Streamed, StreamedPartition};
pub use transitions::{Change, Flip};
