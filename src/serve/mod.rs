//! The read side of a store: the API that serving programs embed.
//!
//! ```text
//! Store ──current(), version(n)──▶ Version: one immutable set of databases: get, multi_get, scan
//! Reader: follows the store; snapshot() is the Version that readers see now, and never changes under its holder
//! ```
//! A serving program takes one snapshot per request, so that all reads of a request see the same version:
//!
//! ```no_run
//! use cutover::serve::Reader;
//!
//! # fn main() -> cutover::error::Result<()> {
//! let reader = Reader::open("stores/views_by_age")?;
//! // … in every request, on any thread:
//! let version = reader.snapshot();
//! let key = version.key_schema().parse(r#"["https://example.org/", "18-24"]"#)?;
//! if let Some(value) = version.get(&key)? {
//!     println!("version {}: {}", version.number(), version.value_schema().to_json(&value)?);
//! }
//! // … in health checks: the reader keeps what it has when it cannot follow, and says why.
//! if let Some(error) = reader.last_error() {
//!     eprintln!("still on version {}: {error}", reader.snapshot().number());
//! }
//! # Ok(())
//! # }
//! ```
//! Opening never writes into a version's directory, and needs no lock: any number of processes can read a store while
//! it is built, published, rolled back and cleaned up.
//!
//! Not for: changing anything in a store (`publish`).

mod db_options;
mod reader;
mod scan;
mod store;
mod verify;
mod version;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub(crate) use reader::FileId;
pub use reader::Reader;
pub use scan::{Range, Scan};
pub use store::Store;
pub use verify::{Depth, Report, verify};
pub use version::Version;
