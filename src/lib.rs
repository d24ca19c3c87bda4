//! Cutover builds derived datasets in batch and switches all readers to a new version atomically.

pub mod build;
pub mod catalog;
pub mod catch_panic;
pub mod check;
pub mod cli;
pub mod codec;
pub mod consume;
pub mod crash;
pub mod demo;
pub mod durable_file;
pub mod encode;
pub mod error;
pub mod escape;
pub mod failpoint;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod input;
pub mod job;
pub mod journal;
pub mod kafka;
pub mod pipeline;
pub mod profile;
pub mod progress;
pub mod publish;
pub mod query;
pub mod report;
pub mod resources;
pub mod serve;
pub mod shuffle;
pub mod shutdown;
#[cfg(test)]
mod simulation;
pub mod stack;
pub mod stderr;
