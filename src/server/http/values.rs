//! Values of one key, and of many keys of one version.
//!
//! ```text
//! GET  /v1/views/%2Fhome            the value as JSON; ?raw=1 the stored bytes; ?version=3 of this version
//! POST /v1/views/_batch  ["/home"]  {"version":3,"as_of":…,"entries":[{"key":"/home","value":…}]}
//! ```
//! Not for: ranges of keys (`pages`).

use std::cell::Cell;
use std::fmt::Formatter;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::answer;
use super::query::{Query, target};
use crate::server::Server;
use crate::server::budget::Reserved;
use crate::server::dataset::Dataset;
use crate::server::hot_keys::NOTED;
use crate::server::refusal::{Reason, Refusal};
use crate::server::resp::aside;
use crate::server::served::Served;
use crate::server::{keys, values};

/// Batches with more keys than this let other requests run meanwhile.
const FEW: usize = 64;

/// GET /v1/{dataset}/{key}
pub async fn value(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap) -> Response {
    read_value(&server, &uri, &headers).unwrap_or_else(IntoResponse::into_response)
}

fn read_value(server: &Arc<Server>, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    let query = Query::read(uri, &["version", "raw"])?;
    let is_raw = query.is_set("raw")?;
    let (dataset, key) = target(server, uri)?;
    let served = query.version(server, &dataset)?;
    let stored = keys::stored(served.version.key_schema(), &key)?;
    let schema = served.version.value_schema();
    let (mut reserved, limit) = (server.memory.buffers.none(), server.limits.reply_bytes);
    let found = served.version.get_with(&stored, |value| {
        if value.len() > limit {
            return Err(Refusal::reply_too_large(limit));
        }
        reserved.hold(2 * value.len())?;
        Ok(match is_raw {
            true => value.to_vec(),
            false => values::json(schema, value)?.into_owned(),
        })
    })?;
    count(&dataset, &stored, found.is_some());
    let Some(found) = found else { return Ok(answer::absent(&served)) };
    if answer::is_known(headers, &served) {
        return Ok(answer::not_modified(&served));
    }
    let value = found?;
    if value.len() > limit {
        return Err(Refusal::reply_too_large(limit));
    }
    let content = if is_raw { answer::BYTES } else { answer::JSON };
    let body = answer::body(value, reserved)?;
    Ok(answer::of_version(&served, StatusCode::OK, content, body))
}

/// Counts a key that was read, and lets the dataset remember some of them.
fn count(dataset: &Dataset, key: &[u8], is_there: bool) {
    thread_local!(static READ: Cell<u32> = const { Cell::new(0) });
    dataset.reads.add(u64::from(is_there), u64::from(!is_there));
    READ.with(|read| {
        read.set(read.get().wrapping_add(1));
        if is_there && read.get().is_multiple_of(NOTED) {
            dataset.hot.note(key);
        }
    });
}

