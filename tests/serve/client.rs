//! Clients of both protocols that send exactly what a test says.
//!
//! Not for: real clients (`foreign`).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode3;
use redis_protocol::resp3::types::OwnedFrame as Frame3;
use serde_json::Value;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of the Redis protocol.
pub struct Resp {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Resp {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a command without waiting for its answer.
    pub fn send(&mut self, arguments: &[&[u8]]) {
        self.stream.write_all(&encoded(arguments)).unwrap();
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next answer in RESP2; none when the server closed the connection.
    pub fn answer(&mut self) -> Option<Frame2> {
        self.decoded(|bytes| decode2(bytes).expect("the answer is RESP2"))
    }

    /// The next answer in RESP3.
    pub fn answer3(&mut self) -> Option<Frame3> {
        self.decoded(|bytes| decode3(bytes).expect("the answer is RESP3"))
    }

    fn decoded<T>(&mut self, decode: impl Fn(&[u8]) -> Option<(T, usize)>) -> Option<T> {
        loop {
            if let Some((frame, size)) = decode(&self.buffer) {
                self.buffer.drain(..size);
                return Some(frame);
            }
            let mut part = [0; 1 << 16];
            match self.stream.read(&mut part) {
                Ok(0) => return None,
                Ok(size) => self.buffer.extend_from_slice(&part[..size]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Sends the words of a line, and returns the answer as [`shown`].
    pub fn ask(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        self.ask_words(&words)
    }

    /// Sends a command, and returns the answer as [`shown`].
    pub fn ask_words(&mut self, words: &[&[u8]]) -> String {
        self.send(words);
        shown(&self.answer().expect("an answer"))
    }
}

/// A command as bytes.
pub fn encoded(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// An answer as text: strings as they are, `(nil)`, `(error) …`, arrays in brackets.
pub fn shown(frame: &Frame2) -> String {
    match frame {
        Frame2::SimpleString(bytes) | Frame2::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Frame2::Error(text) => format!("(error) {text}"),
        Frame2::Integer(number) => number.to_string(),
        Frame2::Null => "(nil)".to_owned(),
        Frame2::Array(frames) => format!("[{}]", frames.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

/// A client of HTTP with a connection for each request.
pub struct Http {
    address: String,
    headers: Vec<(String, String)>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), headers: Vec::new() }
    }

    /// Sends a header with every request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body.as_bytes())
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: localhost\r\n");
        }
        self.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer has a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
        let body = bytes[end + 4..].to_vec();
        if let Some(length) = headers.get("content-length") {
            assert_eq!(length.parse::<usize>().unwrap(), body.len(), "the whole body");
        }
        Self { status, headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
