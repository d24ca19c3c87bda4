//! Which directories below a URL can hold files of an input, so that the others are not listed.
//!
//! ```text
//! partitions = { date = "2026-11-01..2026-11-03" }     s3://lake/events/date=2026-11-*/*.parquet
//!   events/ level by level: date=2026-10-31/ is skipped, date=2026-11-01/ is listed whole
//! ```
//! Directories are recognized by the names that are there, so that a number may be written with zeros in front and a value
//! may be percent-encoded.
//!
//! Not for: which files are inputs (`resolve`): what is listed anyway is selected there.

use std::collections::BTreeSet;

use glob::{MatchOptions, Pattern};

use super::partitions;
use crate::error::Result;
use crate::job::{InputSpec, Partitions};
use crate::objects::{Bucket, Entry, Key};

/// Directories that are listed one by one at most; where there are more, one listing of all of them is cheaper.
const MAX_DIRECTORIES: usize = 256;

/// Begins a part of a pattern that is not taken as it is written.
pub(super) const WILDCARDS: [char; 3] = ['*', '?', '['];
/// A wildcard stays within a name between slashes.
pub(super) const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// What keeps a directory from being listed.
pub(super) struct Narrowing<'s> {
    partitions: Option<&'s Partitions>,
    /// The parts of the pattern between slashes, down to the last one that not every directory matches.
    parts: Vec<Pattern>,
}

/// What is to be listed of a directory.
pub(super) struct Narrowed {
    /// Objects that were found on the way.
    pub(super) entries: Vec<Entry>,
    /// Directories to list whole.
    pub(super) directories: Vec<String>,
    /// Directories that hold nothing of the input.
    pub(super) skipped: BTreeSet<String>,
}

impl<'s> Narrowing<'s> {
    /// That of an input; `pattern` is its path in the bucket.
    pub(super) fn of(spec: &'s InputSpec, pattern: &str) -> Self {
        let parts = pattern.split('/').take_while(|part| !part.contains("**"));
        let mut parts: Vec<Pattern> = parts.map_while(|part| Pattern::new(part).ok()).collect();
        // The last part is that of the files, unless `**` follows.
        let directories = pattern.split('/').count() - 1;
        parts.truncate(directories);
        let excludes = |part: &Pattern| {
            let text = part.as_str();
            text.contains(WILDCARDS) && text != "*" && !text.ends_with("=*")
        };
        let last = parts.iter().rposition(excludes).map_or(0, |last| last + 1);
        parts.truncate(last);
        Self { partitions: spec.partitions.as_ref(), parts }
    }

    /// Looks at the directories below `directory`, level by level; none where that is not worth it.
    ///
    /// # Errors
    /// Those of a listing.
    pub(super) fn narrow(&self, bucket: &Bucket, directory: &str) -> Result<Option<Narrowed>> {
        if self.partitions.is_none() && self.parts.is_empty() {
            return Ok(None);
        }
        let mut narrowed = Narrowed { entries: Vec::new(), directories: Vec::new(), skipped: BTreeSet::new() };
        let mut level = vec![directory.to_owned()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for directory in level {
                let prefix = if directory.is_empty() { None } else { Some(Key::new(directory)?) };
                let (entries, inner) = bucket.list_level(prefix.as_ref())?;
                narrowed.entries.extend(entries);
                for directory in inner.into_iter().map(|key| key.as_str().to_owned()) {
                    if !self.may_hold(&directory) {
                        narrowed.skipped.insert(directory);
                    } else if self.is_decided(&directory) {
                        narrowed.directories.push(directory);
                    } else {
                        next.push(directory);
                    }
                }
                if narrowed.directories.len() + next.len() > MAX_DIRECTORIES {
                    return Ok(None);
                }
            }
            level = next;
        }
        Ok(Some(narrowed))
    }

    /// Whether a directory can hold files of the input, by its name.
    fn may_hold(&self, directory: &str) -> bool {
        let depth = directory.matches('/').count();
        let name = directory.rsplit('/').next().unwrap_or_default();
        let matches = self.parts.get(depth).is_none_or(|part| part.matches_with(name, OPTIONS));
        // Logs of tables have such names, and are refused when they are found.
        let is_hidden = name.starts_with(['_', '.']);
        (matches || is_hidden) && self.partitions.is_none_or(|wanted| partitions::may_hold(wanted, name))
    }

    /// Whether no name below a directory can exclude more.
    fn is_decided(&self, directory: &str) -> bool {
        let names: Vec<&str> = directory.split('/').collect();
        let column = |name: &&str| name.split_once('=').map(|(column, _)| column.to_owned());
        if names.len() < self.parts.len() {
            return false;
        }
        let Some(wanted) = self.partitions else { return true };
        let is_partition = names.last().and_then(column).is_some();
        let columns: Vec<String> = names.iter().filter_map(column).collect();
        !is_partition || wanted.columns().all(|wanted| columns.iter().any(|column| column == wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &str) -> Vec<String> {
        let spec = crate::input::resolve::tests::spec(std::path::Path::new(""));
        Narrowing::of(&spec, pattern).parts.iter().map(|part| part.as_str().to_owned()).collect()
    }

    #[test]
    fn a_pattern_narrows_by_the_parts_that_exclude_directories() {
        assert_eq!(parts("events/date=2026-11-*/*.parquet"), ["events", "date=2026-11-*"]);
        assert_eq!(parts("events/date=2026-11-*"), [""; 0], "it may name files");
        assert_eq!(parts("events/date=*/hour=1[2-4]/*.parquet"), ["events", "date=*", "hour=1[2-4]"]);
        for all in
            ["events/*/*.parquet", "events/date=*/*.parquet", "events/**/a*/x.csv", "events/a*.csv", "events", ""]
        {
            assert_eq!(parts(all), [""; 0], "{all}");
        }
    }
}
