//! Writes small objects, with a condition or without.
//!
//! ```text
//! Applied   the object is what was sent
//! Lost      certainly not applied: the condition does not hold, or another process is writing the object
//! Unknown   the answer is missing: it was applied, was not, or is applied later
//! ```
//! [`Bucket::settle`] turns `Unknown` into one of the others by reading, as long as what is written differs, by an id
//! in it, from all that other processes write. What a put that is on its way could still do is bounded by its
//! condition: once any process has replaced the object, it is refused.
//!
//! Not for: large files (see `upload`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};

use super::failure::{self, Answer};
use super::location::Scheme;
use super::{Bucket, Key, Tag, network};
use crate::error::{Error, Kind, Result};

/// How long is waited before a put is sent for the second time; doubled each time.
const WAIT: Duration = if cfg!(test) { Duration::from_micros(20) } else { Duration::from_millis(100) };
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What has to hold for a put to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object has this content.
    Match(Tag),
}

/// What became of a put with a condition.
#[derive(Debug)]
#[must_use]
pub enum Put {
    /// Applied; the object now has this tag.
    Applied(Tag),
    /// Certainly not applied: read again.
    Lost,
    /// Applied, not applied, or applied later; the reason why it is unknown.
    Unknown(Error),
}

impl Bucket {
    /// Writes an object, whatever was there.
    ///
    /// # Errors
    /// `Invalid` for credentials, rights, missing buckets and what can only be read; `Unavailable` when it may not have
    /// been written.
    pub fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<Tag> {
        self.writer()?;
        let (store, path) = (Arc::clone(&self.store), self.path(key)?);
        let put = network::run(async move { store.put(&path, PutPayload::from(bytes)).await })?;
        put.map(tag).map_err(|error| failure::classified(&self.writing(key), &error))
    }

    /// Writes an object if there is none, in one request that is not sent again.
    ///
    /// # Errors
    /// As [`Bucket::put`], when it was certainly not applied.
    pub fn put_if_absent(&self, key: &Key, bytes: Vec<u8>) -> Result<Put> {
        self.put_if(key, bytes, &Condition::Absent)
    }

    /// Replaces an object if it has the content that `tag` says, in one request that is not sent again.
    ///
    /// # Errors
    /// As [`Bucket::put`], when it was certainly not applied.
    pub fn put_if_match(&self, key: &Key, bytes: Vec<u8>, tag: &Tag) -> Result<Put> {
        self.put_if(key, bytes, &Condition::Match(tag.clone()))
    }

    fn put_if(&self, key: &Key, bytes: Vec<u8>, condition: &Condition) -> Result<Put> {
        let (once, path) = (Arc::clone(&self.writer()?.once), self.path(key)?);
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            // Google's conditions are on generations.
            Condition::Match(tag) if self.is_google() && tag.version.is_none() => {
                return Err(self.without_conditions(key));
            }
            Condition::Match(tag) => PutMode::Update(tag.update()),
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = network::run_to_end(async move { once.put_opts(&path, PutPayload::from(bytes), options).await })?;
        match put {
            Ok(put) => Ok(Put::Applied(tag(put))),
            Err(error) => self.judged(key, &error),
        }
    }

    /// What a failed put with a condition came to.
    fn judged(&self, key: &Key, error: &object_store::Error) -> Result<Put> {
        use object_store::Error as E;
        let answer = Answer::of(error);
        let classified = || failure::classified(&self.writing(key), error);
        match (error, answer.status) {
            (E::NotImplemented { .. } | E::NotSupported { .. }, _) | (_, Some(501)) => {
                Err(self.without_conditions(key))
            }
            (_, Some(304 | 409 | 412)) => Ok(Put::Lost),
            (E::AlreadyExists { .. } | E::Precondition { .. }, _) => Ok(Put::Lost),
            (_, Some(408 | 500..)) => Ok(Put::Unknown(classified())),
            (_, Some(_)) => Err(classified()),
            (_, None) if answer.is_unsent() => Err(classified()),
            (_, None) => Ok(Put::Unknown(classified())),
        }
    }

    /// Writes an object under a condition, and finds out what became of it: by reading, where an answer was lost.
    /// `bytes` must differ from what any other process may write there.
    ///
    /// An object that another process has overwritten since counts as lost: for objects whose content shows which
    /// writes came before, use [`Bucket::settle_by`].
    ///
    /// [`Put::Unknown`] remains only when the store did not answer for as long as was waited.
    ///
    /// # Errors
    /// As [`Bucket::put`], when it was certainly not applied.
    pub fn settle(&self, key: &Key, bytes: &[u8], condition: &Condition) -> Result<Put> {
        self.settle_by(key, bytes, condition, bytes.len() as u64, &|found| found == bytes)
    }

