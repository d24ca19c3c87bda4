//! Values of one key, and of many keys of one version.
//!
//! ```text
//! GET  /v1/views/%2Fhome            the value as JSON; ?raw=1 the stored bytes; ?version=3 of this version
//! POST /v1/views/_batch  ["/home"]  {"version":3,"as_of":…,"entries":[{"key":"/home","value":…}]}
//! ```
//! Not for: ranges of keys (`pages`).

use std::cell::Cell;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
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
    let served = query.version(&dataset)?;
    let stored = keys::stored(served.version.key_schema(), &key)?;
    let schema = served.version.value_schema();
    let found = served.version.get_with(&stored, |value| match is_raw {
        true => Ok(value.to_vec()),
        false => values::json(schema, value).map(std::borrow::Cow::into_owned),
    })?;
    count(&dataset, &stored, found.is_some());
    let Some(value) = found.transpose()? else { return Ok(answer::absent(&served)) };
    if answer::is_known(headers, &served) {
        return Ok(answer::not_modified(&served));
    }
    if value.len() > server.limits.reply_bytes {
        return Err(Refusal::reply_too_large(server.limits.reply_bytes));
    }
    let content = if is_raw { answer::BYTES } else { answer::JSON };
    let body = answer::body(value, server.budget.none())?;
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
    let mut reserved = server.budget.none();
    let asked = receive(server, &parts.headers, body, &mut reserved).await?;
    let served = query.version(&dataset)?;
    let wrong =
        |error: serde_json::Error| Refusal::new(Reason::Wrong, format!("the body is no JSON list of keys: {error}"));
    let keys: Vec<&RawValue> = serde_json::from_slice(&asked).map_err(wrong)?;
    if keys.len() > server.limits.batch {
        return Err(Refusal::too_many_keys(server.limits.batch));
    }
    let out = aside(keys.len() > FEW, || entries(&dataset, &served, &keys, server.limits.reply_bytes))?;
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

fn entries(dataset: &Dataset, served: &Served, keys: &[&RawValue], limit: usize) -> Result<Vec<u8>, Refusal> {
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
        let is_there = add_entry(&mut out, served, &stored)?;
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

/// Adds a key and its value, or null; returns whether it is there.
fn add_entry(out: &mut Vec<u8>, served: &Served, key: &[u8]) -> Result<bool, Refusal> {
    out.extend_from_slice(b"{\"key\":");
    out.extend_from_slice(served.version.key_schema().to_json(key)?.to_string().as_bytes());
    out.extend_from_slice(b",\"value\":");
    let schema = served.version.value_schema();
    let found =
        served.version.get_with(key, |value| values::json(schema, value).map(|json| out.extend_from_slice(&json)))?;
    let is_there = found.transpose()?.is_some();
    out.extend_from_slice(if is_there { b"}" } else { b"null}" });
    Ok(is_there)
}
