//! The integration tests: one binary that drives the real command on real RocksDB databases.
//!
//! ```text
//! harness     a workspace per test, the command in it, and full output on failure
//! fixture     rows as Parquet files, written and read without our code; a tiny dataset for tests about versions
//! schema      the schema of what --json prints
//! random      reproducible random choices
//! wide_rows   two tables of wide rows, for joins
//! ```
//! Every other module is a topic. Nothing here retries, or sleeps to wait: a test waits for a condition,
//! with a deadline.
//!
//! Not for: what a unit test next to the code can show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod architecture;
mod bad_days;
mod chaos;
mod cli;
mod corruption;
mod crash;
mod dependencies;
mod documents;
mod errors;
mod fixture;
mod formats;
mod full_disk;
mod going_live;
mod good_days;
mod harness;
mod hostile;
mod jobs;
mod joins;
mod limits;
mod locking;
mod memory;
mod memory_wide;
mod mutated_inputs;
mod namespace;
mod operators;
mod orchestration;
mod parquet_inputs;
mod parquet_schemas;
mod partitions;
mod power_loss;
mod random;
mod readers;
mod recipes;
mod resources;
mod resume;
mod schema;
mod shutdown;
mod symlinks;
mod text_inputs;
mod verify;
mod verify_crash;
mod versions;
mod wide_rows;
