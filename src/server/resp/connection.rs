//! One connection: reads requests, answers all that have arrived, writes the answers, and waits for more.
//!
//! While a client does not take its answers nothing more is read from it, so its pipeline waits in its own buffers.
//! What buffers hold beyond a small size is reserved from the server's budget.
//!
//! Not for: commands (`commands`).

use std::io::Result;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::commands::Then;
use super::reply::Reply;
use super::request::{Request, RequestLimits};
use super::session::Session;
use crate::server::budget::FREE;
use crate::server::metrics::Tally;
use crate::server::refusal::Refusal;
use crate::server::{Server, stopped};

/// The smallest room for bytes that are read.
const READ: usize = 4 << 10;
/// Responses are written when there are this many bytes of them.
const WRITE: usize = 64 << 10;
/// Limits on clients that have not shown the password yet.
const STRANGERS: RequestLimits = RequestLimits { arguments: 16, argument_bytes: 2 << 10 };

/// What to do after a batch of requests.
#[derive(PartialEq, Eq)]
enum Next {
    /// Everything that arrived is answered.
    Read,
    /// There may be more complete requests in the buffer.
    Again,
    Close,
}

struct Connection {
    server: Arc<Server>,
    session: Session,
    request: Request,
    input: Vec<u8>,
    output: Vec<u8>,
    tally: Tally,
    /// When the request began that is not complete yet.
    partial_since: Option<Instant>,
}

/// Answers one client until it leaves, makes a mistake that cannot be skipped, or the server stops.
///
/// # Errors
/// Those of the connection, which ends by them.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, from: IpAddr, server: Arc<Server>) -> Result<()> {
    let mut reserved = server.memory.buffers.none();
    let mut stopping = server.stopping.clone();
    let mut stopping = pin!(stopped(&mut stopping));
    let mut connection = Connection {
        session: Session::new(Arc::clone(&server), from),
        request: Request::default(),
        input: Vec::with_capacity(READ),
        output: Vec::new(),
        tally: Tally::default(),
        partial_since: None,
        server,
    };
    loop {
        let mut next = connection.answer();
        if !reserved.resize(connection.input_bytes())
            || !connection.session.answers.resize(connection.output.capacity())
        {
            connection.output = Vec::new();
            Reply::new(&mut connection.output, false).refusal(&Refusal::busy());
            next = Next::Close;
        }
        if !connection.output.is_empty() {
            stream.write_all(&connection.output).await?;
            connection.output.clear();
        }
        match next {
            Next::Close => return stream.shutdown().await,
            Next::Again => continue,
            Next::Read => {}
        }
        connection.shrink();
        let _ = reserved.resize(connection.input_bytes());
        let _ = connection.session.answers.resize(connection.output.capacity());
        tokio::select! {
            biased;
            read = stream.read_buf(&mut connection.input) => if read? == 0 {
                return stream.shutdown().await;
            },
            () = &mut stopping => return stream.shutdown().await,
        }
    }
}

impl Connection {
    /// Answers the complete requests in the buffer, until there are many bytes of answers.
    fn answer(&mut self) -> Next {
        let limits = self.limits();
        let mut began = Instant::now();
        let next = loop {
            match self.request.read(&self.input, &limits) {
                Ok(true) => {}
                Ok(false) => break Next::Read,
                Err(malformed) => {
                    let mut reply = Reply::new(&mut self.output, false);
                    reply.error("ERR", &format!("Protocol error: {}", malformed.0));
                    break Next::Close;
                }
            }
            let then = self.session.answer(&self.request, &self.input, &mut self.output, &mut self.tally);
            self.request.next();
            self.partial_since = None;
            let now = Instant::now();
            self.tally.count(now - began);
            began = now;
            match then {
                // The limits are others once a client has shown the password.
                Then::Close => break Next::Close,
                Then::Changed => break Next::Again,
                Then::Continue if self.output.len() >= WRITE => break Next::Again,
                Then::Continue => {}
            }
        };
        self.session.reads.count();
        self.server.resp.add(&mut self.tally);
        let done = self.request.forget();
        self.input.drain(..done);
        if next == Next::Read { self.prepare_to_read(began) } else { next }
    }

    fn limits(&self) -> RequestLimits {
        let limits = &self.server.limits;
        // A command has a few strings in addition to its keys.
        let ours = RequestLimits { arguments: limits.batch.saturating_add(8), argument_bytes: limits.key_bytes };
        if self.session.is_known() { ours } else { STRANGERS }
    }

    /// Makes room for more, unless the request is too large or takes too long.
    fn prepare_to_read(&mut self, now: Instant) -> Next {
        let limits = &self.server.limits;
        if self.input.is_empty() {
            self.partial_since = None;
        } else if now - *self.partial_since.get_or_insert(now) > limits.request_time {
            return Next::Close;
        }
        if self.input.len() > limits.request_bytes {
            let message = format!("Protocol error: a request can have {} bytes", limits.request_bytes);
            Reply::new(&mut self.output, false).error("ERR", &message);
            return Next::Close;
        }
        if self.input.capacity() - self.input.len() < READ / 2 {
            self.input.reserve(self.input.len().clamp(READ, WRITE));
        }
        Next::Read
    }

    /// Bytes of the request that is being read, and of what is known of it.
    fn input_bytes(&self) -> usize {
        self.input.capacity() + self.request.bytes()
    }

    /// Gives back large buffers that are empty.
    fn shrink(&mut self) {
        if self.output.capacity() > FREE {
            self.output = Vec::new();
        }
        if self.input.is_empty() && self.input_bytes() > FREE {
            self.input = Vec::with_capacity(READ);
            self.request = Request::default();
        }
    }
}
