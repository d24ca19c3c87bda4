//! A workspace for one test, and the command run in it.
//!
//! A run that does not end as expected prints the command, its exit status, both streams and all files of the
//! workspace, so that a failure in a log can be understood without repeating it. No run may panic, and none that exits
//! on its own may leave work in progress or a spill file behind.
//!
//! Not for: data (`fixture`) and expectations about one topic.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The command under test.
pub const CUTOVER: &str = env!("CARGO_BIN_EXE_cutover");

/// How long a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Exit codes of runs that were stopped, which may keep their work for the next one.
const STOPPED: [i32; 2] = [130, 143];

/// A directory that is the working directory of every command in it, and is removed after the test.
pub struct Workspace {
    dir: TempDir,
    /// The commands' directory for temporary files, which they must leave empty.
    temporary: TempDir,
    /// Variables of the environment of every command.
    environment: Vec<(String, String)>,
    open: Mutex<Open>,
}

/// The commands that run in a workspace now, and what was in progress there before the first of them.
#[derive(Default)]
struct Open {
    commands: usize,
    before: BTreeSet<PathBuf>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        let directory = |prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        Self {
            dir: directory("cutover-it-"),
            temporary: directory("cutover-it-tmp-"),
            environment: Vec::new(),
            open: Mutex::default(),
        }
    }

    /// Sets variables for every later command.
    #[allow(dead_code, reason = "the tests of object stores use it")]
    pub fn set_environment(&mut self, environment: &[(String, String)]) {
        self.environment = environment.to_vec();
    }

    /// A workspace with the repository's jobs, contracts and real data.
    pub fn with_repository() -> Self {
        let workspace = Self::new();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir(workspace.path("data")).unwrap();
        for name in ["jobs", "schemas", "data/nycflights13"] {
            symlink(repository.join(name), workspace.path(name)).unwrap();
        }
        workspace
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs `cutover` with the words of `line` to its end.
    pub fn cutover(&self, line: &str) -> Run {
        self.cutover_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs `cutover` with these arguments to its end.
    pub fn cutover_with(&self, arguments: &[&str]) -> Run {
        self.finish(&mut self.command(CUTOVER, arguments))
    }

    /// Runs `cutover` to its end with failpoints armed.
    pub fn failing(&self, failpoints: &str, line: &str) -> Run {
        self.start_failing(failpoints, line).wait()
    }

    /// Starts `cutover` with failpoints armed.
    pub fn start_failing(&self, failpoints: &str, line: &str) -> Running<'_> {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let mut command = self.command(CUTOVER, &arguments);
        command.env("CUTOVER_FAILPOINTS", failpoints);
        self.spawn(&mut command)
    }

    /// Starts `cutover` with the words of `line`.
    pub fn start(&self, line: &str) -> Running<'_> {
        self.spawn(&mut self.command(CUTOVER, &line.split_whitespace().collect::<Vec<_>>()))
    }

    /// A command in this workspace, free of what the caller's environment would change.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("USER", "tester").env("COLUMNS", "100");
        command.env("TMPDIR", self.temporary.path()).env("CUTOVER_WORK_DIR", self.dir.path().join("work"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn finish(&self, command: &mut Command) -> Run {
        self.spawn(command).wait()
    }

    /// Starts a command.
    pub fn spawn(&self, command: &mut Command) -> Running<'_> {
        let shown = format!("{command:?}");
        self.opened();
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { workspace: self, command: shown, child: Some(child) }
    }

    fn opened(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.commands == 0 {
            open.before = in_progress(self.dir.path());
        }
        open.commands += 1;
    }

    /// What commands left in progress, once the last running one has ended. One that was killed or stopped may leave
    /// something, which is then not a failure.
    fn closed(&self, by_itself: bool) -> Vec<PathBuf> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.commands -= 1;
        let now = || in_progress(self.dir.path());
        match (by_itself, open.commands) {
            (false, _) => {
                open.before.append(&mut now());
                Vec::new()
            }
            (true, 0) => now().difference(&open.before).cloned().collect(),
            (true, _) => Vec::new(),
        }
    }

    fn ended(&self, command: String, output: std::process::Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command prints UTF-8");
        let stderr = text(output.stderr);
        let by_itself = output.status.code().is_some_and(|code| !STOPPED.contains(&code))
            && !KEPT.iter().any(|kept| stderr.contains(kept));
        let in_progress = self.closed(by_itself);
        Run {
            is_json: command.contains("--json"),
            command,
            status: output.status,
            stdout: text(output.stdout),
            stderr,
            root: self.dir.path().to_owned(),
            left: names(self.temporary.path()),
            in_progress,
        }
    }
}

