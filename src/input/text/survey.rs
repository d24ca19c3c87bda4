//! Surveys text files: one pass over all rows of all files, by all threads, finds the columns, row counts and chunks.
//!
//! ```text
//!  file 1 ─▶ cutter ─┬▶ thread 1 ─▶ part ─┐
//!  file 2 ─▶ cutter ─┤                    ├─▶ merged: types of all columns
//!       …            └▶ thread 2 ─▶ part ─┘
//! ```
//! Every thread first takes files that no other thread reads, a piece at a time, and then pieces of files that others
//! read. The beginning of each piece is recorded, so that the scan can read pieces as separate chunks. Of several
//! faults the one that comes first in the first file is reported, however threads were scheduled.
//!
//! Not for: what is learnt from a piece; see `csv_survey` and `json_survey`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chunks::{Cutter, Piece, Shape};
use super::decompress::Packing;
use super::text_error::Fault;
use crate::error::{Error, Result};
use crate::input::InputFile;
use crate::shutdown;

/// Parts that one file is read ahead by at most.
const MAX_DEPTH: usize = 7;

/// Learns the columns from pieces of files.
pub(super) trait Learn: Sync {
    /// What the beginning of a file determines for the rest.
    type Head: Clone + Send;
    /// What one thread has learnt.
    type Part: Send;

    /// A part that has learnt nothing yet.
    fn part(&self) -> Self::Part;

    /// Removes the beginning of a file from its first piece, and interprets it.
    ///
    /// # Errors
    /// Describes what is wrong with it.
    fn head(&self, file: usize, first: &mut Piece) -> Result<Self::Head, Fault>;

    /// Learns from a piece of a file and returns its number of rows.
    ///
    /// # Errors
    /// The first invalid row.
    fn learn(&self, part: &mut Self::Part, file: usize, head: &Self::Head, piece: &Piece) -> Result<u64, Fault>;
}

/// Rows that can be read separately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Byte offset in the file, or in its decompressed content.
    pub(super) start: u64,
    /// Byte offset of the end.
    pub(super) end: u64,
    /// Number of the first line.
    pub(super) line: u64,
    /// Number of rows.
    pub(crate) rows: u64,
}

impl Chunk {
    /// Bytes of text.
    pub(crate) fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// A file that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Learnt<H> {
    /// None if the file is empty.
    pub(super) head: Option<H>,
    /// Its chunks in order; one for all of it if it is compressed.
    pub(super) chunks: Vec<Chunk>,
}

/// The parts of all threads, and all files.
pub(super) type Surveyed<L> = (Vec<<L as Learn>::Part>, Vec<Learnt<<L as Learn>::Head>>);

/// Resources of a survey.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) threads: usize,
    /// Approximate bytes of a piece.
    pub(super) piece: usize,
}

impl Plan {
    /// Parts that a file in an object store is read ahead by: few files share the connections of all threads, and the
    /// memory of two parts a thread.
    fn depth(&self, files: usize) -> usize {
        let readers = files.clamp(1, self.threads.max(1));
        (2 * self.threads / readers).saturating_sub(1).clamp(1, MAX_DEPTH)
    }
}

/// Reads all files.
///
/// # Errors
/// `Input` for the first fault; `Unavailable` if a file cannot be read; `Stopped` if shutdown was requested.
pub(super) fn read<L: Learn>(learn: &L, files: &[InputFile], shape: Shape, plan: Plan) -> Result<Surveyed<L>> {
    let work = Work {
        learn,
        files,
        shape,
        plan,
        readings: files.iter().map(|_| Mutex::new(Reading::new())).collect(),
        next: AtomicUsize::new(0),
        fault: Mutex::new(None),
    };
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let pieces = files.len().saturating_add((bytes / plan.piece as u64) as usize);
    let mut parts = Vec::new();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..plan.threads.min(pieces))
            .map_while(|number| {
                let builder = std::thread::Builder::new().name(format!("survey-{number}"));
                builder.spawn_scoped(scope, || work.run()).ok()
            })
            .collect();
        parts.push(work.run());
        for other in others {
            parts.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    if let Some((_, _, error)) = work.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let learnt = |(reading, file): (Mutex<Reading<L::Head>>, &InputFile)| {
        let reading = reading.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut chunks = reading.chunks;
        if Packing::of(file.source.name()) != Packing::None {
            let rows = chunks.iter().map(|chunk| chunk.rows).sum();
            let end = chunks.last().map(|chunk| chunk.end);
            chunks = end.map(|end| Chunk { start: 0, end, line: 1, rows }).into_iter().collect();
        }
        Learnt { head: reading.head, chunks }
    };
    Ok((parts, work.readings.into_iter().zip(files).map(learnt).collect()))
}

