//! Accepts connections of one protocol: limits their number, encrypts them if asked to, and gives each a task.
//!
//! Not for: what is said on a connection (`resp`, `http`).

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::budget::Reserved;
use super::patient_stream::PatientStream;
use super::{Protocol, Server, http, resp, stopped};
use crate::error::{Error, Result};

/// How long to wait after a connection could not be accepted, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of an encrypted connection that wait to be written.
const TLS_BUFFER: usize = 16 << 10;

/// Reserves an address.
///
/// # Errors
/// `Unavailable` when it is in use; `Invalid` when it is not an address of this host.
pub fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| {
        Error::unavailable(format!("cannot listen on {address}: give another address by {flag}")).because(error)
    })
}

/// Accepts connections until the server stops.
pub async fn accept(listener: TcpListener, protocol: Protocol, server: Arc<Server>) {
    let service = http::service(&server);
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot accept connections: {error}"),
    };
    let mut stopping = server.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Ok((stream, from)) => begin(stream, from.ip(), protocol, &server, &service),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection that is counted until it ends, and the memory that it counts for.
struct Counted(Arc<Server>, Protocol, Option<Reserved>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests(self.1).connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn begin(stream: TcpStream, from: IpAddr, protocol: Protocol, server: &Arc<Server>, service: &http::Service) {
    let requests = server.requests(protocol);
    let before = requests.connections.fetch_add(1, Ordering::Relaxed);
    let reserved = server.memory.connections.reserve(server.memory.per_connection);
    let counted = Counted(Arc::clone(server), protocol, reserved);
    if before >= server.limits.connections as u64 || counted.2.is_none() {
        requests.refused.fetch_add(1, Ordering::Relaxed);
        if server.tls.is_none() {
            let _ = stream.try_write(protocol.too_many());
        }
        return;
    }
    let _ = stream.set_nodelay(true);
    let service = service.clone();
    tokio::spawn(async move {
        let Counted(server, ..) = &counted;
        // How a connection ends is the client's business.
        let _ = match &server.tls {
            None => talk(stream, from, protocol, server, service).await,
            Some(tls) => match timeout(server.limits.request_time, tls.acceptor().accept(stream)).await {
                Ok(Ok(mut stream)) => {
                    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
                    talk(stream, from, protocol, server, service).await
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            },
        };
    });
}

async fn talk<S>(
    stream: S,
    from: IpAddr,
    protocol: Protocol,
    server: &Arc<Server>,
    service: http::Service,
) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let limits = &server.limits;
    let stream = PatientStream::new(stream, limits.idle, limits.request_time);
    match protocol {
        Protocol::Resp => resp::serve(stream, from, Arc::clone(server)).await,
        Protocol::Http => http::serve(stream, from, server, service).await,
    }
}