/// Messages of runs that leave something to the next one: finished work, or what retention could not remove.
const KEPT: [&str; 2] = ["finished work is kept", "old versions were not removed"];

/// A started command. It is killed if the test ends first.
pub struct Running<'w> {
    workspace: &'w Workspace,
    command: String,
    child: Option<Child>,
}

impl Running<'_> {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Sends it a signal, unless it has ended.
    #[allow(dead_code, reason = "the tests of clusters use it")]
    pub fn signal_if_alive(&mut self, signal: rustix::process::Signal) {
        if !self.is_over() {
            self.signal(signal);
        }
    }

    /// Waits until it has a build directory in the store's staging, and then stops it.
    pub fn stop_while_building(&mut self, store: &str) {
        let staging = self.workspace.path(store).join("staging");
        wait_for("the build's directory in staging", || {
            assert!(self.child.as_mut().unwrap().try_wait().unwrap().is_none(), "the build ended before it was seen");
            !names(&staging).is_empty()
        });
        self.signal(rustix::process::Signal::STOP);
        self.wait_until_paused();
    }

    /// Waits until it is paused, as by a failpoint.
    pub fn wait_until_paused(&mut self) {
        let status = format!("/proc/{}/status", self.pid());
        wait_for("the process to be paused", || self.is_over() || is_paused(&status));
        assert!(!self.is_over(), "the command ended before it was seen to be paused");
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Resumes it where it is paused, with this signal.
    pub fn wake_with(&mut self, signal: rustix::process::Signal) {
        self.signal(signal);
        self.signal(rustix::process::Signal::CONT);
    }

    /// Records the most memory that it holds, in bytes and without pages of files, until it ends.
    pub fn watch_memory(&self) -> JoinHandle<u64> {
        let status = format!("/proc/{}/status", self.pid());
        std::thread::spawn(move || {
            let mut peak = 0;
            // A process that has ended has a status without memory, or none.
            while let Some(held) = held_memory(&status) {
                peak = peak.max(held);
                std::thread::sleep(POLL_INTERVAL);
            }
            peak
        })
    }

    /// Waits until it ends. One that hangs is killed at the deadline, which is an exit code that no test expects.
    pub fn wait(mut self) -> Run {
        let child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if ended.recv_timeout(DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(done);
        watch.join().unwrap();
        self.workspace.ended(std::mem::take(&mut self.command), output)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
            self.workspace.closed(false);
        }
    }
}

/// A command that ended, in any way.
#[must_use = "check how it ended: ok(), fails() or exits()"]
pub struct Run {
    command: String,
    is_json: bool,
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    root: PathBuf,
    left: Vec<String>,
    in_progress: Vec<PathBuf>,
}

impl Run {
    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Ended {
        self.exits(0)
    }

    /// It ended with one of these exit codes, which is returned.
    #[allow(dead_code, reason = "the tests of object stores use it")]
    #[track_caller]
    pub fn exits_with_one_of(self, codes: &[i32]) -> i32 {
        let code = self.code();
        if codes.contains(&code) { code } else { self.exits(codes[0]).code() }
    }

    /// It ended with one of these exit codes.
    #[allow(dead_code, reason = "not every suite uses it")]
    #[track_caller]
    pub fn exits_with(self, codes: &[i32]) -> Ended {
        let code = self.code();
        if codes.contains(&code) { self.exits(code) } else { self.exits(codes[0]) }
    }

    /// It failed with this exit code, with an error on standard error and no result.
    #[track_caller]
    pub fn fails(self, code: i32) -> Ended {
        let ended = self.exits(code);
        ended.check(ended.stderr.contains("error: "), "standard error has no error");
        match ended.is_json {
            true => drop(ended.json()),
            false => ended.check(ended.stdout.is_empty(), "there is a result on standard output"),
        }
        ended
    }

    /// It was killed by `kill -9`.
    #[track_caller]
    pub fn killed(self) -> Ended {
        self.ended_by(rustix::process::Signal::KILL)
    }

