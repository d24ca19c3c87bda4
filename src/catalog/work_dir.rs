//! Where this host works on stores that are on an object store: one directory for each URL.
//!
//! `$CUTOVER_WORK_DIR`, else `$XDG_CACHE_HOME/cutover/stores`, else `~/.cache/cutover/stores`. All of it can be deleted
//! while no command runs: it holds locks, unfinished builds and local copies of versions.
//!
//! Not for: what is in such a directory (`layout`).

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, IoContext, Result};

/// Letters of the URL's last part in the directory's name.
const NAME: usize = 60;

/// The working directory for the store at `url`.
///
/// # Errors
/// `Invalid` when the environment names no place for it, or a URL.
pub(super) fn of(url: &str) -> Result<PathBuf> {
    let stated = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = stated("CUTOVER_WORK_DIR")
        .or_else(|| stated("XDG_CACHE_HOME").map(|cache| cache.join("cutover/stores")))
        .or_else(|| stated("HOME").map(|home| home.join(".cache/cutover/stores")));
    let root = root.ok_or_else(|| {
        Error::invalid(format!("set CUTOVER_WORK_DIR to a directory for local work on {url}: HOME is not set either"))
    })?;
    if root.to_string_lossy().contains("://") {
        return Err(Error::invalid(format!("CUTOVER_WORK_DIR is {}: it must be a local directory", root.display())));
    }
    // Builders of one host exclude each other by it, and a relative path is another directory for each process.
    Ok(below(&std::path::absolute(&root).io("find", &root)?, url))
}

fn below(root: &Path, url: &str) -> PathBuf {
    let last = url.rsplit('/').next().unwrap_or_default();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '-' };
    let name: String = last.chars().map(plain).take(NAME).collect();
    root.join(format!("{name}-{:016x}", xxh3_64(url.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_has_a_directory_of_its_own_whose_name_is_plain() {
        let names = ["s3://a/views", "s3://b/views", "gs://a/views", "s3://a/x/../..", "s3://a/\u{202e}"];
        let directories: Vec<PathBuf> = names.iter().map(|url| below(Path::new("/work"), url)).collect();
        for (at, directory) in directories.iter().enumerate() {
            assert_eq!(directory.parent(), Some(Path::new("/work")));
            assert!(directory.to_string_lossy().is_ascii() && !directories[..at].contains(directory), "{directory:?}");
        }
        assert!(directories[0].to_string_lossy().starts_with("/work/views-"));
    }
}
