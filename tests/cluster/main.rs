//! The tests of builds on several machines: real drivers and executors, as processes of this machine, over a real
//! server with S3's interface.
//!
//! ```text
//! cluster     a lake with a driver and executors, and the same job run by one process
//! relay       the network between an executor and its driver, which loses messages
//!
//! jobs        every shape of query gives the entries of a local run
//! shipped     so does every job in `jobs/`
//! executors   executors that are killed or paused, one or all, and none at all
//! drivers     drivers that are killed or paused, and two at a time
//! networks    lost messages, a store that fails, is slow or is killed
//! refusals    what is refused before any work, and why
//! ```
//! Where the server cannot be had a test says so and passes; under CI that is a failure.
//!
//! Not for: what one task does (the unit tests of `src/pipeline/tasks` and `src/shuffle`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod cluster;
mod drivers;
mod executors;
#[path = "../it/fixture.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod fixture;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod harness;
mod jobs;
#[path = "../objects/lake.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod lake;
mod networks;
#[path = "../objects/proxy.rs"]
#[allow(dead_code, reason = "the tests of object stores use the rest")]
mod proxy;
mod refusals;
mod relay;
#[path = "../it/schema.rs"]
mod schema;
#[path = "../objects/server.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod server;
mod shipped;
