//! GET /metrics: the text format of Prometheus.
//!
//! Not for: counting (`metrics`).

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::Response;

use super::answer;
use super::status::{Health, age};
use crate::server::Server;
use crate::server::dataset::{Dataset, State as Known};
use crate::server::metrics::BOUNDS;
use crate::server::served::Served;

/// GET /metrics
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let mut text = Text::default();
    protocols(&server, &mut text);
    datasets(&server, &mut text);
    let wrong = vec![(String::new(), server.auth.wrong() as f64)];
    text.family("cutover_wrong_passwords_total", "counter", "Passwords that were compared and wrong", wrong);
    let one = |value: usize| vec![(String::new(), value as f64)];
    text.family(
        "cutover_buffered_bytes",
        "gauge",
        "Bytes of requests and answers beyond small buffers",
        one(server.memory.buffers.used()),
    );
    let parts = server.memory.parts();
    let lines = parts.iter().map(|(part, used, _)| (format!("part=\"{part}\""), *used as f64));
    text.family("cutover_memory_bytes", "gauge", "Bytes reserved for a part of the memory", lines.collect());
    let limits = parts.iter().filter_map(|(part, _, limit)| Some((format!("part=\"{part}\""), (*limit)? as f64)));
    text.family("cutover_memory_limit_bytes", "gauge", "Bytes that a part may take", limits.collect());
    text.family("cutover_block_cache_bytes", "gauge", "Bytes of data blocks in memory", one(server.cache.get_usage()));
    answer::document(&server, "text/plain; version=0.0.4; charset=utf-8", text.0)
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// A metric with a line for each set of labels.
    fn family(&mut self, name: &str, kind: &str, help: &str, lines: Vec<(String, f64)>) {
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            self.line(name, &labels, value);
        }
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

fn protocols(server: &Server, text: &mut Text) {
    let both = [("resp", &server.resp), ("http", &server.http)];
    let name = "cutover_request_seconds";
    text.family(name, "histogram", "Time from reading a request to its answer", Vec::new());
    for (protocol, requests) in both {
        let seen = requests.snapshot();
        for (at, count) in seen.cumulative.iter().enumerate() {
            let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), |micros| (*micros as f64 / 1e6).to_string());
            text.line("cutover_request_seconds_bucket", &format!("protocol=\"{protocol}\",le=\"{bound}\""), count);
        }
        text.line("cutover_request_seconds_sum", &format!("protocol=\"{protocol}\""), seen.seconds);
        let count = seen.cumulative.last().copied().unwrap_or(0);
        text.line("cutover_request_seconds_count", &format!("protocol=\"{protocol}\""), count);
    }
    let each = |read: fn(&crate::server::metrics::Requests) -> u64| {
        both.iter().map(|(protocol, it)| (format!("protocol=\"{protocol}\""), read(it) as f64)).collect()
    };
    text.family(
        "cutover_request_errors_total",
        "counter",
        "Requests answered by an error",
        each(|it| it.snapshot().errors),
    );
    text.family("cutover_connections", "gauge", "Open connections", each(|it| it.connections.load(Ordering::Relaxed)));
    text.family(
        "cutover_connections_refused_total",
        "counter",
        "Connections refused because there were too many",
        each(|it| it.refused.load(Ordering::Relaxed)),
    );
}

fn datasets(server: &Server, text: &mut Text) {
    let all = server.registry.all();
    let states: Vec<(&Arc<Dataset>, Known)> = all.iter().map(|dataset| (dataset, dataset.state())).collect();
    let label = |dataset: &Dataset| format!("dataset=\"{}\"", dataset.name);
    let known = |read: fn(&Dataset, &Known) -> f64| {
        states.iter().map(|(dataset, known)| (label(dataset), read(dataset, known))).collect::<Vec<_>>()
    };
    let served = |read: fn(&Served) -> f64| {
        let line = |(dataset, _): &(&Arc<Dataset>, Known)| {
            dataset.with_served(|served| served.map(|served| (label(dataset), read(served))))
        };
        states.iter().filter_map(line).collect::<Vec<_>>()
    };
    let reads = states.iter().flat_map(|(dataset, _)| {
        let line = |result: &str, value: u64| (format!("{},result=\"{result}\"", label(dataset)), value as f64);
        let (hits, misses) = (dataset.reads.hits.load(Ordering::Relaxed), dataset.reads.misses.load(Ordering::Relaxed));
        [line("hit", hits), line("miss", misses)]
    });
    text.family("cutover_reads_total", "counter", "Keys that were looked up", reads.collect());
    text.family(
        "cutover_dataset_ready",
        "gauge",
        "1 when a version is loaded",
        known(|dataset, known| f64::from(Health::of(dataset, known) != Health::Loading)),
    );
    text.family(
        "cutover_dataset_stale",
        "gauge",
        "1 when the current version could not be loaded",
        known(|dataset, known| f64::from(Health::of(dataset, known) == Health::Stale)),
    );
    text.family(
        "cutover_loading",
        "gauge",
        "1 while a version is opened and warmed up",
        known(|_, known| f64::from(known.is_loading)),
    );
    text.family(
        "cutover_load_failures_total",
        "counter",
        "Failed attempts to read a store or load its version",
        known(|_, known| (known.failures + known.remote_failures) as f64),
    );
    text.family(
        "cutover_swaps_total",
        "counter",
        "Versions that clients were switched to",
        known(|_, known| known.swaps as f64),
    );
    text.family(
        "cutover_swap_seconds",
        "gauge",
        "Time from seeing the last version to serving it",
        known(|_, known| known.last_swap.as_secs_f64()),
    );
    text.family("cutover_version", "gauge", "The version that is served", served(|served| served.number() as f64));
    text.family("cutover_rows", "gauge", "Its entries", served(|served| served.version.manifest().rows as f64));
    text.family(
        "cutover_bytes",
        "gauge",
        "Its key and value bytes",
        served(|served| served.version.manifest().bytes as f64),
    );
    text.family(
        "cutover_as_of_seconds",
        "gauge",
        "The time its data is as of, since 1970",
        served(|served| served.version.manifest().as_of.as_second() as f64),
    );
    text.family(
        "cutover_age_seconds",
        "gauge",
        "Time since then",
        served(|served| age(served.version.manifest().as_of) as f64),
    );
}