    /// As [`Bucket::settle`], for an object of at most `most` bytes; `is_in` says whether the write is in what is found
    /// there, be it below later ones.
    ///
    /// # Errors
    /// As [`Bucket::settle`].
    pub fn settle_by(
        &self,
        key: &Key,
        bytes: &[u8],
        condition: &Condition,
        most: u64,
        is_in: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Put> {
        let mut wait = WAIT;
        let mut was_unknown = false;
        let deadline = Instant::now() + self.settle_for;
        loop {
            match self.put_if(key, bytes.to_vec(), condition) {
                Ok(Put::Applied(tag)) => return Ok(Put::Applied(tag)),
                // An earlier request may still do it, so a refusal of this one alone says little.
                Err(error) if error.kind() == Kind::Unavailable && Instant::now() < deadline => {}
                Err(error) if was_unknown => return Ok(Put::Unknown(error)),
                Err(error) => return Err(error),
                Ok(Put::Lost) if !was_unknown => return Ok(Put::Lost),
                Ok(Put::Lost) => {}
                Ok(Put::Unknown(_)) => was_unknown = true,
            }
            match self.looked(key, condition, most, is_in) {
                Ok(Looked::Ours(tag)) => return Ok(Put::Applied(tag)),
                Ok(Looked::Theirs) => return Ok(Put::Lost),
                Ok(Looked::AsBefore) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(wait);
            wait = (2 * wait).min(LONGEST_WAIT);
        }
        Ok(Put::Unknown(Error::unavailable(format!(
            "it is unknown whether {} was written: the store's answers were lost",
            self.url(key)
        ))))
    }

    /// What is there after a put whose answer was lost.
    fn looked(&self, key: &Key, condition: &Condition, most: u64, is_in: &dyn Fn(&[u8]) -> bool) -> Result<Looked> {
        let Some(entry) = self.head(key)? else {
            return Ok(if *condition == Condition::Absent { Looked::AsBefore } else { Looked::Theirs });
        };
        if matches!(condition, Condition::Match(tag) if *tag == entry.tag) {
            return Ok(Looked::AsBefore);
        }
        if entry.bytes > most {
            return Ok(Looked::Theirs);
        }
        let found = self.range(&entry, 0..entry.bytes)?;
        Ok(if is_in(&found) { Looked::Ours(entry.tag) } else { Looked::Theirs })
    }

    /// Finds out whether the store enforces conditions, by an object of a name that no other process uses. A store that
    /// accepts a condition and does not enforce it would let two writers win.
    ///
    /// # Errors
    /// `Invalid` when it does not, saying what was tried; else as [`Bucket::put`].
    pub fn check_conditions(&self, probe: &Key) -> Result<()> {
        let unanswered = |put: Put| match put {
            Put::Unknown(error) => Err(error),
            known => Ok(known),
        };
        let Put::Applied(first) = unanswered(self.settle(probe, b"first", &Condition::Absent)?)? else {
            return Err(Error::conflict(format!("{} is there already", self.url(probe))));
        };
        let checked = (|| {
            let again = unanswered(self.settle(probe, b"again", &Condition::Absent)?)?;
            let Put::Applied(second) = unanswered(self.settle(probe, b"second", &Condition::Match(first.clone()))?)?
            else {
                return Err(self.without_conditions(probe));
            };
            let stale = unanswered(self.settle(probe, b"stale", &Condition::Match(first.clone()))?)?;
            match (again, stale) {
                (Put::Lost, Put::Lost) if first != second => Ok(()),
                _ => Err(self.without_conditions(probe)),
            }
        })();
        self.delete([probe.clone()])?;
        checked
    }

    fn without_conditions(&self, key: &Key) -> Error {
        let conditions = if self.is_google() { "x-goog-if-generation-match" } else { "If-None-Match and If-Match" };
        Error::invalid(format!(
            "{} cannot be written safely: this store does not enforce {conditions} of a PUT, by which two writers are \
             kept from overwriting each other; use a store that does",
            self.url(key)
        ))
    }

    fn is_google(&self) -> bool {
        self.location.scheme() == Scheme::Gcs
    }

    fn writing(&self, key: &Key) -> String {
        format!("write {}", self.url(key))
    }
}

enum Looked {
    Ours(Tag),
    Theirs,
    AsBefore,
}

fn tag(put: PutResult) -> Tag {
    Tag { e_tag: put.e_tag, version: put.version }
}
