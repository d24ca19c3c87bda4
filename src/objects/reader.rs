//! Reads an object from front to back, as a file is read.
//!
//! ```text
//! 256 KiB, 512 KiB, … 4 MiB, 4 MiB, …      one is used while the next ones are on their way
//! ```
//! The first part is small, for readers that only look at the beginning of an object. The next parts are asked for once
//! the first has been used up: as many at a time as the reader says, as one connection is slower than the network.
//!
//! Not for: parts of an object in any order (`read`, `ranges`).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf, Bytes};

use super::ranges::Asked;
use super::{Bucket, Entry};
use crate::error::Result;

/// Bytes of the first part: 256 KiB.
const FIRST: u64 = 256 << 10;
/// Bytes of a part at most: 4 MiB.
const MAX: u64 = 4 << 20;

/// A reader of an object. Its errors hold the client's own [`Error`](crate::error::Error).
#[derive(Debug)]
pub struct Reader {
    bucket: Bucket,
    entry: Entry,
    /// The bytes that nobody has asked for yet.
    left: Range<u64>,
    step: u64,
    /// What was received and is not read yet.
    now: Bytes,
    /// The parts that are on their way.
    ahead: VecDeque<Asked>,
    /// How many of them there may be.
    depth: usize,
}

impl Bucket {
    /// Reads an object from front to back, with `depth` parts on their way while one is used, at least one.
    pub fn reader(&self, entry: &Entry, depth: usize) -> Reader {
        Reader {
            bucket: self.clone(),
            entry: entry.clone(),
            left: 0..entry.bytes,
            step: FIRST,
            now: Bytes::new(),
            ahead: VecDeque::new(),
            depth: depth.max(1),
        }
    }
}

impl Reader {
    /// Asks for the next part; none at the end.
    fn ask(&mut self) -> Result<Option<Asked>> {
        let end = self.left.end.min(self.left.start + self.step);
        let part = self.left.start..end;
        if part.is_empty() {
            return Ok(None);
        }
        self.left.start = end;
        self.step = (2 * self.step).min(MAX);
        self.bucket.ask(&self.entry, vec![part]).map(Some)
    }

    /// The next part; empty at the end.
    fn part(&mut self) -> Result<Bytes> {
        let is_first = self.left.start == 0;
        let asked = match self.ahead.pop_front() {
            Some(asked) => Some(asked),
            None => self.ask()?,
        };
        let Some(asked) = asked else { return Ok(Bytes::new()) };
        while !is_first && self.ahead.len() < self.depth {
            let Some(next) = self.ask()? else { break };
            self.ahead.push_back(next);
        }
        let parts = asked.wait()?;
        Ok(parts.into_iter().next().unwrap_or_default())
    }
}

impl Read for Reader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.now.is_empty() && !bytes.is_empty() {
            self.now = self.part().map_err(io::Error::other)?;
        }
        let read = bytes.len().min(self.now.len());
        self.now.copy_to_slice(&mut bytes[..read]);
        Ok(read)
    }
}
