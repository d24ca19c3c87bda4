//! Merges sorted runs: a part of each into one ordered stream, and many runs into few when there are too many.
//!
//! The merge is a tournament tree of losers (Knuth, The Art of Computer Programming 3, 5.4.1): each inner node
//! remembers the run that lost there, so the next smallest entry costs one comparison per level: of two numbers, in most
//! cases, that lie in the tree itself.
//!
//! Invariant: a merge holds one packed and one unpacked block per run, which [`reduce`] keeps within the budget.
//!
//! Not for: folding equal keys.

use super::entry::{Entry, Prefix};
use super::spill::{BLOCK_BYTES, Run, RunWriter};
use super::split::{Cut, Part};
use super::{Options, Stats};
use crate::error::{Error, Result};
use crate::stop;

/// Runs merged at once, however small the memory.
const MIN_FAN_IN: usize = 4;

/// A position in one run.
struct Cursor<'a> {
    run: &'a Run,
    next_block: usize,
    packed: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    end: usize,
    to: Option<&'a Cut>,
    head: Head,
}

/// The shard and key prefix of a cursor's entry as one number: smaller number, smaller entry; equal ones say nothing. One
/// that is done comes last.
type Head = u128;
const DONE: Head = Head::MAX;

impl<'a> Cursor<'a> {
    fn open(run: &'a Run, part: &'a Part) -> Result<Self> {
        let next_block = run.seek(part.from.shard, &part.from.key);
        let mut cursor = Self {
            run,
            next_block,
            packed: Vec::new(),
            block: Vec::new(),
            at: 0,
            end: 0,
            to: part.to.as_ref(),
            head: DONE,
        };
        cursor.advance()?;
        while cursor.head != DONE && {
            let entry = cursor.entry();
            (entry.shard, entry.key) < (part.from.shard, part.from.key.as_slice())
        } {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    fn entry(&self) -> Entry<'_> {
        Entry::at(&self.block, self.at)
    }

    fn advance(&mut self) -> Result<()> {
        self.at = self.end;
        if self.at == self.block.len() {
            if self.next_block == self.run.blocks() {
                self.head = DONE;
                return Ok(());
            }
            self.run.read_block(self.next_block, &mut self.packed, &mut self.block)?;
            self.next_block += 1;
            self.at = 0;
        }
        let Some((entry, rest)) = Entry::parse(&self.block[self.at..]) else {
            return Err(Error::corrupt(format!(
                "spill file {} holds a broken entry; check the disk and run again",
                self.run.path().display()
            )));
        };
        self.end = self.block.len() - rest.len();
        let done = self.to.is_some_and(|to| (entry.shard, entry.key) >= (to.shard, to.key.as_slice()));
        let prefix = Prefix::within_shard(0).of(entry.shard, entry.key);
        self.head = if done { DONE } else { Head::from(entry.shard) << u64::BITS | Head::from(prefix) };
        Ok(())
    }
}

/// The entries of one part of several runs, in order.
pub(super) struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    /// `losers[0]` is the winner; `losers[1..]` the loser at each inner node.
    losers: Vec<Player>,
}

/// A cursor, by its number, with the head it has.
#[derive(Clone, Copy, Debug)]
struct Player {
    head: Head,
    cursor: usize,
}

impl<'a> Merge<'a> {
    /// # Errors
    /// `Unavailable` or `Corrupt` when a run cannot be read back.
    pub(super) fn open(runs: impl IntoIterator<Item = &'a Run>, part: &'a Part) -> Result<Self> {
        let cursors = runs.into_iter().map(|run| Cursor::open(run, part)).collect::<Result<Vec<_>>>()?;
        let nobody = Player { head: DONE, cursor: 0 };
        let mut merge = Self { losers: vec![nobody; cursors.len().max(1)], cursors };
        if !merge.cursors.is_empty() {
            merge.losers[0] = merge.play(1);
        }
        Ok(merge)
    }

    fn player(&self, cursor: usize) -> Player {
        Player { head: self.cursors[cursor].head, cursor }
    }

    /// Plays the games below `node` and returns the winner. Leaves are the nodes from the number of cursors on.
    fn play(&mut self, node: usize) -> Player {
        let count = self.cursors.len();
        if node >= count {
            return self.player(node - count);
        }
        let (left, right) = (self.play(2 * node), self.play(2 * node + 1));
        let (winner, loser) = if self.before(right, left) { (right, left) } else { (left, right) };
        self.losers[node] = loser;
        winner
    }

    /// Whether one's entry comes before the other's.
    fn before(&self, one: Player, other: Player) -> bool {
        let by_entry = || one.head != DONE && self.cursors[one.cursor].entry() < self.cursors[other.cursor].entry();
        one.head < other.head || (one.head == other.head && by_entry())
    }

    /// # Errors
    /// Whatever `visit` returns, at once; `Unavailable` or `Corrupt` when a run cannot be read back.
    pub(super) fn for_each(mut self, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
        let count = self.cursors.len();
        while self.losers[0].head != DONE {
            let cursor = self.losers[0].cursor;
            visit(self.cursors[cursor].entry())?;
            self.cursors[cursor].advance()?;
            let mut winner = self.player(cursor);
            let mut node = (cursor + count) / 2;
            while node > 0 {
                let loser = self.losers[node];
                if self.before(loser, winner) {
                    self.losers[node] = winner;
                    winner = loser;
                }
                node /= 2;
            }
            self.losers[0] = winner;
        }
        Ok(())
    }
}

/// How many runs are merged at once, each with a block packed and unpacked in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct FanIn {
    /// By one thread, with all of the memory.
    pub(super) one: usize,
    /// By every thread at the same time.
    pub(super) last: usize,
}

impl FanIn {
    /// Of runs whose largest block has so many bytes.
    pub(super) fn of(options: &Options, largest_block: usize) -> Self {
        let blocks = options.memory / (2 * largest_block.max(BLOCK_BYTES));
        Self { one: blocks.max(MIN_FAN_IN), last: (blocks / options.threads.max(1)).max(MIN_FAN_IN) }
    }
}

/// Merges runs into larger ones until a merge of all of them by every thread at once fits the memory.
///
/// # Errors
/// `Unavailable` when the disk is full or fails, `Corrupt` when a run cannot be read back; `Stopped` when that is asked for.
pub(super) fn reduce(
    mut runs: Vec<Run>,
    options: &Options,
    number: impl Fn() -> u64,
    stats: &mut Stats,
) -> Result<Vec<Run>> {
    let everything = Part::whole();
    let largest = runs.iter().map(Run::largest_block).max().unwrap_or(0);
    let fan_in = FanIn::of(options, largest);
    while runs.len() > fan_in.last {
        let mut merged = Vec::new();
        let mut rest = runs.into_iter().peekable();
        while rest.peek().is_some() {
            let group: Vec<Run> = rest.by_ref().take(fan_in.one).collect();
            if group.len() == 1 {
                merged.extend(group);
                continue;
            }
            let mut writer = RunWriter::create(&options.spill_dir, number())?;
            Merge::open(&group, &everything)?.for_each(|entry| {
                stop::check()?;
                writer.push(&entry)
            })?;
            let run = writer.finish()?;
            stats.runs += 1;
            stats.spilled_bytes += run.file_bytes();
            merged.push(run);
        }
        runs = merged;
    }
    Ok(runs)
}
