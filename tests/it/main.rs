//! The integration tests: one binary that drives the real command on real RocksDB databases.
//!
//! ```text
//! harness   a workspace per test, the command in it, and what went wrong shown whole
//! fixture   rows as Parquet files, written and read without any code of ours; a tiny dataset for tests about versions
//! ```
//! Every other module is a topic. Nothing here retries or waits by the clock: a test that waits, waits for a condition
//! and has a deadline.
//!
//! Not for: what a unit test beside the code can show as well.

mod chaos;
mod cli;
mod conflicts;
mod crash;
mod damage;
mod errors;
mod fixture;
mod formats;
mod harness;
mod jobs;
mod readers;
mod resources;
mod resume;
mod stop;
mod structure;
mod verify_crash;
mod versions;
