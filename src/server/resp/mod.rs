//! The Redis protocol: datasets as databases of strings, read-only.
//!
//! ```text
//! bytes ─▶ request ─▶ session (who, which dataset) ─▶ commands ─▶ reads, scan, handshake ─▶ reply ─▶ bytes
//!             └ connection: buffers, limits, batches of pipelined requests
//! ```
//! Not for: HTTP (`http`), or where versions come from (`dataset`).

mod commands;
mod connection;
mod glob;
mod handshake;
mod info;
mod reads;
mod reply;
mod request;
mod scan;
mod session;

pub use connection::serve;
pub use glob::{literal_prefix, matches};
pub(crate) use reads::aside;
pub use request::{Request, RequestLimits};
pub use scan::Cursors;
