//! SCAN and DBSIZE: the keys of a dataset, or of all of them.
//!
//! ```text
//! SCAN 0 MATCH views:/ho* COUNT 100   ─▶ a number and up to 100 keys of one version
//! SCAN that-number MATCH …            ─▶ the next ones, of the same version
//! ```
//! A cursor of Redis is a number, so the server remembers where each one is: the last ones, for all clients together.
//! A cursor that was forgotten, or whose version is gone, is an error, never a scan that skips keys.
//!
//! In database 0 a scan goes through all datasets that the pattern can name, one after the other. For keys of several
//! columns a pattern `["first column"]*` is a prefix of complete columns; other patterns look at all keys.
//!
//! Not for: paging by HTTP, whose cursors hold the place themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::glob;
use super::reads::aside;
use super::reply::Reply;
use super::session::{Arguments, Session, wrong_number};
use crate::format::{KeyEncoding, KeyKind};
use crate::serve::Range;
use crate::server::budget::Reserved;
use crate::server::dataset::Dataset;
use crate::server::keys;
use crate::server::refusal::{Reason, Refusal};
use crate::server::served::Served;

/// Keys that are looked at without COUNT.
const COUNT: usize = 10;
/// Cursors that are remembered, and the bytes of their keys.
const CURSORS: usize = 4096;
const CURSOR_BYTES: usize = 4 << 20;
/// The longest pattern: matching takes its length for each byte of a key.
const LONGEST_PATTERN: usize = 1024;

/// Where scans are, for all clients.
#[derive(Debug, Default)]
pub struct Cursors(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    last: u64,
    bytes: usize,
    places: VecDeque<(u64, Place)>,
}

/// Where a scan continues: the dataset, its version, and the last key that was looked at.
#[derive(Clone, Debug)]
struct Place {
    dataset: String,
    version: u64,
    build_id: String,
    after: Option<Vec<u8>>,
}

impl Cursors {
    /// Numbers that no earlier server has given are given from now on.
    pub fn new() -> Self {
        let last = jiff::Timestamp::now().as_microsecond().unsigned_abs();
        Self(Mutex::new(Remembered { last, ..Remembered::default() }))
    }

    fn remember(&self, place: Place) -> u64 {
        let mut places = self.locked();
        places.last += 1;
        places.bytes += place.after.as_ref().map_or(0, Vec::len);
        let number = places.last;
        places.places.push_back((number, place));
        while places.places.len() > CURSORS || places.bytes > CURSOR_BYTES {
            let Some((_, forgotten)) = places.places.pop_front() else { break };
            places.bytes -= forgotten.after.map_or(0, |key| key.len());
        }
        number
    }

    fn find(&self, number: u64) -> Option<Place> {
        let places = self.locked();
        let at = places.places.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        Some(places.places[at].1.clone())
    }