    /// It was ended by this signal, without handling it.
    #[track_caller]
    pub fn ended_by(self, signal: rustix::process::Signal) -> Ended {
        use std::os::unix::process::ExitStatusExt;
        let expected = format!("expected that {signal:?} ends it");
        self.check(self.status.signal() == Some(signal.as_raw()), &expected);
        self.check(!self.stderr.contains("panicked"), "it panicked");
        Ended(self)
    }

    /// A failpoint made it panic, and it ended as after a bug.
    #[track_caller]
    pub fn panicked(self) -> Ended {
        self.check(self.status.code() == Some(70), "expected exit code 70");
        self.check(self.left.is_empty(), &format!("left in the directory for temporary files: {:?}", self.left));
        Ended(self)
    }

    /// It ended with this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ended {
        self.check(self.status.code() == Some(code), &format!("expected exit code {code}"));
        self.check(!self.stderr.contains("panicked"), "it panicked");
        self.check(self.left.is_empty(), &format!("left in the directory for temporary files: {:?}", self.left));
        self.check(self.in_progress.is_empty(), &format!("left in progress: {:?}", self.in_progress));
        Ended(self)
    }

    /// Standard error contains every one of these.
    #[track_caller]
    pub fn complains(&self, needles: &[&str]) -> &Self {
        for needle in needles {
            self.check(self.stderr.contains(needle), &format!("standard error does not say {needle:?}"));
        }
        self
    }

    /// Standard output contains every one of these.
    #[track_caller]
    pub fn prints(&self, needles: &[&str]) -> &Self {
        for needle in needles {
            self.check(self.stdout.contains(needle), &format!("standard output does not say {needle:?}"));
        }
        self
    }

    /// The exit code; -1 after a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Standard output as one JSON document, which conforms to the schema.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| self.fail(&format!("not one JSON document: {error}")));
        let problems = crate::schema::problems(&document);
        self.check(problems.is_empty(), &format!("the document is not as its schema says: {problems:?}"));
        self.check(document["exit_code"] == self.code(), "the document has another exit code");
        document
    }

    /// Standard output as one JSON document per line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).unwrap_or_else(|error| self.fail(&format!("not JSON: {error}")));
        self.stdout.lines().map(line).collect()
    }

    #[track_caller]
    fn check(&self, holds: bool, expectation: &str) {
        if !holds {
            self.fail(expectation);
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\n\ncommand: {}\nstatus: {}\n--- stdout ---\n{}\n--- stderr ---\n{}\n--- files ---\n{}",
            self.command,
            self.status,
            self.stdout,
            self.stderr,
            listing(&self.root)
        );
    }
}

/// A command that ended as expected.
pub struct Ended(Run);

impl std::ops::Deref for Ended {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.0
    }
}

/// Waits for a condition.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn is_paused(status: &str) -> bool {
    fs::read_to_string(status).is_ok_and(|status| status.contains("State:\tT"))
}

/// Names in a directory, sorted; a missing directory has none.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Copies a directory with all that is below it.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_directory(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// The resident memory in a process's status file that is not of files, in bytes.
fn held_memory(status: &str) -> Option<u64> {
    Some(status_bytes(status, "RssAnon:")? + status_bytes(status, "RssShmem:")?)
}

/// The bytes on a line of a process's status file.
pub fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().unwrap() << 10)
}

/// Spill directories, and what is in the staging of stores, below `root`. What a consumer has received of a version,
/// for its next attempt, in `follow-…`, is not counted.
fn in_progress(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for name in names(&directory) {
            let path = directory.join(&name);
            let is_staged = directory.file_name().is_some_and(|name| name == "staging") && !name.starts_with("follow-");
            if is_staged || name.starts_with("cutover-spill-") {
                found.insert(path);
            } else if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                directories.push(path);
            }
        }
    }
    found
}

/// Every file and directory below `root` with its size, a line each.
pub fn listing(root: &Path) -> String {
    let mut lines = String::new();
    list(root, root, &mut lines);
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut String) {
    for name in names(directory) {
        let path = directory.join(&name);
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {
                let _ = writeln!(lines, "{shown}/");
                list(root, &path, lines);
            }
            Ok(meta) if meta.is_symlink() => {
                let _ = writeln!(lines, "{shown} -> {}", fs::read_link(&path).unwrap_or_default().display());
            }
            Ok(meta) => {
                let _ = writeln!(lines, "{shown} {} bytes", meta.len());
            }
            Err(_) => {}
        }
    }
}

/// Whether an environment variable asks for something.
pub fn is_set(name: impl AsRef<OsStr>) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}
