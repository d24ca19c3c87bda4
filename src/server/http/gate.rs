//! What every request passes: the host it was sent to, the password, and the clock.
//!
//! Without a password a request must be sent to an address or to `localhost`: otherwise a web page whose name was made
//! to point here could read what a browser on this host can reach.
//!
//! Not for: what is answered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;

use super::Service;
use super::answer;
use super::compress::{Encoding, compress};
use crate::server::Server;
use crate::server::auth::Shown;
use crate::server::metrics::Tally;
use crate::server::refusal::Refusal;

/// Paths that need no password: they hold no data.
const OPEN: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

/// Refuses a request from this address, or answers and counts it.
pub async fn pass(server: &Arc<Server>, from: IpAddr, request: Request<Incoming>, service: &Service) -> Response {
    let began = Instant::now();
    let encoding = Encoding::accepted(request.headers());
    let mut response = if !server.is_any_host && !is_local(request.headers()) {
        answer::error(StatusCode::FORBIDDEN, "requests are answered under an IP address or localhost")
    } else {
        match shown(server, from, &request) {
            Shown::Right => service.call(request).await.unwrap_or_else(|never| match never {}),
            Shown::TooMany(wait) => Refusal::guessed(wait).into_response(),
            Shown::Wrong => {
                let message = match token(request.headers()) {
                    b"" => "send the header `Authorization: Bearer PASSWORD`",
                    _ => "the password is wrong",
                };
                let mut refused = answer::error(StatusCode::UNAUTHORIZED, message);
                refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                refused
            }
        }
    };
    response = compress(server, response, encoding).await;
    // A cache may keep an answer, and has to ask whether it is still the one of the current version.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    let mut tally = Tally::default();
    tally.count(began.elapsed());
    if response.status().is_client_error() && response.status() != StatusCode::NOT_FOUND
        || response.status().is_server_error()
    {
        tally.count_error();
    }
    server.http.add(&mut tally);
    response
}

/// What the password of a request is worth.
fn shown(server: &Server, from: IpAddr, request: &Request<Incoming>) -> Shown {
    if OPEN.contains(&request.uri().path()) {
        return Shown::Right;
    }
    server.auth.check(token(request.headers()), from)
}

/// The password that a request shows; empty if it shows none.
fn token(headers: &HeaderMap) -> &[u8] {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match shown.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ => b"",
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_hosts_are_not_local() {
        let with = |host: &'static str| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "10.0.0.1", "[::1]"] {
            assert!(is_local(&with(host)), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "["] {
            assert!(!is_local(&with(host)), "{host}");
        }
    }
}
