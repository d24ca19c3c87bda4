//! What is read of a request before anything is looked up, as a function of bytes: for fuzzers.
//!
//! Not for: the server, which reads the same parts one by one.

use axum::http::header::ACCEPT_ENCODING;
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::compress::Encoding;
use super::pages::Cursor;
use super::query::{Query, split};
use super::values::listed;

/// Keys of a list.
const KEYS: usize = 16;

/// A line with a target, a line with the header `Accept-Encoding`, and a body with keys; whether all could be read.
pub fn request(data: &[u8]) -> bool {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (target, accepted, body) = (part(), part(), part());
    if let Ok(value) = HeaderValue::from_bytes(accepted) {
        let _ = Encoding::accepted(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]));
    }
    let keys = listed(body, KEYS);
    assert!(keys.as_ref().map_or(0, Vec::len) <= KEYS, "a list is cut");
    let Ok(uri) = Uri::try_from(target) else { return false };
    let path = split(&uri);
    let Ok(query) = Query::read(&uri, &["version", "raw", "prefix", "limit", "after"]) else { return false };
    let _ = (query.number("version"), query.is_set("raw"), query.text("prefix"), query.number("limit"));
    let after = query.text("after").ok().flatten().map(Cursor::read);
    path.is_ok() && keys.is_ok() && after.is_none_or(|cursor| cursor.is_ok())
}
