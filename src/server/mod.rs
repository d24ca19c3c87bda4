//! The server: datasets over the Redis protocol and HTTP, with versions that are swapped under load.
//!
//! ```text
//! stores ──▶ watcher: a thread per dataset ──▶ dataset: an atomic pointer to the open version
//!                                                          ▲
//! clients ─▶ listener ─▶ resp or http: a task per connection ┘
//! ```
//! Requests take no lock to find their version, and keep it until they are answered. Nothing is written but the
//! local stores that follow a URL.
//!
//! Not for: opening and reading versions (`serve`), which programs can embed without this.

mod auth;
mod budget;
mod dataset;
mod events;
mod guesses;
mod hot_keys;
mod http;
mod keys;
mod listener;
mod memory;
mod metrics;
mod opening;
mod patient_stream;
mod refusal;
mod registry;
mod reload;
mod replicas;
mod resp;
mod served;
mod settings;
mod source;
mod tls;
mod values;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rocksdb::Cache;
use tokio::sync::watch;

pub use self::events::Event;
pub use self::http::request as http_request;
pub use self::resp::{Request, RequestLimits, literal_prefix, matches};
pub use self::settings::{EVERY, HTTP, Limits, RESP, Settings, WARM_UP};
pub use self::source::Source;

use self::auth::Auth;
use self::events::Events;
use self::memory::Memory;
use self::metrics::Requests;
use self::registry::{Registry, Sources};
use self::reload::Reloader;
use self::resp::Cursors;
use self::tls::Tls;
use self::watcher::Watching;
use crate::error::{Error, Result};
use crate::shutdown;

/// The longest time that a stop waits for answers that are being written.
const GRACE: Duration = Duration::from_secs(5);
/// Long reads that run at one time; further ones wait.
const LONG_READS: usize = 16;

/// What all connections share.
pub(crate) struct Server {
    registry: Arc<Registry>,
    auth: Auth,
    tls: Option<Tls>,
    limits: Limits,
    memory: Memory,
    cursors: Cursors,
    cache: Cache,
    resp: Requests,
    http: Requests,
    /// Whether requests may come under any host name.
    is_any_host: bool,
    started: Instant,
    stopping: watch::Receiver<bool>,
}

/// Returns when the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_set| *is_set).await;
}

/// How a client talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Resp,
    Http,
}

impl Protocol {
    /// What a client gets when there are too many.
    fn too_many(self) -> &'static [u8] {
        match self {
            Self::Resp => b"-ERR max number of clients reached\r\n",
            Self::Http => b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        }
    }
}

impl Server {
    fn requests(&self, protocol: Protocol) -> &Requests {
        match protocol {
            Protocol::Resp => &self.resp,
            Protocol::Http => &self.http,
        }
    }
}

/// Serves until a signal asks to stop; `on_event` is called with what happens.
///
/// # Errors
/// `Invalid` for settings or stores that cannot be used; `Unavailable` when an address is in use; `Stopped` after a
/// signal, when the requests that were running are answered; those of `on_event`.
pub fn serve(settings: &Settings, mut on_event: impl FnMut(&Event) -> Result<()>) -> Result<()> {
    settings.check()?;
    let memory = Memory::share(settings, settings.threads + LONG_READS)?;
    opening::check(settings, &memory.versions)?;
    let auth = Auth::default();
    if let Some(file) = &settings.password_file {
        auth.load(file)?;
    }
    let tls = settings.tls.as_ref().map(|(certificates, key)| Tls::load(certificates, key)).transpose()?;
    let resp = settings.resp.map(|address| listener::bind(address, "--resp")).transpose()?;
    let http = settings.http.map(|address| listener::bind(address, "--http")).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let server = Arc::new(Server {
        registry: Arc::default(),
        is_any_host: settings.insecure || auth.is_needed(),
        auth,
        tls,
        limits: settings.limits,
        cursors: Cursors::new(),
        // Without the locks of an LRU cache, which every read would take.
        cache: Cache::new_hyper_clock_cache(memory.block_cache, 0),
        memory,
        resp: Requests::default(),
        http: Requests::default(),
        started: Instant::now(),
        stopping,
    });
    let (events, happened) = Events::channel();
    let watching = Watching {
        cache: server.cache.clone(),
        room: Arc::clone(&server.memory.versions),
        warm_up: settings.warm_up,
        every: settings.every,
        canary: settings.canary,
        events: events.clone(),
    };
    let sources = Sources::new(Arc::clone(&server.registry), watching);
    let mut reloader = Reloader::start(settings, Arc::clone(&server), sources, events)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .max_blocking_threads(LONG_READS)
        .thread_name("serve")
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::unavailable("cannot start threads").because(error))?;
    let mut serving = Event::Serving { resp: None, http: None, datasets: Vec::new() };
    if let Event::Serving { resp: on_resp, http: on_http, datasets } = &mut serving {
        datasets.extend(server.registry.all().iter().map(|dataset| dataset.name.clone()));
        for (listener, protocol, on) in [(resp, Protocol::Resp, on_resp), (http, Protocol::Http, on_http)] {
            let Some(listener) = listener else { continue };
            *on = listener.local_addr().ok().map(|address| address.to_string());
            runtime.spawn(listener::accept(listener, protocol, Arc::clone(&server)));
        }
    }
    let ended = on_event(&serving).and_then(|()| run(&mut reloader, &happened, &mut on_event));
    let _ = stop.send(true);
    let until = Instant::now() + GRACE;
    let open = || [&server.resp, &server.http].iter().any(|it| it.connections.load(Ordering::Relaxed) > 0);
    while open() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Reports what happens and reads again what changed, until a signal arrives.
fn run(
    reloader: &mut Reloader,
    happened: &Receiver<Event>,
    on_event: &mut impl FnMut(&Event) -> Result<()>,
) -> Result<()> {
    loop {
        match happened.recv_timeout(shutdown::POLL_INTERVAL) {
            Ok(event) => on_event(&event)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        shutdown::check()?;
        reloader.look()?;
    }
}
