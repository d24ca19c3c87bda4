//! What a server is asked to do, and its limits: each a flag of `cutover serve` with the default that is here.
//!
//! Not for: reading flags (`cli`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::source::Source;
use crate::error::{Error, Result};

/// Default address of the Redis protocol.
pub const RESP: &str = "127.0.0.1:6379";
/// Default address of HTTP.
pub const HTTP: &str = "127.0.0.1:8080";
/// Default time that a new version is warmed up.
pub const WARM_UP: &str = "2s";
/// Default time between two looks at a remote store.
pub const EVERY: &str = "5s";

/// Everything that a server needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The datasets, in the order of their SELECT numbers.
    pub sources: Vec<Source>,
    /// A directory whose stores are served, too; they may be added and removed.
    pub stores: Option<PathBuf>,
    /// Address of the Redis protocol; none to leave it out.
    pub resp: Option<SocketAddr>,
    /// Address of HTTP; none to leave it out.
    pub http: Option<SocketAddr>,
    /// File with the password of both protocols.
    pub password_file: Option<PathBuf>,
    /// Whether to serve other hosts without a password.
    pub insecure: bool,
    /// Files of the certificates and of the private key; without them connections are not encrypted.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Worker threads.
    pub threads: usize,
    /// Bytes of memory for everything; none to bound only data blocks, requests and answers.
    pub memory: Option<usize>,
    /// Bytes of data blocks that are kept in memory; none for their share.
    pub block_cache: Option<usize>,
    /// The longest time that a new version is warmed up; zero to leave it out.
    pub warm_up: Duration,
    /// Time between two checks of a remote store.
    pub every: Duration,
    /// Whether clients see candidates.
    pub canary: bool,
    /// Limits on what clients may ask for.
    pub limits: Limits,
}

/// Limits on what clients may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a key, or of any other argument.
    pub key_bytes: usize,
    /// Keys of one request.
    pub batch: usize,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Bytes of one answer.
    pub reply_bytes: usize,
    /// Bytes of all requests and answers that are in memory at one time; none for their share.
    pub buffered_bytes: Option<usize>,
    /// Connections of each protocol.
    pub connections: usize,
    /// The longest time that a connection may be idle.
    pub idle: Duration,
    /// The longest time that a client may take to send a request, or to take a part of its answer.
    pub request_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 64 << 10,
            batch: 10_000,
            request_bytes: 4 << 20,
            reply_bytes: 16 << 20,
            buffered_bytes: None,
            connections: 10_000,
            idle: Duration::from_secs(300),
            request_time: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Refuses settings that are unsafe or contradict each other.
    ///
    /// # Errors
    /// `Invalid` with what to change.
    pub fn check(&self) -> Result<()> {
        if self.sources.is_empty() && self.stores.is_none() {
            return Err(Error::invalid("there is nothing to serve: name a store, or give --stores DIR"));
        }
        if self.resp.is_none() && self.http.is_none() {
            return Err(Error::invalid("both --resp and --http are off: one of them has to be served"));
        }
        for (at, source) in self.sources.iter().enumerate() {
            if let Some(other) = self.sources[..at].iter().find(|other| other.name == source.name) {
                return Err(Error::invalid(format!(
                    "two stores have the name {:?}, {} and {}: give one another name as NAME=STORE",
                    source.name,
                    other.directory().display(),
                    source.directory().display()
                )));
            }
        }
        let outside = [("--resp", self.resp), ("--http", self.http)].into_iter().find_map(|(flag, address)| {
            address.filter(|address| !address.ip().is_loopback()).map(|address| (flag, address))
        });
        match outside {
            Some((flag, address)) if self.password_file.is_none() && !self.insecure => Err(Error::invalid(format!(
                "{flag} {address} can be reached from other hosts: give --password-file FILE, or --insecure to serve \
                 everyone who can connect"
            ))),
            _ => self.limits.check(),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<()> {
        let sizes = [
            ("--max-key", self.key_bytes),
            ("--max-batch", self.batch),
            ("--max-request", self.request_bytes),
            ("--max-reply", self.reply_bytes),
            ("--max-buffered", self.buffered_bytes.unwrap_or(1)),
            ("--max-connections", self.connections),
        ];
        if let Some((flag, _)) = sizes.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid(format!("{flag} must be more than 0")));
        }
        if self.idle.is_zero() || self.request_time.is_zero() {
            return Err(Error::invalid("--idle-timeout and --request-timeout must be more than 0"));
        }
        if self.request_bytes < self.key_bytes {
            return Err(Error::invalid("--max-request must be at least --max-key: a request has at least one key"));
        }
        Ok(())
    }
}

/// Settings as without any flag, for tests.
#[cfg(test)]
pub fn fixture() -> Settings {
    Settings {
        sources: Vec::new(),
        stores: None,
        resp: None,
        http: None,
        password_file: None,
        insecure: false,
        tls: None,
        threads: 2,
        memory: None,
        block_cache: None,
        warm_up: Duration::ZERO,
        every: Duration::from_secs(1),
        canary: false,
        limits: Limits::default(),
    }
}
