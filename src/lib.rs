//! Cutover builds derived datasets in batch and cuts serving systems over to them at once.
//!
//! | to … | use |
//! |---|---|
//! | read a store in a service, and follow its versions | [`serve`]: [`serve::Reader`] |
//! | follow a store on an object store | [`pull`]: [`pull::Reader`] |
//! | run a job from Rust, as `cutover run` does | [`run`] |
//! | tell what failed, and what to do about it | [`error`]: the kinds are those of the exit codes |
//! | know what a version is made of | [`mod@format`]: the types of `manifest.json` and `current.json` |
//!
//! With `default-features = false` the crate is the reader alone: it builds RocksDB and the client of object stores, and
//! no query engine and no Kafka client.

#![cfg_attr(
    not(feature = "build"),
    allow(dead_code, unused_imports, reason = "the reader uses only a part of the catalog")
)]

pub mod error;
pub mod format;
pub mod pull;
pub mod serve;

mod catalog;
mod catch_panic;
mod codec;
mod durable_file;
mod escape;
mod failpoint;
mod follow;
mod objects;
#[cfg(feature = "build")]
mod random;
mod rate_limit;
mod shutdown;

#[cfg(feature = "build")]
pub mod run;

#[cfg(feature = "build")]
mod build;
#[cfg(feature = "build")]
mod check;
#[cfg(feature = "build")]
mod cli;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "build")]
mod consume;
#[cfg(feature = "build")]
mod crash;
#[cfg(feature = "build")]
mod demo;
#[cfg(feature = "build")]
mod encode;
#[cfg(feature = "build")]
mod fuzzing;
#[cfg(feature = "build")]
mod input;
#[cfg(feature = "build")]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "build")]
mod job;
#[cfg(feature = "build")]
mod journal;
#[cfg(feature = "build")]
mod kafka;
#[cfg(feature = "build")]
mod pipeline;
#[cfg(feature = "build")]
mod profile;
#[cfg(feature = "build")]
mod progress;
#[cfg(feature = "build")]
mod publish;
#[cfg(feature = "build")]
mod query;
#[cfg(feature = "build")]
mod report;
#[cfg(feature = "build")]
mod resources;
#[cfg(feature = "build")]
mod server;
#[cfg(feature = "build")]
mod shuffle;
#[cfg(feature = "build")]
#[cfg(test)]
mod simulation;
#[cfg(feature = "build")]
mod stack;
#[cfg(feature = "build")]
mod stderr;
