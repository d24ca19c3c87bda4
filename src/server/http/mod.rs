//! HTTP: values as JSON or raw bytes, pages of keys, and what operators ask about.
//!
//! ```text
//! connection ─▶ gate (host, password, time) ─▶ values, pages, status, metrics ─▶ answer (headers of the version)
//! ```
//! Not for: the Redis protocol (`resp`).

mod answer;
mod compress;
mod gate;
mod pages;
mod prometheus;
mod query;
mod status;
mod untrusted;
mod values;

pub use untrusted::request;

use std::convert::Infallible;
use std::io::{Error, Result};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::memory::HEAD;
use super::{Server, stopped};

/// What answers the requests that have passed the gate.
pub type Service = TowerToHyperService<Router>;

/// The service of a server.
pub fn service(server: &Arc<Server>) -> Service {
    let router = Router::new()
        .route("/", get(status::page))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(prometheus::metrics))
        .route("/openapi.json", get(status::openapi))
        .route("/v1", get(status::datasets))
        .route("/v1/{dataset}", get(pages::page))
        .route("/v1/{dataset}/_batch", post(values::batch).get(values::value))
        .route("/v1/{dataset}/{*key}", get(values::value))
        .fallback(status::not_found)
        .with_state(Arc::clone(server));
    TowerToHyperService::new(router)
}

/// Answers one client until it leaves, or the server stops.
///
/// # Errors
/// Those of the connection, which ends by them.
pub async fn serve<S>(stream: S, from: IpAddr, server: &Arc<Server>, service: Service) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stopping = server.stopping.clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.idle)
        .max_buf_size(HEAD)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| async { Ok::<_, Infallible>(gate::pass(server, from, request, &service).await) }),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(Error::other)
}
