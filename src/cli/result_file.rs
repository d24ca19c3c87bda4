//! `--result FILE`: the JSON document of a command in a file, for programs that start it.
//!
//! The file of an earlier command is removed before work starts, and the new one appears whole when the command ends,
//! whatever the outcome. A command that was killed leaves none.
//!
//! Not for: what is in the document (`outcome`).

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::durable_file;
use crate::error::{Error, IoContext, Result};

/// The flag, which is also looked for among arguments that do not parse.
const FLAG: &str = "--result";
/// Bytes of the largest result that a later one replaces.
const MAX_RESULT: u64 = 256 << 20;

/// The file that the arguments of this process name, whether they parse or not.
pub(super) fn among_arguments() -> Option<PathBuf> {
    of(&std::env::args_os().skip(1).collect::<Vec<_>>())
}

fn of(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == FLAG {
            return words.next().map(PathBuf::from);
        }
        let joined = word.to_str().and_then(|word| word.strip_prefix(FLAG)?.strip_prefix('='));
        if let Some(path) = joined {
            return Some(path.into());
        }
    }
    None
}

/// Removes the file of an earlier command.
///
/// # Errors
/// `Invalid` when something else is there, or no directory for it; `Unavailable` when it cannot be removed.
pub(super) fn remove(path: &Path) -> Result<()> {
    if is_there(path)? { fs::remove_file(path).io("remove", path) } else { Ok(()) }
}

/// Whether there is a result, which may be replaced; anything else may not.
fn is_there(path: &Path) -> Result<bool> {
    let refused = |what: String| Err(Error::invalid(format!("{FLAG} {} {what}", path.display())));
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => refused("is not a file".to_owned()),
        Ok(found) if found.len() == 0 || is_result(path, found.len())? => Ok(true),
        Ok(_) => refused("is there, and is no result of a command: name another file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                refused(format!("cannot be written, as there is no directory {}", parent.display()))
            }
            _ => Ok(false),
        },
        Err(error) => Err(error).io("stat", path),
    }
}

fn is_result(path: &Path, bytes: u64) -> Result<bool> {
    if bytes > MAX_RESULT {
        return Ok(false);
    }
    let found: Option<serde_json::Value> = serde_json::from_slice(&fs::read(path).io("read", path)?).ok();
    Ok(found.is_some_and(|document| document.get("command").is_some() && document.get("exit_code").is_some()))
}

/// Writes the file.
///
/// # Errors
/// As [`remove`]; `Unavailable` when it cannot be written.
pub(super) fn write(path: &Path, document: &str) -> Result<()> {
    is_there(path)?;
    durable_file::write_atomic(path, document.as_bytes())
        .map_err(|error| error.during(format!("cannot write the result to {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_found_in_arguments_that_do_not_parse() {
        let of = |line: &str| of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("rnu --result r.json"), Some("r.json".into()));
        assert_eq!(of("run --result=r.json --wrong"), Some("r.json".into()));
        assert_eq!(of("get s -- --result k"), None);
        assert_eq!(of("run --result"), None);
    }
}