    fn locked(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Asked {
    cursor: u64,
    pattern: Option<Vec<u8>>,
    count: usize,
    /// Whether TYPE asks for another type than the one that all keys have.
    is_other_type: bool,
}

impl Asked {
    fn parse(session: &Session, arguments: Arguments<'_>) -> Result<Self, Refusal> {
        let [cursor, options @ ..] = arguments else { return Err(wrong_number(b"scan")) };
        let mut options = options;
        let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
        let cursor = number(cursor).ok_or_else(|| Refusal::new(Reason::Wrong, "invalid cursor"))?;
        let mut asked = Self { cursor, pattern: None, count: COUNT, is_other_type: false };
        while let [name, value, rest @ ..] = options {
            match name.to_ascii_uppercase().as_slice() {
                b"MATCH" if value.len() > LONGEST_PATTERN => {
                    return Err(Refusal::new(Reason::TooLarge, format!("a pattern can have {LONGEST_PATTERN} bytes")));
                }
                b"MATCH" => asked.pattern = Some(value.to_vec()),
                b"COUNT" => {
                    let count = number(value).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
                    let count = count.ok_or_else(|| Refusal::new(Reason::Wrong, "COUNT is a number above 0"))?;
                    asked.count = count.min(session.server.limits.batch);
                }
                b"TYPE" => asked.is_other_type = !value.eq_ignore_ascii_case(b"string"),
                _ => return Err(Refusal::new(Reason::Wrong, "syntax error")),
            }
            options = rest;
        }
        if options.is_empty() { Ok(asked) } else { Err(Refusal::new(Reason::Wrong, "syntax error")) }
    }
}

/// SCAN cursor [MATCH pattern] [COUNT n] [TYPE string]
pub fn scan(session: &mut Session, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let asked = Asked::parse(session, arguments)?;
    let place = match asked.cursor {
        0 => None,
        number => {
            let gone = || Refusal::new(Reason::Gone, "the cursor is not known any more: begin again with SCAN 0");
            Some(session.server.cursors.find(number).ok_or_else(gone)?)
        }
    };
    let candidates = candidates(session, asked.pattern.as_deref(), place.as_ref())?;
    let Some(dataset) = candidates.first().filter(|_| !asked.is_other_type) else {
        write(reply, 0, &[]);
        return Ok(());
    };
    let served = match &place {
        Some(place) => dataset
            .open_already(|served| served.is(place.version, &place.build_id))
            .ok_or_else(|| Refusal::new(Reason::Gone, "the version of this scan is closed: begin again with SCAN 0"))?,
        None => dataset.served().ok_or_else(|| Refusal::not_loaded(&dataset.name))?,
    };
    let prefix = if session.selected.is_some() { String::new() } else { format!("{}:", dataset.name) };
    let pattern = asked.pattern.as_deref().map(|pattern| Pattern { pattern, prefix: prefix.as_bytes() });
    let after = place.and_then(|place| place.after);
    let limit = session.server.limits.reply_bytes;
    let answers = &mut session.answers;
    let page = aside(true, || page(&served, pattern.as_ref(), after, asked.count, limit, answers))?;
    let next = match (page.last, candidates.get(1)) {
        (Some(last), _) => {
            let (version, build_id) = (served.number(), served.build_id().to_owned());
            let place = Place { dataset: dataset.name.clone(), version, build_id, after: Some(last) };
            session.server.cursors.remember(place)
        }
        (None, Some(next)) => {
            let served = next.served().ok_or_else(|| Refusal::not_loaded(&next.name))?;
            let (version, build_id) = (served.number(), served.build_id().to_owned());
            session.server.cursors.remember(Place { dataset: next.name.clone(), version, build_id, after: None })
        }
        (None, None) => 0,
    };
    let keys: Vec<Vec<u8>> = page.keys.into_iter().map(|key| [prefix.as_bytes(), &key].concat()).collect();
    write(reply, next, &keys);
    Ok(())
}

fn write(reply: &mut Reply<'_>, cursor: u64, keys: &[Vec<u8>]) {
    reply.array(2);
    reply.string(cursor.to_string().as_bytes());
    reply.array(keys.len());
    keys.iter().for_each(|key| reply.string(key));
}

/// The dataset to scan now, and those to scan after it.
fn candidates(session: &Session, pattern: Option<&[u8]>, place: Option<&Place>) -> Result<Vec<Arc<Dataset>>, Refusal> {
    let mut candidates = match &session.selected {
        Some((_, dataset)) => vec![Arc::clone(dataset)],
        None => {
            let (literal, _) = pattern.map(glob::literal_prefix).unwrap_or_default();
            let named = literal.iter().position(|byte| *byte == b':').map(|colon| &literal[..colon]);
            let all = session.server.registry.all();
            let fits = |dataset: &&Arc<Dataset>| named.is_none_or(|name| dataset.name.as_bytes() == name);
            all.iter().filter(fits).cloned().collect()
        }
    };
    if let Some(place) = place {
        let at = candidates.iter().position(|dataset| dataset.name == place.dataset && !dataset.is_removed());
        let gone = || Refusal::new(Reason::Gone, "the dataset of this scan is not served any more, or not matched");
        candidates.drain(..at.ok_or_else(gone)?);
    }
    Ok(candidates)
}

/// A pattern over keys that begin with the name of their dataset.
struct Pattern<'p> {
    pattern: &'p [u8],
    prefix: &'p [u8],
}

impl Pattern<'_> {
    /// The range of keys that can match, and whether all of them do.
    fn range(&self, served: &Served) -> (Range, bool) {
        let schema = served.version.key_schema();
        let is_text = schema.columns.first().is_some_and(|column| column.kind == KeyKind::String);
        if schema.encoding == KeyEncoding::Bytes && is_text {
            let (literal, is_prefix) = glob::literal_prefix(self.pattern);
            let literal = literal.strip_prefix(self.prefix);
            return literal.map_or((Range::all(), false), |literal| (Range::prefix(literal), is_prefix));
        }
        let rest = self.pattern.strip_prefix(self.prefix).and_then(|rest| rest.strip_suffix(b"*"));
        let columns = rest.and_then(|rest| std::str::from_utf8(rest).ok()).filter(|text| text.starts_with('['));
        let range = columns.and_then(|text| served.version.prefix_range(text).ok());
        range.map_or((Range::all(), false), |range| (range, true))
    }

    fn matches(&self, key: &[u8]) -> bool {
        glob::matches(self.pattern, &[self.prefix, key].concat())
    }
}

struct Page {
    keys: Vec<Vec<u8>>,
    /// The last key that was looked at; none at the end of the version.
    last: Option<Vec<u8>>,
}

/// Looks at `count` keys, fewer if they are large.
fn page(
    served: &Served,
    pattern: Option<&Pattern<'_>>,
    after: Option<Vec<u8>>,
    count: usize,
    limit: usize,
    answers: &mut Reserved,
) -> Result<Page, Refusal> {
    let (range, is_all) = pattern.map_or((Range::all(), true), |pattern| pattern.range(served));
    let mut page = Page { keys: Vec::new(), last: None };
    let mut bytes = 0;
    let mut last = None;
    for (looked, entry) in served.version.scan(&range.after(after.as_deref())).enumerate() {
        if looked == count || bytes > limit / 2 {
            page.last = last;
            break;
        }
        let (stored, _) = entry?;
        let key = keys::shown(served.version.key_schema(), &stored)?;
        if is_all || pattern.is_none_or(|pattern| pattern.matches(&key)) {
            bytes += key.len() + size_of::<Vec<u8>>();
            // The keys, their copies with the name of the dataset, and the buffer of the answer, which grows.
            answers.hold(4 * bytes)?;
            page.keys.push(key);
        }
        last = Some(stored);
    }
    Ok(page)
}

/// DBSIZE: the entries of the selected dataset, or of all.
pub fn dbsize(session: &Session, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let rows =
        |dataset: &Arc<Dataset>| dataset.with_served(|served| served.map(|served| served.version.manifest().rows));
    let rows = match &session.selected {
        Some((_, dataset)) => rows(dataset).ok_or_else(|| Refusal::not_loaded(&dataset.name))?,
        None => session.server.registry.all().iter().filter_map(rows).sum(),
    };
    reply.number(usize::try_from(rows).unwrap_or(usize::MAX));
    Ok(())
}
