//! Pages of entries in key order.
//!
//! ```text
//! GET /v1/views?prefix=%2Fho&limit=100            {"version":3,…,"entries":[…],"next":"3-9f2c…-2f686f"}
//! GET /v1/views?prefix=%2Fho&limit=100&after=3-…  the next page, of the same version
//! ```
//! A cursor names the version, its content and the last key, so that any server with this version can continue. When
//! the version is gone the answer is 410.
//!
//! Not for: SCAN of the Redis protocol, whose cursors are numbers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::query::{self, Query, target};
use super::{answer, values::head};
use crate::format::hex;
use crate::serve::Range;
use crate::server::Server;
use crate::server::budget::Reserved;
use crate::server::dataset::Dataset;
use crate::server::refusal::{Reason, Refusal};
use crate::server::resp::aside;
use crate::server::served::Served;
use crate::server::values;

/// Entries of a page, unless the request says how many.
const ENTRIES: u64 = 100;

/// GET /v1/{dataset}
pub async fn page(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Response {
    read_page(&server, &uri, &headers).unwrap_or_else(IntoResponse::into_response)
}

fn read_page(server: &Arc<Server>, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    let query = Query::read(uri, &["prefix", "limit", "after", "version"])?;
    let (dataset, _) = target(server, uri)?;
    let cursor = query.text("after")?.map(Cursor::read).transpose()?;
    let served = match &cursor {
        Some(cursor) => cursor.version(server, &dataset)?,
        None => query.version(server, &dataset)?,
    };
    let range = match query.text("prefix")? {
        Some(prefix) => served.version.prefix_range(prefix)?,
        None => Range::all(),
    };
    let most = server.limits.batch as u64;
    let limit = query.number("limit")?.unwrap_or(ENTRIES.min(most));
    if !(1..=most).contains(&limit) {
        return Err(Refusal::new(Reason::Wrong, format!("limit is a number from 1 to {most}")));
    }
    if answer::is_known(headers, &served) {
        return Ok(answer::not_modified(&served));
    }
    let range = range.after(cursor.as_ref().map(|cursor| cursor.after.as_slice()));
    let mut reserved = server.memory.buffers.none();
    let out = aside(true, || entries(&served, &range, limit, server.limits.reply_bytes, &mut reserved))?;
    let body = answer::body(out, reserved)?;
    Ok(answer::of_version(&served, StatusCode::OK, answer::JSON, body))
}

/// A page: `limit` entries, fewer if they are large.
fn entries(
    served: &Served,
    range: &Range,
    limit: u64,
    most: usize,
    reserved: &mut Reserved,
) -> Result<Vec<u8>, Refusal> {
    let (key_schema, value_schema) = (served.version.key_schema(), served.version.value_schema());
    let mut out = head(served);
    let mut last: Option<Vec<u8>> = None;
    let mut next = None;
    for (at, entry) in (0..).zip(served.version.scan(range)) {
        let (key, value) = entry?;
        let value = values::json(value_schema, &value)?;
        if at == limit || (at > 0 && out.len() + key.len() + value.len() > most / 2) {
            next = last.map(|key| Cursor::after(served, &key));
            break;
        }
        if value.len() > most {
            return Err(Refusal::reply_too_large(most));
        }
        // A buffer that grows has up to twice the size of its content.
        reserved.hold(2 * (out.len() + key.len() + value.len()))?;
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"key\":");
        out.extend_from_slice(key_schema.to_json(&key)?.to_string().as_bytes());
        out.extend_from_slice(b",\"value\":");
        out.extend_from_slice(&value);
        out.push(b'}');
        last = Some(key);
    }
    out.extend_from_slice(b"]");
    if let Some(next) = next {
        out.extend_from_slice(format!(",\"next\":\"{next}\"").as_bytes());
    }
    out.push(b'}');
    Ok(out)
}

/// Where a page begins.
pub struct Cursor {
    number: u64,
    /// The version's number and the digest of its entries, as in its ETag.
    content: String,
    after: Vec<u8>,
}

impl Cursor {
    fn after(served: &Served, key: &[u8]) -> String {
        format!("{}-{}", served.etag.trim_matches('"'), hex(key))
    }

    /// Reads the `next` of a page.
    ///
    /// # Errors
    /// `Wrong` when it is none.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::new(Reason::Wrong, "after is the `next` of another page");
        let (content, key) = text.rsplit_once('-').ok_or_else(wrong)?;
        let number = content.split('-').next().and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        let after = unhex(key).ok_or_else(wrong)?;
        Ok(Self { number, content: format!("\"{content}\""), after })
    }

    fn version(&self, server: &Server, dataset: &Dataset) -> Result<Arc<Served>, Refusal> {
        let gone =
            || Refusal::new(Reason::Gone, "the version of this page is not kept any more: begin again without after");
        let served = query::version(server, dataset, self.number).map_err(|refusal| match refusal.reason {
            Reason::Missing => gone(),
            _ => refusal,
        })?;
        if served.etag == self.content { Ok(served) } else { Err(gone()) }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips() {
        let cursor = Cursor::read("12-9f2c-00ff2f").ok().unwrap();
        assert_eq!((cursor.number, cursor.content.as_str(), cursor.after), (12, "\"12-9f2c\"", vec![0, 255, 47]));
        assert_eq!(Cursor::read("12-9f2c-").ok().unwrap().after, b"");
        for wrong in ["", "12", "x-9f-00", "12-9f-0", "12-9f-zz", "-", "--"] {
            assert!(Cursor::read(wrong).is_err(), "{wrong}");
        }
    }
}
