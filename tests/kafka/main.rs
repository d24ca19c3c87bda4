//! The Kafka tests: the real command against a real Apache Kafka, through every fault that a publish or a consumer can
//! meet. Each ends in the old version or the new one, never mixed, never incomplete, never silent.
//!
//! ```text
//! broker            a broker: the one that all tests share, or one for a single test to kill and pause
//! dataset_fixture   a small dataset with a topic, a consumer, and what both show
//! ```
//! Without a broker a test says so and passes; with `REQUIRE_KAFKA=1` that is a failure.
//!
//! Not for: what one process alone can show (`tests/it`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod acl;
mod broker;
mod brokers;
mod concurrent_publishers;
mod consumers;
mod dataset_fixture;
#[path = "../it/fixture.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod fixture;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod harness;
mod object_stores;
mod publishes;
#[path = "../it/schema.rs"]
mod schema;
#[path = "../objects/server.rs"]
#[allow(dead_code, reason = "the tests of the other binary use the rest")]
mod server;
mod wire;
