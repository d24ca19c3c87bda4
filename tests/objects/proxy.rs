//! A proxy between a client and the server that does, by rules, what networks and busy servers do.
//!
//! ```text
//! client ── request ──▶ proxy ── the same bytes, or changed ones ──▶ server
//!        ◀── answer ───       ◀──────────────────────────────────────
//! ```
//! Whole requests and answers of HTTP/1 are read before they are passed on. Their heads are never touched: signatures
//! cover the host that the client asked for. A rule matches by method, a part of the target, and which of the matching
//! requests it is; the first rule that matches decides.
//!
//! Not for: TLS, HTTP/2, and bodies that do not fit into memory.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It waits, then goes its way.
    Delay(Duration),
    /// It waits until so many of them wait, once; they come together, or never.
    Together(usize),
    /// The connection is cut, and the server never sees it.
    Swallow,
    /// The server never sees it, and the client is told 503.
    Refuse,
    /// The server never sees it, and the client is told 500.
    Fail,
    /// The server never sees it, and the client is told that it is done, but for each of the keys in it.
    FailKeys,
    /// The server never sees it, and the client is told 403.
    Deny,
    /// The server never sees it, and the client is told that its credentials have expired.
    Expire,
    /// The server carries it out, and the connection is cut instead of an answer.
    LoseAnswer,
    /// The server carries it out, and the client is told 503.
    RefuseAfterwards,
    /// The connection is cut after so many bytes of the answer's body.
    CutBody(usize),
    /// The server never sees it, and the client is told 400, with a text that has no end and is none.
    Flood,
    /// The server carries it out, and where it refuses for a condition the client is told that it is done, as by a store
    /// that knows no conditions.
    ForgetConditions,
    /// A byte of its body is changed.
    AlterRequest,
    /// A byte of the answer's body is changed.
    AlterAnswer,
}

/// Which of the requests that match.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// All.
    Always,
    /// The first, second, ... one, counted from 1.
    Nth(usize),
    /// That one, and all after it.
    From(usize),
    /// So many of a hundred, by a seed.
    Percent(u64, u64),
}

/// What happens to which requests.
#[derive(Clone, Debug)]
pub struct Rule {
    method: &'static str,
    target: String,
    when: When,
    fault: Fault,
    matched: usize,
}

impl Rule {
    /// What happens to requests of a method (any, if empty) whose target has a part.
    pub fn new(method: &'static str, target: impl Into<String>, when: When, fault: Fault) -> Self {
        Self { method, target: target.into(), when, fault, matched: 0 }
    }

    fn apply(&mut self, method: &str, target: &str) -> Option<Fault> {
        if !(self.method.is_empty() || self.method == method) || !target.contains(&self.target) {
            return None;
        }
        self.matched += 1;
        let applies = match self.when {
            When::Always => true,
            When::Nth(nth) => self.matched == nth,
            When::From(nth) => self.matched >= nth,
            When::Percent(percent, seed) => mixed(seed ^ self.matched as u64) % 100 < percent,
        };
        applies.then_some(self.fault)
    }
}

/// Any 64 bits, by SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A proxy; it takes connections for as long as the process lives.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    rules: Mutex<Vec<Rule>>,
    /// Methods and targets, in the order in which they came, and what was done to each.
    seen: Mutex<Vec<(String, Option<Fault>)>>,
    meeting: Meeting,
}

/// Requests that wait for each other.
#[derive(Default)]
struct Meeting {
    waiting: Mutex<usize>,
    arrived: Condvar,
}

impl Meeting {
    /// How long one waits for the others.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// Written for the number of those that wait once they have come together.
    const MET: usize = usize::MAX;

    fn wait(&self, number: usize) {
        let mut waiting = self.waiting.lock().unwrap();
        if *waiting != Self::MET {
            *waiting += 1;
            if *waiting >= number {
                *waiting = Self::MET;
            }
        }
        self.arrived.notify_all();
        let (mut waiting, _) =
            self.arrived.wait_timeout_while(waiting, Self::PATIENCE, |waiting| *waiting != Self::MET).unwrap();
        if *waiting != Self::MET {
            *waiting -= 1;
        }
    }
}

impl Proxy {
    /// A proxy before the server at a port of this machine.
    pub fn before(server: u16, rules: impl IntoIterator<Item = Rule>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let rules = Mutex::new(rules.into_iter().collect());
        let state = Arc::new(State { server, rules, seen: Mutex::default(), meeting: Meeting::default() });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                thread::spawn(move || state.serve(&client));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets other rules, which count from now on.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        *self.state.rules.lock().unwrap() = rules.into_iter().collect();
    }

    /// Whether as many requests as a rule says were on their way at once.
    pub fn came_together(&self) -> bool {
        *self.state.meeting.waiting.lock().unwrap() == Meeting::MET
    }

