//! A real broker for tests: `KAFKA_BOOTSTRAP` if set, otherwise one in Docker or a child process.
//!
//! A child runs `scripts/kafka.sh run`, which ends when its standard input closes: no broker outlives the tests. Tests
//! share one; a test that kills or pauses a broker has its own, which can only be a child process.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{is_set, wait_for};

/// Ports of one child: plaintext, controller, SASL.
const PORTS: u16 = 3;
/// Lines of a broker's log that a failure shows.
const LOG_LINES: usize = 150;
/// The lowest port of a child.
const FIRST_PORT: u16 = 20_000;
const PORT_CHOICES: u16 = 4_000;

/// A broker.
pub struct Broker {
    bootstrap: String,
    child: Option<Running>,
}

struct Running {
    dir: TempDir,
    port: u16,
    script: Option<Child>,
}

impl Broker {
    /// The broker that tests share; `None` if none can be started.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let start = || match std::env::var("KAFKA_BOOTSTRAP") {
            Ok(bootstrap) if !bootstrap.is_empty() => Ok(Self { bootstrap, child: None }),
            _ => match container() {
                Some(bootstrap) => Ok(Self { bootstrap, child: None }),
                None => Self::start(),
            },
        };
        SHARED.get_or_init(start).as_ref().map_err(|why| skip(why)).ok()
    }

    /// A broker for this test alone, to kill and to pause.
    pub fn own() -> Option<Self> {
        Self::start().map_err(|why| skip(&why)).ok()
    }

    /// The shared broker if it is a child, with its SASL listener and its tools.
    pub fn with_sasl() -> Option<&'static Self> {
        let broker = Self::shared()?;
        if broker.child.is_none() {
            skip("the broker is not started by this test, so it may have no SASL listener");
            return None;
        }
        Some(broker)
    }

    fn start() -> Result<Self, String> {
        let java = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !java.is_ok_and(|status| status.success()) {
            return Err("there is no Java to run a broker with; scripts/setup.sh --kafka installs it".to_owned());
        }
        let (dir, port) = (tempfile::Builder::new().prefix("cutover-kafka-").tempdir().unwrap(), free_ports());
        let mut running = Running { dir, port, script: None };
        running.run()?;
        Ok(Self { bootstrap: format!("127.0.0.1:{port}"), child: Some(running) })
    }

    /// Its address.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Its listener that requires authentication.
    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.child().port + 2)
    }

    /// The address of a port at which no process listens.
    pub fn absent() -> String {
        format!("127.0.0.1:{}", free_ports())
    }

    fn child(&self) -> &Running {
        self.child.as_ref().expect("a broker of this test's own")
    }

    fn pid(&self) -> Pid {
        let pid = std::fs::read_to_string(self.child().dir.path().join("pid")).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
    }

    /// Sends `kill -9`, and waits until it has ended.
    pub fn kill(&mut self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
        let mut script = self.child.as_mut().unwrap().script.take().unwrap();
        script.wait().unwrap();
    }

    /// Starts it again on the same data.
    pub fn start_again(&mut self) {
        self.child.as_mut().unwrap().run().unwrap();
    }

    /// `kill -STOP`.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// `kill -CONT`.
    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// The end of its log, for the message of a failing test.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.child().dir.path().join("broker.log")).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Runs one of Kafka's own tools.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(script());
        command.args(["tool", class]).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

impl Running {
    fn run(&mut self) -> Result<(), String> {
        let mut command = Command::new(script());
        command.arg("run").arg(self.dir.path()).arg(self.port.to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.starts_with("ready ") {
            self.script = Some(child);
            return Ok(());
        }
        let output = child.wait_with_output().unwrap();
        Err(format!("the broker did not start: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut script) = self.script.take() {
            drop(script.stdin.take());
            let _ = script.wait();
        }
    }
}

/// Reports that a test cannot run here, and why. With `REQUIRE_KAFKA=1` that is a failure.
fn skip(why: &str) {
    assert!(!is_set("REQUIRE_KAFKA"), "Kafka is required, but {why}");
    eprintln!("skipped: {why}");
}

/// A broker in a container, if a Docker engine runs; it ends with this process.
fn container() -> Option<String> {
    let engine = Command::new("docker").args(["version", "--format", "{{.Server.APIVersion}}"]).output().ok()?;
    if !engine.status.success() {
        return None;
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/container/Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--release", "--manifest-path"]).arg(manifest);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    let bootstrap = line.strip_prefix("ready ")?.trim().to_owned();
    // Its standard input stays open until this process ends, and the container with it.
    std::mem::forget(child);
    Some(bootstrap)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka.sh")
}

/// The first of several consecutive free ports, below those that the system assigns to connections.
fn free_ports() -> u16 {
    let mut found = 0;
    wait_for("free ports", || {
        found = FIRST_PORT + (getrandom::u32().unwrap() % u32::from(PORT_CHOICES)) as u16 * PORTS;
        (0..PORTS).all(|next| TcpListener::bind(("127.0.0.1", found + next)).is_ok())
    });
    found
}
