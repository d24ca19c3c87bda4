//! The order of a query's whole result is left out: its rows become entries, which have an order of their own.
//!
//! `SELECT … ORDER BY x` without a limit gives the same rows as without the order. Sorting them would take time, memory
//! and room on disk for nothing. An order with a limit says which rows there are, and stays.
//!
//! Not for: orders inside a query, which DataFusion leaves out itself where they have no effect.

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;

/// The same rows in any order.
pub(super) fn unordered(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => unordered(sort.input.as_ref().clone()),
        // Columns that are sorted by and not asked for are left out above.
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            let inputs = plan.inputs().into_iter().cloned().map(unordered).collect::<Result<_>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn an_order_of_all_rows_is_removed_and_one_that_selects_rows_is_kept() {
        let context = SessionContext::new();
        let t = "(VALUES (1, 2), (2, 1)) AS t(a, b)";
        for (sql, sorts) in [
            (format!("SELECT a, b FROM {t} ORDER BY b"), false),
            (format!("SELECT a FROM {t} ORDER BY b, a DESC"), false),
            (format!("SELECT * FROM (SELECT a FROM {t} ORDER BY b) AS s"), false),
            (format!("SELECT a FROM {t} ORDER BY b LIMIT 1"), true),
            (format!("SELECT * FROM (SELECT a FROM {t} ORDER BY b OFFSET 1) AS s"), true),
        ] {
            let plan = context.state().create_logical_plan(&sql).await.unwrap();
            let schema = plan.schema().clone();
            let plan = unordered(plan).unwrap();
            assert_eq!(plan.display_indent().to_string().contains("Sort:"), sorts, "{sql}\n{}", plan.display_indent());
            assert_eq!(plan.schema(), &schema, "{sql}");
        }
    }
}
