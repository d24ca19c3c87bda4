//! Runs the command with the shim of `trace.c` and reads what it recorded.
//!
//! Not for: what the records mean (`disk`).

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{CUTOVER, Workspace};

const SHIM: &str = include_str!("trace.c");

/// The effect of one system call. Files and directories are identified by their inode.
#[derive(Clone, Debug)]
pub enum Op {
    /// A new file `name` in `directory`.
    Create { directory: u64, name: String, inode: u64 },
    /// A new directory.
    MakeDir { directory: u64, name: String, inode: u64 },
    /// The file now has this size.
    Resize { inode: u64, size: usize },
    /// The file now has at least this size.
    Extend { inode: u64, size: usize },
    /// Bytes of a file.
    Write { inode: u64, offset: usize, data: Vec<u8> },
    /// A name moved, maybe onto another one.
    Rename { from: (u64, String), to: (u64, String) },
    /// Another name of a file.
    Link { inode: u64, directory: u64, name: String },
    /// A name was removed.
    Remove { directory: u64, name: String },
    /// Earlier changes to a file, or to the names in a directory, survive from here on.
    Sync { inode: u64 },
}

/// The shim, compiled.
pub struct Shim {
    directory: tempfile::TempDir,
}

impl Shim {
    /// Compiles it with the C compiler that the build needs as well.
    pub fn compile() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("trace.c");
        fs::write(&source, SHIM).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(directory.path().join("trace.so")).arg(&source);
        let compiled = command.args(["-ldl", "-lpthread"]).output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { directory }
    }

    /// Runs `cutover` in the workspace, which must succeed, and returns all that it did to files.
    pub fn record(&self, workspace: &Workspace, line: &str) -> Vec<Op> {
        let log = self.directory.path().join("log");
        let _ = fs::remove_file(&log);
        let mut command = workspace.command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>());
        command.env("LD_PRELOAD", self.directory.path().join("trace.so"));
        command.env("POWER_LOG", &log).env("POWER_ROOT", workspace.path(""));
        workspace.finish(&mut command).ok();
        read(&log)
    }
}

fn read(log: &Path) -> Vec<Op> {
    let bytes = fs::read(log).unwrap();
    let mut rest = bytes.as_slice();
    let mut ops = Vec::new();
    while !rest.is_empty() {
        ops.push(next(&mut rest));
    }
    ops
}

fn next(rest: &mut &[u8]) -> Op {
    let kind = take(rest, 1)[0];
    let number = |rest: &mut &[u8]| u64::from_le_bytes(take(rest, 8).try_into().unwrap());
    let (a, b) = (number(rest), number(rest));
    let bytes = |rest: &mut &[u8]| {
        let size = u32::from_le_bytes(take(rest, 4).try_into().unwrap());
        take(rest, size as usize).to_vec()
    };
    let (one, two) = (bytes(rest), bytes(rest));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match kind {
        b'C' => Op::Create { directory: a, inode: b, name: text(&one) },
        b'D' => Op::MakeDir { directory: a, inode: b, name: text(&one) },
        b'T' => Op::Resize { inode: a, size: b as usize },
        b'A' => Op::Extend { inode: a, size: b as usize },
        b'W' => Op::Write { inode: a, offset: b as usize, data: one },
        b'R' => Op::Rename { from: (a, text(&one)), to: (b, text(&two)) },
        b'L' => Op::Link { inode: a, directory: b, name: text(&one) },
        b'U' => Op::Remove { directory: a, name: text(&one) },
        b'F' => Op::Sync { inode: a },
        other => panic!("the shim does not record {}: {}", other as char, text(&one)),
    }
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(size);
    *rest = left;
    taken
}

/// Inode of a file or directory.
pub fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).unwrap().ino()
}
