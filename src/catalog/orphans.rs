//! Finds orphans: files in a store's directory that nothing references.
//!
//! ```text
//! referenced:  current.json and the locks · the event log · of every version in current.json its manifest, the files
//!              that the manifest lists, and the copies of job, query, contracts and report
//! ```
//! Everything else is temporary: builds in staging, trash, the directory of a version that is being installed. After a
//! `gc` with no other command running, there are no orphans.
//!
//! Not for: deleting them (`gc`), or checking the content of files (`integrity`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::layout;
use super::store::Catalog;
use crate::durable_file::fs;
use crate::error::{IoContext, Result};

impl Catalog {
    /// Files and empty directories of the store, or objects of a remote one, that nothing references, relative to it,
    /// sorted.
    ///
    /// # Errors
    /// `Conflict` when another command is committing; `Unavailable` when a directory cannot be read; else as
    /// [`Catalog::read`] and [`Catalog::manifest`].
    pub fn unreferenced(&self) -> Result<Vec<PathBuf>> {
        let _lock = self.lock_commit()?;
        let current = self.read()?;
        if let Some(remote) = self.remote() {
            return Ok(remote.unnamed(&current)?.into_iter().map(PathBuf::from).collect());
        }
        let layout = self.layout();
        let mut named = BTreeSet::from(layout.fixed_paths());
        for version in current.versions.keys() {
            let directory = layout.version_dir(*version);
            let manifest = self.manifest(&current, *version)?;
            let inputs = manifest.inputs.iter().map(|file| file.input.as_str());
            named.extend(layout::files_outside_shards(inputs).into_iter().map(|name| directory.join(name)));
            named.extend(manifest.files().map(|file| directory.join(&file.path)));
        }
        let mut found = Vec::new();
        leaves(layout.root(), &mut found)?;
        let from_root = |path: PathBuf| path.strip_prefix(layout.root()).map(Path::to_owned).unwrap_or(path);
        let mut unnamed: Vec<PathBuf> = found.into_iter().filter(|path| !named.contains(path)).map(from_root).collect();
        unnamed.sort_unstable();
        Ok(unnamed)
    }
}

/// Every file, link and empty directory below `directory`.
fn leaves(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).io("list", directory)? {
        let path = entry.io("list", directory)?.path();
        let before = found.len();
        if fs::symlink_metadata(&path).io("stat", &path)?.is_dir() {
            leaves(&path, found)?;
        }
        if found.len() == before {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::catalog::fixture::{catalog, install};

    #[test]
    fn unreferenced_files_are_found_and_no_others() {
        let (_directory, catalog) = catalog();
        install(&catalog, "one");
        assert_eq!(catalog.unreferenced().unwrap(), [""; 0].map(PathBuf::from));
        let root = catalog.layout().root();
        let debris = ["current.json.7.tmp", "staging/trash-x/file", "versions/00000009/manifest.json", "stray"];
        for name in debris {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(root.join("staging/dead")).unwrap();
        let found = catalog.unreferenced().unwrap();
        let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
        let expected =
            ["current.json.7.tmp", "staging/dead", "staging/trash-x/file", "stray", "versions/00000009/manifest.json"];
        assert_eq!(found, expected);
        let swept = catalog.sweep(Vec::new(), std::time::Duration::ZERO).unwrap().leftovers;
        assert_eq!(swept, ["00000009", "current.json.7.tmp", "dead"]);
        let left = catalog.unreferenced().unwrap();
        assert_eq!(left, [Path::new("stray")], "files that are not the store's are not deleted");
    }
}
