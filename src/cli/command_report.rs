//! What a command reports about itself while it runs, for the document and the summary line at its end.
//!
//! Not for: printing them (`outcome`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::format::Current;

/// What a command reported about itself while it ran.
#[derive(Debug, Default)]
pub(super) struct CommandReport {
    /// Its document's own fields, as serialized JSON: numbers keep all their digits.
    pub(super) fields: Vec<(String, String)>,
    pub(super) outcome: Option<&'static str>,
    pub(super) dataset: Option<String>,
    pub(super) store: Option<PathBuf>,
    pub(super) next: Option<String>,
    /// Whether it prints its own documents, one per line.
    pub(super) streams: bool,
}

impl CommandReport {
    /// Adds a document's fields.
    pub(super) fn add(&mut self, document: &impl Serialize) -> Result<()> {
        let unwritten = |error| Error::internal("cannot write JSON").because(error);
        let text = serde_json::to_string(document).map_err(unwritten)?;
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).map_err(unwritten)?;
        self.fields.extend(fields.into_iter().map(|(name, value)| (name, value.get().to_owned())));
        Ok(())
    }

    /// Adds a field whose value is already serialized as JSON.
    pub(super) fn add_text(&mut self, name: &str, json: String) {
        self.fields.push((name.to_owned(), json));
    }

    pub(super) fn about(&mut self, dataset: &str, store: &Path) {
        self.dataset = Some(dataset.to_owned());
        self.store = Some(store.to_owned());
    }

    pub(super) fn ended(&mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }

    pub(super) fn next(&mut self, command: String) {
        self.next = Some(command);
    }

    pub(super) fn dataset<'a>(&'a self, current: Option<&'a Current>) -> Option<&'a str> {
        self.dataset.as_deref().or_else(|| current.map(|current| current.dataset.as_str()))
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}
