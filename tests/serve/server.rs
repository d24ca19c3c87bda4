//! A server under test: started on free ports, stopped with the test.
//!
//! Not for: what clients say to it (`client`).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::{Http, Resp};
use crate::fixture::Numbers;
use crate::harness::{CUTOVER, Workspace, status_bytes, wait_for};
use crate::namespace::{in_namespace, unshare};

/// What every server is started with.
const ARGUMENTS: [&str; 6] = ["--json", "serve", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"];

/// A running server.
pub struct Server {
    child: Child,
    /// Address of the Redis protocol.
    pub resp: String,
    /// Address of HTTP.
    pub http: String,
    events: Arc<Mutex<Vec<Value>>>,
}

/// The tiny dataset with one version, and a server of it that has loaded it.
pub fn served() -> (Numbers, Server) {
    let numbers = Numbers::new();
    numbers.run(1).ok();
    let server = Server::start(&numbers.workspace, "numbers=store");
    server.wait_for_version("numbers", 1);
    (numbers, server)
}

impl Server {
    /// Starts `cutover serve` with the words of `line` in a workspace.
    pub fn start(workspace: &Workspace, line: &str) -> Self {
        Self::spawn(workspace.command(CUTOVER, &ARGUMENTS).args(line.split_whitespace()))
    }

    /// As [`Server::start`], in a mount namespace of its own after a line of shell; none where there can be none.
    #[allow(dead_code, reason = "the tests of object stores use it")]
    pub fn in_namespace(workspace: &Workspace, before: &str, line: &str) -> Option<Self> {
        let script = format!("{before} && exec {CUTOVER} {} {line}", ARGUMENTS.join(" "));
        in_namespace(workspace, "true")?.ok();
        Some(Self::spawn(&mut unshare(workspace, &script)))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let mut server = Self { child, resp: String::new(), http: String::new(), events };
        wait_for("the server to serve", || server.events().iter().any(|event| event["event"] == "serving"));
        let serving = server.events().into_iter().find(|event| event["event"] == "serving").unwrap();
        server.resp = serving["resp"].as_str().unwrap_or_default().to_owned();
        server.http = serving["http"].as_str().unwrap_or_default().to_owned();
        server
    }

    /// What it printed so far.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until it serves a version of a dataset last.
    pub fn wait_for_version(&self, dataset: &str, version: u64) {
        wait_for("the version to be served", || {
            let events = self.events();
            let last = events.iter().rfind(|event| event["event"] == "swapped" && event["dataset"] == dataset);
            last.is_some_and(|event| event["version"] == version)
        });
    }

    /// A client of the Redis protocol.
    pub fn resp(&self) -> Resp {
        Resp::connect(&self.resp)
    }

    /// A client of HTTP.
    pub fn http(&self) -> Http {
        Http::new(&self.http)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory that it had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        status_bytes(&format!("/proc/{}/status", self.pid()), name).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Asks it to stop, and waits until it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut ended = None;
        wait_for("the server to stop", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
