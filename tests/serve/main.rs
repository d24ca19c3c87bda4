//! The tests of the server, by its own clients over TCP and by foreign ones.
//!
//! ```text
//! server    a server on ports of its own, and what it says
//! client    both protocols by hand; answers are decoded by the crate `redis-protocol`
//! foreign   redis-cli, redis-benchmark, redis-py, ioredis, go-redis, the crate redis, curl, a browser
//! ```
//! Where a foreign client is missing, its test says so and passes; under CI that is a failure.
//!
//! Not for: what needs no connection (the unit tests of `src/server`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod client;
mod crowds;
mod faults;
#[path = "../it/fixture.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod fixture;
mod flips;
mod foreign;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod harness;
mod hostile;
mod http;
mod memory;
#[path = "../it/namespace.rs"]
mod namespace;
mod resp;
#[path = "../it/schema.rs"]
mod schema;
mod server;
mod swaps;
