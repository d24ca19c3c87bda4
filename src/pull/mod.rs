//! A local store that follows a store on an object store: versions are downloaded, verified and swapped in.
//!
//! ```text
//! current.json of the remote store (one conditional request per check)
//!   └─ another version? ─▶ download to staging, every file compared with its checksum ─▶ sync ─▶ open
//!                          ─▶ still the current one? ─▶ install under its number ─▶ flip ─▶ retention
//! ```
//! Readers of the local store see the whole old version or the whole new one. What a killed download completed is kept
//! by the next one. While the object store is unreachable, or has nothing that can be used, readers stay on their
//! version.
//!
//! Programs that embed the library follow a remote store in one line:
//!
//! ```no_run
//! # fn main() -> cutover::error::Result<()> {
//! let reader = cutover::pull::Reader::open("s3://serving/views_by_age", "/var/cache/views_by_age")?;
//! let version = reader.snapshot(); // as of a local store, see `serve`
//! # Ok(())
//! # }
//! ```
//! Not for: topics (`consume`), or copying a version for one command (`catalog::local_copy`).

mod follower;
mod reader;

pub use follower::{DownloadProgress, Follower, Options, Takeover};
pub use reader::Reader;
