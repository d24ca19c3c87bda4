//! Cutover builds derived datasets in batch and cuts serving systems over to them at once.

pub mod build;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod consume;
pub mod contain;
pub mod crash;
pub mod demo;
pub mod encode;
pub mod error;
pub mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
pub mod input;
pub mod job;
pub mod journal;
pub mod kafka;
pub mod objects;
pub mod pipeline;
pub mod profile;
pub mod progress;
pub mod publish;
pub mod query;
pub mod report;
pub mod runtime;
pub mod serve;
pub mod shown;
pub mod shuffle;
#[cfg(test)]
mod simulation;
pub mod stack;
pub mod stderr;
pub mod stop;
pub mod storage;
