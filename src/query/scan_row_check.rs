//! Whether a query read every row that the inputs' footers promise.
//!
//! Pages of Parquet files carry no checksum by default. One whose header counts too few values would lose rows without
//! an error where a query reads one column alone; beside another column the reader itself sees the difference. What the
//! scans gave is therefore compared with the footers, wherever a query must read a scan to its end.
//!
//! Not for: scans below operators that may stop early (limits, joins), or that filters already thin out. The limit of
//! one row above an aggregate that gives one stops nothing.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::limit::GlobalLimitExec;

use super::bounded_window::BOUNDED_WINDOW;
use super::profiled_scan::MEASURE;
use super::scan_output::PLAIN;

/// Operators that read all of what is below them, unless they are told to fetch only so many rows.
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

/// Whether an operator reads all of what is below it before it gives its only row, which no limit can spare it.
fn gives_one_row(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.group_expr().expr().is_empty())
}

/// Of a plan that ran to its end: how many rows a scan gave and how many it should have, where these differ.
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
