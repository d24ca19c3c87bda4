//! Lines on standard error: plain text for people, or one JSON object each for log collectors.
//!
//! ```text
//! text   "     query  0.1 s  100 rows"
//! json   {"time":"2026-11-22T10:30:00Z","level":"info","message":"query","fields":{"rows":100,"seconds":0.1}}
//! ```
//! The form is chosen once, when the command starts. Progress, notices, errors and the log are all written here, so
//! that the two forms never mix.
//!
//! Not for: results, which go to standard output (`cli`).

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

static JSON: AtomicBool = AtomicBool::new(false);

/// Writes every line as JSON from now on.
pub fn as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether lines are JSON.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Whether standard error is a terminal, and lines are text.
pub fn is_watched() -> bool {
    !is_json() && std::io::stderr().is_terminal()
}

/// Whether lines may have colours: on a terminal that shows them, unless `NO_COLOR` is set.
pub fn has_colours() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !plain && is_watched() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Writes a line: `text` for people; `message` and `fields` for programs. A closed standard error is ignored: there is
/// nowhere left to report it.
pub fn line(level: &str, text: &str, message: &str, fields: Map<String, Value>) {
    let mut stderr = std::io::stderr().lock();
    let _ = match is_json() {
        true => writeln!(stderr, "{}", record(Timestamp::now(), level, message, fields)),
        false => writeln!(stderr, "{text}"),
    };
}

/// Writes a line that is the same for people and programs.
pub fn note(level: &str, message: &str) {
    line(level, message, message, Map::new());
}

/// A line of the log as JSON.
pub fn record(at: Timestamp, level: &str, message: &str, fields: Map<String, Value>) -> Value {
    json!({"time": at.to_string(), "level": level, "message": message, "fields": fields})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_it_says() {
        let fields = [("rows".to_owned(), json!(3))].into_iter().collect();
        let text = record(Timestamp::UNIX_EPOCH, "info", "two\nlines", fields).to_string();
        assert!(!text.contains('\n'), "{text}");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["time"], "1970-01-01T00:00:00Z");
        assert_eq!((&read["message"], &read["fields"]["rows"]), (&json!("two\nlines"), &json!(3)));
    }
}