    /// The requests so far, such as `PUT /bucket/key`, to which something was done, or all.
    pub fn seen(&self, only_faults: bool) -> Vec<String> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|(_, fault)| fault.is_some() || !only_faults).map(|(request, _)| request.clone()).collect()
    }
}

impl State {
    /// Passes on the requests of one connection, until either side ends it.
    fn serve(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else { return };
        let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let (mut from_client, mut from_server) = (BufReader::new(client), BufReader::new(&server));
        while let Ok(true) = self.pass_on(&mut from_client, client, &mut from_server, &server) {}
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Passes on one request and its answer; whether the connection goes on.
    fn pass_on(
        &self,
        from_client: &mut impl BufRead,
        mut client: &TcpStream,
        from_server: &mut impl BufRead,
        mut server: &TcpStream,
    ) -> io::Result<bool> {
        let mut request = Message::read(from_client, false)?;
        let mut words = request.head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_head = method == "HEAD";
        let goes_on = header(&request.head, "connection") != Some("close");
        let fault = self.rules.lock().unwrap().iter_mut().find_map(|rule| rule.apply(method, target));
        self.seen.lock().unwrap().push((format!("{method} {target}"), fault));
        match fault {
            Some(Fault::Delay(duration)) => thread::sleep(duration),
            Some(Fault::Together(number)) => self.meeting.wait(number),
            Some(Fault::Swallow) => return Ok(false),
            Some(Fault::Refuse) => return client.write_all(UNAVAILABLE).map(|()| goes_on),
            Some(Fault::Fail) => return client.write_all(FAILED).map(|()| goes_on),
            Some(Fault::FailKeys) => return client.write_all(&failed_keys(&request.body)).map(|()| goes_on),
            Some(Fault::Deny) => return client.write_all(DENIED).map(|()| goes_on),
            Some(Fault::Expire) => return client.write_all(EXPIRED).map(|()| goes_on),
            Some(Fault::Flood) => {
                client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000000000\r\n\r\n")?;
                loop {
                    client.write_all(&[0xff; 1 << 16])?;
                }
            }
            Some(Fault::AlterRequest) => alter(&mut request.body),
            _ => {}
        }
        server.write_all(request.head.as_bytes())?;
        server.write_all(&request.body)?;
        let mut answer = Message::read(from_server, is_head)?;
        match fault {
            Some(Fault::LoseAnswer) => return Ok(false),
            Some(Fault::RefuseAfterwards) => return client.write_all(UNAVAILABLE).map(|()| goes_on),
            Some(Fault::ForgetConditions) if answer.head.starts_with("HTTP/1.1 412") => {
                let done = b"HTTP/1.1 200 OK\r\nETag: \"00000000\"\r\nContent-Length: 0\r\n\r\n";
                return client.write_all(done).map(|()| goes_on);
            }
            Some(Fault::AlterAnswer) => alter(&mut answer.body),
            Some(Fault::CutBody(bytes)) => {
                client.write_all(answer.head.as_bytes())?;
                client.write_all(&answer.body[..bytes.min(answer.body.len())])?;
                return Ok(false);
            }
            _ => {}
        }
        client.write_all(answer.head.as_bytes())?;
        client.write_all(&answer.body)?;
        Ok(goes_on)
    }
}

const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: 73\r\n\r\n\
    <Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>\n";

const FAILED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nContent-Length: 46\r\n\r\n\
    <Error><Code>InternalError</Code></Error>    \n";

/// The answer to a deletion of many that deleted none.
fn failed_keys(request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let keys = request.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    let fault = "<Code>InternalError</Code><Message>We encountered an internal error.</Message>";
    let errors: String = keys.map(|key| format!("<Error><Key>{key}</Key>{fault}</Error>")).collect();
    let body = format!("<DeleteResult>{errors}</DeleteResult>");
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

const DENIED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 45\r\n\r\n\
    <Error><Code>AccessDenied</Code></Error>    \n";
const EXPIRED: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: 45\r\n\r\n\
    <Error><Code>ExpiredToken</Code></Error>    \n";

fn alter(body: &mut [u8]) {
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 1;
    }
}

/// A request or an answer, as it came.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut impl BufRead, is_bare: bool) -> io::Result<Self> {
        let mut head = String::new();
        loop {
            let before = head.len();
            if stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head[before..].trim_end().is_empty() {
                break;
            }
        }
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default();
        if is_bare || ["204", "304"].contains(&status) || status.starts_with('1') {
            return Ok(Self { head, body: Vec::new() });
        }
        let body = if header(&head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            chunks(stream)?
        } else {
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            body
        };
        Ok(Self { head, body })
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A body in chunks, with their sizes, as it came.
fn chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        body.extend_from_slice(line.as_bytes());
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16);
        let size = size.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk);
        if size == 0 {
            return Ok(body);
        }
    }
}
