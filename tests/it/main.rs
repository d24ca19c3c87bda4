//! The integration tests: one binary that drives the real command on real RocksDB databases.
//!
//! ```text
//! harness   a workspace per test, the command in it, and what went wrong shown whole
//! fixture   rows as Parquet files, written and read without any code of ours; a tiny dataset for tests about versions
//! wide      two tables of wide rows, for joins
//! ```
//! Every other module is a topic. Nothing here retries or waits by the clock: a test that waits, waits for a condition
//! and has a deadline.
//!
//! Not for: what a unit test beside the code can show as well.

mod cli;
mod conflicts;
mod damage;
mod errors;
mod fixture;
mod formats;
mod harness;
mod jobs;
mod joins;
mod memory;
mod readers;
mod resources;
mod structure;
mod versions;
mod wide;
