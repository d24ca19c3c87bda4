//! A position in one run while runs are merged.
//!
//! ```text
//!  run:     block block  large  block …         cursor: ┌ a block, decompressed                       ┐
//!                                                       └ or of a large entry: key, order, front  ┘
//! ```
//! A large entry is a block of its own. A merge of many runs could not hold one of each, so a cursor keeps what entries
//! are compared by, and reads the entry again when its turn comes, into memory that all cursors use in turn
//! ([`Scratch`]). So what a merge holds does not grow with the size of values.
//!
//! Not for: finding the smallest of several cursors (see `merge`).

use std::cmp::Ordering;

use super::entry::{Entry, Prefix};
use super::prefetch::prefetch;
use super::spill::{BLOCK_BYTES, Run};
use super::splitters::{KeyRange, Splitter};
use crate::error::{Error, Result};

/// Bytes of the largest block that a cursor holds whole.
pub(super) const HELD_WHOLE: usize = 4 * BLOCK_BYTES;
/// Bytes that it holds of the order, and of the value, of an entry that is larger.
const FRONT: usize = if cfg!(test) { 16 } else { BLOCK_BYTES };

/// The shard and key prefix of a cursor's entry as one number: it sorts as the entry does, but
/// equal prefixes are undecided. An exhausted cursor sorts last.
pub(super) type KeyPrefix = u128;
pub(super) const DONE: KeyPrefix = KeyPrefix::MAX;

/// Memory that the cursors of one merge use in turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    compressed: Vec<u8>,
    whole: Vec<u8>,
    /// The run and the offset of the block in `whole`.
    holds: Option<(u64, u64)>,
}

impl Scratch {
    /// Reads a block; where the next one begins.
    fn read(&mut self, run: &Run, offset: u64) -> Result<Option<u64>> {
        self.holds = None;
        let next = run.read_block(offset, &mut self.compressed, &mut self.whole)?;
        self.holds = Some((run.number(), offset));
        Ok(next)
    }
}

/// An entry of which only the first bytes are in memory.
#[derive(Clone, Copy, Debug)]
struct Large {
    /// Where its block begins.
    offset: u64,
    order_is_cut: bool,
}

/// A position in one run.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    run: &'a Run,
    /// Where its next block begins; none after the last.
    next_block: Option<u64>,
    block: Vec<u8>,
    large: Option<Large>,
    at: usize,
    end: usize,
    to: Option<&'a Splitter>,
    head: KeyPrefix,
}

impl<'a> Cursor<'a> {
    /// At the first entry of a part.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the run cannot be read back.
    pub(super) fn open(run: &'a Run, part: &'a KeyRange, scratch: &mut Scratch) -> Result<Self> {
        let beyond = |to: &Splitter| {
            let first = run.index().marks().next();
            first.is_some_and(|(_, shard, key)| (shard, key) >= (to.shard, to.key.as_slice()))
        };
        let is_beyond = part.to.as_ref().is_some_and(beyond);
        let mut cursor = Self {
            run,
            next_block: (!is_beyond).then(|| run.index().seek(part.from.shard, &part.from.key)),
            block: Vec::new(),
            large: None,
            at: 0,
            end: 0,
            to: part.to.as_ref(),
            head: DONE,
        };
        cursor.advance(scratch)?;
        while cursor.head != DONE && {
            let entry = cursor.held();
            (entry.shard, entry.key) < (part.from.shard, part.from.key.as_slice())
        } {
            cursor.advance(scratch)?;
        }
        Ok(cursor)
    }

    pub(super) fn head(&self) -> KeyPrefix {
        self.head
    }

