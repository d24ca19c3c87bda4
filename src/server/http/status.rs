//! What operators and tools ask about: the datasets, health, the description of the interface and the status page.
//!
//! Answers name the problem, and leave paths and causes to the log.
//!
//! Not for: numbers over time (`prometheus`).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer;
use super::query::Query;
use crate::format::{Current, VersionEntry};
use crate::server::Server;
use crate::server::dataset::{Dataset, State as Known};

/// The status page: one file without anything from elsewhere.
const PAGE: &str = include_str!("page.html");
/// The description of the interface.
const OPENAPI: &str = include_str!("openapi.json");
/// The page runs its own script and asks this server only.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Versions of a dataset that are listed: the newest.
const VERSIONS: usize = 50;

/// How a dataset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Clients see what the store has as current.
    Serving,
    /// Clients see an older version, or it is not known whether there is a newer one.
    Stale,
    /// No version is loaded.
    Loading,
}

impl Health {
    /// The health of a dataset.
    pub fn of(dataset: &Dataset, known: &Known) -> Self {
        match dataset.with_served(|served| served.is_some()) {
            false => Self::Loading,
            true if known.problem.is_some() || known.remote_problem.is_some() => Self::Stale,
            true => Self::Serving,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Stale => "stale",
            Self::Loading => "loading",
        }
    }
}

/// GET /
pub async fn page() -> Response {
    let mut response = PAGE.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// GET /openapi.json
pub async fn openapi() -> Response {
    ([(CONTENT_TYPE, answer::JSON)], OPENAPI).into_response()
}

/// Any other path.
pub async fn not_found() -> Response {
    answer::error(StatusCode::NOT_FOUND, "there is nothing here: see /openapi.json")
}

/// GET /healthz: the process answers.
pub async fn health() -> Response {
    answer::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// GET /readyz: every dataset has a version that is loaded and warm. With `strict=1` it must also be the current one.
pub async fn ready(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    let is_strict = match Query::read(&uri, &["strict"]).and_then(|query| query.is_set("strict")) {
        Ok(is_strict) => is_strict,
        Err(refusal) => return refusal.into_response(),
    };
    let all = server.registry.all();
    let healths: Vec<Health> = all.iter().map(|dataset| Health::of(dataset, &dataset.state())).collect();
    let count = |wanted: Health| healths.iter().filter(|health| **health == wanted).count();
    let (loading, stale) = (count(Health::Loading), count(Health::Stale));
    let is_ready = loading == 0 && !(is_strict && stale > 0);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &json!({ "ready": is_ready, "datasets": healths.len(), "loading": loading, "stale": stale }))
}

/// GET /v1: every dataset with its versions.
pub async fn datasets(State(server): State<Arc<Server>>) -> Response {
    let all = server.registry.all();
    let list: Vec<Value> = all.iter().zip(1..).map(|(dataset, number)| describe(dataset, number)).collect();
    let document = json!({
        "server": { "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": server.started.elapsed().as_secs() },
        "memory": memory(&server),
        "datasets": list,
    });
    answer::document(&server, answer::JSON, document.to_string())
}

/// The parts of the memory, with what they take and what they may take.
fn memory(server: &Server) -> Vec<Value> {
    let bounded = server.memory.limit.is_some();
    let cache = ("data blocks", server.cache.get_usage(), Some(server.memory.block_cache));
    let parts = server.memory.parts().into_iter().filter(|_| bounded).chain([cache]);
    parts.map(|(part, used, limit)| json!({ "part": part, "bytes": used, "limit": limit })).collect()
}

fn describe(dataset: &Dataset, number: usize) -> Value {
    let known = dataset.state();
    let health = Health::of(dataset, &known);
    let problem = match (health, &known.remote_problem, &known.problem) {
        (Health::Serving, ..) => None,
        (Health::Stale, _, Some(_)) => Some("the current version could not be loaded; the one before is served"),
        (Health::Stale, ..) => Some("the remote store is not followed at the moment"),
        (Health::Loading, None, None) => Some("the first version is being loaded"),
        (Health::Loading, ..) => Some("there is no version that could be loaded"),
    };
    let mut described = json!({
        "name": dataset.name,
        "database": number,
        "state": health.name(),
        "problem": problem,
        "is_loading": known.is_loading,
        "swaps": known.swaps,
        "failures": known.failures + known.remote_failures,
        "last_swap_seconds": known.last_swap.as_secs_f64(),
        "served_since": known.since.map(|since| since.to_string()),
        "versions": known.current.as_deref().map(versions).unwrap_or_default(),
        "replicas": dataset.replicas.shown(known.current.as_deref()),
    });
    if let (Some(served), Value::Object(fields)) = (dataset.served(), &mut described) {
        let manifest = served.version.manifest();
        fields.insert("version".to_owned(), json!(served.number()));
        fields.insert("as_of".to_owned(), json!(served.as_of));
        fields.insert("age_seconds".to_owned(), json!(age(manifest.as_of)));
        fields.insert("rows".to_owned(), json!(manifest.rows));
        fields.insert("bytes".to_owned(), json!(manifest.bytes));
        fields.insert("shards".to_owned(), json!(manifest.shard_count));
        fields.insert("key".to_owned(), json!(manifest.key.columns));
        fields.insert("stages".to_owned(), json!(manifest.stages));
    }
    described
}

/// Seconds since a time; 0 for a time to come.
pub fn age(at: Timestamp) -> i64 {
    (Timestamp::now().as_second() - at.as_second()).max(0)
}

/// The newest versions, oldest first.
fn versions(current: &Current) -> Vec<Value> {
    let describe = |(number, entry): (&u64, &VersionEntry)| {
        json!({
            "version": number,
            "state": entry.state,
            "rows": entry.rows,
            "bytes": entry.bytes,
            "as_of": entry.as_of.to_string(),
            "created_at": entry.created_at.to_string(),
        })
    };
    let skipped = current.versions.len().saturating_sub(VERSIONS);
    current.versions.iter().skip(skipped).map(describe).collect()
}
