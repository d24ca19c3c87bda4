//! Where a value of an input's text files is, in the order in which a person reads them.
//!
//! Not for: positions in the bytes of a file (`chunks`).

/// A position in the input: file index, line, and rank within the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: u64,
    pub(super) order: u32,
}
