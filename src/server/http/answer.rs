//! Answers: bodies whose memory is accounted for, the headers of a version, and errors as JSON.
//!
//! Not for: what is read.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::server::Server;
use crate::server::budget::Reserved;
use crate::server::refusal::{Reason, Refusal};
use crate::server::served::Served;

const VERSION: HeaderName = HeaderName::from_static("cutover-version");
const AS_OF: HeaderName = HeaderName::from_static("cutover-as-of");

/// JSON.
pub const JSON: &str = "application/json";
/// Bytes as they are stored.
pub const BYTES: &str = "application/octet-stream";

/// A body that gives its memory back when it is sent.
struct Accounted {
    bytes: Vec<u8>,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Accounted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body of bytes.
///
/// # Errors
/// `Later` when there is no memory left for it.
pub fn body(bytes: Vec<u8>, mut reserved: Reserved) -> Result<Body, Refusal> {
    if !reserved.resize(bytes.len()) {
        return Err(Refusal::busy());
    }
    Ok(Body::from(Bytes::from_owner(Accounted { bytes, _reserved: reserved })))
}

/// An answer of one version.
pub fn of_version(served: &Served, status: StatusCode, content: &'static str, body: Body) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    add_version(headers, served);
    response
}

/// The answer that the client has this already.
pub fn not_modified(served: &Served) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    add_version(response.headers_mut(), served);
    response
}

fn add_version(headers: &mut HeaderMap, served: &Served) {
    headers.insert(VERSION, HeaderValue::from(served.number()));
    for (name, value) in [(AS_OF, &served.as_of), (ETAG, &served.etag)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Whether the client has an answer of this version already.
pub fn is_known(headers: &HeaderMap, served: &Served) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut tags = tags.flat_map(|tags| tags.split(','));
    tags.any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == served.etag || tag == "*"))
}

/// An error as JSON.
pub fn error(status: StatusCode, message: &str) -> Response {
    let mut response = (status, json!({ "error": message }).to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// There is no such key in this version.
pub fn absent(served: &Served) -> Response {
    let message = json!({ "error": format!("the key is not in version {}", served.number()) }).to_string();
    let mut response = of_version(served, StatusCode::NOT_FOUND, JSON, Body::from(message));
    response.headers_mut().remove(ETAG);
    response
}

/// A document about the server, whose size depends on its datasets.
pub fn document(server: &Server, content: &'static str, text: String) -> Response {
    match body(text.into_bytes(), server.memory.buffers.none()) {
        Ok(body) => ([(CONTENT_TYPE, content)], body).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// A document as JSON.
pub fn json(status: StatusCode, document: &serde_json::Value) -> Response {
    let mut response = (status, document.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.reason {
            Reason::Wrong | Reason::WrongType => StatusCode::BAD_REQUEST,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Missing => StatusCode::NOT_FOUND,
            Reason::Gone => StatusCode::GONE,
            Reason::Later => StatusCode::SERVICE_UNAVAILABLE,
            Reason::Guessed => StatusCode::TOO_MANY_REQUESTS,
            Reason::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = error(status, &self.message);
        if matches!(self.reason, Reason::Later | Reason::Guessed) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
