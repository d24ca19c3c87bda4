//! format: the plain types that are stored with a version or sent to consumers.
//!
//! ```text
//! manifest.json   Manifest: shards, files, checksums, KeySchema, ValueSchema, Tables, Profile, lineage
//! current.json    Current: versions and their states, pin, targets, intent
//! Kafka           Announcement: the whole state of a dataset
//! ```
//! A leaf of the crate: values with their serde form, and the checks that need nothing else (a manifest whose shards do
//! not add up is refused when it is parsed). Serialized names never change; a field that is new has a default.
//!
//! Not for: files (`catalog`), the bytes of keys and values (`codec`), Arrow, RocksDB or Kafka.

mod allow;
mod announcement;
mod change;
mod checksummed_json;
mod current;
mod digest;
mod hashes;
mod hex;
mod key;
mod manifest;
mod profile;
mod reasons;
pub(crate) mod rfc3339;
mod settings;
mod shown;
mod state;
mod value;

pub use allow::{Allow, Allowed, flag as allow_flag};
pub use announcement::{
    AnnouncedVersion, Announcement, Behind, KafkaState, PROTOCOL, StreamedPartition, StreamedVersion,
};
pub use change::{Change, Intent};
pub(crate) use checksummed_json::{stamp, to_checksummed_json, to_json};
pub use current::{Candidate, Current, Pin, RolledBack, Targets, VersionEntry};
pub use digest::{Digest, Digester};
pub use hashes::Hashes;
pub use hex::{as_text, hex, hex_checksum, undigits};
pub use key::{KeyColumn, KeyEncoding, KeyKind, KeySchema, Unit};
pub(crate) use manifest::{ATTEMPT, is_attempt, shard_name};
pub use manifest::{
    CheckOutcome, CheckResult, ColumnStats, Compared, FileEntry, InputFile, LargestEntry, Manifest, ShardEntry,
    StageTiming, shown_params,
};
pub use profile::{ColumnProfile, InputProfile, PartProfile, Profile, TableProfile};
pub use reasons::Reasons;
pub use settings::*;
pub use shown::{shown_date_or_time, shown_time, shown_versions};
pub use state::State;
pub use value::{ValueColumn, ValueSchema};