/// Learns from a file of one piece; none if it is invalid.
pub(super) fn one<L: Learn>(learn: &L, piece: &mut Piece) -> Option<L::Part> {
    let mut part = learn.part();
    let head = learn.head(0, piece).ok()?;
    learn.learn(&mut part, 0, &head, piece).ok()?;
    Some(part)
}

/// State shared by the threads.
struct Work<'w, L: Learn> {
    learn: &'w L,
    files: &'w [InputFile],
    shape: Shape,
    plan: Plan,
    readings: Vec<Mutex<Reading<L::Head>>>,
    /// The first file that no thread has taken.
    next: AtomicUsize,
    /// The first fault so far, with its file and line.
    fault: Mutex<Option<(usize, u64, Error)>>,
}

/// A file being read.
struct Reading<H> {
    cutter: Option<Box<Cutter>>,
    is_over: bool,
    head: Option<H>,
    chunks: Vec<Chunk>,
}

impl<H> Reading<H> {
    fn new() -> Self {
        Self { cutter: None, is_over: false, head: None, chunks: Vec::new() }
    }
}

impl<L: Learn> Work<'_, L> {
    /// Reads as long as there are pieces left, and returns what was learnt.
    fn run(&self) -> L::Part {
        let mut part = self.learn.part();
        loop {
            let file = self.next.fetch_add(1, Ordering::Relaxed);
            if file >= self.files.len() {
                break;
            }
            self.read_file(&mut part, file);
        }
        // Files that other threads have taken.
        (0..self.files.len()).for_each(|file| self.read_file(&mut part, file));
        part
    }

    fn read_file(&self, part: &mut L::Part, file: usize) {
        while let Err((line, error)) = self.read_pieces(part, file) {
            lock(&self.readings[file]).is_over = true;
            let mut fault = lock(&self.fault);
            if fault.as_ref().is_none_or(|(first, at, _)| (file, line) < (*first, *at)) {
                *fault = Some((file, line, error));
            }
        }
    }

    /// Reads pieces of a file to its end. An error comes with its line.
    fn read_pieces(&self, part: &mut L::Part, file: usize) -> Result<(), (u64, Error)> {
        let source = &self.files[file].source;
        let told = |fault: Fault| (fault.line, fault.in_file(source));
        loop {
            let (number, piece, head) = {
                let mut reading = lock(&self.readings[file]);
                if reading.is_over || self.is_after_a_fault(file) {
                    reading.is_over = true;
                    return Ok(());
                }
                shutdown::check().map_err(|error| (0, error))?;
                let Some(piece) = self.next_piece(&mut reading, file)? else { return Ok(()) };
                let Some(head) = reading.head.clone() else { return Ok(()) };
                (reading.chunks.len() - 1, piece, head)
            };
            let rows = self.learn.learn(part, file, &head, &piece).map_err(told)?;
            lock(&self.readings[file]).chunks[number].rows = rows;
        }
    }

    fn next_piece(&self, reading: &mut Reading<L::Head>, file: usize) -> Result<Option<Piece>, (u64, Error)> {
        // An error of the cutter ranks after faults in the lines before it.
        let unread = |error| (u64::MAX, error);
        if reading.cutter.is_none() {
            let depth = self.plan.depth(self.files.len());
            let cutter = Cutter::open(&self.files[file], self.shape, self.plan.piece, depth).map_err(unread)?;
            reading.cutter = Some(Box::new(cutter));
        }
        let Some(cutter) = &mut reading.cutter else { return Ok(None) };
        let Some(mut piece) = cutter.next().map_err(unread)? else {
            reading.cutter = None;
            reading.is_over = true;
            return Ok(None);
        };
        if reading.head.is_none() {
            let head = self.learn.head(file, &mut piece);
            let head = head.map_err(|fault| (fault.line, fault.in_file(&self.files[file].source)))?;
            reading.head = Some(head);
        }
        let end = piece.start + piece.text.len() as u64;
        reading.chunks.push(Chunk { start: piece.start, end, line: piece.line, rows: 0 });
        Ok(Some(piece))
    }

    fn is_after_a_fault(&self, file: usize) -> bool {
        lock(&self.fault).as_ref().is_some_and(|(first, ..)| file > *first)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
