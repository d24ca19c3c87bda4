//! Reads a store on an object store inside a service: no other process, and versions are swapped while requests run.
//!
//! ```sh
//! AWS_REGION=eu-west-1 cargo run --release --example embed -- s3://serving/views_by_age /var/cache/views_by_age
//! curl --data '["/home","20-29"]' http://127.0.0.1:8081/
//! ```
//! Each request takes one snapshot. The store is followed by a thread of the reader; what is in the directory is served
//! at once after a restart, whether the object store answers or not.
//!
//! Not for: an HTTP server, which a service has already. `cutover serve` is one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use cutover::error::{Error, Result};
use cutover::pull::Reader;

/// Bytes of a key at most.
const MAX_KEY: u64 = 64 << 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory] = arguments.as_slice() else {
        return Err(Error::invalid("usage: embed URL DIRECTORY"));
    };
    let reader = Arc::new(Reader::open(url, directory)?);
    let refreshed = Arc::clone(&reader);
    std::thread::spawn(move || {
        loop {
            refreshed.refresh();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    let unavailable = |error| Error::unavailable("cannot listen").because(error);
    for client in TcpListener::bind("127.0.0.1:8081").map_err(unavailable)?.incoming().flatten() {
        let reader = Arc::clone(&reader);
        std::thread::spawn(move || answer(&reader, &client));
    }
    Ok(())
}

fn answer(reader: &Reader, mut client: &TcpStream) -> std::io::Result<()> {
    let key = body(client)?;
    let version = reader.snapshot();
    let found = version.key_schema().parse(&key).and_then(|key| version.get(&key));
    let found = found.and_then(|value| value.map(|value| version.value_schema().to_text(&value)).transpose());
    let (status, text) = match found {
        Ok(Some(json)) => ("200 OK", json),
        Ok(None) => ("404 Not Found", "null".to_owned()),
        Err(error) => ("400 Bad Request", error.to_string()),
    };
    let (number, length) = (version.number(), text.len());
    write!(client, "HTTP/1.1 {status}\r\nCutover-Version: {number}\r\nContent-Length: {length}\r\n\r\n{text}")
}

/// The body of a request, which is the key.
fn body(client: &TcpStream) -> std::io::Result<String> {
    let mut lines = BufReader::new(client.take(MAX_KEY));
    let (mut line, mut length) = (String::new(), 0);
    while lines.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut key = String::new();
    lines.take(length).read_to_string(&mut key)?;
    Ok(key)
}