/// POST /v1/{dataset}/_batch: a JSON list of keys.
pub async fn batch(State(server): State<Arc<Server>>, request: Request) -> Response {
    read_batch(&server, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn read_batch(server: &Arc<Server>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let query = Query::read(&parts.uri, &["version"])?;
    let (dataset, _) = target(server, &parts.uri)?;
    let mut reserved = server.memory.buffers.none();
    let asked = receive(server, &parts.headers, body, &mut reserved).await?;
    let served = query.version(server, &dataset)?;
    let keys = listed(&asked, server.limits.batch)?;
    let limit = server.limits.reply_bytes;
    let out = aside(keys.len() > FEW, || entries(&dataset, &served, &keys, limit, asked.len(), &mut reserved))?;
    let body = answer::body(out, reserved)?;
    Ok(answer::of_version(&served, StatusCode::OK, answer::JSON, body))
}

/// The body of a request.
async fn receive(server: &Server, headers: &HeaderMap, body: Body, reserved: &mut Reserved) -> Result<Bytes, Refusal> {
    let limits = &server.limits;
    let too_large = || Refusal::new(Reason::TooLarge, format!("a request can have {} bytes", limits.request_bytes));
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let length = announced.unwrap_or(limits.request_bytes);
    if length > limits.request_bytes {
        return Err(too_large());
    }
    // Once while it arrives in parts, and once as a whole.
    if !reserved.resize(length * 2) {
        return Err(Refusal::busy());
    }
    match timeout(limits.request_time, to_bytes(body, limits.request_bytes)).await {
        Ok(body) => body.map_err(|_| too_large()),
        Err(_) => Err(Refusal::new(Reason::Wrong, "the body did not arrive in time")),
    }
}

/// The keys of a JSON list, at most `most`: a short body can list millions.
///
/// # Errors
/// `TooLarge` when there are more; `Wrong` when it is no list.
pub fn listed(body: &[u8], most: usize) -> Result<Vec<&RawValue>, Refusal> {
    struct Keys(usize);
    impl<'de> Visitor<'de> for Keys {
        type Value = Option<Vec<&'de RawValue>>;

        fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of keys")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some(key) = list.next_element()? {
                if keys.len() < self.0 {
                    keys.push(key);
                } else {
                    while list.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
            }
            Ok(Some(keys))
        }
    }
    let wrong =
        |error: serde_json::Error| Refusal::new(Reason::Wrong, format!("the body is no JSON list of keys: {error}"));
    let mut json = serde_json::Deserializer::from_slice(body);
    let keys = json.deserialize_seq(Keys(most)).and_then(|keys| json.end().map(|()| keys)).map_err(wrong)?;
    keys.ok_or_else(|| Refusal::too_many_keys(most))
}

/// The answer to a batch, whose body of `asked` bytes stays reserved, too, until it is complete.
fn entries(
    dataset: &Dataset,
    served: &Served,
    keys: &[&RawValue],
    limit: usize,
    asked: usize,
    reserved: &mut Reserved,
) -> Result<Vec<u8>, Refusal> {
    let mut out = head(served);
    for (at, key) in keys.iter().enumerate() {
        // A string is a key as it is written in a path; anything else is its JSON text.
        let text = match serde_json::from_str::<String>(key.get()) {
            Ok(text) => text,
            Err(_) => key.get().to_owned(),
        };
        let stored = keys::stored(served.version.key_schema(), text.as_bytes())?;
        if at > 0 {
            out.push(b',');
        }
        let is_there = add_entry(&mut out, served, &stored, |more| {
            if more > limit {
                return Err(Refusal::reply_too_large(limit));
            }
            // A buffer that grows has up to twice the size of its content.
            reserved.hold(asked + 2 * more)
        })?;
        count(dataset, &stored, is_there);
        if out.len() > limit {
            return Err(Refusal::reply_too_large(limit));
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The beginning of a document with entries of a version.
pub fn head(served: &Served) -> Vec<u8> {
    format!("{{\"version\":{},\"as_of\":\"{}\",\"entries\":[", served.number(), served.as_of).into_bytes()
}

/// Adds a key and its value, or null; returns whether it is there. `fits` decides about the size that `out` will have.
fn add_entry(
    out: &mut Vec<u8>,
    served: &Served,
    key: &[u8],
    mut fits: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<bool, Refusal> {
    out.extend_from_slice(b"{\"key\":");
    out.extend_from_slice(served.version.key_schema().to_json(key)?.to_string().as_bytes());
    out.extend_from_slice(b",\"value\":");
    let schema = served.version.value_schema();
    let found = served.version.get_with(key, |value| {
        fits(out.len() + value.len())?;
        out.extend_from_slice(&values::json(schema, value)?);
        Ok::<_, Refusal>(())
    })?;
    let is_there = found.transpose()?.is_some();
    out.extend_from_slice(if is_there { b"}" } else { b"null}" });
    Ok(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_is_read_up_to_the_limit() {
        let texts = |body: &str| {
            let keys = listed(body.as_bytes(), 2)?;
            Ok::<_, Refusal>(keys.iter().map(|key| key.get().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(texts(r#" ["a", ["b",1]] "#).unwrap(), [r#""a""#, r#"["b",1]"#]);
        assert_eq!(texts("[1,2,3]").unwrap_err().reason, Reason::TooLarge);
        for wrong in ["", "1", "[1,2", "[1]x", "[1,2,3", "{}"] {
            assert_eq!(texts(wrong).unwrap_err().reason, Reason::Wrong, "{wrong}");
        }
    }
}
