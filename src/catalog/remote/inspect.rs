//! Compares the objects of a version with its manifest, without keeping them.
//!
//! Not for: what is in the files; `verify` reads entries from a local copy.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::Remote;
use crate::catalog::finding::{FileDepth, Finding};
use crate::error::Result;
use crate::format::{FileEntry, Manifest, ShardEntry, hex_checksum};
use crate::objects::{Entry, Key};

impl Remote {
    /// Every object that differs from `manifest`, down to `depth`.
    ///
    /// # Errors
    /// As those of a listing; objects that are missing, or cannot be read, are findings.
    pub(in crate::catalog) fn inspect(&self, manifest: &Manifest, depth: FileDepth) -> Result<Vec<Finding>> {
        let root = format!("versions/{}", manifest.build_id);
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        self.bucket.list(Some(&Key::new(root.as_str())?), |entry| {
            let path = entry.key.as_str().strip_prefix(&root).unwrap_or_default().trim_start_matches('/').to_owned();
            found.insert(path, entry);
            Ok(())
        })?;
        let files: Vec<(&ShardEntry, &FileEntry)> = manifest.placed_files().collect();
        let differs = |(shard, file): &(&ShardEntry, &FileEntry)| {
            let problem = self.problem(found.get(&shard.object_path(file)), file, depth)?;
            Some(Finding { shard: Some(shard.shard), file: Some(file.path.clone()), problem })
        };
        Ok(files.par_iter().filter_map(differs).collect())
    }

    /// What is wrong with one object.
    fn problem(&self, found: Option<&Entry>, file: &FileEntry, depth: FileDepth) -> Option<String> {
        let Some(entry) = found else { return Some("is missing".to_owned()) };
        if entry.bytes != file.bytes {
            return Some(format!("has {} bytes, the manifest says {}", entry.bytes, file.bytes));
        }
        if file.path.ends_with(".sst") && depth == FileDepth::SmallFiles {
            return None;
        }
        match self.bucket.hash(entry).map(hex_checksum) {
            Err(error) => Some(format!("cannot be read: {}", error.chain().join(": "))),
            Ok(found) if found == file.xxh3 => None,
            Ok(found) => Some(format!("has the checksum {found}, the manifest says {}", file.xxh3)),
        }
    }
}
