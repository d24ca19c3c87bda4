//! Runs SQL over the inputs with Apache DataFusion; the result is one stream of record batches per partition.
//!
//! ```text
//!  inputs ─▶ tables ─▶ SQL + bound parameters ─▶ plan ─▶ one stream per partition
//! ```
//!
//! DataFusion is asynchronous, and that ends here: `Execution::run` polls every stream on a thread of its own and
//! passes batches to synchronous functions. Memory is a pool of the query's share (`memory_pool`); what
//! can spill spills. Hash aggregates run one partition at a time. A hash join whose build side does not fit is run as a
//! grace hash join, and if even one partition does not fit, as a sort-merge join (`docs/memory.md` has the steps).
//!
//! Not for: files and lineage (`input`), or what becomes of the rows (`encode`).

mod alignment;
mod avro_scan;
mod batch_slices;
mod bounded_functions;
mod bounded_window;
mod checked_udf;
mod column_limit;
mod delegated_aggregate;
mod error;
mod estimate;
mod exact;
mod execute;
mod grace_hash_join;
mod join_strategy;
mod measuring;
mod memory_pool;
mod open_order;
mod operator;
mod operator_budget;
mod ordered;
mod parquet_scan;
mod partition_buffer;
mod partition_pruning;
mod partition_value;
mod partitioned_aggregate;
mod profiled_scan;
mod row_group_sample;
mod row_width;
mod scan_output;
mod scan_row_check;
mod session;
mod shares;
mod single_read;
mod sort_merge_join;
mod sorted_aggregate;
mod spilling_repartition;
mod sql_diagnostics;
mod sql_limits;
mod table_provider;
mod text_scan;
mod udf;
mod unordered;
mod unspillable;

pub use alignment::ExchangeColumns;
pub use batch_slices::pieces;
pub use estimate::{Estimate, Measure, estimate};
pub use execute::{RunError, Usage};
pub use join_strategy::JoinStrategy;
pub use measuring::{Measuring, PortableScan};
pub use session::{Query, Settings};
pub use sql_diagnostics::{Written, unread_value};
pub use unspillable::Unspillable;
