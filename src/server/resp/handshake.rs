//! Commands about the connection: what clients send before they read.
//!
//! Not for: reads (`reads`).

use super::info::{RELEASE, info_line};
use super::reply::Reply;
use super::session::{Arguments, Session, wrong_number};
use crate::server::refusal::{Reason, Refusal};

/// The longest name that a client can give itself.
const LONGEST_NAME: usize = 128;

/// AUTH [username] password: any user name is accepted.
pub fn auth(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let ([password] | [_, password]) = arguments else { return Err(wrong_number(b"auth")) };
    if !session.server.auth.is_needed() {
        return Err(Refusal::new(Reason::Wrong, "AUTH is called, but this server has no password"));
    }
    if session.show_password(password)? {
        reply.status("OK");
    } else {
        reply.error("WRONGPASS", "invalid username-password pair or user is disabled.");
    }
    Ok(())
}

/// HELLO [2|3 [AUTH username password] [SETNAME name]]
pub fn hello(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let mut is_resp3 = session.is_resp3;
    let mut rest = arguments;
    if let [protocol, more @ ..] = arguments {
        is_resp3 = match *protocol {
            b"2" => false,
            b"3" => true,
            _ => {
                reply.error("NOPROTO", "unsupported protocol version");
                return Ok(());
            }
        };
        rest = more;
    }
    let mut name = None;
    while let [option, more @ ..] = rest {
        match more {
            [_, password, after @ ..] if option.eq_ignore_ascii_case(b"AUTH") => {
                if session.server.auth.is_needed() && !session.show_password(password)? {
                    reply.error("WRONGPASS", "invalid username-password pair or user is disabled.");
                    return Ok(());
                }
                rest = after;
            }
            [given, after @ ..] if option.eq_ignore_ascii_case(b"SETNAME") => {
                name = Some(*given);
                rest = after;
            }
            _ => return Err(Refusal::new(Reason::Wrong, "syntax error in HELLO")),
        }
    }
    if !session.is_known() {
        reply.error("NOAUTH", "HELLO must be called with the client already authenticated, or with AUTH <user> <pass>");
        return Ok(());
    }
    if let Some(name) = name {
        set_name(session, name)?;
    }
    session.is_resp3 = is_resp3;
    reply.speak(is_resp3);
    reply.map(7);
    for (field, value) in [("server", "cutover"), ("version", RELEASE)] {
        reply.string(field.as_bytes());
        reply.string(value.as_bytes());
    }
    reply.string(b"proto");
    reply.number(if is_resp3 { 3 } else { 2 });
    reply.string(b"id");
    reply.number(usize::try_from(session.id).unwrap_or(usize::MAX));
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.string(field.as_bytes());
        reply.string(value.as_bytes());
    }
    reply.string(b"modules");
    reply.array(0);
    Ok(())
}

/// RESET: as a client that just connected, but one that showed the password stays known.
pub fn reset(session: &mut Session, reply: &mut Reply<'_>) {
    session.is_resp3 = false;
    session.selected = None;
    session.name.clear();
    reply.status("RESET");
}

/// PING [message]
pub fn ping(_: &Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    match arguments {
        [] => reply.status("PONG"),
        [message] => reply.string(message),
        _ => return Err(wrong_number(b"ping")),
    }
    Ok(())
}

/// SELECT n: 0 for keys with the name of their dataset, n for the n-th dataset.
pub fn select(session: &mut Session, number: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let number: Option<usize> = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| Refusal::new(Reason::Wrong, "value is not an integer or out of range"))?;
    let all = session.server.registry.all();
    session.selected = match number.checked_sub(1) {
        None => None,
        Some(at) => {
            let none =
                || Refusal::new(Reason::Wrong, format!("DB index is out of range: there are {} datasets", all.len()));
            Some((number, all.get(at).cloned().ok_or_else(none)?))
        }
    };
    reply.status("OK");
    Ok(())
}

/// CLIENT SETNAME, GETNAME, ID, INFO, LIST, SETINFO and what changes nothing here.
pub fn client(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let [command, rest @ ..] = arguments else { return Err(wrong_number(b"client")) };
    match (command.to_ascii_uppercase().as_slice(), rest) {
        (b"SETNAME", [name]) => {
            set_name(session, name)?;
            reply.status("OK");
        }
        (b"GETNAME", []) if session.name.is_empty() => reply.null(),
        (b"GETNAME", []) => reply.string(&session.name),
        (b"ID", []) => reply.number(usize::try_from(session.id).unwrap_or(usize::MAX)),
        (b"INFO" | b"LIST", _) => reply.string(info_line(session).as_bytes()),
        (b"SETINFO", [_, _]) | (b"NO-EVICT" | b"NO-TOUCH", [_]) => reply.status("OK"),
        _ => return Err(Refusal::new(Reason::Wrong, "unknown subcommand of CLIENT, or wrong number of arguments")),
    }
    Ok(())
}

fn set_name(session: &mut Session, name: &[u8]) -> Result<(), Refusal> {
    if name.len() > LONGEST_NAME || name.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Refusal::new(Reason::Wrong, "Client names cannot contain spaces, newlines or special characters."));
    }
    session.name = name.to_vec();
    Ok(())
}
