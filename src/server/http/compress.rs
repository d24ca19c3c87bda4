//! Compresses answers for clients that accept it: zstd, otherwise gzip.
//!
//! Small answers stay as they are, and so do all while there is no memory left for a second copy. A compressed answer
//! has the same version and a weak `ETag`, as its bytes are others.
//!
//! Not for: requests, which may not be compressed: a few bytes could then decompress to any number.

use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::answer;
use crate::server::Server;
use crate::server::resp::aside;

/// Bytes from which an answer is compressed: below, it fits into one packet.
const MIN_BYTES: usize = 1 << 10;
/// Answers with more bytes let other requests run while they are compressed.
const FEW_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Zstd,
    Gzip,
}

impl Encoding {
    /// The one that a client accepts and that is tried first; none if it accepts neither.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|text| text.to_str().ok());
        let items: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
        let quality = |name: &str| items.iter().rev().find_map(|item| quality_of(item, name));
        let accepts = |name: &str| quality(name).or_else(|| quality("*")).is_some_and(|quality| quality > 0.0);
        [Self::Zstd, Self::Gzip].into_iter().find(|encoding| accepts(encoding.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn compress(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, 1),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// The quality that an item of `Accept-Encoding` gives to an encoding; none if it names another one.
fn quality_of(item: &str, name: &str) -> Option<f32> {
    let mut parts = item.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some(quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
}

/// The answer, compressed if that is worth it.
pub async fn compress(server: &Arc<Server>, response: Response, encoding: Option<Encoding>) -> Response {
    let size = response.body().size_hint().exact().map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if size < MIN_BYTES || response.headers().contains_key(CONTENT_ENCODING) || !is_text(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    let mut reserved = server.memory.buffers.none();
    // The copy that is compressed is no larger, but its buffer grows.
    let Some(encoding) = encoding.filter(|_| reserved.resize(2 * size)) else {
        return Response::from_parts(head, body);
    };
    // In memory already, so nothing is waited for.
    let Ok(bytes) = to_bytes(body, size).await else { return Response::from_parts(head, Body::empty()) };
    match aside(bytes.len() > FEW_BYTES, || encoding.compress(&bytes)) {
        Ok(compressed) if compressed.len() < bytes.len() => {
            let Ok(body) = answer::body(compressed, reserved) else { return Response::from_parts(head, bytes.into()) };
            head.headers.remove(CONTENT_LENGTH);
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
            weaken(&mut head.headers);
            Response::from_parts(head, body)
        }
        _ => Response::from_parts(head, bytes.into()),
    }
}

/// Whether an answer is text; values that are bytes may be compressed already.
fn is_text(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content.starts_with(b"text/") || content.starts_with(answer::JSON.as_bytes())
}

fn weaken(headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.starts_with("W/"));
    if let Some(Ok(weak)) = tag.map(|tag| HeaderValue::from_str(&format!("W/{tag}"))) {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_encoding_is_chosen() {
        let of = |text: &'static str| {
            Encoding::accepted(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert_eq!(of("gzip, deflate, br, zstd"), Some(Encoding::Zstd));
        assert_eq!(of("GZIP"), Some(Encoding::Gzip));
        assert_eq!(of("zstd;q=0, gzip;q=0.5"), Some(Encoding::Gzip));
        assert_eq!(of("zstd;q=0, *"), Some(Encoding::Gzip));
        assert_eq!(of("*;q=0"), None);
        assert_eq!(of("br, identity"), None);
        assert_eq!(of("gzip;q=nonsense"), None);
        assert_eq!(Encoding::accepted(&HeaderMap::new()), None);
    }
}
