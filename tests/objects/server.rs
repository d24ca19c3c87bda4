//! A real server for tests, as a child process of this one, and buckets in it.
//!
//! The child runs `scripts/object-server.sh run`, which ends with its standard input: no server outlives the tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use cutover::internals::objects::{Bucket, Entry, Key, Location, Settings};
use tempfile::TempDir;

/// Ports of one child.
const PORTS: u16 = 8;
/// Where they may begin: below those of the Kafka tests, and of connections that the system gives a port.
const FIRST_PORT: u16 = 10_000;
const PORT_CHOICES: u16 = 1_200;

/// The secret of the user who may do everything.
pub const SECRET: &str = "admin-secret";

/// A server.
pub struct Server {
    port: u16,
    dir: TempDir,
    script: Mutex<Child>,
}

impl Server {
    /// The server that tests share; none where there can be none.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("try")).as_ref().map_err(|why| skip(why)).ok()
    }

    /// A server of its own, for a test that kills it; none where there can be none.
    pub fn own() -> Option<Self> {
        Self::start("run").map_err(|why| skip(&why)).ok()
    }

    /// Kills it, as kill -9 does.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.path().join("pid")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        self.script.lock().unwrap().wait().unwrap();
    }

    /// Starts it again, with what it had.
    pub fn restart(&self) {
        *self.script.lock().unwrap() = run("run", self.dir.path(), self.port).unwrap();
    }

    fn start(how: &str) -> Result<Self, String> {
        let python = Command::new("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
        if !python.is_ok_and(|status| status.success()) {
            return Err("there is no Python with venv; scripts/setup.sh --objects installs it".to_owned());
        }
        let fetched = Command::new(script()).arg("fetch").stdin(Stdio::null()).output().unwrap();
        if !fetched.status.success() {
            return Err(String::from_utf8_lossy(&fetched.stderr).into_owned());
        }
        let (dir, port) = (tempfile::Builder::new().prefix("cutover-objects-").tempdir().unwrap(), free_ports(PORTS));
        let script = Mutex::new(run(how, dir.path(), port)?);
        Ok(Self { port, dir, script })
    }

    /// Its port with S3's interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new bucket's name.
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{:016x}", getrandom::u64().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, answer) = http(self.port + 1, "POST", &format!("/buckets/{name}/"));
            match status {
                201 => return name,
                // A busy server; the request changes nothing if it is sent again.
                500.. if Instant::now() < deadline => std::thread::yield_now(),
                _ => panic!("a new bucket: {answer}"),
            }
        }
    }

    /// Uploads of a bucket that are neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> usize {
        open_uploads(self.port, bucket)
    }

    /// Settings of the user who may do everything, by way of `port`.
    pub fn settings(port: u16) -> Settings {
        Self::settings_of(port, "admin", SECRET)
    }

    /// Settings of a user.
    pub fn settings_of(port: u16, user: &str, secret: &str) -> Settings {
        let endpoint = format!("http://127.0.0.1:{port}");
        Settings::of([
            ("AWS_ACCESS_KEY_ID", user),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ])
    }

    /// A client of a bucket, by way of `port`.
    pub fn open(port: u16, bucket: &str) -> Bucket {
        let location = Location::parse(&format!("s3://{bucket}/data")).unwrap();
        Bucket::open(&location, &Self::settings(port)).unwrap()
    }
}

/// Runs a server until its standard input is closed; why, if it does not come up. One to `try` deletes what it has in the
/// end: no destructor runs for what all tests share.
fn run(how: &str, dir: &Path, port: u16) -> Result<Child, String> {
    let mut command = Command::new(script());
    command.arg(how).arg(dir).arg(port.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.starts_with("ready ") {
        return Ok(child);
    }
    let output = child.wait_with_output().unwrap();
    Err(format!("the server did not start: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Uploads of a bucket that are neither completed nor aborted, on the server at a port.
pub fn open_uploads(port: u16, bucket: &str) -> usize {
    let (status, body) = http(port + 1, "GET", &format!("/buckets/{bucket}/.uploads/?limit=100"));
    if status == 404 { 0 } else { body.matches("\"FullPath\"").count() }
}

/// The keys below a prefix, or all.
pub fn keys(bucket: &Bucket, prefix: Option<&str>) -> Vec<String> {
    let mut listed = Vec::new();
    let prefix = prefix.map(|prefix| Key::new(prefix).unwrap());
    let each = |entry: Entry| {
        listed.push(entry.key.as_str().to_owned());
        Ok(())
    };
    bucket.list(prefix.as_ref(), each).unwrap();
    listed
}

/// Says that a test cannot run here, and why. Under CI that is a failure.
pub fn skip(why: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!is_ci, "the object server is required, but {why}");
    eprintln!("skipped: {why}");
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/object-server.sh")
}

/// Sends a request without a body, and reads the whole answer.
pub fn http(port: u16, method: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}

/// The first of some free ports in a row.
pub fn free_ports(ports: u16) -> u16 {
    loop {
        let first = FIRST_PORT + (getrandom::u32().unwrap() % u32::from(PORT_CHOICES)) as u16 * PORTS;
        if (0..ports).all(|next| TcpListener::bind(("127.0.0.1", first + next)).is_ok()) {
            return first;
        }
    }
}
