//! Child processes of the program in the sandbox: runs, killed runs, traced runs, and gc.
//!
//! Their output goes to files in the sandbox, so that no process blocks on a full pipe.
//!
//! Not for: judging how they ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::Options;
use super::sandbox::Sandbox;
use crate::durable_file;
use crate::error::{Error, IoContext, Result};
use crate::failpoint::{SEEN_VARIABLE, VARIABLE};
use crate::shutdown;

/// How often to check whether a process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The largest output of a process that is read.
const MAX_OUTPUT: u64 = 16 << 20;
/// The signal of `kill -9`.
const SIGKILL: i32 = 9;

/// Starts processes in a sandbox.
pub(super) struct Child<'a> {
    options: &'a Options,
    sandbox: &'a Sandbox,
    store: PathBuf,
}

/// A process that has ended.
pub(super) struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl<'a> Child<'a> {
    pub(super) fn new(options: &'a Options, sandbox: &'a Sandbox) -> Self {
        Self { options, sandbox, store: sandbox.store() }
    }

    /// The store in the sandbox.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    /// An uninterrupted run.
    pub(super) fn rerun(&self) -> Result<Ended> {
        self.finish(&mut self.run())
    }

    /// A run that is killed when it reaches a step for the `at`-th time.
    pub(super) fn killed_at(&self, step: &str, at: u64) -> Result<Ended> {
        self.finish(self.run().env(VARIABLE, format!("{step}=kill@{at}")))
    }

    /// An uninterrupted run, and how often it reached each step.
    pub(super) fn traced(&self) -> Result<(Ended, BTreeMap<String, u64>)> {
        let path = self.sandbox.file("seen.json");
        let ended = self.finish(self.run().env(SEEN_VARIABLE, &path))?;
        if !ended.succeeded() {
            return Ok((ended, BTreeMap::new()));
        }
        let text = durable_file::read_bounded(&path, MAX_OUTPUT)?;
        let counts = serde_json::from_slice(&text)
            .map_err(|error| Error::internal(format!("{} is not JSON", path.display())).because(error))?;
        Ok((ended, counts))
    }

    /// Deletes unreferenced files.
    pub(super) fn gc(&self) -> Result<Ended> {
        let arguments = ["gc".into(), "--keep".into(), "1".into(), "--".into(), OsString::from(&self.store)];
        self.finish(&mut self.command(&arguments))
    }

    fn run(&self) -> Command {
        let mut command = self.command(&["run".into(), "--json".into(), "--rebuild".into(), "--sandbox".into()]);
        command.arg(&self.store).args(&self.options.arguments);
        command
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.options.program);
        command.args(arguments).stdin(Stdio::null()).env_remove(VARIABLE).env_remove(SEEN_VARIABLE);
        // Its output is read into memory, so the log must stay short.
        command.env_remove("RUST_LOG");
        command
    }

    /// Runs a process to its end, or kills it after a signal.
    fn finish(&self, command: &mut Command) -> Result<Ended> {
        let (out, err) = (self.sandbox.file("stdout.txt"), self.sandbox.file("stderr.txt"));
        let create = |path: &Path| File::create(path).io("create", path);
        let program = &self.options.program;
        let mut child =
            command.stdout(create(&out)?).stderr(create(&err)?).spawn().io("start another process of", program)?;
        let status = loop {
            if let Some(status) = child.try_wait().io("wait for a process of", program)? {
                break status;
            }
            if let Err(stopped) = shutdown::sleep(POLL_INTERVAL) {
                child.kill().and_then(|()| child.wait()).io("end a process of", program)?;
                return Err(stopped);
            }
        };
        Ok(Ended {
            status,
            stdout: durable_file::read_bounded(&out, MAX_OUTPUT)?,
            stderr: durable_file::read_bounded(&err, MAX_OUTPUT)?,
        })
    }
}

impl Ended {
    /// Whether it succeeded.
    pub(super) fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Whether it was killed.
    pub(super) fn is_killed(&self) -> bool {
        self.status.signal() == Some(SIGKILL)
    }

    /// The digest in a run's report.
    pub(super) fn digest(&self) -> Option<String> {
        let report: serde_json::Value = serde_json::from_slice(&self.stdout).ok()?;
        Some(report.get("digest")?.as_str()?.to_owned())
    }

    /// Its exit status and its error output.
    pub(super) fn error_output(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let error = text.rfind("error: ").map_or(text.trim(), |at| text[at..].trim());
        // The summary line for logs adds nothing.
        let lines = error.lines().map(str::trim).filter(|line| !line.contains(" command=run "));
        let words = lines.collect::<Vec<_>>().join(" · ");
        format!("{}: {words}", self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stdout: &str, stderr: &str) -> Ended {
        Ended { status: ExitStatus::from_raw(SIGKILL), stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_digest_and_the_error_are_found_in_the_output() {
        assert_eq!(ended(r#"{"digest": "ab", "rows": 1}"#, "").digest().as_deref(), Some("ab"));
        assert_eq!(ended("", "").digest(), None);
        let words = ended(
            "",
            "    query  0.1 s\nerror: disk\n  because: full\n2026-11-22T10:00:00Z command=run outcome=failed\n",
        )
        .error_output();
        assert!(words.ends_with(": error: disk · because: full"), "{words}");
        assert!(ended("", "").is_killed() && !ended("", "").succeeded());
    }
}
