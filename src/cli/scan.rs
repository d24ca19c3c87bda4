//! `cutover scan`: entries in key order.

use std::path::PathBuf;

use serde_json::Value;

use super::get::json_text;
use super::{Output, Verdict, open_version, parsers};
use crate::error::Result;
use crate::serve::Range;

const EXAMPLES: &str = "\
Examples:
  cutover scan stores/top_pages --limit 3
  cutover scan stores/views_by_age --prefix '[\"/home\"]'      all age groups of one page
  cutover scan stores/views_by_age --json | jq .value.views";

/// Print entries in key order, one per line: the key, a tab and the value
///
/// With --json every line is an object with "key" and "value".
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// Only keys that begin with this: a JSON array of the first columns, or of a one-column key: leading text of a
    /// string, the whole of another one
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    prefix: Option<String>,
    /// Print at most N entries; all if left out
    #[arg(long, value_name = "N", value_parser = parsers::count, allow_negative_numbers = true)]
    limit: Option<usize>,
    /// Read this version instead of the current one
    #[arg(long, value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let version = open_version(&self.store, self.version)?;
        output.stream();
        let range = match &self.prefix {
            Some(prefix) => version.prefix_range(prefix)?,
            None => Range::all(),
        };
        for entry in version.scan(&range).take(self.limit.unwrap_or(usize::MAX)) {
            let (key, value) = entry?;
            let key = version.key_schema().to_json(&key)?;
            if output.is_json() {
                let value = json_text(version.value_schema(), &value)?;
                output.raw_line(format_args!("{{\"key\":{key},\"value\":{value}}}"))?;
            } else {
                output.raw_line(format_args!("{}\t{}", key_text(&key), version.value_schema().to_text(&value)?))?;
            }
        }
        Ok(Verdict::Yes)
    }
}

/// A key as `cutover get` takes it: a string without quotes, unless it would break the line.
pub(super) fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) if !text.chars().any(char::is_control) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_shown_as_they_are_typed() {
        assert_eq!(key_text(&json!("/home")), "/home");
        assert_eq!(key_text(&json!("a\tb")), r#""a\tb""#);
        assert_eq!(key_text(&json!(["/home", 1])), r#"["/home",1]"#);
        assert_eq!(key_text(&json!(42)), "42");
    }
}
