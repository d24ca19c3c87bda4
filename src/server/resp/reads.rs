//! Reads of keys: GET and its relatives, and the fields of a value.
//!
//! Every command reads one version of each dataset, however many keys it has.
//!
//! Not for: ranges of keys (`scan`).

use std::borrow::Cow;
use std::sync::Arc;

use super::reply::Reply;
use super::session::{Arguments, Session, wrong_number};
use crate::server::budget::Reserved;
use crate::server::dataset::Dataset;
use crate::server::refusal::{Reason, Refusal};
use crate::server::served::Served;
use crate::server::values::Field;
use crate::server::{keys, values};

/// Commands with more keys than this let other connections run meanwhile.
const FEW: usize = 64;

/// Passes the value of a key to `read`; none when it is not there.
fn read<T>(
    session: &mut Session,
    key: &[u8],
    read: impl FnOnce(&Served, Option<&[u8]>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut reads = std::mem::take(&mut session.reads);
    let done = session.with_dataset(key, |dataset, key| {
        dataset.with_served(|served| {
            let served = served.ok_or_else(|| Refusal::not_loaded(&dataset.name))?;
            let stored = keys::stored(served.version.key_schema(), key)?;
            let mut read = Some(read);
            let found = served.version.get_with(&stored, |value| read.take().map(|read| read(served, Some(value))))?;
            reads.note(dataset, &stored, found.is_some());
            match (found.flatten(), read) {
                (Some(done), _) => done,
                (None, Some(read)) => read(served, None),
                (None, None) => Err(Refusal::new(Reason::Failed, "the value was not read")),
            }
        })
    });
    session.reads = reads;
    done
}

/// GET key
pub fn get(session: &mut Session, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let limit = session.server.limits.reply_bytes;
    read(session, key, |served, value| {
        match value {
            Some(value) if value.len() > limit => return Err(Refusal::reply_too_large(limit)),
            Some(value) => reply.string(&values::text(served.version.value_schema(), value)?),
            None => reply.null(),
        }
        Ok(())
    })
}

/// STRLEN key: bytes of what GET answers.
pub fn strlen(session: &mut Session, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    read(session, key, |served, value| {
        let text = value.map(|value| values::text(served.version.value_schema(), value)).transpose()?;
        reply.number(text.map_or(0, |text| text.len()));
        Ok(())
    })
}

/// TYPE key
pub fn type_of(session: &mut Session, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    read(session, key, |_, value| {
        reply.status(if value.is_some() { "string" } else { "none" });
        Ok(())
    })
}

/// TTL key, PTTL key: no key expires.
pub fn ttl(session: &mut Session, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    read(session, key, |_, value| {
        reply.signed(if value.is_some() { -1 } else { -2 });
        Ok(())
    })
}

/// The versions that one command reads: the first use of a dataset decides.
struct Snapshots(Vec<(Arc<Dataset>, Arc<Served>)>);

impl Snapshots {
    /// Passes each key's version and its bytes in it to `each`.
    fn read(
        session: &mut Session,
        keys: Arguments<'_>,
        mut each: impl FnMut(&mut Reserved, &Served, &[u8]) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        if keys.len() > session.server.limits.batch {
            return Err(Refusal::too_many_keys(session.server.limits.batch));
        }
        let mut snapshots = Self(Vec::new());
        for key in keys {
            let (at, stored) = session.with_dataset(key, |dataset, key| {
                let at = snapshots.of(dataset)?;
                Ok((at, keys::stored(snapshots.0[at].1.version.key_schema(), key)?.into_owned()))
            })?;
            let (dataset, served) = &snapshots.0[at];
            let is_there = each(&mut session.answers, served, &stored)?;
            session.reads.note(dataset, &stored, is_there);
        }
        Ok(())
    }

    fn of(&mut self, dataset: &Arc<Dataset>) -> Result<usize, Refusal> {
        if let Some(at) = self.0.iter().position(|(known, _)| Arc::ptr_eq(known, dataset)) {
            return Ok(at);
        }
        let served = dataset.served().ok_or_else(|| Refusal::not_loaded(&dataset.name))?;
        self.0.push((Arc::clone(dataset), served));
        Ok(self.0.len() - 1)
    }
}

/// Lets other connections run on another thread during a long read.
pub fn aside<T>(is_long: bool, run: impl FnOnce() -> T) -> T {
    if is_long { tokio::task::block_in_place(run) } else { run() }
}

/// MGET key…
pub fn mget(session: &mut Session, asked: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (begin, limit) = (reply.len(), session.server.limits.reply_bytes);
    reply.array(asked.len());
    aside(asked.len() > FEW, || {
        Snapshots::read(session, asked, |answers, served, key| {
            let schema = served.version.value_schema();
            let found = served.version.get_with(key, |value| {
                if reply.len() - begin + value.len() > limit {
                    return Err(Refusal::reply_too_large(limit));
                }
                // A buffer that grows has up to twice the size of its content.
                answers.hold(2 * (reply.len() + value.len()))?;
                reply.string(&values::text(schema, value)?);
                Ok(())
            })?;
            let is_there = found.is_some();
            match found {
                Some(written) => written?,
                None => reply.null(),
            }
            if reply.len() - begin > limit { Err(Refusal::reply_too_large(limit)) } else { Ok(is_there) }
        })
    })
}

/// EXISTS key…
pub fn exists(session: &mut Session, asked: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let mut count = 0;
    aside(asked.len() > FEW, || {
        Snapshots::read(session, asked, |_, served, key| {
            let is_there = served.version.get_with(key, |_| ())?.is_some();
            count += usize::from(is_there);
            Ok(is_there)
        })
    })?;
    reply.number(count);
    Ok(())
}

/// Passes the fields of a value to `read`; none when the key is not there.
fn read_fields<T>(
    session: &mut Session,
    key: &[u8],
    take: impl FnOnce(Option<Vec<(Cow<'_, str>, Field<'_>)>>) -> T,
) -> Result<T, Refusal> {
    let limit = session.server.limits.reply_bytes;
    read(session, key, |served, value| {
        let Some(value) = value else { return Ok(take(None)) };
        if value.len() > limit {
            return Err(Refusal::reply_too_large(limit));
        }
        let text = values::text(served.version.value_schema(), value)?;
        let wrong = || Refusal::new(Reason::WrongType, "the value has no fields: it is a list, or not JSON");
        Ok(take(Some(values::fields(&text).ok_or_else(wrong)?)))
    })
}

fn write_field(field: Option<&Field<'_>>, reply: &mut Reply<'_>) {
    match field {
        Some(Field::Text(text)) => reply.string(text.as_bytes()),
        Some(Field::Null) | None => reply.null(),
    }
}

fn find<'f>(fields: &'f [(Cow<'_, str>, Field<'f>)], name: &[u8]) -> Option<&'f Field<'f>> {
    fields.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, field)| field)
}

/// HGET key field
pub fn hget(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let [key, name] = arguments else { return Err(wrong_number(b"hget")) };
    read_fields(session, key, |fields| {
        write_field(fields.as_deref().and_then(|fields| find(fields, name)), reply);
    })
}

/// HMGET key field…
pub fn hmget(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let [key, names @ ..] = arguments else { return Err(wrong_number(b"hmget")) };
    if names.is_empty() {
        return Err(wrong_number(b"hmget"));
    }
    let (begin, limit) = (reply.len(), session.server.limits.reply_bytes);
    read_fields(session, key, |fields| {
        reply.array(names.len());
        for name in names {
            write_field(fields.as_deref().and_then(|fields| find(fields, name)), reply);
            if reply.len() - begin > limit {
                return Err(Refusal::reply_too_large(limit));
            }
        }
        Ok(())
    })?
}

/// HGETALL key
pub fn hgetall(session: &mut Session, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Refusal> {
    read_fields(session, key, |fields| {
        let fields = fields.unwrap_or_default();
        reply.map(fields.len());
        for (name, field) in &fields {
            reply.string(name.as_bytes());
            write_field(Some(field), reply);
        }
    })
}
