//! The last value of every key of a compacted topic, in bounded memory regardless of what is written to it.
//!
//! ```text
//! record ─▶ sound: becomes the key's value     at most `MAX_BYTES` in total
//!        ─▶ damaged: replaces the value        at most `MAX_DAMAGED` keys
//!        ─▶ tombstone: removes the key
//! ```
//! Any client with write access can write keys that belong to no dataset or consumer. Such keys are counted, a few are
//! named in messages, and they never evict sound values. The last record of the reader's own key is always kept, sound
//! or damaged.
//!
//! Not for: reading records (`compacted_topic`), or choosing among keys (`lease`).

use std::collections::BTreeMap;

use rdkafka::message::Message;
use serde::de::DeserializeOwned;

use super::{records, topics};
use crate::error::{Error, Result};
use crate::escape::shortened;

/// Most bytes of keys and values that are kept; only the reader's own key may exceed it.
const MAX_BYTES: usize = 2 * topics::STATE_LIMIT as usize;
/// Most keys that are kept whose last record is damaged.
const MAX_DAMAGED: usize = 16;
/// Longest key that is kept, in bytes: names of datasets and consumers are shorter.
const LONGEST_KEY: usize = 8 << 10;

/// The last value of every key.
#[derive(Debug)]
pub struct Values<T> {
    own: Option<String>,
    sound: BTreeMap<String, Sound<T>>,
    bytes: usize,
    damaged: BTreeMap<String, Error>,
    left_out: u64,
}

#[derive(Debug)]
struct Sound<T> {
    value: T,
    bytes: usize,
}

impl<T: DeserializeOwned> Values<T> {
    /// No values yet. The value of the key `own` is always kept.
    pub fn new(own: Option<String>) -> Self {
        Self { own, sound: BTreeMap::new(), bytes: 0, damaged: BTreeMap::new(), left_out: 0 }
    }

    /// Applies the next record of the topic.
    pub fn take(&mut self, record: &impl Message) {
        let Some(key) = record.key() else { return };
        let Some(key) = std::str::from_utf8(key).ok().filter(|key| key.len() <= LONGEST_KEY) else {
            self.left_out += u64::from(record.payload().is_some());
            return;
        };
        if let Some(before) = self.sound.remove(key) {
            self.bytes -= before.bytes;
        }
        self.damaged.remove(key);
        let Some(payload) = record.payload() else { return };
        let bytes = key.len() + payload.len();
        match records::from_record(record) {
            Ok(value) if self.is_own(key) || self.bytes + bytes <= MAX_BYTES => {
                self.bytes += bytes;
                self.sound.insert(key.to_owned(), Sound { value, bytes });
            }
            Ok(_) => self.left_out += 1,
            Err(error) => self.keep_damaged(key, error),
        }
    }

    fn keep_damaged(&mut self, key: &str, error: Error) {
        if self.damaged.len() >= MAX_DAMAGED {
            self.left_out += 1;
            let other = self.damaged.keys().find(|other| !self.is_own(other)).cloned();
            match other {
                Some(other) if self.is_own(key) => drop(self.damaged.remove(&other)),
                _ => return,
            }
        }
        self.damaged.insert(key.to_owned(), error);
    }

    fn is_own(&self, key: &str) -> bool {
        self.own.as_deref() == Some(key)
    }

    /// The last value of a key, or why it is damaged; `None` when there is none.
    pub fn get(&self, key: &str) -> Option<Result<&T, &Error>> {
        let sound = self.sound.get(key).map(|sound| Ok(&sound.value));
        sound.or_else(|| self.damaged.get(key).map(Err))
    }

    /// Every sound value with its key.
    pub fn sound(&self) -> impl Iterator<Item = (&str, &T)> {
        self.sound.iter().map(|(key, sound)| (key.as_str(), &sound.value))
    }

    /// The error of the first damaged key.
    pub fn damage(&self) -> Option<&Error> {
        self.damaged.values().next()
    }

    /// Describes the keys other than `own`: a few by name, the rest as a number. `None` when there are none.
    pub fn others(&self, own: &str) -> Option<String> {
        const NAMED: usize = 3;
        let keys: Vec<&String> = self.sound.keys().chain(self.damaged.keys()).filter(|key| *key != own).collect();
        let named: Vec<String> = keys.iter().take(NAMED).map(|key| shortened(key)).collect();
        let more = (keys.len() - named.len()) as u64 + self.left_out;
        match (named.is_empty(), more) {
            (true, 0) => None,
            (true, more) => Some(format!("{more} records whose keys are not names")),
            (false, 0) => Some(named.join(", ")),
            (false, more) => Some(format!("{} and {more} more", named.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedHeaders, OwnedMessage, Timestamp};

    use super::*;
    use crate::kafka::records::{ConsumerReport, ConsumerState};

    fn record(key: &str, value: Option<(Vec<u8>, OwnedHeaders)>) -> OwnedMessage {
        let (value, headers) = value.unzip();
        let (topic, time) = ("t.versions".to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(value, Some(key.as_bytes().to_vec()), topic, time, 0, 7, headers)
    }

    fn sound(key: &str, padding: usize) -> OwnedMessage {
        let report = ConsumerReport {
            protocol: 1,
            consumer: key.to_owned(),
            dataset: "d".to_owned(),
            state: ConsumerState::Serving,
            version: None,
            build_id: None,
            announced: 1,
            rows: 0,
            rows_total: 0,
            error: Some("x".repeat(padding)),
            at: String::new(),
        };
        record(key, Some(records::to_record(&report).unwrap()))
    }

    fn garbage(key: &str) -> OwnedMessage {
        record(key, Some((b"garbage".to_vec(), OwnedHeaders::new())))
    }

    #[test]
    fn the_last_record_of_a_key_wins() {
        let mut values = Values::<ConsumerReport>::new(None);
        values.take(&sound("a", 0));
        assert!(values.get("a").unwrap().is_ok());
        values.take(&garbage("a"));
        assert!(values.get("a").unwrap().is_err() && values.sound().count() == 0);
        values.take(&record("a", None));
        assert!(values.get("a").is_none() && values.damage().is_none() && values.bytes == 0);
    }

    #[test]
    fn unknown_keys_take_bounded_memory_and_evict_nothing() {
        let mut values = Values::<ConsumerReport>::new(Some("own".to_owned()));
        for number in 0..50_000 {
            values.take(&garbage(&format!("{number}{}", "k".repeat(3000))));
            values.take(&garbage(&"k".repeat(LONGEST_KEY + number)));
        }
        values.take(&garbage("own"));
        assert!(values.get("own").unwrap().is_err());
        values.take(&sound("own", 0));
        (0..100).for_each(|number| values.take(&sound(&format!("other-{number}"), 1 << 20)));
        values.take(&sound("own", 1 << 20));
        assert!(values.get("own").unwrap().is_ok());
        assert!(values.damaged.len() <= MAX_DAMAGED && values.bytes <= MAX_BYTES + (2 << 20));
        let others = values.others("own").unwrap();
        assert!(others.ends_with(" more") && others.len() < 400, "{others}");
        assert_eq!(Values::<ConsumerReport>::new(None).others("own"), None);
    }
}
