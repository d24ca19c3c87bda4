//! Which function answers which command, and what becomes of a command that is refused.
//!
//! Not for: buffers and limits (`connection`), or what a command does (`handshake`, `info`, `reads`, `scan`).

use super::reply::Reply;
use super::request::Request;
use super::session::{Arguments, Session, wrong_number};
use super::{handshake, info, reads, scan};
use crate::server::metrics::Tally;
use crate::server::refusal::{Reason, Refusal};

/// The longest name of a command.
const LONGEST_COMMAND: usize = 20;

/// Commands of Redis that change data.
const WRITES: &[&str] = &[
    "APPEND",
    "BITFIELD",
    "BITOP",
    "COPY",
    "DECR",
    "DECRBY",
    "DEL",
    "EXPIRE",
    "EXPIREAT",
    "FLUSHALL",
    "FLUSHDB",
    "GEOADD",
    "GETDEL",
    "GETEX",
    "GETSET",
    "HDEL",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HMSET",
    "HSET",
    "HSETNX",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "LINSERT",
    "LMOVE",
    "LPOP",
    "LPUSH",
    "LPUSHX",
    "LREM",
    "LSET",
    "LTRIM",
    "MIGRATE",
    "MOVE",
    "MSET",
    "MSETNX",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "PFADD",
    "PFMERGE",
    "PSETEX",
    "RENAME",
    "RENAMENX",
    "RESTORE",
    "RPOP",
    "RPOPLPUSH",
    "RPUSH",
    "RPUSHX",
    "SADD",
    "SDIFFSTORE",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTERSTORE",
    "SMOVE",
    "SPOP",
    "SREM",
    "SUNIONSTORE",
    "SWAPDB",
    "UNLINK",
    "XADD",
    "XDEL",
    "XTRIM",
    "ZADD",
    "ZINCRBY",
    "ZREM",
    "ZUNIONSTORE",
];

/// What a connection does after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next command.
    Continue,
    /// The next command, with other limits.
    Changed,
    /// It ends.
    Close,
}

impl Session {
    /// Answers one complete request.
    pub fn answer(&mut self, request: &Request, input: &[u8], output: &mut Vec<u8>, tally: &mut Tally) -> Then {
        let mut arguments = request.arguments(input);
        let Some(name) = arguments.next() else { return Then::Continue };
        let begin = output.len();
        let mut reply = Reply::new(output, self.is_resp3);
        let was_known = self.is_known();
        // The commands that most clients send most of the time need no list of arguments.
        let then = match (name.len(), arguments.len()) {
            (3, 1) if was_known && name.eq_ignore_ascii_case(b"GET") => {
                reads::get(self, arguments.next().unwrap_or_default(), &mut reply).map(|()| Then::Continue)
            }
            _ => {
                let arguments: Vec<&[u8]> = arguments.collect();
                self.dispatch(name, &arguments, &mut reply)
            }
        };
        match then {
            Ok(_) if output.len() - begin > self.server.limits.reply_bytes => {
                self.refuse(&Refusal::reply_too_large(self.server.limits.reply_bytes), begin, output, tally)
            }
            Ok(Then::Continue) if self.is_known() != was_known => Then::Changed,
            Ok(then) => then,
            Err(refusal) => self.refuse(&refusal, begin, output, tally),
        }
    }

    fn refuse(&self, refusal: &Refusal, begin: usize, output: &mut Vec<u8>, tally: &mut Tally) -> Then {
        output.truncate(begin);
        Reply::new(output, self.is_resp3).refusal(refusal);
        tally.count_error();
        Then::Continue
    }

    fn dispatch(&mut self, name: &[u8], arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<Then, Refusal> {
        let mut upper = [0; LONGEST_COMMAND];
        let Some(upper) = upper.get_mut(..name.len()) else { return Err(unknown(name)) };
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        match &*upper {
            b"AUTH" => handshake::auth(self, arguments, reply)?,
            b"HELLO" => handshake::hello(self, arguments, reply)?,
            b"QUIT" => {
                reply.status("OK");
                return Ok(Then::Close);
            }
            // A browser that was made to send a form here.
            b"POST" | b"HOST:" => return Ok(Then::Close),
            b"RESET" => handshake::reset(self, reply),
            _ if !self.is_known() => reply.error("NOAUTH", "Authentication required."),
            b"PING" => handshake::ping(self, arguments, reply)?,
            b"ECHO" => reply.string(one(name, arguments)?),
            b"SELECT" => handshake::select(self, one(name, arguments)?, reply)?,
            b"CLIENT" => handshake::client(self, arguments, reply)?,
            b"COMMAND" => info::command(arguments, reply),
            b"CONFIG" => info::config(self, arguments, reply)?,
            b"INFO" => info::info(self, reply),
            b"GET" => reads::get(self, one(name, arguments)?, reply)?,
            b"MGET" => reads::mget(self, some(name, arguments)?, reply)?,
            b"EXISTS" => reads::exists(self, some(name, arguments)?, reply)?,
            b"STRLEN" => reads::strlen(self, one(name, arguments)?, reply)?,
            b"TYPE" => reads::type_of(self, one(name, arguments)?, reply)?,
            b"TTL" | b"PTTL" => reads::ttl(self, one(name, arguments)?, reply)?,
            b"HGET" => reads::hget(self, arguments, reply)?,
            b"HMGET" => reads::hmget(self, arguments, reply)?,
            b"HGETALL" => reads::hgetall(self, one(name, arguments)?, reply)?,
            b"SCAN" => scan::scan(self, arguments, reply)?,
            b"DBSIZE" => scan::dbsize(self, reply)?,
            b"KEYS" => return Err(Refusal::new(Reason::Wrong, "KEYS takes too long here: use SCAN")),
            other if WRITES.iter().any(|write| write.as_bytes() == other) => {
                reply.error("READONLY", "datasets are changed by publishing a version, not by commands");
            }
            _ => return Err(unknown(name)),
        }
        Ok(Then::Continue)
    }
}

/// The only argument of a command.
fn one<'a>(name: &[u8], arguments: Arguments<'a>) -> Result<&'a [u8], Refusal> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(wrong_number(name)),
    }
}

fn some<'a>(name: &[u8], arguments: Arguments<'a>) -> Result<Arguments<'a>, Refusal> {
    if arguments.is_empty() { Err(wrong_number(name)) } else { Ok(arguments) }
}

fn unknown(name: &[u8]) -> Refusal {
    let shown: String = name.escape_ascii().to_string().chars().take(64).collect();
    Refusal::new(Reason::Wrong, format!("unknown command '{shown}'"))
}
