//! A job below a URL, as `-C s3://lake/root` asks for: its data is there, and the job itself is where it was.
//!
//! Relative paths of inputs and of the store are joined with the URL as text. Absolute paths and URLs stay, and so do
//! the paths of contracts and of the SQL file, which are part of the job.
//!
//! Not for: a local directory, which is the working directory of the command.

use std::path::{Path, PathBuf};

use super::Job;
use crate::error::{Error, Result};
use crate::objects::Location;

impl Job {
    /// The same job with its data below `root`, a URL.
    ///
    /// # Errors
    /// `Invalid` for a path that leads out of it, or that no URL can have.
    pub fn below(mut self, root: &str) -> Result<Self> {
        for input in &mut self.inputs {
            let name = &input.name;
            input.path = joined(root, &input.path).map_err(|error| error.during(format!("input {name}: its path")))?;
        }
        if let Some(store) = self.store.to_str() {
            self.store = PathBuf::from(joined(root, store).map_err(|error| error.during("the path of the store"))?);
        }
        Ok(self)
    }
}

/// A path below a URL, as text; one that is absolute or a URL stays as it is.
///
/// # Errors
/// `Invalid` for a path that leads out of the URL, or that no URL can have.
pub(crate) fn joined(root: &str, path: &str) -> Result<String> {
    if path.contains("://") || Path::new(path).is_absolute() {
        return Ok(path.to_owned());
    }
    let mut url = root.trim_end_matches('/').to_owned();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(Error::invalid(format!("{path} may lead out of {root}: a path below a URL has no `..`")));
        }
        url.push('/');
        url.push_str(part);
    }
    if path.ends_with('/') {
        url.push('/');
    }
    Location::parse(&url)?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_below_the_url() {
        for (path, expected) in [
            ("data/events/", "s3://lake/root/data/events/"),
            ("./data//day=*/a.csv", "s3://lake/root/data/day=*/a.csv"),
            (".", "s3://lake/root"),
            ("/srv/data", "/srv/data"),
            ("gs://other/a", "gs://other/a"),
        ] {
            assert_eq!(joined("s3://lake/root/", path).unwrap(), expected, "{path}");
        }
        for path in ["../data", "data/../../x", "data/a?b"] {
            assert!(joined("s3://lake/root", path).is_err(), "{path}");
        }
    }
}
