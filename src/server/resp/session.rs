//! What the server knows about one client, and which dataset a key of it is in.
//!
//! ```text
//! database 0     keys are `dataset:key`
//! database n     keys of the n-th dataset, as they are
//! ```
//! Not for: buffers and limits (`connection`), or commands (`commands`).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::Server;
use crate::server::auth::Shown;
use crate::server::budget::Reserved;
use crate::server::dataset::Dataset;
use crate::server::hot_keys::NOTED;
use crate::server::refusal::{Reason, Refusal};

/// One client.
pub struct Session {
    /// The server.
    pub server: Arc<Server>,
    /// Its number.
    pub id: u64,
    /// The name it gave itself.
    pub name: Vec<u8>,
    /// Whether it asked for RESP3.
    pub is_resp3: bool,
    /// The number of the database it selected, and its dataset; none in database 0.
    pub selected: Option<(usize, Arc<Dataset>)>,
    is_known: bool,
    from: IpAddr,
    /// The memory of answers that are not written yet.
    pub answers: Reserved,
    /// Keys that it read and that are not counted yet.
    pub reads: PendingReads,
}

/// The arguments of a command after its name.
pub type Arguments<'a> = &'a [&'a [u8]];

impl Session {
    /// A client that just connected.
    pub fn new(server: Arc<Server>, from: IpAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: Vec::new(),
            is_resp3: false,
            selected: None,
            is_known: !server.auth.is_needed(),
            from,
            answers: server.memory.buffers.none(),
            reads: PendingReads::default(),
            server,
        }
    }

    /// Whether it has shown the password, or none is needed.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Compares a password; whether it is the right one.
    ///
    /// # Errors
    /// `Guessed` when this address has shown too many wrong ones.
    pub fn show_password(&mut self, password: &[u8]) -> Result<bool, Refusal> {
        match self.server.auth.check(password, self.from) {
            Shown::TooMany(wait) => Err(Refusal::guessed(wait)),
            shown => {
                self.is_known |= shown == Shown::Right;
                Ok(shown == Shown::Right)
            }
        }
    }

    /// Passes the dataset of a key, and the key in it, to `read`.
    ///
    /// # Errors
    /// `Missing` when the key names no dataset that is served; else those of `read`.
    pub fn with_dataset<T>(
        &self,
        key: &[u8],
        read: impl FnOnce(&Arc<Dataset>, &[u8]) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if let Some((number, dataset)) = &self.selected {
            if dataset.is_removed() {
                return Err(Refusal::new(
                    Reason::Missing,
                    format!("the dataset of database {number} is not served any more"),
                ));
            }
            return read(dataset, key);
        }
        let Some(colon) = key.iter().position(|byte| *byte == b':') else {
            return Err(Refusal::new(
                Reason::Wrong,
                "a key in database 0 is dataset:key; SELECT n reads the n-th dataset",
            ));
        };
        let (name, key) = (&key[..colon], &key[colon + 1..]);
        self.server.registry.with(name, |dataset| match dataset {
            Some(dataset) => read(dataset, key),
            None => Err(Refusal::no_dataset(name)),
        })
    }
}

/// Keys that a client read in one dataset and that are not counted there yet.
#[derive(Default)]
pub struct PendingReads {
    dataset: Option<Arc<Dataset>>,
    hits: u64,
    misses: u64,
    all: u32,
}

impl PendingReads {
    /// Counts a key that was read, and lets the dataset remember some of them.
    pub fn note(&mut self, dataset: &Arc<Dataset>, key: &[u8], is_there: bool) {
        if !self.dataset.as_ref().is_some_and(|known| Arc::ptr_eq(known, dataset)) {
            self.count();
            self.dataset = Some(Arc::clone(dataset));
        }
        *(if is_there { &mut self.hits } else { &mut self.misses }) += 1;
        self.all = self.all.wrapping_add(1);
        if is_there && self.all.is_multiple_of(NOTED) {
            dataset.hot.note(key);
        }
    }

    /// Adds what was read to the counters of the dataset.
    pub fn count(&mut self) {
        if let Some(dataset) = &self.dataset {
            dataset.reads.add(std::mem::take(&mut self.hits), std::mem::take(&mut self.misses));
        }
    }
}

/// A command has too many arguments, or too few.
pub fn wrong_number(name: &[u8]) -> Refusal {
    let name = name.escape_ascii().to_string().to_lowercase();
    Refusal::new(Reason::Wrong, format!("wrong number of arguments for '{name}' command"))
}
