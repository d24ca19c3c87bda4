//! `cutover get`: point reads.
//!
//! All keys of one call are read from one version, so that their values are consistent.

use std::path::PathBuf;

use super::{Output, Verdict, notice, open_version, parsers};
use crate::error::{Error, Result};
use crate::format::{Encoding, ValueSchema};

const EXAMPLES: &str = "\
Examples:
  cutover get stores/flights_by_plane N14228
  cutover get stores/top_pages 2026-11-22 2026-11-21
  cutover get stores/views_by_age '[\"/home\", \"20-29\"]'
  cutover get stores/views_by_age '[\"/home\", \"20-29\"]' --version 3";

/// Read the values of keys
///
/// With one key, prints its value; with several, one line per key: the key, a tab and the value. The exit code is 1
/// when a key is absent.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of the store
    store: PathBuf,
    /// A key: plain text, or a JSON array if the key has several columns
    #[arg(value_name = "KEY", required = true, allow_negative_numbers = true)]
    keys: Vec<String>,
    /// Read this version instead of the current one
    #[arg(long, value_name = "N", value_parser = parsers::version, allow_negative_numbers = true)]
    version: Option<u64>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> Result<Verdict> {
        let version = open_version(&self.store, self.version)?;
        let keys = self.keys.iter().map(|key| version.key_schema().parse(key)).collect::<Result<Vec<_>>>()?;
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let values = version.multi_get(&asked)?;
        let schema = version.value_schema();
        let number = version.number();
        let entries = keys.iter().zip(&values).map(|(key, value)| {
            let value = value.as_deref().map_or(Ok("null".to_owned()), |value| json_text(schema, value))?;
            Ok(format!("{{\"key\":{},\"value\":{value}}}", version.key_schema().to_json(key)?))
        });
        let entries = entries.collect::<Result<Vec<_>>>()?.join(",");
        output.document_text("version", number.to_string());
        output.document_text("entries", format!("[{entries}]"));
        let mut answer = Verdict::Yes;
        for (key, value) in self.keys.iter().zip(&values) {
            match value {
                None => {
                    output.flush()?;
                    notice(&format!("{key} is not in version {number} of {}", self.store.display()));
                    output.ended("absent");
                    answer = Verdict::No;
                }
                Some(_) if output.is_json() => {}
                Some(value) if values.len() == 1 => output.raw_line(schema.to_text(value)?)?,
                Some(value) => output.raw_line(format!("{key}\t{}", schema.to_text(value)?))?,
            }
        }
        Ok(answer)
    }
}

/// A value as serialized JSON with all stored digits, some of which a double would lose.
pub(super) fn json_text(schema: &ValueSchema, value: &[u8]) -> Result<String> {
    let text = schema.to_text(value)?;
    match schema.encoding {
        Encoding::Json | Encoding::Avro { .. } => Ok(text),
        Encoding::Raw => {
            serde_json::to_string(&text).map_err(|error| Error::internal("cannot write JSON").because(error))
        }
    }
}
