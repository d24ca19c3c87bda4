//! Scripts that mount file systems of their own, which no other process on the machine sees.
//!
//! Not for: what a full or a read-only disk does (`full_disk`, `resources`).

use std::process::Command;

use crate::harness::{CUTOVER, Run, Workspace, is_set};

/// Runs, with `$CUTOVER`, a script in its own mount namespace; `None` if that is not possible.
pub fn in_namespace(workspace: &Workspace, script: &str) -> Option<Run> {
    let probe = Command::new("unshare").args(flags()).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        assert!(!is_set("CI"), "this machine cannot mount a file system in a namespace: {probe:?}");
        eprintln!("skipped: this machine cannot mount a file system in a namespace: {probe:?}");
        return None;
    }
    Some(workspace.finish(unshare(workspace, script).env("CUTOVER", CUTOVER)))
}

/// A command that runs a script in its own mount namespace.
pub fn unshare(workspace: &Workspace, script: &str) -> Command {
    workspace.command("unshare", &[flags(), &["sh", "-c", script]].concat())
}

fn flags() -> &'static [&'static str] {
    if rustix::process::getuid().is_root() { &["--mount"] } else { &["--mount", "--map-root-user"] }
}
