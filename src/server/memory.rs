//! How the memory of a server is shared out.
//!
//! ```text
//! --memory ── the program: code, threads, and what commands have in progress
//!          └─ the rest ── 1/2  data blocks: --block-cache
//!                      ├─ 1/8  requests and answers: --max-buffered
//!                      ├─ 1/8  connections: a fixed amount each
//!                      └─ what is left: filters and indexes of open versions
//! ```
//! A part that has its own flag takes what the flag says. Without `--memory` only those two are bounded, and connections
//! by their number.
//!
//! Not for: counting what is in use (`budget`), or what a version needs (`opening`).

use std::sync::Arc;

use super::budget::{Budget, FREE};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::resources::available_memory;

/// Bytes of the head of an HTTP request, and of what is read ahead of a request.
pub const HEAD: usize = 16 << 10;
/// Default bytes of data blocks without `--memory`.
const BLOCK_CACHE: usize = 256 << 20;
/// RocksDB's cache has no fewer bytes.
const LEAST_CACHE: usize = 1 << 20;
/// Default bytes of requests and answers without `--memory`.
const BUFFERED: usize = 256 << 20;
/// Code, allocator, and what datasets have besides their versions.
const PROGRAM: usize = 96 << 20;
/// What a thread may have in progress besides answers: compression, and blocks that it decompresses.
const PER_THREAD: usize = 2 << 20;
/// What a connection holds without a reservation: its task, the head of a request, and small buffers in both directions.
const PER_CONNECTION: usize = HEAD + 2 * FREE;
/// What an encrypted connection holds besides.
const PER_SESSION: usize = 48 << 10;

/// The budgets of a server.
#[derive(Debug)]
pub struct Memory {
    /// Bytes of data blocks.
    pub block_cache: usize,
    /// Requests and answers.
    pub buffers: Arc<Budget>,
    /// Connections.
    pub connections: Arc<Budget>,
    /// Filters and indexes of open versions.
    pub versions: Arc<Budget>,
    /// Bytes that a connection counts.
    pub per_connection: usize,
    /// The whole, if it is bounded.
    pub limit: Option<usize>,
}

impl Memory {
    /// Shares out the memory of the settings, for this many threads.
    ///
    /// # Errors
    /// `Invalid` when a part is too small for what it has to hold.
    pub fn share(settings: &Settings, threads: usize) -> Result<Self> {
        let limits = &settings.limits;
        let most = usize::try_from(available_memory()).unwrap_or(usize::MAX);
        if let Some(cache) = settings.block_cache.filter(|cache| !(LEAST_CACHE..=most).contains(cache)) {
            return Err(Error::invalid(format!(
                "--block-cache is {}, and must be between {} and the {} of memory that there are",
                mib(cache),
                mib(LEAST_CACHE),
                mib(most)
            )));
        }
        let per_connection = PER_CONNECTION + if settings.tls.is_some() { PER_SESSION } else { 0 };
        let largest = limits.reply_bytes.max(limits.request_bytes);
        let Some(limit) = settings.memory else {
            let buffered = limits.buffered_bytes.unwrap_or(BUFFERED);
            if buffered < largest {
                return Err(Error::invalid("--max-buffered must be at least --max-reply and --max-request"));
            }
            return Ok(Self {
                block_cache: settings.block_cache.unwrap_or(BLOCK_CACHE),
                buffers: Budget::new(buffered),
                connections: Budget::new(usize::MAX),
                versions: Budget::new(usize::MAX),
                per_connection,
                limit: None,
            });
        };
        let program = PROGRAM + threads * PER_THREAD;
        let rest = limit.saturating_sub(program);
        let block_cache = settings.block_cache.unwrap_or(rest / 2);
        let buffered = limits.buffered_bytes.unwrap_or(rest / 8);
        let connections = rest / 8;
        let Some(versions) = rest.checked_sub(block_cache.saturating_add(buffered).saturating_add(connections)) else {
            return Err(Error::invalid(format!(
                "--memory {} cannot hold --block-cache and --max-buffered: of it {} are for the program and {} for \
                 connections; give more memory, or less to these two",
                mib(limit),
                mib(program),
                mib(connections)
            )));
        };
        if buffered < largest {
            return Err(Error::invalid(format!(
                "--memory {} leaves {} for requests and answers, less than --max-reply or --max-request: give at least \
                 --memory {}, or lower those two",
                mib(limit),
                mib(buffered),
                mib(program + 8 * largest)
            )));
        }
        if connections < per_connection {
            return Err(Error::invalid(format!("--memory {} leaves nothing for connections: give more", mib(limit))));
        }
        Ok(Self {
            block_cache,
            buffers: Budget::new(buffered),
            connections: Budget::new(connections),
            versions: Budget::new(versions),
            per_connection,
            limit: Some(limit),
        })
    }

    /// The parts by name: bytes in use, and the bound if there is one.
    pub fn parts(&self) -> [(&'static str, usize, Option<usize>); 3] {
        let part = |name, budget: &Budget| (name, budget.used(), self.limit.map(|_| budget.limit()));
        [part("buffers", &self.buffers), part("connections", &self.connections), part("versions", &self.versions)]
    }
}

/// A size as flags take it, rounded up.
pub fn mib(bytes: usize) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::fixture;

    const THREADS: usize = 4;

    #[test]
    fn the_parts_are_the_whole() {
        let settings = Settings { memory: Some(1 << 30), ..fixture() };
        let memory = Memory::share(&settings, THREADS).unwrap();
        let parts: usize = memory.parts().iter().map(|(_, _, limit)| limit.unwrap()).sum();
        assert_eq!(parts + memory.block_cache + PROGRAM + THREADS * PER_THREAD, 1 << 30);
        assert!(memory.versions.limit() >= memory.block_cache / 2 - 8, "a quarter of the rest");
    }

    #[test]
    fn what_has_a_flag_of_its_own_is_taken_from_the_others() {
        let settings = Settings { memory: Some(1 << 30), block_cache: Some(600 << 20), ..fixture() };
        let memory = Memory::share(&settings, THREADS).unwrap();
        assert_eq!(memory.block_cache, 600 << 20);
        assert!(memory.versions.limit() < 120 << 20);
        for (memory, cache) in [(Some(512 << 20), 600 << 20), (None, 0), (None, 900 << 40)] {
            let settings = Settings { memory, block_cache: Some(cache), ..fixture() };
            assert!(Memory::share(&settings, THREADS).unwrap_err().message().contains("--block-cache"));
        }
    }

    #[test]
    fn too_little_memory_is_refused_with_what_is_needed() {
        let settings = Settings { memory: Some(128 << 20), ..fixture() };
        let refused = Memory::share(&settings, THREADS).unwrap_err();
        let needed = refused.message().split_once("at least --memory ").unwrap().1.split_once("MiB").unwrap().0;
        let settings = Settings { memory: Some(needed.parse::<usize>().unwrap() << 20), ..fixture() };
        assert!(Memory::share(&settings, THREADS).is_ok(), "{}", refused.message());
    }

    #[test]
    fn without_a_bound_only_blocks_and_buffers_have_one() {
        let memory = Memory::share(&fixture(), THREADS).unwrap();
        assert_eq!((memory.block_cache, memory.buffers.limit()), (BLOCK_CACHE, BUFFERED));
        assert!(memory.versions.reserve(1 << 50).is_some() && memory.parts().iter().all(|part| part.2.is_none()));
    }
}
