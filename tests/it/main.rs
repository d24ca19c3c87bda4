//! The integration tests: one binary that drives the real command on real RocksDB databases.
//!
//! ```text
//! harness   a workspace per test, the command in it, and what went wrong shown whole
//! fixture   rows as Parquet files, written and read without any code of ours; a tiny dataset for tests about versions
//! schema    the schema of what --json prints
//! seeded    random choices that can be made again
//! wide      two tables of wide rows, for joins
//! ```
//! Every other module is a topic. Nothing here retries or waits by the clock: a test that waits, waits for a condition
//! and has a deadline.
//!
//! Not for: what a unit test beside the code can show as well.

mod bad_days;
mod chaos;
mod cli;
mod conflicts;
mod crash;
mod damage;
mod documents;
mod errors;
mod fixture;
mod formats;
mod full_disk;
mod fuzzed;
mod going_live;
mod harness;
mod hostile;
mod jobs;
mod joins;
mod limits;
mod memory;
mod memory_wide;
mod operators;
mod parquet_inputs;
mod parquet_schemas;
mod partitions;
mod paths;
mod power;
mod readers;
mod recipes;
mod resources;
mod resume;
mod schema;
mod seeded;
mod stop;
mod structure;
mod text_inputs;
mod verify;
mod verify_crash;
mod versions;
mod wide;
