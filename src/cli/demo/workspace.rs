//! The demo's own directory: its marker file, and the jobs and contracts that it runs.
//!
//! Jobs and contracts are those of the repository, built into the program, so that an installed program can run the
//! demo anywhere; their paths are changed to be below the directory.
//!
//! Invariant: nothing outside of a directory with the marker is written or deleted.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};

/// The marker file of a demo's directory; locked while a demo runs in it.
const MARKER: &str = ".cutover-demo";
const MARKER_TEXT: &str =
    "This directory was written by `cutover demo`, which overwrites it each time. It can be deleted at any time.\n";

/// The dataset of the job that the demo runs.
pub(super) const DATASET: &str = "enriched_events";

const FILES: [(&str, &str); 9] = [
    ("jobs/enriched_events.toml", include_str!("../../../jobs/enriched_events.toml")),
    ("jobs/enriched_events.sql", include_str!("../../../jobs/enriched_events.sql")),
    ("jobs/views_by_age.toml", include_str!("../../../jobs/views_by_age.toml")),
    ("jobs/views_by_age.sql", include_str!("../../../jobs/views_by_age.sql")),
    ("jobs/views_of_day.toml", include_str!("../../../jobs/views_of_day.toml")),
    ("jobs/top_pages.toml", include_str!("../../../jobs/top_pages.toml")),
    ("jobs/top_pages_per_user.toml", include_str!("../../../jobs/top_pages_per_user.toml")),
    ("schemas/activity_event.json", include_str!("../../../schemas/activity_event.json")),
    ("schemas/user_profile.json", include_str!("../../../schemas/user_profile.json")),
];

/// Prefixes of paths in the repository's jobs, and their replacements below the demo's directory.
const MOVED: [(&str, &str); 4] =
    [("data/demo/", ""), ("stores/", "stores/"), ("schemas/", "schemas/"), ("jobs/", "jobs/")];

/// A directory that is reserved for this demo until this is dropped.
pub(super) struct Directory {
    path: PathBuf,
    _marker: File,
}

impl Directory {
    /// Creates the directory, or reuses that of an earlier demo.
    ///
    /// # Errors
    /// `Invalid` when something else is in it, or its name cannot be written in a job file; `Conflict` when another
    /// demo is running there; `Unavailable` when it cannot be written.
    pub(super) fn claim(path: &Path) -> Result<Self> {
        check_name(path)?;
        let marker = path.join(MARKER);
        if !marker.is_file() && !is_empty(path)? {
            return Err(Error::invalid(format!(
                "{} has files that the demo did not write: choose a new or an empty directory with --dir",
                path.display()
            )));
        }
        fs::create_dir_all(path).io("create directory", path)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&marker).io("open", &marker)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict(format!("another demo is running in {}", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error).io("lock", &marker),
        }
        if file.metadata().io("stat", &marker)?.len() == 0 {
            file.write_all(MARKER_TEXT.as_bytes()).io("write", &marker)?;
        }
        Ok(Self { path: path.to_owned(), _marker: file })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The job that the demo runs.
    pub(super) fn job(&self) -> PathBuf {
        self.path.join("jobs").join(format!("{DATASET}.toml"))
    }

    /// Its store.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("stores").join(DATASET)
    }

    /// Writes jobs and contracts, and deletes the store of an earlier demo.
    pub(super) fn prepare(&self) -> Result<()> {
        for directory in ["jobs", "schemas", "stores"] {
            let directory = self.path.join(directory);
            fs::create_dir_all(&directory).io("create directory", &directory)?;
            if fs::symlink_metadata(&directory).io("stat", &directory)?.is_symlink() {
                return Err(Error::invalid(format!(
                    "{} is a link: the demo writes only into its own directory; remove the link",
                    directory.display()
                )));
            }
        }
        for (name, text) in FILES {
            let path = self.path.join(name);
            fs::write(&path, moved(text, &self.path.display().to_string())).io("write", &path)?;
        }
        match fs::remove_dir_all(self.store()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.io("delete", &self.store()),
        }
    }
}

/// The text of one of the repository's files, with its paths moved below `directory`.
fn moved(text: &str, directory: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let begins = !out.ends_with(|before: char| before.is_alphanumeric() || "/_.-".contains(before));
        match MOVED.iter().find(|(from, _)| begins && rest.starts_with(from)) {
            Some((from, to)) => {
                out.push_str(directory.trim_end_matches('/'));
                out.push('/');
                out.push_str(to);
                rest = &rest[from.len()..];
            }
            None => {
                out.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    out
}

/// Checks that the directory's name can be written in job files, between quotes.
fn check_name(path: &Path) -> Result<()> {
    let refused = |letter: char| letter.is_control() || "\"\\${}".contains(letter);
    match path.to_str() {
        Some(name) if !name.is_empty() && name.trim() == name && !name.contains(refused) && !name.contains("://") => {
            Ok(())
        }
        _ => Err(Error::invalid(format!(
            "{} cannot be written in a job file: choose a directory without quotes, $, braces and backslashes in its name",
            path.display()
        ))),
    }
}

fn is_empty(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::invalid(format!("{} is not a directory", path.display())))
        }
        entries => Ok(entries.io("list", path)?.next().is_none()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::Kind;
    use crate::input::Contract;
    use crate::job::Job;

    #[test]
    fn every_job_and_contract_of_the_demo_is_sound_and_stays_in_its_directory() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::claim(&parent.path().join("my demo")).unwrap();
        directory.prepare().unwrap();
        for (name, _) in FILES {
            let path = directory.path().join(name);
            let sets = if name.ends_with("views_of_day.toml") {
                vec![("date".to_owned(), "2026-01-01".to_owned())]
            } else {
                Vec::new()
            };
            if name.ends_with(".toml") {
                let job = Job::load(&path, &BTreeMap::from_iter(sets)).unwrap();
                assert!(job.store.starts_with(directory.path().join("stores")), "{name}");
                for input in &job.inputs {
                    let schema = input.schema.as_ref().unwrap();
                    assert!(Path::new(&input.path).starts_with(directory.path()), "{name}: {}", input.path);
                    Contract::load(schema).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_directory_with_other_files_is_refused_and_an_earlier_demo_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let foreign = parent.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("thesis.txt"), "x").unwrap();
        assert_eq!(Directory::claim(&foreign).err().unwrap().kind(), Kind::Invalid);
        assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
        assert_eq!(Directory::claim(&foreign.join("thesis.txt")).err().unwrap().kind(), Kind::Invalid);

        let own = parent.path().join("own");
        let first = Directory::claim(&own).unwrap();
        assert_eq!(Directory::claim(&own).err().unwrap().kind(), Kind::Conflict);
        drop(first);
        fs::create_dir_all(own.join("stores/other")).unwrap();
        Directory::claim(&own).unwrap().prepare().unwrap();
        assert!(own.join("stores/other").is_dir());
    }

    #[test]
    fn only_path_prefixes_are_rewritten() {
        let text = "path = \"data/demo/events/\" # cutover run jobs/a.toml, myjobs/x, a/jobs/y";
        assert_eq!(moved(text, "d/"), "path = \"d/events/\" # cutover run d/jobs/a.toml, myjobs/x, a/jobs/y");
        assert_eq!(moved("stores/x", "jobs"), "jobs/stores/x");
    }
}
