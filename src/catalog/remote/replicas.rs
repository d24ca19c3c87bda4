//! What hosts that pull from a remote store say of themselves: one object per host, `replicas/<name>.json`.
//!
//! It is for people and for `publish --wait-replicas`; nothing else depends on it, and a host without the right to
//! write still pulls.
//!
//! Not for: the consumers of a topic, which report on Kafka.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Remote;
use crate::error::Result;
use crate::format::{rfc3339, to_json};
use crate::objects::Key;

/// No report is larger, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Reports that a publish reads at most.
pub const MAX_REPLICAS: usize = 10_000;

/// A host that has reported nothing for this long may be gone: one that follows a store reports every minute.
const SILENT: Duration = Duration::from_secs(5 * 60);

/// What a host has of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ReplicaState,
    /// The version that its readers see.
    pub version: Option<u64>,
    /// The build of that version.
    pub build_id: Option<String>,
    /// The build of the candidate that it has fetched and can serve at once.
    #[serde(default)]
    pub ready_build_id: Option<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// When it said so.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

impl Replica {
    /// Whether the host may be gone, so that its report does not count.
    pub fn is_silent(&self) -> bool {
        Duration::try_from(Timestamp::now().duration_since(self.at)).is_ok_and(|silence| silence > SILENT)
    }
}

/// What a host is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It downloads a version.
    Staging,
    /// Its readers see the version that it names.
    Serving,
    /// It cannot follow.
    Failed,
}

impl Remote {
    /// Says what this host has.
    ///
    /// # Errors
    /// As those of a write; `Invalid` for a name that no key can have.
    pub fn report(&self, replica: &Replica) -> Result<()> {
        self.bucket.put(&Key::new(format!("replicas/{}.json", key_name(&replica.name)))?, to_json(replica)?).map(drop)
    }

    /// What hosts said last, by name, of at most this many of them; what is not a report is skipped.
    ///
    /// # Errors
    /// As those of a listing.
    pub fn replicas(&self, most: usize) -> Result<Vec<Replica>> {
        let mut keys = Vec::new();
        self.bucket.list(Some(&Key::new("replicas")?), |entry| {
            if keys.len() < most {
                keys.push(entry.key);
            }
            Ok(())
        })?;
        let mut replicas = Vec::new();
        for key in keys {
            let object = self.bucket.get(&key, MAX_BYTES)?;
            replicas.extend(object.and_then(|object| serde_json::from_slice::<Replica>(&object.bytes).ok()));
        }
        replicas.sort_by(|one: &Replica, other| one.name.cmp(&other.name));
        Ok(replicas)
    }
}

/// A name as a part of a key. Names that have other characters than letters, digits, `.`, `-` and `_` get a hash, so
/// that different names have different keys.
fn key_name(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).take(100).collect();
    format!("{}-{:016x}", plain.trim_start_matches('.'), xxh3_64(name.as_bytes()))
}
