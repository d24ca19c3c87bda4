//! Reads the small text files that users write: jobs, queries, contracts, client settings.
//!
//! Symbolic links are followed, as configuration is often mounted through them. A path that is missing, too large, not
//! a file or not text is the user's to fix, so it is `Invalid` and not `Unavailable`.
//!
//! Not for: a store's own files, which are read through `durable_file.rs`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// Largest job, query or contract, in bytes.
pub(crate) const LARGEST_TEXT: u64 = 1 << 20;

/// Reads a whole file of at most [`LARGEST_TEXT`] bytes.
///
/// # Errors
/// `Invalid` when it is missing, too large, not a file or not UTF-8; `Unavailable` when the disk fails.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let shown = path.display();
    let kind = match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let hint =
                if path.is_relative() { "; paths are relative to the directory the command runs in" } else { "" };
            return Err(Error::invalid(format!("{shown} does not exist{hint}")));
        }
        kind => kind.io("stat", path)?,
    };
    if !kind.is_file() {
        return Err(Error::invalid(format!("{shown} is not a file")));
    }
    let mut bytes = Vec::new();
    File::open(path).io("open", path)?.take(LARGEST_TEXT + 1).read_to_end(&mut bytes).io("read", path)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err(Error::invalid(format!("{shown} is larger than {LARGEST_TEXT} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| Error::invalid(format!("{shown} is not UTF-8 text")).because(error))
}
