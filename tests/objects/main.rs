//! The tests of the client of object stores, of runs over inputs in them, and of stores on them, against a real server
//! with S3's interface, directly and through a proxy that does to requests and answers what networks do.
//!
//! ```text
//! server    the server that all tests share, a bucket for each test, and what the server has inside
//! proxy     a proxy with rules: delay, cut, refuse, lose, alter
//! lake      a bucket with input files, and the command with credentials
//! ```
//! Where the server cannot be had a test says so and passes; under CI that is a failure.
//!
//! Not for: what needs no server (the unit tests of `src/objects`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod access;
#[path = "../serve/client.rs"]
#[allow(dead_code, reason = "the tests of the server use the rest")]
mod client;
mod commits;
mod faults;
#[path = "../it/fixture.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod fixture;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod harness;
mod input_faults;
mod inputs;
mod lake;
#[path = "../it/namespace.rs"]
mod namespace;
mod objects;
mod proxied;
mod proxy;
mod pulls;
#[path = "../it/schema.rs"]
mod schema;
mod served;
mod server;
#[path = "../serve/server.rs"]
#[allow(dead_code, reason = "the tests of the server use the rest")]
mod serving;
mod stand_ins;
mod stores;
mod two_stores;
mod uploads;
