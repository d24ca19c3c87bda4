//! What clients and tools ask about a server: INFO, COMMAND, CONFIG GET.
//!
//! Not for: numbers for monitoring, which HTTP has as metrics.

use std::fmt::Write;

use super::reply::Reply;
use super::session::{Arguments, Session};
use crate::server::refusal::{Reason, Refusal};

/// The release of Redis whose read commands these are: clients decide by it what they send.
pub const RELEASE: &str = "7.0.0";

/// Commands with their number of arguments (negative: at least), flags, first and last key and the step between keys.
const COMMANDS: &[(&str, i64, &str, i64, i64, i64)] = &[
    ("auth", -2, "noscript", 0, 0, 0),
    ("client", -2, "noscript", 0, 0, 0),
    ("command", -1, "loading", 0, 0, 0),
    ("config", -2, "admin", 0, 0, 0),
    ("dbsize", 1, "readonly", 0, 0, 0),
    ("echo", 2, "fast", 0, 0, 0),
    ("exists", -2, "readonly", 1, -1, 1),
    ("get", 2, "readonly", 1, 1, 1),
    ("hello", -1, "noscript", 0, 0, 0),
    ("hget", 3, "readonly", 1, 1, 1),
    ("hgetall", 2, "readonly", 1, 1, 1),
    ("hmget", -3, "readonly", 1, 1, 1),
    ("info", -1, "loading", 0, 0, 0),
    ("mget", -2, "readonly", 1, -1, 1),
    ("ping", -1, "fast", 0, 0, 0),
    ("pttl", 2, "readonly", 1, 1, 1),
    ("quit", -1, "fast", 0, 0, 0),
    ("reset", 1, "fast", 0, 0, 0),
    ("scan", -2, "readonly", 0, 0, 0),
    ("select", 2, "fast", 0, 0, 0),
    ("strlen", 2, "readonly", 1, 1, 1),
    ("ttl", 2, "readonly", 1, 1, 1),
    ("type", 2, "readonly", 1, 1, 1),
];

/// COMMAND, COMMAND COUNT; any other form has an empty answer, which clients take for "unknown".
pub fn command(arguments: Arguments<'_>, reply: &mut Reply<'_>) {
    match arguments {
        [] => {
            reply.array(COMMANDS.len());
            for (name, arity, flag, first, last, step) in COMMANDS {
                reply.array(6);
                reply.string(name.as_bytes());
                reply.signed(*arity);
                reply.array(1);
                reply.status(flag);
                [first, last, step].into_iter().for_each(|number| reply.signed(*number));
            }
        }
        [count] if count.eq_ignore_ascii_case(b"COUNT") => reply.number(COMMANDS.len()),
        [docs, ..] if docs.eq_ignore_ascii_case(b"DOCS") => reply.map(0),
        _ => reply.array(0),
    }
}

/// CONFIG GET name…: the few settings that tools ask for; others have no answer.
pub fn config(session: &Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let [get, names @ ..] = arguments else { return Err(super::session::wrong_number(b"config")) };
    if !get.eq_ignore_ascii_case(b"GET") {
        return Err(Refusal::new(Reason::Wrong, "the settings of this server are its flags: only CONFIG GET is known"));
    }
    let limits = &session.server.limits;
    let known = [
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("maxmemory", session.server.memory.limit.unwrap_or(0).to_string()),
        ("databases", (session.server.registry.all().len() + 1).to_string()),
        ("maxclients", limits.connections.to_string()),
        ("timeout", limits.idle.as_secs().to_string()),
        ("proto-max-bulk-len", limits.key_bytes.to_string()),
    ];
    let asked = |name: &str| names.iter().any(|asked| asked.eq_ignore_ascii_case(name.as_bytes()) || *asked == b"*");
    let found: Vec<_> = known.iter().filter(|(name, _)| asked(name)).collect();
    reply.map(found.len());
    for (name, value) in found {
        reply.string(name.as_bytes());
        reply.string(value.as_bytes());
    }
    Ok(())
}

/// INFO: sections as Redis has them, and the datasets with their versions.
pub fn info(session: &Session, reply: &mut Reply<'_>) {
    reply.string(text(session).as_bytes());
}

fn text(session: &Session) -> String {
    let server = &session.server;
    let seen = server.resp.snapshot();
    let requests = seen.cumulative.last().copied().unwrap_or(0);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push_str("\r\n");
    };
    line("# Server".into());
    line(format!("redis_version:{RELEASE}"));
    line("redis_mode:standalone".into());
    line(format!("cutover_version:{}", env!("CARGO_PKG_VERSION")));
    line(format!("process_id:{}", std::process::id()));
    line(format!("uptime_in_seconds:{}", server.started.elapsed().as_secs()));
    line("\r\n# Clients".into());
    line(format!("connected_clients:{}", server.resp.connections.load(std::sync::atomic::Ordering::Relaxed)));
    line(format!("maxclients:{}", server.limits.connections));
    line("\r\n# Persistence\r\nloading:0".into());
    line("\r\n# Stats".into());
    line(format!("total_commands_processed:{requests}"));
    line("\r\n# Replication\r\nrole:master\r\nconnected_slaves:0".into());
    line("\r\n# Cluster\r\ncluster_enabled:0".into());
    let all = server.registry.all();
    line("\r\n# Datasets".into());
    for (at, dataset) in all.iter().enumerate() {
        let state = dataset.state();
        let stale = u8::from(state.problem.is_some() || state.remote_problem.is_some());
        match dataset.served() {
            Some(served) => line(format!(
                "dataset{}:name={},version={},rows={},as_of={},stale={stale}",
                at + 1,
                dataset.name,
                served.number(),
                served.version.manifest().rows,
                served.as_of
            )),
            None => line(format!("dataset{}:name={},version=none,stale={stale}", at + 1, dataset.name)),
        }
    }
    line("\r\n# Keyspace".into());
    for (at, dataset) in all.iter().enumerate() {
        if let Some(served) = dataset.served() {
            line(format!("db{}:keys={},expires=0,avg_ttl=0", at + 1, served.version.manifest().rows));
        }
    }
    out
}

/// The line of CLIENT INFO and CLIENT LIST, which know only the client that asks.
pub fn info_line(session: &Session) -> String {
    let number = session.selected.as_ref().map_or(0, |(number, _)| *number);
    let mut line = format!("id={} db={number} resp={} name=", session.id, if session.is_resp3 { 3 } else { 2 });
    let _ = writeln!(line, "{}", String::from_utf8_lossy(&session.name));
    line
}