    /// What is held of its entry.
    fn held(&self) -> Entry<'_> {
        Entry::at(&self.block, self.at)
    }

    /// Its entry.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the run cannot be read back.
    pub(super) fn entry<'s>(&'s self, scratch: &'s mut Scratch) -> Result<Entry<'s>> {
        let Some(large) = self.large else { return Ok(self.held()) };
        if scratch.holds != Some((self.run.number(), large.offset)) {
            scratch.read(self.run, large.offset)?;
        }
        self.only(&scratch.whole)
    }

    /// The entry that a block consists of.
    fn only<'s>(&self, block: &'s [u8]) -> Result<Entry<'s>> {
        match Entry::parse(block) {
            Some((entry, [])) => Ok(entry),
            _ => Err(self.broken()),
        }
    }

    /// Compares its entry with another cursor's.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when a run cannot be read back.
    pub(super) fn compare(&self, other: &Self, scratch: &mut Scratch) -> Result<Ordering> {
        match self.compare_held(other) {
            Some(order) => Ok(order),
            None => self.compare_whole(other, scratch),
        }
    }

    /// The order of two entries, where the bytes held of them decide it.
    fn compare_held(&self, other: &Self) -> Option<Ordering> {
        let (one, two) = (self.held(), other.held());
        if self.large.is_none() && other.large.is_none() {
            return Some(one.cmp(&two));
        }
        let by_key = (one.shard, one.key).cmp(&(two.shard, two.key));
        let is_cut = [self.large, other.large].into_iter().flatten().any(|large| large.order_is_cut);
        let ordering = match is_cut {
            true => by_key.then(by_front(one.order, two.order)),
            false => by_key.then(one.order.cmp(two.order)).then(by_front(one.value, two.value)),
        };
        Some(ordering).filter(|ordering| ordering.is_ne())
    }

    fn compare_whole(&self, other: &Self, scratch: &mut Scratch) -> Result<Ordering> {
        let mut own = Vec::new();
        if self.large.is_some() {
            self.entry(scratch)?;
            scratch.holds = None;
            std::mem::swap(&mut own, &mut scratch.whole);
        }
        let one = if self.large.is_some() { self.only(&own)? } else { self.held() };
        Ok(one.cmp(&other.entry(scratch)?))
    }

    /// Goes to the next entry.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the run cannot be read back.
    pub(super) fn advance(&mut self, scratch: &mut Scratch) -> Result<()> {
        self.at = self.end;
        if self.at == self.block.len() {
            let Some(offset) = self.next_block else {
                self.head = DONE;
                return Ok(());
            };
            self.next_block = self.read(offset, scratch)?;
            self.at = 0;
        }
        let Some((entry, rest)) = Entry::parse(&self.block[self.at..]) else { return Err(self.broken()) };
        self.end = self.block.len() - rest.len();
        // By the time this cursor's turn comes again, other cursors' blocks have taken its place in the nearest cache.
        prefetch(&self.block, self.end);
        let done = self.to.is_some_and(|to| (entry.shard, entry.key) >= (to.shard, to.key.as_slice()));
        let prefix = Prefix::within_shard(0).of(entry.shard, entry.key);
        self.head = if done { DONE } else { KeyPrefix::from(entry.shard) << u64::BITS | KeyPrefix::from(prefix) };
        Ok(())
    }

    /// Reads the block at `offset`; where the next one begins.
    fn read(&mut self, offset: u64, scratch: &mut Scratch) -> Result<Option<u64>> {
        if self.run.largest_block() <= HELD_WHOLE {
            return self.run.read_block(offset, &mut scratch.compressed, &mut self.block);
        }
        let next = scratch.read(self.run, offset)?;
        self.large = None;
        self.block.clear();
        if scratch.whole.len() <= HELD_WHOLE {
            self.block.extend_from_slice(&scratch.whole);
            return Ok(next);
        }
        let entry = self.only(&scratch.whole)?;
        let order_is_cut = entry.order.len() > FRONT;
        let value = if order_is_cut { &[] } else { &entry.value[..entry.value.len().min(FRONT)] };
        let order = &entry.order[..entry.order.len().min(FRONT)];
        Entry { order, value, ..entry }.append_to(&mut self.block);
        self.large = Some(Large { offset, order_is_cut });
        Ok(next)
    }

    fn broken(&self) -> Error {
        let path = self.run.path().display();
        Error::corrupt(format!("spill file {path} holds a broken entry; check the disk and run again"))
    }
}

/// Compares as many bytes as both have.
fn by_front(one: &[u8], other: &[u8]) -> Ordering {
    let both = one.len().min(other.len());
    one[..both].cmp(&other[..both])
}
