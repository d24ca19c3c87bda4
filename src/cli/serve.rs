//! `cutover serve`: datasets over the Redis protocol and HTTP.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::{Output, Verdict, format, parsers};
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::server::{self, EVERY, Event, HTTP, Limits, RESP, Settings, Source, WARM_UP};
use crate::shutdown;
use crate::stderr;

const EXAMPLES: &str = "\
Examples:
  cutover serve stores/views_by_age stores/top_pages
  cutover serve s3://serving/views_by_age --cache /var/cache/cutover
  cutover serve --stores /srv/stores --resp 0.0.0.0:6379 --http 0.0.0.0:8080 --password-file /etc/cutover/password

  redis-cli GET top_pages:2026-11-22           curl localhost:8080/v1/top_pages/2026-11-22
  redis-cli GET 'views_by_age:[\"/home\",\"20-29\"]'
  redis-cli -n 2 MGET 2026-11-21 2026-11-22    curl 'localhost:8080/v1/top_pages?limit=10'

SIGHUP reads the password, the certificate and --stores again; SIGTERM stops after the requests that are running.";

/// Serve stores over the Redis protocol and HTTP, and switch to new versions under load
///
/// Clients see the complete old version or the complete new one. A version that cannot be loaded is refused, and
/// clients keep the one before. Only this host can connect unless an address says otherwise, which takes a password.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Stores: directories or URLs, each named by its last part or as NAME=STORE
    #[arg(value_name = "STORE")]
    stores: Vec<String>,
    /// Also serve every store in this directory; stores may be added and removed while it runs
    #[arg(long = "stores", value_name = "DIR")]
    all_in: Option<PathBuf>,
    /// Directory of the local stores that follow URLs
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Address of the Redis protocol, or off
    #[arg(long, value_name = "ADDRESS", default_value = RESP)]
    resp: String,
    /// Address of HTTP, or off
    #[arg(long, value_name = "ADDRESS", default_value = HTTP)]
    http: String,
    /// File with the password that clients of both protocols must send
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Serve other hosts without a password
    #[arg(long, conflicts_with = "password_file")]
    insecure: bool,
    /// Encrypt both protocols with the certificates in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Memory for everything: data blocks, filters and indexes of open versions, connections, requests and answers
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    memory: Option<u64>,
    /// Memory for data blocks of all datasets together; half of what --memory leaves, or 256MiB without it
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    block_cache: Option<u64>,
    /// Longest time to warm up a new version with recently read keys; 0s for none
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = WARM_UP)]
    warm_up: Duration,
    /// Time between two checks of a URL
    #[arg(long, value_name = "D", value_parser = parsers::pause, default_value = EVERY)]
    every: Duration,
    /// Also serve candidates: versions that `cutover publish --canary` names
    #[arg(long)]
    canary: bool,
    /// Threads to use; one per processor if left out
    #[arg(long, value_name = "N", value_parser = parsers::number, allow_negative_numbers = true)]
    threads: Option<usize>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Limits on clients.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits on clients")]
struct LimitArgs {
    /// Bytes of a key
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, default_value = "64KiB")]
    max_key: u64,
    /// Keys of one request
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_batch: usize,
    /// Bytes of one request
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, default_value = "4MiB")]
    max_request: u64,
    /// Bytes of one answer
    #[arg(long, value_name = "SIZE", value_parser = parsers::size, default_value = "16MiB")]
    max_reply: u64,
    /// Bytes of all requests and answers in memory at one time; an eighth of what --memory leaves, or 256MiB without it
    #[arg(long, value_name = "SIZE", value_parser = parsers::size)]
    max_buffered: Option<u64>,
    /// Connections of each protocol
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,
    /// Longest time that a connection may be idle
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = "5m")]
    idle_timeout: Duration,
    /// Longest time to send a request or to take a part of its answer
    #[arg(long, value_name = "D", value_parser = parsers::duration, default_value = "10s")]
    request_timeout: Duration,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            key_bytes: bytes(self.max_key),
            batch: self.max_batch,
            request_bytes: bytes(self.max_request),
            reply_bytes: bytes(self.max_reply),
            buffered_bytes: self.max_buffered.map(bytes),
            connections: self.max_connections,
            idle: self.idle_timeout,
            request_time: self.request_timeout,
        }
    }
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl Args {
    /// Whether memory that is free is given back at once.
    pub(super) fn is_bounded(&self) -> bool {
        self.memory.is_some()
    }

    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let sources = self.stores.iter().map(|store| Source::parse(store, self.cache.as_deref()));
        let settings = Settings {
            sources: sources.collect::<Result<_>>()?,
            stores: self.all_in,
            resp: address("--resp", &self.resp)?,
            http: address("--http", &self.http)?,
            password_file: self.password_file,
            insecure: self.insecure,
            tls: self.tls_cert.zip(self.tls_key),
            threads: Resources::new(self.threads, None)?.threads,
            memory: self.memory.map(bytes),
            block_cache: self.block_cache.map(bytes),
            warm_up: self.warm_up,
            every: self.every,
            canary: self.canary,
            limits: self.limits.limits(),
        };
        let json = output.is_json();
        let ended = server::serve(&settings, |event| {
            if json {
                output.json_line(event)?;
            } else {
                match sentence(event) {
                    (true, text) => output.line(text)?,
                    (false, text) => stderr::note("error", &format!("error: {text}")),
                }
            }
            output.flush()
        });
        ended.map_err(|error| {
            shutdown::explain_stop(error, || "stopped: the requests that were running are answered".to_owned())
        })?;
        Ok(Verdict::Yes)
    }
}

/// An address to listen on.
fn address(flag: &str, text: &str) -> Result<Option<SocketAddr>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || Error::invalid(format!("{flag} {text:?} is no address: write it as 127.0.0.1:6379, or off"));
    let found = text.to_socket_addrs().map_err(|error| wrong().because(error))?.next();
    found.map(Some).ok_or_else(wrong)
}

/// What happened, and whether it is good.
fn sentence(event: &Event) -> (bool, String) {
    match event {
        Event::Serving { resp, http, datasets } => {
            let protocols = [
                resp.as_ref().map(|it| format!("the Redis protocol on {it}")),
                http.as_ref().map(|it| format!("HTTP on {it}")),
            ];
            let protocols: Vec<_> = protocols.into_iter().flatten().collect();
            (true, format!("serving {}: {}", datasets.join(", "), protocols.join(", ")))
        }
        Event::Swapped { dataset, version, previous, rows, bytes, seconds } => {
            let from = previous.map_or(String::new(), |previous| format!(" after version {previous}"));
            let size = format!("{}, {}", format::plural(*rows, "row"), format::size(*bytes));
            (true, format!("{dataset}: version {version} is served{from} ({size}, in {})", format::duration(*seconds)))
        }
        Event::Refused { dataset, still, problem } => {
            let still =
                still.map_or("no version is served".to_owned(), |still| format!("version {still} is still served"));
            (false, format!("{dataset}: {still}: {problem}"))
        }
        Event::Added { dataset } => (true, format!("{dataset}: added")),
        Event::Removed { dataset } => (true, format!("{dataset}: removed")),
        Event::Reloaded { what, problem: None } => (true, format!("the {what} was read again")),
        Event::Reloaded { what, problem: Some(problem) } => (false, format!("the {what} stays as it was: {problem}")),
    }
}
