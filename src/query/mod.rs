//! The query: SQL over the inputs, run by Apache DataFusion, handed on as streams of batches.
//!
//! ```text
//!  inputs ─▶ tables ─▶ SQL + bound parameters ─▶ plan ─▶ one stream per partition
//! ```
//!
//! This is the only asynchronous part of a build, and it ends here: [`Execution::run`] drives every stream on a thread
//! of its own and hands batches to plain functions. Memory is a pool of the query's share (`pool`); what can spill
//! spills. Groups by hash are made in turns, a part of them at a time. A hash join whose build side does not fit is done in
//! turns over parts of both sides, and where even a part does not fit, as a sort-merge join.
//!
//! Not for: files and lineage (`input`), or what becomes of rows (`encode`).

mod ahead;
mod avro_scan;
mod bounded;
mod counted;
mod depth;
mod error;
mod estimate;
mod exact;
mod execute;
mod functions;
mod gathering;
mod grouping;
mod guarded;
mod kept;
mod measured;
mod operator;
mod parquet_scan;
mod pieces;
mod pinpoint;
mod plain;
mod pool;
mod session;
mod shelf;
mod sorting;
mod spread;
mod table;
mod text_scan;
mod turns;
mod unspillable;
mod widths;
mod windows;

pub use estimate::{Estimate, Measure, estimate};
pub use execute::{Execution, Failed, Usage, Way};
pub use measured::Measuring;
pub use pieces::pieces;
pub use pinpoint::{Written, unread_value};
pub use session::{Query, Settings};
pub use unspillable::Unspillable;
