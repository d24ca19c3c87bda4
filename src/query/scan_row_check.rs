//! Checks that a query read every row that the inputs' footers record.
//!
//! Pages of Parquet files have no checksum by default. If a page header has too small a value count, a query that reads
//! one column alone would lose rows without an error; with several columns the reader itself detects the difference. So
//! the row counts of the scans are compared with the footers, wherever a query must read a scan to its end.
//!
//! Not for: scans below operators that may stop early (limits, joins), or with pushed-down filters. The limit of one
//! row above an aggregate that returns one row stops nothing.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::limit::GlobalLimitExec;

use super::bounded_window::BOUNDED_WINDOW;
use super::profiled_scan::MEASURE;
use super::scan_output::PLAIN;

/// Operators that read all of their input, unless they have a fetch limit.
const RUNS_TO_END: [&str; 13] = [
    "AggregateExec",
    "BoundedWindowAggExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "FilterExec",
    MEASURE,
    PLAIN,
    "ProjectionExec",
    "RepartitionExec",
    "SortExec",
    "SortPreservingMergeExec",
    BOUNDED_WINDOW,
];

/// Whether an operator reads all of its input before it returns its only row, so that a limit above it changes nothing.
fn gives_one_row(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().expr().is_empty())
}

/// For a plan that ran to its end: the rows that a scan returned and the rows it should have returned, if they differ.
pub(super) fn difference(plan: &Arc<dyn ExecutionPlan>) -> Option<(usize, usize)> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
        if config.limit.is_some() || config.file_source().filter().is_some() {
            return None;
        }
        let promised = *config.statistics().num_rows.get_value()?;
        let given = scan.metrics()?.output_rows()?;
        return (given != promised).then_some((given, promised));
    }
    let children = plan.children();
    let limits_one_row = plan.is::<GlobalLimitExec>() && children.iter().all(|child| gives_one_row(child.as_ref()));
    let reads_all = limits_one_row || (plan.fetch().is_none() && RUNS_TO_END.contains(&plan.name()));
    if reads_all { children.into_iter().find_map(difference) } else { None }
}
