//! What readers see after a flip, as text and as JSON: of publish, rollback and pin alike.
//!
//! Not for: the report of a run (`summary`).

use std::path::Path;

use serde_json::json;

use super::{Output, Verdict, format};
use crate::error::Result;
use crate::publish::Published;

/// Shows what a publish or rollback did to the readers, and to consumers of the topic.
pub(super) fn show(store: &Path, published: Published, output: &mut Output) -> Result<Verdict> {
    let topic = published.announced.as_ref().map(|announced| &announced.topic);
    let rows = published.announced.as_ref().map(|announced| announced.rows);
    let seconds = published.streaming.map(|took| took.as_secs_f64());
    output.document(&json!({
        "version": published.version, "previous": published.previous, "topic": topic, "rows": rows, "seconds": seconds,
    }))?;
    if !output.is_json() {
        output.line(sentence(store, &published))?;
        if let Some(announced) = &published.announced {
            let how = match &published.streaming {
                Some(took) => format!("streamed in {}, ", format::duration(took.as_secs_f64())),
                None => String::new(),
            };
            output.line(format!("announced to consumers of the topic: {how}{}", announced.topic))?;
        }
    }
    Ok(Verdict::Yes)
}

/// What readers see now, and what they saw before.
pub(super) fn sentence(store: &Path, published: &Published) -> String {
    let (store, version) = (store.display(), published.version);
    match published.previous {
        Some(previous) if previous == version => format!("readers of {store} already see version {version}"),
        Some(previous) => {
            format!("version {version} is live: readers of {store} went from version {previous} to {version}")
        }
        None => format!("version {version} is live: it is the first that readers of {store} see"),
    }
}
