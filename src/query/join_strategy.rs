//! The algorithms for joins and for aggregates with unbounded state, and which one follows when one ran out of memory.
//!
//! Not for: running a query with one of them (`execute`).

/// The algorithm for joins, and for aggregates with unbounded state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinStrategy {
    /// Hash join; build sides must fit into memory.
    Hash,
    /// Grace hash join: hash tables for one partition at a time; the other partitions wait on disk.
    GraceHash,
    /// Sort-merge join; spills whatever the keys are.
    SortMerge,
}

impl JoinStrategy {
    /// The strategy to try if this one ran out of memory, with or without joins.
    pub(super) fn next(self, joins: bool) -> Option<(Self, &'static str)> {
        match self {
            Self::Hash if joins => Some((Self::GraceHash, "a join does not fit into memory; using grace hash joins")),
            Self::Hash => Some((Self::SortMerge, "the query does not fit into memory; sorting the rows on disk")),
            Self::GraceHash => Some((Self::SortMerge, "a join partition does not fit; using sort-merge joins")),
            Self::SortMerge => None,
        }
    }
}
